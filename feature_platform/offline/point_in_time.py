"""The point-in-time join as SQL: the one place where its semantics are written down.

The join has four parts, and engines differ only in how they run the second:

1. *narrow*: keys and times of the history rows that can answer anything;
2. *nearest*: for each entity row the greatest event time that is not after it;
3. *best*: of the rows of one key and event time, the one created last, then the one with the
   greatest feature values;
4. the entity rows with what was found, in their order.

To answer with what was *known*, a row counts from the later of its two times on, and what is
greatest among the rows that count is the pair of event and created time, packed into one number.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from feature_platform.offline.dialect import Dialect
from feature_platform.table import from_microseconds

ROW = "__fp_row"
TIME = "__fp_time"
AT = "__fp_at"
VALUE = "__fp_value"
CREATED = "__fp_created"


@dataclass(frozen=True, slots=True)
class HistorySql:
    """One table's past rows, as SQL expressions over `relation`.

    Attributes:
        relation: What stands after FROM.
        keys: Join key → expression.
        event: Expression of the event time, microseconds.
        created: Expression of the created time, microseconds; `None` without one.
        features: Feature → expression of the declared type.
        ties: Expressions that decide between rows that agree in both times: all features, whether
            asked for or not, so that the answer does not depend on the question.
        ttl: Microseconds; `None` means for ever.
        event_column: The event time as stored, and its type.
        day_column: A partition column with the event time's day as `YYYY-MM-DD`; empty without.
        row_id: Columns that find a row again; empty where the engine has none.
    """

    relation: str
    keys: Mapping[str, str]
    event: str
    created: str | None
    features: Mapping[str, str]
    ties: Sequence[str]
    ttl: int | None
    event_column: tuple[str, pa.DataType]
    day_column: str = ""
    row_id: Sequence[str] = ()

    def same_times(self, other: "HistorySql") -> bool:
        """Say whether one search finds the rows of both."""
        mine = (self.relation, list(self.keys.values()), self.event, self.created)
        theirs = (other.relation, list(other.keys.values()), other.event, other.created)
        return mine == theirs


@dataclass(frozen=True, slots=True)
class JoinSql:
    """One table to join.

    Attributes:
        history: Its rows.
        keys: Join key → column of the entity rows.
        columns: Feature → column of the result.
        position: Where its columns come in the result, among those of the other tables.
    """

    history: HistorySql
    keys: Mapping[str, str]
    columns: Mapping[str, str]
    position: int = 0


@dataclass(frozen=True, slots=True)
class SpineSql:
    """The entity rows, numbered.

    Attributes:
        relation: Has `ROW`, `TIME` in microseconds and the columns of the entity rows.
        columns: Column of the result → expression over `spine`.
        span: Least and greatest time; `None` if no row has a time.
        rows: How many there are.
    """

    relation: str
    columns: Mapping[str, str]
    span: tuple[int, int] | None
    rows: int


@dataclass(frozen=True, slots=True)
class Search:
    """Tables that share source, keys and times: what is nearest is searched once for all.

    Attributes:
        joins: The tables.
        ttl: The longest of them, microseconds; `None` if one is for ever.
        known_only: Whether rows count only once they are created.
    """

    joins: tuple[JoinSql, ...]
    ttl: int | None
    known_only: bool

    @property
    def history(self) -> HistorySql:
        """What is searched."""
        return self.joins[0].history

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Column of the narrow history → the entity rows' column that it has to equal."""
        return [(f"__fp_key{i}", column) for i, column in enumerate(self.joins[0].keys.values())]

    @property
    def names(self) -> list[str]:
        """The key columns of the narrow history."""
        return [key for key, _ in self.keys]


def searches(joins: Sequence[JoinSql], *, known_only: bool) -> list[Search]:
    """Put tables together that can be searched together."""
    groups: list[list[JoinSql]] = []
    for join in joins:
        for group in groups:
            same_keys = list(group[0].keys.values()) == list(join.keys.values())
            if same_keys and group[0].history.same_times(join.history):
                group.append(join)
                break
        else:
            groups.append([join])
    found = []
    for group in groups:
        ttls = [join.history.ttl for join in group]
        longest = None if None in ttls else max(ttl for ttl in ttls if ttl is not None)
        known = known_only and group[0].history.created is not None
        found.append(Search(tuple(group), longest, known))
    return found


class PointInTime:
    """Writes the parts of a point-in-time join in one engine's SQL.

    Args:
        dialect: The engine's SQL.
        spine: The entity rows, which the SQL calls `spine`.
        outgoing: Changes how a column of the result is written, given its name and SQL.
    """

    def __init__(
        self,
        dialect: Dialect,
        spine: SpineSql,
        outgoing: Callable[[str, str], str] = lambda _, sql: sql,
    ) -> None:
        self.sql = dialect
        self.spine = spine
        self._outgoing = outgoing

    def statement(self, found: Sequence[Search]) -> str:
        """Return the whole join as one statement."""
        parts = [f"spine AS (SELECT * FROM {self.spine.relation})"]
        tables = []
        for i, search in enumerate(found):
            parts.append(f"narrow{i} AS ({self.narrow(search)})")
            parts.append(f"nearest{i} AS ({self.nearest(search, f'narrow{i}')})")
            for j, join in enumerate(search.joins):
                name = f"best{i}_{j}"
                parts.append(f"{name} AS ({self.best(search, join, f'nearest{i}')})")
                tables.append((search, join, name))
        return "WITH\n" + ",\n".join(parts) + "\n" + self.answer(tables)

    def narrow(self, search: Search, *, more: Sequence[str] = (), where: Sequence[str] = ()) -> str:
        """Part 1: keys and times of the rows that can answer anything.

        Args:
            search: What to search.
            more: Further columns of the relation.
            where: Further conditions on them.
        """
        history = search.history
        columns = self._keys(search)
        columns += [f"{self._counts_from(search)} AS {AT}", f"{self._value(search)} AS {VALUE}"]
        columns += [f"{history.created} AS {CREATED}"] if history.created else []
        conditions = [*self._can_answer(search), *where]
        listed = ", ".join([*columns, *more])
        return f"SELECT {listed} FROM {history.relation} WHERE {every(conditions)}"

    def nearest(self, search: Search, narrow: str) -> str:
        """Part 2: row number, keys and the greatest value that is not after the row."""
        history = narrow
        if search.known_only:
            history = (
                f"(SELECT {', '.join([*search.names, AT])}, max({VALUE}) OVER "
                f"({_partition(search.names)}ORDER BY {AT}) AS {VALUE} FROM {narrow})"
            )
        match = every([*self.same_keys(search), f"s.{TIME} >= h.{AT}"])
        joined = self.sql.asof_join("spine s", f"{history} h", match)
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
            f"FROM spine WHERE {every(f'{c} IS NOT NULL' for c in [TIME, *asked])}"
        )
        running = (
            f"SELECT {', '.join([ROW, f'{AT} AS {TIME}', *names])}, "
            f"max({VALUE}) OVER ({_partition(names)}ORDER BY {AT} "
            f"RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS {VALUE} FROM ({both}) u"
        )
        fits = self.fits(search.ttl, search, "s", "s")
        return (
            f"SELECT {', '.join([ROW, *names, VALUE])} FROM ({running}) s "
            f"WHERE {ROW} IS NOT NULL AND {VALUE} IS NOT NULL AND {fits}"
        )

    def best(self, search: Search, join: JoinSql, nearest: str) -> str:
        """Part 3: row number, value and features of the best row of each nearest value."""
        history = join.history
        names = [self.sql.quote(name) for name in history.features]
        created = [f"{history.created} AS {CREATED}"] if history.created else []
        columns = [*self._keys(search), f"{self._value(search)} AS {VALUE}", *created]
        columns += [f"{e} AS {n}" for n, e in zip(names, history.features.values(), strict=True)]
        columns += [f"{expression} AS __fp_tie{i}" for i, expression in enumerate(history.ties)]
        by = [*search.names, VALUE]
        same = every(f"h.{c} = m.{c}" for c in by)
        ranked = (
            f"SELECT {', '.join(f'h.{c}' for c in [*by, *names])}, row_number() OVER "
            f"(PARTITION BY {', '.join(f'h.{c}' for c in by)} ORDER BY {self.order(join)}) AS "
            f"__fp_rank FROM (SELECT {', '.join(columns)} FROM {history.relation} "
            f"WHERE {every(self._can_answer(search))}) h "
            f"JOIN (SELECT DISTINCT {', '.join(by)} FROM {nearest}) m ON {same}"
        )
        chosen = ", ".join([f"n.{ROW}", f"n.{VALUE}", *(f"b.{name}" for name in names)])
        same = every(f"n.{c} = b.{c}" for c in by)
        return (
            f"SELECT {chosen} FROM {nearest} n JOIN ({ranked}) b ON {same} WHERE b.__fp_rank = 1"
        )

    def order(self, join: JoinSql) -> str:
        """Return the order of rows of one key and event time, best first."""
        order = [f"h.{CREATED} DESC NULLS LAST"] if join.history.created else []
        order += [f"h.__fp_tie{i} DESC NULLS LAST" for i in range(len(join.history.ties))]
        return ", ".join(order) or "1"

    def answer(self, tables: Sequence[tuple[Search, JoinSql, str]]) -> str:
        """Part 4: the entity rows and what was found for them.

        Args:
            tables: What was searched, for which table, and the relation with what was found.
        """
        selected = [self._selected(name, e) for name, e in self.spine.columns.items()]
        joined = ["FROM spine"]
        for relation in dict.fromkeys(found for _, _, found in tables):
            joined.append(f"LEFT JOIN {relation} ON spine.{ROW} = {relation}.{ROW}")
        for search, join, found in sorted(tables, key=lambda table: table[1].position):
            own = join.history.ttl != search.ttl
            fits = self.fits(join.history.ttl, search, "spine", found) if own else None
            for feature, column in join.columns.items():
                value = f"{found}.{self.sql.quote(feature)}"
                valid = f"CASE WHEN {fits} THEN {value} END" if fits else value
                selected.append(self._selected(column, valid))
        return "\n".join(["SELECT", ",\n".join(selected), *joined, f"ORDER BY spine.{ROW}"])

    def _selected(self, name: str, sql: str) -> str:
        return f"{self._outgoing(name, sql)} AS {self.sql.quote(name)}"

    def same_keys(self, search: Search) -> list[str]:
        """Return the conditions that an entity row and a narrow history row have equal keys."""
        return [f"s.{self.sql.quote(column)} = h.{key}" for key, column in search.keys]

    def fits(self, ttl: int | None, search: Search, rows: str = "s", history: str = "h") -> str:
        """Return the condition that what was found is not too old."""
        if ttl is None:
            return "1 = 1"
        oldest = f"{rows}.{TIME} - {ttl}"
        bound = self.sql.packed_bound(oldest) if search.known_only else oldest
        return f"{history}.{VALUE} >= {bound}"

    def _keys(self, search: Search) -> list[str]:
        expressions = search.history.keys.values()
        return [f"{e} AS {name}" for name, e in zip(search.names, expressions, strict=True)]

    def _can_answer(self, search: Search) -> list[str]:
        """Leave out rows that no entity row can reach, before anything is sorted."""
        history = search.history
        if self.spine.span is None:
            return ["1 = 0"]
        low, high = self.spine.span
        needed = [*history.keys.values(), history.event]
        needed += [history.created] if search.known_only and history.created else []
        present = [f"{expression} IS NOT NULL" for expression in needed]
        start = None if search.ttl is None else low - search.ttl
        return present + within(self.sql, history, start, high)

    def _counts_from(self, search: Search) -> str:
        history = search.history
        if not search.known_only or not history.created:
            return history.event
        return f"greatest({history.event}, {history.created})"

    def _value(self, search: Search) -> str:
        history = search.history
        if not search.known_only or not history.created:
            return history.event
        return self.sql.pack(history.event, history.created)


def latest_sql(
    dialect: Dialect, history: HistorySql, columns: Mapping[str, str], start: int, end: int
) -> str:
    """Return the newest row of each key within a closed window, as one statement.

    Args:
        dialect: The engine's SQL.
        history: The rows.
        columns: Column of the result → expression over the relation.
        start: Microseconds.
        end: Microseconds.
    """
    order = [f"{history.event} DESC"]
    order += [f"{history.created} DESC NULLS LAST"] if history.created else []
    order += [f"{expression} DESC NULLS LAST" for expression in history.ties]
    selected = [f"{e} AS {dialect.quote(n)}" for n, e in columns.items()]
    ranked = (
        f"SELECT {', '.join(selected)}, row_number() OVER ({_partition(history.keys.values())}"
        f"ORDER BY {', '.join(order)}) AS __fp_rank FROM {history.relation} "
        f"WHERE {every(present(dialect, history, start, end))}"
    )
    names = ", ".join(dialect.quote(name) for name in columns)
    return f"SELECT {names} FROM ({ranked}) r WHERE __fp_rank = 1"


def count_sql(dialect: Dialect, history: HistorySql, start: int, end: int) -> str:
    """Return how many rows were observed within a closed window, as SQL."""
    conditions = every(present(dialect, history, start, end))
    return f"SELECT count(*) AS n FROM {history.relation} WHERE {conditions}"


def span_sql(dialect: Dialect, joins: Sequence[JoinSql], event: str, start: int, end: int) -> str:
    """Return the distinct keys and times observed in any of the tables within a window."""
    columns = list(joins[0].keys.values())
    selects = []
    for join in joins:
        of = {column: join.history.keys[key] for key, column in join.keys.items()}
        keys = [f"{of[column]} AS {dialect.quote(column)}" for column in columns]
        time = f"{dialect.instant(join.history.event)} AS {dialect.quote(event)}"
        conditions = every(present(dialect, join.history, start, end))
        selects.append(
            f"SELECT {', '.join([*keys, time])} FROM {join.history.relation} WHERE {conditions}"
        )
    order = ", ".join(dialect.quote(name) for name in (event, *columns))
    return f"SELECT * FROM ({' UNION '.join(selects)}) r ORDER BY {order}"


def present(dialect: Dialect, history: HistorySql, start: int, end: int) -> list[str]:
    """Return the conditions that a row counts and lies within a closed window."""
    needed = [*history.keys.values(), history.event]
    return [f"{e} IS NOT NULL" for e in needed] + within(dialect, history, start, end)


def within(dialect: Dialect, history: HistorySql, low: int | None, high: int | None) -> list[str]:
    """Return the conditions that rows were observed from `low` to `high`, both inclusive."""
    conditions = dialect.between(*history.event_column, low, high)
    if conditions is None:
        conditions = [f"{history.event} >= {low}"] if low is not None else []
        conditions += [f"{history.event} <= {high}"] if high is not None else []
    if history.day_column:
        day = f"CAST({history.day_column} AS {dialect.type_name(pa.string())})"
        if low is not None and (first := _day(low)):
            conditions.append(f"{day} >= {dialect.literal(first)}")
        if high is not None and (last := _day(high)):
            conditions.append(f"{day} <= {dialect.literal(last)}")
    return conditions


def _day(microseconds: int) -> str | None:
    try:
        return from_microseconds(microseconds).date().isoformat()
    except OverflowError:
        return None


def _partition(names: Iterable[str]) -> str:
    listed = ", ".join(names)
    return f"PARTITION BY {listed} " if listed else ""


def every(conditions: Iterable[str]) -> str:
    """Return the condition that all of them hold."""
    return " AND ".join(conditions) or "1 = 1"
