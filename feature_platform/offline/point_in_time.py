"""The point-in-time join as SQL: the one place where its semantics are written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ROW = "__fp_row"
TIME = "__fp_time"
_EVENT = "__fp_event"
_CREATED = "__fp_created"
_TIE = "__fp_tie"


def quote(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a string."""
    return "'" + text.replace("'", "''") + "'"


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
    """

    relation: str
    keys: Mapping[str, str]
    event: str
    created: str | None
    features: Mapping[str, str]
    ties: Sequence[str]
    ttl: int | None

    def select(self, where: Sequence[str] = ()) -> str:
        """Return all rows that can answer anything."""
        created = self.created or "CAST(NULL AS BIGINT)"
        columns = [
            f"{self.event} AS {_EVENT}",
            f"{created} AS {_CREATED}",
            *(f"{expression} AS {quote(key)}" for key, expression in self.keys.items()),
            *(f"{expression} AS {quote(name)}" for name, expression in self.features.items()),
            *(f"{expression} AS {_TIE}{i}" for i, expression in enumerate(self.ties)),
        ]
        known = [f"{self.event} IS NOT NULL", *(f"{e} IS NOT NULL" for e in self.keys.values())]
        conditions = " AND ".join([*known, *where])
        return f"SELECT {', '.join(columns)} FROM {self.relation} WHERE {conditions}"

    def newest_per(self, partition: Sequence[str]) -> str:
        """Keep one row per partition: the newest, with ties broken by content."""
        order = [f"{_EVENT} DESC", f"{_CREATED} DESC NULLS LAST"]
        order += [f"{_TIE}{i} DESC NULLS LAST" for i in range(len(self.ties))]
        within = f"PARTITION BY {', '.join(partition)} " if partition else ""
        return f"QUALIFY row_number() OVER ({within}ORDER BY {', '.join(order)}) = 1"

    def fits(self, time: str, event: str) -> str:
        """Return the condition that a row observed at `event` is not too old at `time`."""
        return "TRUE" if self.ttl is None else f"{event} >= {time} - {self.ttl}"


@dataclass(frozen=True, slots=True)
class JoinSql:
    """One table to join: its history, the columns to match and the columns to produce."""

    history: HistorySql
    keys: Mapping[str, str]
    columns: Mapping[str, str]


def point_in_time_sql(
    rows: str,
    columns: Mapping[str, str],
    time: str,
    joins: Sequence[JoinSql],
    *,
    known_only: bool = False,
) -> str:
    """Build the point-in-time join of entity rows with any number of tables.

    Args:
        rows: Relation of the entity rows.
        columns: Column of the result → expression over the entity rows' columns.
        time: Expression of the entity rows' time, microseconds.
        joins: The tables.
        known_only: Leave out rows that were created after the entity row's time.
    """
    # An ASOF join finds the newest row that is not in the future, and one that is too old shows
    # that nothing newer exists. It has no room for a second condition on each candidate, so the
    # question what was known joins the window and ranks.
    numbered = f"SELECT row_number() OVER () AS {ROW}, {time} AS {TIME}, * FROM {rows}"
    parts = [
        f"spine AS MATERIALIZED ({numbered})",
        f"span AS (SELECT min({TIME}) AS low, max({TIME}) AS high FROM spine)",
    ]
    selected = [f"{expression} AS {quote(name)}" for name, expression in columns.items()]
    joined = ["FROM spine"]
    for index, join in enumerate(joins):
        name = f"h{index}"
        by_knowledge = known_only and join.history.created is not None
        body = _known(join) if by_knowledge else _newest(join)
        parts.append(f"{name} AS ({body})")
        if by_knowledge:
            joined.append(f"LEFT JOIN {name} USING ({ROW})")
            found = "TRUE"
        else:
            match = [
                f"spine.{quote(column)} = {name}.{quote(key)}" for key, column in join.keys.items()
            ]
            match.append(f"spine.{TIME} >= {name}.{_EVENT}")
            joined.append(f"ASOF LEFT JOIN {name} ON {' AND '.join(match)}")
            found = join.history.fits(f"spine.{TIME}", f"{name}.{_EVENT}")
        for feature, column in join.columns.items():
            value = f"{name}.{quote(feature)}"
            valid = value if found == "TRUE" else f"CASE WHEN {found} THEN {value} END"
            selected.append(f"{valid} AS {quote(column)}")
    lines = ["WITH", ",\n".join(parts), "SELECT", ",\n".join(selected), *joined]
    return "\n".join([*lines, f"ORDER BY spine.{ROW}"])


def latest_sql(history: HistorySql, columns: Sequence[str], start: int, end: int) -> str:
    """Build the newest row of each key within a closed window of microseconds."""
    window = f"{history.event} BETWEEN {start} AND {end}"
    keys = [quote(key) for key in history.keys]
    newest = f"{history.select([window])} {history.newest_per(keys)}"
    return f"SELECT {', '.join(columns)} FROM ({newest})"


def count_sql(history: HistorySql, start: int, end: int) -> str:
    """Build the number of rows within a closed window of microseconds."""
    window = f"{history.event} BETWEEN {start} AND {end}"
    return f"SELECT count(*) AS n FROM ({history.select([window])})"


def span_sql(joins: Sequence[JoinSql], event: str, start: int, end: int) -> str:
    """Build the distinct keys and times observed in any of the tables within a window."""
    columns = list(joins[0].keys.values())
    selects = []
    for join in joins:
        window = f"{join.history.event} BETWEEN {start} AND {end}"
        key_of = {column: key for key, column in join.keys.items()}
        keys = (f"{quote(key_of[column])} AS {quote(column)}" for column in columns)
        names = ", ".join([*keys, f"make_timestamptz({_EVENT}) AS {quote(event)}"])
        selects.append(f"SELECT {names} FROM ({join.history.select([window])})")
    order = [quote(event), *(quote(column) for column in columns)]
    return f"(SELECT * FROM ({' UNION '.join(selects)}) ORDER BY {', '.join(order)})"


def _window(history: HistorySql) -> list[str]:
    """Leave out rows that no entity row can reach, before anything is sorted."""
    conditions = [f"{history.event} <= (SELECT high FROM span)"]
    if history.ttl is not None:
        conditions.append(f"{history.event} >= (SELECT low FROM span) - {history.ttl}")
    return conditions


def _newest(join: JoinSql) -> str:
    """Return one row per key and time."""
    keys = [quote(key) for key in join.history.keys]
    return (
        f"{join.history.select(_window(join.history))} {join.history.newest_per([*keys, _EVENT])}"
    )


def _known(join: JoinSql) -> str:
    """Return the newest row that each entity row could know."""
    history = join.history
    match = [f"s.{quote(column)} = h.{quote(key)}" for key, column in join.keys.items()]
    match += [f"h.{_EVENT} <= s.{TIME}", f"h.{_CREATED} <= s.{TIME}"]
    match.append(history.fits(f"s.{TIME}", f"h.{_EVENT}"))
    features = ", ".join(f"h.{quote(name)}" for name in history.features)
    order = [f"h.{_EVENT} DESC", f"h.{_CREATED} DESC"]
    order += [f"h.{_TIE}{i} DESC NULLS LAST" for i in range(len(history.ties))]
    return (
        f"SELECT s.{ROW}, {features} FROM spine s JOIN ({history.select(_window(history))}) h "
        f"ON {' AND '.join(match)} QUALIFY row_number() OVER "
        f"(PARTITION BY s.{ROW} ORDER BY {', '.join(order)}) = 1"
    )
