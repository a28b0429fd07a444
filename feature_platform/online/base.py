"""Base class of online stores, which keep the newest row of each key."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import pyarrow as pa
from msgspec import MsgspecError

from feature_platform.errors import StoreError
from feature_platform.online.codec import (
    Layout,
    Record,
    convert_row,
    decode_row,
    records,
    rounded_features,
    tombstones,
    unreadable_features,
)
from feature_platform.table import Table
from feature_platform.types.times import (
    BEGINNING,
    MAX_AHEAD,
    from_microseconds,
    microseconds,
    utc_now,
)


class StoredRows(NamedTuple):
    """The newest rows of the keys of a read, in the order of the keys; `None` where there is none.

    Attributes:
        events: Event timestamps, in microseconds since 1970 UTC.
        values: For each row, one value per feature of the table, in column order; timestamps in
            microseconds.
    """

    events: Sequence[int | None]
    values: Sequence[Sequence[object] | None]


StoredRecord = tuple[int | None, bytes, bytes]
"""Event timestamp, layout id and body of a stored row as a backend returns it.

A plain tuple, because a request creates thousands. Layout and body of a deletion are empty.
"""

MISSING: Final[StoredRecord] = (None, b"", b"")
"""The record of a key that has no row."""


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A loaded range of event time, `[start, end)`."""

    start: datetime
    end: datetime


class LedgerEntry(NamedTuple):
    """A loaded window, in microseconds since 1970 UTC.

    `layout` is the layout id of its rows in hex (`EXPIRED` if they were removed), perhaps `@` and
    the state of the source when they were read, a dot, and the content that was loaded.
    """

    start: int
    end: int
    layout: str


EXPIRED: Final = "0" * 12


class OnlineStore(ABC):
    """Stores the newest row of each key, and a ledger of loaded windows.

    A backend implements the abstract methods; `tests/online/test_contract.py` is their contract:

    - `_put` replaces a row if `(event, created)` of the new one is not smaller, atomically per key.
    - Rows and ledgers have names that start with `Table.prefix`; `drop` removes all that do.
    - Threads may share a store, and a forked process opens connections of its own.
    - `_save_layout` runs before the first row in a layout; a reader may meet rows in any layout.
    """

    def __init__(self) -> None:
        self._layouts: dict[bytes, Layout] = {}

    def write(
        self,
        table: Table,
        batches: Iterable[pa.RecordBatch],
        on_progress: Callable[[int], None] | None = None,
    ) -> int:
        """Store each row unless a newer one is stored for its key.

        Rows are ordered by event timestamp, then by created timestamp. Of rows with equal
        timestamps the one written last wins, which allows corrections.

        Args:
            table: Table to write.
            batches: Join keys, `event_timestamp`, `created_timestamp` (null if unknown) and
                features. Rows may be in any order, and keys may repeat. Each batch is stored
                before the next one is requested.
            on_progress: Callback that receives the number of processed rows after each batch.

        Returns:
            Number of processed rows.

        Raises:
            SchemaError: A row is too large for the backend; none of its batch is written.
            StoreError: The backend failed. Retrying is safe: writes are idempotent.
        """
        if table.layout_id not in self._layouts:
            self._save_layout(table)
            self._layouts[table.layout_id] = table.layout
        count = 0
        for batch in batches:
            self._put(table, records(table, batch))
            count += batch.num_rows
            if on_progress:
                on_progress(count)
        return count

    def delete(self, table: Table, batches: Iterable[pa.RecordBatch]) -> int:
        """Delete keys as of their event timestamps, and return the number of processed deletions.

        Batches contain join keys, `event_timestamp` and `created_timestamp`. Newer rows stay and
        can still be written.
        """
        count = 0
        for batch in batches:
            self._put(table, tombstones(table, batch))
            count += batch.num_rows
        return count

    def read(self, reads: Sequence[tuple[Table, Sequence[bytes]]]) -> list[StoredRows]:
        """Look up encoded keys of several tables, in one round trip if the backend supports it."""
        stored = self._get([(table.identity, keys) for table, keys in reads])
        return [self._decode(table, rows) for (table, _), rows in zip(reads, stored, strict=True)]

    def windows(self, table: Table, source_state: str = "") -> list[Window]:
        """Return the windows loaded with all current features of a table, merged, oldest first.

        Windows loaded before a feature was added or retyped are excluded: their rows lack it.

        Args:
            table: The table.
            source_state: Only windows that were read from the source in this state.
        """
        entries = _past(self._ledger(table))
        ending = f"@{source_state}.{table.content}" if source_state else f".{table.content}"
        layouts = {entry.layout for entry in entries if entry.layout.endswith(ending)}
        complete = {label for label in layouts if self._has_all_features(table, label[:12])}
        spans = _merge_spans((e.start, e.end) for e in entries if e.layout in complete)
        return [Window(from_microseconds(start), from_microseconds(end)) for start, end in spans]

    def record(self, table: Table, window: Window, source_state: str = "") -> None:
        """Add a window to the ledger, as far as it lies in the past.

        Call this only after its rows are stored.

        Args:
            table: The table.
            window: The window.
            source_state: State of the source before it was read; empty if it is unknown.
        """
        start, end = microseconds(window.start), min(microseconds(window.end), _latest())
        if start >= end:
            return
        state = f"@{source_state}" if source_state else ""
        layout = f"{table.layout_id.hex()}{state}.{table.content}"
        self._add_to_ledger(table, LedgerEntry(start, end, layout))

    def forget(self, table: Table, before: int) -> None:
        """Invalidate loads of other content after rows before a time were removed.

        Rows that one ttl lets expire may count for the view as it was, or will be again.
        """
        if any(not entry.layout.endswith(f".{table.content}") for entry in self._ledger(table)):
            layout = f"{EXPIRED}.{table.content}"
            self._add_to_ledger(table, LedgerEntry(microseconds(BEGINNING), before, layout))

    @abstractmethod
    def expire(self, table: Table, before: int) -> int:
        """Remove rows and deletions with event timestamps before a time, and return their number.

        The time is in microseconds since 1970 UTC.
        """

    @abstractmethod
    def drop(self, table: Table) -> None:
        """Remove all rows and ledgers of a view's generation, also those with earlier join keys."""

    @abstractmethod
    def close(self) -> None:
        """Close connections. The store opens new ones if it is used again."""

    @abstractmethod
    def _put(self, table: Table, records: Sequence[Record]) -> None:
        """Store each record unless a newer one is stored. Keys are distinct."""

    @abstractmethod
    def _get(self, reads: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[StoredRecord]]:
        """Return the record of each key or `MISSING`, for pairs of a table's identity and keys."""

    @abstractmethod
    def _ledger(self, table: Table) -> list[LedgerEntry]:
        """Return the ledger of a table."""

    @abstractmethod
    def _add_to_ledger(self, table: Table, new: LedgerEntry) -> None:
        """Merge an entry into the ledger atomically, with `merge_ledger`."""

    @abstractmethod
    def _save_layout(self, table: Table) -> None:
        """Store the table's layout if it is missing. Called before rows in it are written."""

    @abstractmethod
    def _load_layout(self, table: Table, identity: bytes) -> Layout | None:
        """Return a stored layout, with features in order; `None` if it is missing."""

    def _decode(self, table: Table, stored: Sequence[StoredRecord]) -> StoredRows:
        if not stored:
            return StoredRows((), ())
        events, layouts, bodies = zip(*stored, strict=True)
        pairs = zip(layouts, bodies, strict=True)
        try:
            rows: list[Any] = [decode_row(body) if layout else None for layout, body in pairs]
        except MsgspecError as error:
            message = f"An online row of {table.name!r} is damaged: {error}. Reload the view."
            raise StoreError(message) from error
        if earlier := set(layouts) - {table.layout_id, b""}:
            by_id = {layout: self._layout(table, layout) for layout in earlier}
            for n, layout in enumerate(layouts):
                if layout in by_id:
                    rows[n] = convert_row(rows[n], by_id[layout], table.layout)
        times = zip(events, layouts, strict=True)
        return StoredRows([event if layout else None for event, layout in times], rows)

    def _has_all_features(self, table: Table, layout: str) -> bool:
        identity = bytes.fromhex(layout)
        if identity == table.layout_id:
            return True
        stored = self._layouts.get(identity) or self._load_layout(table, identity)
        if stored is None or unreadable_features(stored, table.layout):
            return False
        return not rounded_features(stored, table.layout)

    def _layout(self, table: Table, identity: bytes) -> Layout:
        if identity not in self._layouts:
            stored = self._load_layout(table, identity)
            if stored is None:
                raise StoreError(
                    f"The layout of stored online rows of {table.name!r} is missing. Reload the "
                    "view from a new process."
                )
            self._layouts[identity] = stored
        return self._layouts[identity]


def merge_ledger(entries: Iterable[Sequence[Any]], new: LedgerEntry) -> list[LedgerEntry]:
    """Return a ledger with a new entry; adjacent and overlapping windows are merged.

    The new entry replaces other layouts within its window, because a reload rewrites the rows. A
    load of other content invalidates all earlier loads: it may have replaced any of their rows.
    Only the last state of the source is remembered: with another one, earlier windows may lack
    rows. Windows in the future, which a wrong clock added, are removed.
    """
    label, _, content = new.layout.partition(".")
    state = label.partition("@")[2]
    entries = [
        entry if entry.layout.endswith(f"@{state}.{content}") else _without_state(entry)
        for entry in _past(entries)
        if entry.layout.endswith(f".{content}")
    ]
    by_layout: dict[str, list[tuple[int, int]]] = {new.layout: [(new.start, new.end)]}
    for start, end, layout in entries:
        spans = [(start, end)]
        if layout != new.layout:
            outside = [(start, min(end, new.start)), (max(start, new.end), end)]
            spans = [(a, b) for a, b in outside if a < b]
        by_layout.setdefault(layout, []).extend(spans)
    return [
        LedgerEntry(*span, layout)
        for layout, spans in sorted(by_layout.items())
        for span in _merge_spans(spans)
    ]


def _without_state(entry: LedgerEntry) -> LedgerEntry:
    label, _, content = entry.layout.partition(".")
    return entry._replace(layout=f"{label.partition('@')[0]}.{content}")


def _latest() -> int:
    return microseconds(utc_now() + MAX_AHEAD)


def _past(entries: Iterable[Sequence[Any]]) -> list[LedgerEntry]:
    latest = _latest()
    return [LedgerEntry(*entry) for entry in entries if entry[1] <= latest]


def _merge_spans(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
