"""The point-in-time join in steps; each step's small table decides how the next one runs.

Only keys and times are sorted and searched. Features are read last, once, and only of the matching
rows, by row number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from feature_platform.offline.dialect import Dialect
from feature_platform.offline.point_in_time import (
    AT,
    CREATED,
    ROW,
    TIME,
    VALUE,
    EntityRowsSql,
    PointInTime,
    Search,
)
from feature_platform.offline.source_sql import JoinSql, SourceSql
from feature_platform.offline.time_ranges import conjunction, within


class Tables(Protocol):
    """The part of a session that a join needs."""

    sql: Dialect

    def run(self, sql: str) -> None:
        """Run a statement."""

    def row(self, sql: str) -> tuple[Any, ...]:
        """Return the only row of a query."""

    def memory_limit(self) -> int:
        """Return the memory limit in bytes."""

    def step(self, message: str) -> None:
        """Report the next step."""


_FEW = 20
"""History rows per entity row above which filtering by the requested keys pays."""
_PAIRS_PER_ROW = 5
"""Pairs compared in the time in which an ASOF join sorts one row, as measured."""
_BYTES_PER_VALUE = 20
"""Peak memory of sorting one value for an ASOF join, as measured."""


class DuckDBJoin(PointInTime):
    """Runs a point-in-time join over a session's temporary tables.

    Args:
        session: The connection.
        entities: The entity rows, in the temporary table `entities`.
    """

    def __init__(self, session: Tables, entities: EntityRowsSql) -> None:
        super().__init__(session.sql, entities)
        self._session = session
        self._parts: dict[str, str] = {}
        self._found: list[tuple[Search, JoinSql, str]] = []

    def select(self) -> str:
        """Return the query of the entity rows with all features."""
        parts = [f"{name} AS ({sql})" for name, sql in self._parts.items()]
        heading = "WITH " + ",\n".join(parts) + "\n" if parts else ""
        return heading + self.answer(self._found)

    def find(self, number: int, search: Search) -> None:
        """Run a search and record what to join."""
        source = search.source
        [total] = self._session.row(f"SELECT count(*) FROM {source.relation}")
        few = bool(search.keys) and self.entities.rows * _FEW < total
        if few:
            self._few(number, search)
        else:
            self._many(number, search, total)
        if source.row_id:
            self._fetch(number, search)
            return
        for j, join in enumerate(search.joins):
            self._found.append((search, join, f"found{number}_{j}"))
            self._parts[f"found{number}_{j}"] = self.best(search, join, f"nearest{number}")

    def latest(self, source: SourceSql, columns: Mapping[str, str]) -> str:
        """Return the query of the newest row of each key within the span.

        Args:
            source: The rows; they have row ids.
            columns: Column of the result → expression over the relation.
        """
        keys = {key: key for key in source.keys}
        search = Search((JoinSql(source, keys, {}),), ttl=0, known_only=False)
        narrow = f"({self.narrow(search, more=source.row_id)})"
        names = search.names
        group = f"GROUP BY {', '.join(names)}" if names else "HAVING count(*) > 0"
        newest = f"SELECT {', '.join([*names, f'max({VALUE}) AS {VALUE}'])} FROM {narrow} {group}"
        self._table("nearest0", f"SELECT row_number() OVER () AS {ROW}, * FROM ({newest})")
        self._table("match0", self._candidates(search, narrow, "nearest0"))
        ties, where = self._survey(search, "match0")
        match = self._settled("match0", source, "settled0") if ties else "match0"
        listed = ", ".join(self.sql.quote(name) for name in columns)
        return f"SELECT {listed} FROM ({self._fetched(source, match, columns, where)})"

    def _few(self, number: int, search: Search) -> None:
        """Filter the history by the requested keys, and compare all pairs if they are few."""
        self._session.step(f"reading the history of {self.entities.rows:,} entity rows")
        narrow, nearest = f"narrow{number}", f"nearest{number}"
        self._table(
            narrow,
            f"SELECT h.* FROM ({self.narrow(search, more=search.source.row_id)}) h "
            f"SEMI JOIN entities s ON {conjunction(self.same_keys(search))}",
        )
        cheap = self._pairs_are_cheap(search, narrow)
        self._table(nearest, (self._nearest_of_pairs if cheap else self.nearest)(search, narrow))
        if search.source.row_id:
            self._table(f"match{number}", self._candidates(search, narrow, nearest))

    def _many(self, number: int, search: Search, total: int) -> None:
        """Search the whole history, in as many parts as memory requires."""
        needed = total * (len(search.keys) + 2) * _BYTES_PER_VALUE
        parts = max(1, -(-needed // (self._session.memory_limit() // 2))) if search.keys else 1
        row_id, nearest = search.source.row_id, f"nearest{number}"
        for part in range(parts):
            self._session.step(f"searching {total:,} rows of history, part {part + 1} of {parts}")
            keys = ", ".join(search.source.keys.values())
            where = [f"hash({keys}) % {parts} = {part}"] if parts > 1 else []
            sql = self.nearest(search, f"({self.narrow(search, where=where)})")
            self._table(nearest, sql, add=bool(part) and not row_id)
            if row_id:
                narrow = f"({self.narrow(search, more=row_id, where=where)})"
                sql = self._candidates(search, narrow, nearest)
                self._table(f"match{number}", sql, add=bool(part))

    def _pairs_are_cheap(self, search: Search, narrow: str) -> bool:
        """Compare the measured costs of sorting (ASOF join) and of comparing all pairs."""
        listed = ", ".join(self.sql.quote(column) for _, column in search.keys)
        counted = f"SELECT {listed}, count(*) AS __fp_rows FROM entities GROUP BY {listed}"
        same = conjunction(self.same_keys(search))
        pairs, rows = self._session.row(
            f"SELECT coalesce(sum(s.__fp_rows), 0), count(*) FROM ({counted}) s "
            f"JOIN {narrow} h ON {same}"
        )
        return bool(pairs <= _PAIRS_PER_ROW * (rows + self.entities.rows))

    def _nearest_of_pairs(self, search: Search, narrow: str) -> str:
        match = [*self.same_keys(search), f"h.{AT} <= s.{TIME}", self.fits(search.ttl, search)]
        group = ", ".join([f"s.{ROW}", *(f"h.{key}" for key in search.names)])
        return (
            f"SELECT {group}, max(h.{VALUE}) AS {VALUE} FROM entities s JOIN {narrow} h "
            f"ON {conjunction(match)} GROUP BY {group}"
        )

    def _candidates(self, search: Search, narrow: str, nearest: str) -> str:
        """Return the ids of the rows that differ only in their features."""
        equal = conjunction(f"n.{c} = h.{c}" for c in [*search.names, VALUE])
        columns = [f"n.{ROW}", f"n.{VALUE}", *(f"h.{c}" for c in search.source.row_id)]
        sql = f"SELECT {', '.join(columns)} FROM {nearest} n JOIN {narrow} h ON {equal}"
        if search.source.created and not search.known_only:
            newest = f"PARTITION BY n.{ROW} ORDER BY h.{CREATED} DESC NULLS LAST"
            sql += f" QUALIFY rank() OVER ({newest}) = 1"
        return sql

    def _fetch(self, number: int, search: Search) -> None:
        """Read the features: once for all tables of a search, unless there are ties."""
        match, fetched = f"match{number}", f"found{number}"
        ties, where = self._survey(search, match)
        if not ties:
            joins = [_renamed(join, f"{j}:") for j, join in enumerate(search.joins)]
            features = {n: e for join in joins for n, e in join.source.features.items()}
            self._parts[fetched] = self._fetched(search.source, match, features, where)
            self._found += [(search, join, fetched) for join in joins]
            return
        for j, join in enumerate(search.joins):
            settled = self._settled(match, join.source, f"settled{number}_{j}")
            self._parts[f"{fetched}_{j}"] = self._fetched(
                join.source, settled, join.source.features, where
            )
            self._found.append((search, join, f"{fetched}_{j}"))

    def _survey(self, search: Search, match: str) -> tuple[bool, list[str]]:
        """Return whether a row has several candidates, and conditions that all candidates meet.

        The conditions spare reading the features of all other row groups.
        """
        ties, low, high = self._session.row(
            f"SELECT count(*) > count(DISTINCT {ROW}), min({VALUE}), max({VALUE}) FROM {match}"
        )
        if low is None:
            return False, ["false"]
        times = [] if search.known_only else within(self.sql, search.source, low, high)
        return bool(ties), times

    def _settled(self, match: str, source: SourceSql, name: str) -> str:
        """Keep one candidate per row: the one with the greatest features."""
        ids = list(source.row_id)
        many = f"SELECT {ROW} FROM {match} GROUP BY {ROW} HAVING count(*) > 1"
        ties = [f"{expression} AS __fp_tie{i}" for i, expression in enumerate(source.ties)]
        order = [f"h.__fp_tie{i} DESC NULLS LAST" for i in range(len(ties))]
        columns = ", ".join([f"m.{ROW}", f"m.{VALUE}", *(f"m.{c}" for c in ids)])
        self._table(
            name,
            f"SELECT {columns} FROM {match} m ANTI JOIN ({many}) t ON m.{ROW} = t.{ROW} UNION ALL "
            f"SELECT {columns} FROM (SELECT * FROM {match} SEMI JOIN ({many}) t USING ({ROW})) m "
            f"JOIN (SELECT {', '.join([*ids, *ties])} FROM {source.relation}) h "
            f"ON {conjunction(f'm.{c} = h.{c}' for c in ids)} QUALIFY row_number() OVER "
            f"(PARTITION BY m.{ROW} ORDER BY {', '.join(order)}) = 1",
        )
        return name

    def _fetched(
        self, source: SourceSql, match: str, columns: Mapping[str, str], where: Sequence[str]
    ) -> str:
        """Return row number, value and columns over the relation of matched rows."""
        ids = list(source.row_id)
        selected = ", ".join([*ids, *(f"{e} AS {self.sql.quote(n)}" for n, e in columns.items())])
        names = "".join(f", h.{self.sql.quote(name)}" for name in columns)
        return (
            f"SELECT m.{ROW}, m.{VALUE}{names} FROM {match} m JOIN (SELECT {selected} FROM "
            f"{source.relation} WHERE {conjunction(where)}) h "
            f"ON {conjunction(f'm.{c} = h.{c}' for c in ids)}"
        )

    def _table(self, name: str, sql: str, *, add: bool = False) -> None:
        head = f"INSERT INTO {name}" if add else f"CREATE OR REPLACE TEMP TABLE {name} AS"
        self._session.run(f"{head} {sql}")


def _renamed(join: JoinSql, prefix: str) -> JoinSql:
    """Prefix the names of features, to make them unique within a search."""
    features = {f"{prefix}{name}": e for name, e in join.source.features.items()}
    columns = {f"{prefix}{name}": column for name, column in join.columns.items()}
    return replace(join, source=replace(join.source, features=features), columns=columns)
