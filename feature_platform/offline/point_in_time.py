"""The point-in-time join as SQL: the only definition of its semantics.

The join has four parts. Engines differ only in how they run the second:

1. *narrow*: keys and times of the history rows that are relevant;
2. *nearest*: for each entity row, the greatest event time that is not after it;
3. *best*: of the rows of one key and event time, the one created last, then the one with the
   greatest feature values;
4. *answer*: the entity rows with these features, in their order.

With `known_only`, a row counts from the later of its two times on. The greatest pair of event and
created time, packed into one number, wins.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from feature_platform.offline.dialect import Dialect
from feature_platform.offline.source_sql import JoinSql, SourceSql
from feature_platform.offline.time_ranges import conjunction, partition_by, within

ROW = "__fp_row"
TIME = "__fp_time"
AT = "__fp_at"
VALUE = "__fp_value"
CREATED = "__fp_created"


@dataclass(frozen=True, slots=True)
class EntityRowsSql:
    """The entity rows, numbered.

    Attributes:
        relation: Has `ROW`, `TIME` in microseconds and the columns of the entity rows.
        columns: Column of the result → expression over `entities`.
        span: Smallest and greatest time; `None` if no row has a time.
        rows: Number of rows.
    """

    relation: str
    columns: Mapping[str, str]
    span: tuple[int, int] | None
    rows: int


@dataclass(frozen=True, slots=True)
class Search:
    """Tables that share source, keys and times, so one search serves all.

    Attributes:
        joins: The tables.
        ttl: The longest ttl, microseconds; `None` for ever.
        known_only: Whether rows count only from their created timestamp on.
    """

    joins: tuple[JoinSql, ...]
    ttl: int | None
    known_only: bool

    @property
    def source(self) -> SourceSql:
        """The source that is searched."""
        return self.joins[0].source

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Column of the narrow history → column of the entity rows that it is equal to."""
        return [(f"__fp_key{i}", column) for i, column in enumerate(self.joins[0].keys.values())]

    @property
    def names(self) -> list[str]:
        """The key columns of the narrow history."""
        return [key for key, _ in self.keys]


def searches(joins: Sequence[JoinSql], *, known_only: bool) -> list[Search]:
    """Group tables that can be searched together."""
    groups: list[list[JoinSql]] = []
    for join in joins:
        for group in groups:
            same_keys = list(group[0].keys.values()) == list(join.keys.values())
            if same_keys and group[0].source.same_times(join.source):
                group.append(join)
                break
        else:
            groups.append([join])
    searches = []
    for group in groups:
        ttls = [join.source.ttl for join in group]
        longest = None if None in ttls else max(ttl for ttl in ttls if ttl is not None)
        dated = known_only and group[0].source.created is not None
        searches.append(Search(tuple(group), longest, dated))
    return searches


class PointInTime:
    """Writes the parts of a point-in-time join in one engine's SQL.

    Args:
        dialect: The engine's SQL.
        entities: The entity rows, `entities` in the SQL.
        exact_output: Rewrites the SQL of a result column, given its name and SQL.
        names: Column of the tables → output name; the others are left out.
    """

    def __init__(
        self,
        dialect: Dialect,
        entities: EntityRowsSql,
        exact_output: Callable[[str, str], str] = lambda _, sql: sql,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self.sql = dialect
        self.entities = entities
        self._exact_output = exact_output
        self._names = names

    def statement(self, searches: Sequence[Search]) -> str:
        """Return the whole join as one statement."""
        parts = [f"entities AS (SELECT * FROM {self.entities.relation})"]
        tables = []
        for i, search in enumerate(searches):
            parts.append(f"narrow{i} AS ({self.narrow(search)})")
            parts.append(f"nearest{i} AS ({self.nearest(search, f'narrow{i}')})")
            for j, join in enumerate(search.joins):
                name = f"best{i}_{j}"
                parts.append(f"{name} AS ({self.best(search, join, f'nearest{i}')})")
                tables.append((search, join, name))
        return "WITH\n" + ",\n".join(parts) + "\n" + self.answer(tables)

    def narrow(self, search: Search, *, more: Sequence[str] = (), where: Sequence[str] = ()) -> str:
        """Part 1: keys and times of the relevant rows.

        Args:
            search: The search.
            more: Additional columns of the relation.
            where: Additional conditions.
        """
        source = search.source
        columns = self._keys(search)
        columns += [f"{self._counts_from(search)} AS {AT}", f"{self._value(search)} AS {VALUE}"]
        columns += [f"{source.created} AS {CREATED}"] if source.created else []
        conditions = [*self._can_answer(search), *where]
        listed = ", ".join([*columns, *more])
        return f"SELECT {listed} FROM {source.relation} WHERE {conjunction(conditions)}"

    def nearest(self, search: Search, narrow: str) -> str:
        """Part 2: row number, keys and the greatest value that is not after the entity row."""
        source = narrow
        if search.known_only:
            source = (
                f"(SELECT {', '.join([*search.names, AT])}, max({VALUE}) OVER "
                f"({partition_by(search.names)}ORDER BY {AT}) AS {VALUE} FROM {narrow})"
            )
        match = conjunction([*self.same_keys(search), f"s.{TIME} >= h.{AT}"])
        joined = self.sql.asof_join("entities s", f"{source} h", match)
        if joined is None:
            return self._nearest_by_running(search, narrow)
        columns = [f"s.{ROW}", *(f"h.{key}" for key in search.names), f"h.{VALUE}"]
        return f"SELECT {', '.join(columns)} FROM {joined} WHERE {self.fits(search.ttl, search)}"

    def _nearest_by_running(self, search: Search, narrow: str) -> str:
        """Part 2 in any SQL: the running maximum over history and entity rows together."""
        names = search.names
        asked = [self.sql.quote(column) for _, column in search.keys]
        both = (
            f"SELECT CAST(NULL AS BIGINT) AS {ROW}, {', '.join([AT, *names, VALUE])} "
            f"FROM {narrow} UNION ALL SELECT {', '.join([ROW, TIME, *asked, 'NULL'])} "
            f"FROM entities WHERE {conjunction(f'{c} IS NOT NULL' for c in [TIME, *asked])}"
        )
        running = (
            f"SELECT {', '.join([ROW, f'{AT} AS {TIME}', *names])}, "
            f"max({VALUE}) OVER ({partition_by(names)}ORDER BY {AT} "
            f"RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS {VALUE} FROM ({both}) u"
        )
        fits = self.fits(search.ttl, search, "s", "s")
        return (
            f"SELECT {', '.join([ROW, *names, VALUE])} FROM ({running}) s "
            f"WHERE {ROW} IS NOT NULL AND {VALUE} IS NOT NULL AND {fits}"
        )

    def best(self, search: Search, join: JoinSql, nearest: str) -> str:
        """Part 3: row number, value and features of the best row of each nearest value."""
        source = join.source
        names = [self.sql.quote(name) for name in source.features]
        created = [f"{source.created} AS {CREATED}"] if source.created else []
        columns = [*self._keys(search), f"{self._value(search)} AS {VALUE}", *created]
        columns += [f"{e} AS {n}" for n, e in zip(names, source.features.values(), strict=True)]
        columns += [f"{expression} AS __fp_tie{i}" for i, expression in enumerate(source.ties)]
        by = [*search.names, VALUE]
        same = conjunction(f"h.{c} = m.{c}" for c in by)
        ranked = (
            f"SELECT {', '.join(f'h.{c}' for c in [*by, *names])}, row_number() OVER "
            f"(PARTITION BY {', '.join(f'h.{c}' for c in by)} ORDER BY {self.order(join)}) AS "
            f"__fp_rank FROM (SELECT {', '.join(columns)} FROM {source.relation} "
            f"WHERE {conjunction(self._can_answer(search))}) h "
            f"JOIN (SELECT DISTINCT {', '.join(by)} FROM {nearest}) m ON {same}"
        )
        chosen = ", ".join([f"n.{ROW}", f"n.{VALUE}", *(f"b.{name}" for name in names)])
        same = conjunction(f"n.{c} = b.{c}" for c in by)
        return f"SELECT {chosen} FROM {nearest} n JOIN ({ranked}) b ON {same} WHERE b.__fp_rank = 1"

    def order(self, join: JoinSql) -> str:
        """Return the order of rows of one key and event time, best first."""
        order = [f"h.{CREATED} DESC NULLS LAST"] if join.source.created else []
        order += [f"h.__fp_tie{i} DESC NULLS LAST" for i in range(len(join.source.ties))]
        return ", ".join(order) or "1"

    def answer(self, tables: Sequence[tuple[Search, JoinSql, str]]) -> str:
        """Part 4: the entity rows with their features.

        Args:
            tables: Search, table, and the relation with the features.
        """
        values = {}
        for search, join, relation in tables:
            has_own_ttl = join.source.ttl != search.ttl
            fits = self.fits(join.source.ttl, search, "entities", relation) if has_own_ttl else None
            for feature, column in join.columns.items():
                value = f"{relation}.{self.sql.quote(feature)}"
                values[column] = f"CASE WHEN {fits} THEN {value} END" if fits else value
        order = sorted(tables, key=lambda table: table[1].position)
        columns = {c: c for _, join, _ in order for c in join.columns.values()}
        named = columns if self._names is None else self._names
        selected = [self._selected(name, e) for name, e in self.entities.columns.items()]
        selected += [self._selected(name, values[column]) for column, name in named.items()]
        relations = dict.fromkeys(relation for _, _, relation in tables)
        joined = [f"LEFT JOIN {name} ON entities.{ROW} = {name}.{ROW}" for name in relations]
        listed = ",\n".join(selected)
        return "\n".join(["SELECT", listed, "FROM entities", *joined, f"ORDER BY entities.{ROW}"])

    def _selected(self, name: str, sql: str) -> str:
        return f"{self._exact_output(name, sql)} AS {self.sql.quote(name)}"

    def same_keys(self, search: Search) -> list[str]:
        """Return the conditions that the keys of an entity row and a history row are equal."""
        return [f"s.{self.sql.quote(column)} = h.{key}" for key, column in search.keys]

    def fits(self, ttl: int | None, search: Search, rows: str = "s", source: str = "h") -> str:
        """Return the condition that a history row is within the ttl."""
        if ttl is None:
            return "1 = 1"
        oldest = f"{rows}.{TIME} - {ttl}"
        bound = self.sql.packed_bound(oldest) if search.known_only else oldest
        return f"{source}.{VALUE} >= {bound}"

    def _keys(self, search: Search) -> list[str]:
        expressions = search.source.keys.values()
        return [f"{e} AS {name}" for name, e in zip(search.names, expressions, strict=True)]

    def _can_answer(self, search: Search) -> list[str]:
        """Return the conditions that a row is relevant for any entity row."""
        source = search.source
        if self.entities.span is None:
            return ["1 = 0"]
        low, high = self.entities.span
        needed = [*source.keys.values(), source.event]
        needed += [source.created] if search.known_only and source.created else []
        present = [f"{expression} IS NOT NULL" for expression in needed]
        start = None if search.ttl is None else low - search.ttl
        return present + within(self.sql, source, start, high)

    def _counts_from(self, search: Search) -> str:
        source = search.source
        if not search.known_only or not source.created:
            return source.event
        return f"greatest({source.event}, {source.created})"

    def _value(self, search: Search) -> str:
        source = search.source
        if not search.known_only or not source.created:
            return source.event
        return self.sql.pack(source.event, source.created)
