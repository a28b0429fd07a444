"""Queries over a range of event time: newest rows, counts, and keys."""

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from feature_platform.offline.dialect import Dialect
from feature_platform.offline.source_sql import JoinSql, SourceSql
from feature_platform.types.times import from_microseconds


def latest_sql(
    dialect: Dialect, source: SourceSql, columns: Mapping[str, str], start: int, end: int
) -> str:
    """Return the statement for the newest row of each key in a closed range.

    Args:
        dialect: The engine's SQL.
        source: The rows.
        columns: Column of the result → expression over the relation.
        start: Microseconds.
        end: Microseconds.
    """
    order = [f"{source.event} DESC"]
    order += [f"{source.created} DESC NULLS LAST"] if source.created else []
    order += [f"{expression} DESC NULLS LAST" for expression in source.ties]
    selected = [f"{e} AS {dialect.quote(n)}" for n, e in columns.items()]
    ranked = (
        f"SELECT {', '.join(selected)}, row_number() OVER ({partition_by(source.keys.values())}"
        f"ORDER BY {', '.join(order)}) AS __fp_rank FROM {source.relation} "
        f"WHERE {conjunction(row_conditions(dialect, source, start, end))}"
    )
    names = ", ".join(dialect.quote(name) for name in columns)
    return f"SELECT {names} FROM ({ranked}) r WHERE __fp_rank = 1"


def count_sql(dialect: Dialect, source: SourceSql, start: int, end: int) -> str:
    """Return the statement that counts the rows in a closed range."""
    conditions = conjunction(row_conditions(dialect, source, start, end))
    return f"SELECT count(*) AS n FROM {source.relation} WHERE {conditions}"


def span_sql(dialect: Dialect, joins: Sequence[JoinSql], event: str, start: int, end: int) -> str:
    """Return the query of the distinct keys and times of some tables in a closed range."""
    columns = list(joins[0].keys.values())
    selects = []
    for join in joins:
        of = {column: join.source.keys[key] for key, column in join.keys.items()}
        keys = [f"{of[column]} AS {dialect.quote(column)}" for column in columns]
        time = f"{dialect.instant(join.source.event)} AS {dialect.quote(event)}"
        conditions = conjunction(row_conditions(dialect, join.source, start, end))
        selects.append(
            f"SELECT DISTINCT {', '.join([*keys, time])} FROM {join.source.relation} "
            f"WHERE {conditions}"
        )
    order = ", ".join(dialect.quote(name) for name in (event, *columns))
    return f"SELECT * FROM ({' UNION '.join(selects)}) r ORDER BY {order}"


def row_conditions(dialect: Dialect, source: SourceSql, start: int, end: int) -> list[str]:
    """Return the conditions that a row has keys and a time in a closed range."""
    needed = [*source.keys.values(), source.event]
    return [f"{e} IS NOT NULL" for e in needed] + within(dialect, source, start, end)


def within(dialect: Dialect, source: SourceSql, low: int | None, high: int | None) -> list[str]:
    """Return the conditions that the event time is from `low` to `high`, both inclusive."""
    conditions = dialect.between(*source.event_column, low, high)
    if conditions is None:
        conditions = [f"{source.event} >= {low}"] if low is not None else []
        conditions += [f"{source.event} <= {high}"] if high is not None else []
    if source.day_column:
        day = f"CAST({source.day_column} AS {dialect.type_name(pa.string())})"
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
    """Return a PARTITION BY clause; empty without names."""
    listed = ", ".join(names)
    return f"PARTITION BY {listed} " if listed else ""


def conjunction(conditions: Iterable[str]) -> str:
    """Return the conjunction of conditions."""
    return " AND ".join(conditions) or "1 = 1"
