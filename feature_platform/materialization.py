"""From history to the online store, and straight into it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from feature_platform.errors import RequestError, SchemaError, did_you_mean
from feature_platform.offline import Deliver, OfflineStore
from feature_platform.online import OnlineStore, Window, encode_keys
from feature_platform.table import CREATED_TIMESTAMP, EVENT_TIMESTAMP, TIMESTAMP, Table
from feature_platform.values import exact_cast, misplaced

_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Load:
    """What is read from history, and what is written.

    Attributes:
        source: The table whose history is read.
        target: The table that is written, and whose ledger says what was.
        write: Writes batches of the source's rows, and returns how many.
        deliver: Does so on the workers of an engine that has them; `None` where it cannot.
    """

    source: Table
    target: Table
    write: Callable[[Iterator[pa.RecordBatch]], int]
    deliver: Deliver | None = None


def materialize(
    offline: OfflineStore,
    online: OnlineStore,
    load: Load,
    start: datetime,
    end: datetime,
    *,
    now: datetime,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Load the newest row of each key observed from `start` to `end`, both inclusive.

    The window `[start, end)`, as far as it lies in the past, is recorded once the rows are
    stored. Repeating a load changes nothing, and an older load never replaces newer rows.

    Returns:
        How many rows were loaded, at most one per key.

    Raises:
        RequestError: The window is empty.

    Source: Feast's `materialize`, whose window is closed as well.
    """
    if start >= end:
        raise RequestError(f"The window from {start} to {end} is empty: start must be before end.")
    query = offline.latest(load.source, start, end)
    count = query.deliver(load.deliver) if load.deliver else None
    if count is None:
        with query.reader() as reader:
            count = load.write(_told(reader, on_progress))
    if start < now:
        online.record(load.target, Window(start, min(end, now)))
    return count


def _told(
    batches: Iterable[pa.RecordBatch], on_progress: Callable[[int], None] | None
) -> Iterator[pa.RecordBatch]:
    """Yield batches, and tell how many rows of them have been taken care of."""
    count = 0
    for batch in batches:
        yield batch
        count += batch.num_rows
        if on_progress:
            on_progress(count)


def incremental_start(
    online: OnlineStore, table: Table, end: datetime, lookback: timedelta
) -> datetime:
    """Return where an incremental load up to `end` begins.

    That is where the covered windows end, less `lookback` for rows that arrive late; for a table
    that was never loaded, one ttl before `end`, or the beginning of time.
    """
    if not isinstance(lookback, timedelta):
        raise RequestError(f"lookback is {lookback!r}, not a timedelta.")
    windows = online.windows(table)
    if windows:
        last = min(windows[-1].end, end)
        return max(last - min(lookback, last - _BEGINNING), _BEGINNING)
    reach = end - _BEGINNING
    return _BEGINNING if table.ttl is None or table.ttl > reach else end - table.ttl


def online_rows(table: Table, rows: pa.Table, now: datetime) -> pa.Table:
    """Return users' rows as the online store takes them.

    Args:
        table: Where they belong.
        rows: Keys, an event timestamp, perhaps a created timestamp, and features, named as in the
            view or as in its source. Naive times are UTC.
        now: Created timestamp of rows that bring none, where the source has one.

    Raises:
        SchemaError: A column is missing or unknown, or has another type, or a key or an event
            timestamp is null, or a key cannot be one.
    """
    names = _own_names(table)
    given = rows.rename_columns([names.get(name, name) for name in rows.column_names])
    if twice := [n for n, count in Counter(given.column_names).items() if count > 1]:
        raise SchemaError(f"Rows for view {table.name!r} have two columns {twice[0]!r}.")
    known = [*table.keys, EVENT_TIMESTAMP, CREATED_TIMESTAMP, *table.features.names]
    for name in known:
        if name not in given.column_names and name != CREATED_TIMESTAMP:
            hint = did_you_mean(name, given.column_names)
            raise SchemaError(f"Rows for view {table.name!r} lack the column {name!r}.{hint}")
    if unknown := [name for name in given.column_names if name not in known]:
        hint = did_you_mean(unknown[0], known)
        raise SchemaError(f"View {table.name!r} has no column {unknown[0]!r}.{hint}")
    types = {**table.keys, EVENT_TIMESTAMP: TIMESTAMP, CREATED_TIMESTAMP: TIMESTAMP}
    types |= {field.name: field.type for field in table.features}
    columns = {}
    for name in known:
        if name in given.column_names:
            columns[name] = _cast(table, name, given[name], types[name])
            if name in (*table.keys, EVENT_TIMESTAMP) and columns[name].null_count:
                raise SchemaError(f"Rows for view {table.name!r} have a null {name!r}.")
        else:
            columns[name] = pa.nulls(given.num_rows, types[name])
    if table.history and table.history.created_timestamp:
        columns[CREATED_TIMESTAMP] = _stamped(columns[CREATED_TIMESTAMP], now)
    try:
        encode_keys([columns[name].to_pylist() for name in table.keys], given.num_rows)
    except RequestError as error:
        raise SchemaError(f"Rows for view {table.name!r}: {error}") from None
    return pa.table(columns)


def own_part(table: Table, others: Iterable[Table], rows: pa.Table) -> pa.Table:
    """Leave out of rows for several tables the columns that only others have."""
    own = {*_own_names(table), *_own_names(table).values()}
    foreign = {n for other in others for pair in _own_names(other).items() for n in pair} - own
    return rows.select([n for n, name in enumerate(rows.column_names) if name not in foreign])


def deletions(table: Table, rows: pa.Table, now: datetime) -> pa.Table:
    """Return users' keys and times as the online store takes deletions.

    A deletion is created now: it beats the row that was observed at its very time, also when that
    is loaded again.

    Raises:
        SchemaError: As for `online_rows`.
    """
    checked = online_rows(replace(table, features=pa.schema([])), rows, now)
    place = checked.column_names.index(CREATED_TIMESTAMP)
    stamped = _stamped(checked[CREATED_TIMESTAMP], now)
    return checked.set_column(place, CREATED_TIMESTAMP, stamped)


def history_rows(tables: Sequence[Table], checked: Sequence[pa.Table]) -> pa.Table:
    """Return checked rows as the source of some tables takes them, under its own names.

    Args:
        tables: They share the source.
        checked: For each, the same rows, from `online_rows`.

    Raises:
        RequestError: The tables have no history.
    """
    columns: dict[str, Any] = {}
    for table, rows in zip(tables, checked, strict=True):
        history = table.history
        if history is None:
            raise RequestError(
                f"View {table.name!r} has no history to write to: its push source names no "
                "batch_source."
            )
        columns |= {history.column(name): rows[name] for name in table.keys}
        columns[history.event_timestamp] = rows[EVENT_TIMESTAMP]
        if history.created_timestamp:
            columns[history.created_timestamp] = rows[CREATED_TIMESTAMP]
        columns |= {history.column(name): rows[name] for name in table.features.names}
    return pa.table(columns)


def _own_names(table: Table) -> dict[str, str]:
    """Return what columns may be called, and what they are called here."""
    history = table.history
    event = history.event_timestamp if history else EVENT_TIMESTAMP
    created = (history.created_timestamp if history else None) or CREATED_TIMESTAMP
    known = [*table.keys, *table.features.names]
    names = {name: name for name in known}
    names |= {raw: name for name, raw in (history.renamed if history else {}).items()}
    return names | {event: EVENT_TIMESTAMP, created: CREATED_TIMESTAMP}


def _stamped(created: Any, now: datetime) -> Any:
    return created.cast(TIMESTAMP).fill_null(pa.scalar(now, TIMESTAMP))


def _cast(
    table: Table, name: str, column: pa.ChunkedArray, dtype: pa.DataType | None
) -> pa.ChunkedArray:
    try:
        return column if dtype is None else exact_cast(column, dtype)
    except ValueError as error:
        place = ", ".join(filter(None, [f"column {name!r}", misplaced(column, dtype)]))
        raise SchemaError(f"View {table.name!r}, {place}: {error}.") from error
