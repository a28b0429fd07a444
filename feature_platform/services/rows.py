"""Rows from users: checked against a view and renamed for the stores."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pyarrow as pa

from feature_platform.errors import RequestError, SchemaError, did_you_mean
from feature_platform.online import encode_keys
from feature_platform.table import CREATED_TIMESTAMP, EVENT_TIMESTAMP, Table
from feature_platform.types.arrow import TIMESTAMP
from feature_platform.types.arrow_times import check_times
from feature_platform.types.converter import misplaced
from feature_platform.types.values import exact_cast


def online_rows(
    table: Table, rows: pa.Table, now: datetime, *, ignore_unknown: bool = False
) -> pa.Table:
    """Convert users' rows to the input of the online store.

    Args:
        table: The table of the rows.
        rows: Keys, an event timestamp, perhaps a created timestamp, and features, named as in the
            view or as in its source. Naive times are UTC.
        now: Created timestamp of rows without one, if the source has that column.
        ignore_unknown: Whether to drop columns that the view does not have.

    Raises:
        SchemaError: A column is missing or unknown, or has another type, or a key or an event
            timestamp is null, or a key cannot be one.
    """
    prepared = _with_time_features(table, rows)
    if twice := [n for n, count in Counter(prepared.column_names).items() if count > 1]:
        raise SchemaError(f"Rows for view {table.name!r} have duplicate columns {twice[0]!r}.")
    declared = [*table.keys, EVENT_TIMESTAMP, CREATED_TIMESTAMP, *table.features.names]
    for name in declared:
        if name not in prepared.column_names and name != CREATED_TIMESTAMP:
            hint = did_you_mean(name, prepared.column_names)
            raise SchemaError(f"Rows for view {table.name!r} lack the column {name!r}.{hint}")
    unknown = [name for name in prepared.column_names if name not in declared]
    if unknown and not ignore_unknown:
        hint = did_you_mean(unknown[0], declared)
        raise SchemaError(
            f"View {table.name!r} has no column {unknown[0]!r}.{hint} Leave it out, or pass "
            "ignore_unknown=True (--ignore-unknown)."
        )
    types = {**table.keys, EVENT_TIMESTAMP: TIMESTAMP, CREATED_TIMESTAMP: TIMESTAMP}
    types |= {field.name: field.type for field in table.features}
    columns = {}
    for name in declared:
        if name in prepared.column_names:
            columns[name] = _cast(table, name, prepared[name], types[name])
            if name in (*table.keys, EVENT_TIMESTAMP) and columns[name].null_count:
                raise SchemaError(f"Rows for view {table.name!r} have a null {name!r}.")
        else:
            columns[name] = pa.nulls(prepared.num_rows, types[name])
    if table.source and table.source.created_timestamp:
        columns[CREATED_TIMESTAMP] = _stamped(columns[CREATED_TIMESTAMP], now)
    try:
        encode_keys([columns[name].to_pylist() for name in table.keys], prepared.num_rows)
    except RequestError as error:
        raise SchemaError(f"Rows for view {table.name!r}: {error}") from None
    return pa.table(columns)


def _with_time_features(table: Table, rows: pa.Table) -> pa.Table:
    """Name the columns as the stores do; a feature may be the column of its source's time.

    Raises:
        SchemaError: Both are given and differ.
    """
    names, shared = _column_names(table), _time_features(table)
    twofold = {n for n, time in shared.items() if {n, time} <= set(rows.column_names)}
    renamed = rows.rename_columns(
        [name if name in twofold else names.get(name, name) for name in rows.column_names]
    )
    for name, time in shared.items():
        if time not in renamed.column_names:
            continue
        if name not in twofold:
            renamed = renamed.append_column(name, renamed[time])
        elif not renamed[name].cast(TIMESTAMP).equals(renamed[time].cast(TIMESTAMP)):
            raise SchemaError(
                f"Rows for view {table.name!r}: {name!r} and {time!r} are one column of its "
                "source, but differ. Pass one of them."
            )
    return renamed


def _time_features(table: Table) -> dict[str, str]:
    """Return feature or key → the time whose source column it is."""
    source = table.source
    if source is None:
        return {}
    times = {source.event_timestamp: EVENT_TIMESTAMP}
    if source.created_timestamp:
        times.setdefault(source.created_timestamp, CREATED_TIMESTAMP)
    columns = {name: source.column(name) for name in (*table.keys, *table.features.names)}
    return {name: times[column] for name, column in columns.items() if column in times}


def declared_types(tables: Iterable[Table]) -> dict[str, pa.DataType | None]:
    """Return the columns that rows may have, by all of their names, and their types."""
    times = dict.fromkeys((EVENT_TIMESTAMP, CREATED_TIMESTAMP), TIMESTAMP)
    types: dict[str, pa.DataType | None] = dict(times)
    for table in tables:
        declared = {**table.keys, **{f.name: f.type for f in table.features}, **times}
        types |= {column: declared[name] for column, name in _column_names(table).items()}
    return types


def columns_for(table: Table, others: Iterable[Table], rows: pa.Table) -> pa.Table:
    """Drop the columns that only other tables have."""
    names = {*_column_names(table), *_column_names(table).values()}
    foreign = {n for other in others for pair in _column_names(other).items() for n in pair} - names
    return rows.select([n for n, name in enumerate(rows.column_names) if name not in foreign])


def deletions(table: Table, rows: pa.Table, now: datetime) -> pa.Table:
    """Convert users' keys and times to deletions in the online store; features are left out.

    Without times, keys are deleted as of now. A deletion is created now: it beats the row that was
    observed at its very time, also when that is loaded again.

    Raises:
        SchemaError: As for `online_rows`.
    """
    names = _column_names(table)
    rows = rows.select(
        [
            n
            for n, name in enumerate(rows.column_names)
            if names.get(name) not in table.features.names
        ]
    )
    if EVENT_TIMESTAMP not in [names.get(name, name) for name in rows.column_names]:
        moment = pa.repeat(pa.scalar(now, TIMESTAMP), rows.num_rows)
        rows = rows.append_column(EVENT_TIMESTAMP, moment)
    checked = online_rows(replace(table, features=pa.schema([])), rows, now)
    index = checked.column_names.index(CREATED_TIMESTAMP)
    stamped = _stamped(checked[CREATED_TIMESTAMP], now)
    return checked.set_column(index, CREATED_TIMESTAMP, stamped)


def source_rows(tables: Sequence[Table], checked: Sequence[pa.Table]) -> pa.Table:
    """Rename checked rows for the source of some tables.

    Args:
        tables: They share the source.
        checked: For each, the same rows, from `online_rows`.

    Raises:
        RequestError: The tables have no source.
    """
    columns: dict[str, Any] = {}
    for table, rows in zip(tables, checked, strict=True):
        source = table.source
        if source is None:
            raise RequestError(
                f"View {table.name!r} has no history: its push source has no batch_source."
            )
        columns |= {source.column(name): rows[name] for name in table.keys}
        columns[source.event_timestamp] = rows[EVENT_TIMESTAMP]
        if source.created_timestamp:
            columns[source.created_timestamp] = rows[CREATED_TIMESTAMP]
        columns |= {source.column(name): rows[name] for name in table.features.names}
    return pa.table(columns)


def _column_names(table: Table) -> dict[str, str]:
    """Return accepted column name → name in the stores."""
    source = table.source
    event = source.event_timestamp if source else EVENT_TIMESTAMP
    created = (source.created_timestamp if source else None) or CREATED_TIMESTAMP
    declared = [*table.keys, *table.features.names]
    names = {name: name for name in declared}
    names |= {raw: name for name, raw in (source.renamed if source else {}).items()}
    return names | {event: EVENT_TIMESTAMP, created: CREATED_TIMESTAMP}


def _stamped(created: Any, now: datetime) -> Any:
    return created.cast(TIMESTAMP).fill_null(pa.scalar(now, TIMESTAMP))


def _cast(
    table: Table, name: str, column: pa.ChunkedArray, dtype: pa.DataType | None
) -> pa.ChunkedArray:
    try:
        made = column if dtype is None else exact_cast(column, dtype)
        if dtype == TIMESTAMP:
            check_times(made)
    except ValueError as error:
        label = ", ".join(filter(None, [f"column {name!r}", misplaced(column, dtype)]))
        raise SchemaError(f"View {table.name!r}, {label}: {error}.") from error
    return made
