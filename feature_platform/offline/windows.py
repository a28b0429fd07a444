"""Queries over a window of one table's history: its newest rows, how many, and their keys."""

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from feature_platform.offline.dialect import Dialect
from feature_platform.offline.history import HistorySql, JoinSql
from feature_platform.table import from_microseconds


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
        f"SELECT {', '.join(selected)}, row_number() OVER ({partition_by(history.keys.values())}"
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
            f"SELECT DISTINCT {', '.join([*keys, time])} FROM {join.history.relation} "
            f"WHERE {conditions}"
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


def partition_by(names: Iterable[str]) -> str:
    """Return the PARTITION BY of a window; nothing without names."""
    listed = ", ".join(names)
    return f"PARTITION BY {listed} " if listed else ""


def every(conditions: Iterable[str]) -> str:
    """Return the condition that all of them hold."""
    return " AND ".join(conditions) or "1 = 1"
