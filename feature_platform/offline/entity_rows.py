"""Checks of entity rows, the same for all engines."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa

from feature_platform.errors import RequestError, did_you_mean
from feature_platform.offline.columns import comparable, family
from feature_platform.offline.dialect import Dialect
from feature_platform.offline.point_in_time import ROW, TIME, EntityRowsSql
from feature_platform.offline.source_sql import SourceSql
from feature_platform.table import EVENT_TIMESTAMP, ViewRead

Columns = Mapping[str, pa.DataType]


def check_entity_rows(columns: Columns, reads: Sequence[ViewRead]) -> None:
    """Check the columns of entity rows.

    Raises:
        RequestError: A name is reserved, or a key is missing.
    """
    produced = {column for read in reads for column in read.columns.values()} | {ROW, TIME}
    reserved = {name.casefold() for name in produced}
    if taken := sorted(name for name in columns if name.casefold() in reserved):
        raise RequestError(f"The entity rows' column {taken[0]!r} is reserved; rename it.")
    for read in reads:
        for column in read.keys.values():
            if column not in columns:
                hint = did_you_mean(column, columns)
                raise RequestError(
                    f"The entity rows have no column {column!r}, the join key of view "
                    f"{read.label!r}.{hint}"
                )


def check_unique(names: Sequence[str]) -> None:
    """Refuse column names that are equal in SQL: an engine would silently rename one.

    Raises:
        RequestError: Two names are equal apart from case.
    """
    counts = Counter(name.casefold() for name in names)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise RequestError(f"Column {twice[0]!r} exists twice; names are case-insensitive.")


def check_keys(columns: Columns, read: ViewRead, source: SourceSql) -> None:
    """Check that key types match.

    Args:
        columns: The entity rows' columns.
        read: The view to join.
        source: Its past rows.

    Raises:
        RequestError: A key has another type in the entity rows than in the view.
    """
    for key, column in read.keys.items():
        key_type = source.key_types[key]
        if pa.types.is_timestamp(columns[column]) and columns[column].unit == "ns":
            raise RequestError(
                f"The entity rows' column {column!r} has nanoseconds, which no key has. Cast it to "
                "microseconds."
            )
        if not pa.types.is_null(key_type) and not comparable(columns[column], key_type):
            raise RequestError(
                f"The entity rows' column {column!r} is {columns[column]}, and view "
                f"{read.label!r} is keyed by {key_type}. Cast it; with pandas, integers "
                'with missing values need astype("Int64").'
            )


def timestamp_column(columns: Columns) -> str:
    """Return the entity rows' time: `event_timestamp`, or the only column of a time type.

    Raises:
        RequestError: There is none, or there are several.
    """
    if EVENT_TIMESTAMP in columns:
        return EVENT_TIMESTAMP
    times = [name for name, dtype in columns.items() if family(dtype) == "time"]
    if len(times) != 1:
        candidates = f"there are {len(times)} ({', '.join(times)})" if times else "there is none"
        raise RequestError(
            f"The entity rows need a column {EVENT_TIMESTAMP!r}, or exactly one column of a time "
            f"type; {candidates}."
        )
    return times[0]


def time_sql(dialect: Dialect, columns: Columns) -> str:
    """Return the SQL of the entity rows' time.

    Raises:
        RequestError: It is not a time.
    """
    name = timestamp_column(columns)
    microseconds = dialect.microseconds(dialect.quote(name), columns[name])
    if microseconds is None:
        raise RequestError(f"The entity rows' column {name!r} is {columns[name]}, not a time.")
    return microseconds


def entity_rows_sql(
    dialect: Dialect,
    relation: str,
    columns: Columns,
    span: tuple[int, int] | None,
    rows: int,
) -> EntityRowsSql:
    """Describe numbered entity rows; their time is returned as UTC microseconds."""
    selected = {name: f"entities.{dialect.quote(name)}" for name in columns}
    selected[timestamp_column(columns)] = dialect.instant(f"entities.{TIME}")
    return EntityRowsSql(relation, selected, span, rows)


def check_same_keys(reads: Sequence[ViewRead]) -> None:
    """Check that views can be requested without entity rows.

    Raises:
        RequestError: There are none, or their keys differ.
    """
    if not reads:
        raise RequestError("Without entity rows, request at least one view that has a history.")
    keys = [set(read.keys.values()) for read in reads]
    if any(other != keys[0] for other in keys):
        labels = ", ".join(f"{read.label} by {sorted(read.keys.values())}" for read in reads)
        raise RequestError(
            "Without entity rows, all views need the same join keys, but these differ: "
            f"{labels}. Pass entity rows, or request the views separately."
        )
