"""What an online store does: it keeps the newest row of every entity key."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
from msgspec import MsgspecError

from feature_platform.errors import StoreError
from feature_platform.online.codec import (
    Layout,
    Record,
    convert_row,
    decode_row,
    records,
    tombstones,
    unreadable,
)
from feature_platform.table import Table
from feature_platform.types.times import from_microseconds, microseconds


class StoredRow(NamedTuple):
    """The newest row of one key.

    Attributes:
        event: Event timestamp, microseconds since 1970 UTC.
        values: One value per feature of the table, in column order; timestamps are microseconds.
    """

    event: int
    values: Sequence[object]


class StoredRecord(NamedTuple):
    """What a backend stores under a key; an empty layout marks a deleted row."""

    event: int
    layout: bytes
    body: bytes


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A loaded range of event time, `[start, end)`."""

    start: datetime
    end: datetime


class LedgerEntry(NamedTuple):
    """A stored entry of the ledger.

    Attributes:
        start: Start of the window, microseconds since 1970 UTC.
        end: End of the window.
        layout: Layout of its rows, in hex.
    """

    start: int
    end: int
    layout: str


class OnlineStore(ABC):
    """Serves the newest feature values with low latency, and records what was loaded.

    Callers use the public methods. A backend implements the abstract ones, a few calls each, and
    decides nothing. `tests/online/test_contract.py` specifies them.
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

        The row with the later event timestamp is newer; of equal ones, the one created later. If
        both are equal, the row written last wins, so corrections take effect.

        Args:
            table: Where the rows belong.
            batches: Columns keys, `event_timestamp`, `created_timestamp` (null where unknown) and
                features, in any order; keys may repeat. Each batch is stored before the next is
                requested.
            on_progress: Called after each batch with the number of rows so far.

        Returns:
            The number of rows.

        Raises:
            SchemaError: A row is too large for the backend; its batch was not written.
            StoreError: The backend failed. It is safe to retry.
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
        """Delete keys as of their event timestamps; later rows stay, or can be written.

        Args:
            table: Where the rows are.
            batches: Columns keys, `event_timestamp` and `created_timestamp`.

        Returns:
            The number of deletions.
        """
        count = 0
        for batch in batches:
            self._put(table, tombstones(table, batch))
            count += batch.num_rows
        return count

    def read(self, reads: Sequence[tuple[Table, Sequence[bytes]]]) -> list[list[StoredRow | None]]:
        """Look up encoded keys in several tables, in one round trip if the backend can.

        Returns:
            For each read, one row or `None` per key, in order.
        """
        found = self._get([(table.identity, keys) for table, keys in reads])
        return [self._decoded(table, rows) for (table, _), rows in zip(reads, found, strict=True)]

    def windows(self, table: Table) -> list[Window]:
        """Return the windows that were loaded with all features of a table, merged, oldest first.

        A window that was loaded before a feature was added or retyped is left out: its rows are
        served, but have no value of that feature.
        """
        loaded = self._ledger(table)
        whole = {
            layout for layout in {e.layout for e in loaded} if self._has_all_features(table, layout)
        }
        spans = _merged((entry.start, entry.end) for entry in loaded if entry.layout in whole)
        return [Window(from_microseconds(start), from_microseconds(end)) for start, end in spans]

    def record(self, table: Table, window: Window) -> None:
        """Add a window to the ledger. Call it only after its rows are stored."""
        start, end = microseconds(window.start), microseconds(window.end)
        self._add_to_ledger(table, LedgerEntry(start, end, table.layout_id.hex()))

    @abstractmethod
    def expire(self, table: Table, before: int) -> int:
        """Remove rows and deletions observed before a time.

        Args:
            table: Where the rows are.
            before: Microseconds since 1970 UTC.

        Returns:
            How many were removed.
        """

    @abstractmethod
    def drop(self, table: Table) -> None:
        """Remove the rows and the ledger of a view, for all keys that it ever had."""

    @abstractmethod
    def close(self) -> None:
        """Close connections; the store opens new ones when it is used again."""

    @abstractmethod
    def _put(self, table: Table, records: Sequence[Record]) -> None:
        """Store each record unless a newer one is stored; all keys differ."""

    @abstractmethod
    def _get(self, reads: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[StoredRecord | None]]:
        """Return the records of keys in tables, which are named by their identity."""

    @abstractmethod
    def _ledger(self, table: Table) -> list[LedgerEntry]:
        """Return the ledger of a table."""

    @abstractmethod
    def _add_to_ledger(self, table: Table, new: LedgerEntry) -> None:
        """Put `entered(held, new)` in place of what is held; nobody else's entry is lost."""

    @abstractmethod
    def _save_layout(self, table: Table) -> None:
        """Store the table's layout unless it exists, before any row with it is written."""

    @abstractmethod
    def _load_layout(self, table: Table, identity: bytes) -> Layout | None:
        """Return a stored layout, with its features in order; `None` if it does not exist."""

    def _decoded(
        self, table: Table, found: Sequence[StoredRecord | None]
    ) -> list[StoredRow | None]:
        current = table.layout_id
        rows: list[StoredRow | None] = []
        for row in found:
            if row is None or not row.layout:
                rows.append(None)
                continue
            try:
                values = decode_row(row.body)
            except MsgspecError as error:
                message = (
                    f"An online row of view {table.name!r} is damaged: {error}. Reload the view."
                )
                raise StoreError(message) from error
            if row.layout != current:
                values = convert_row(values, self._layout(table, row.layout), table.layout)
            rows.append(StoredRow(row.event, values))
        return rows

    def _has_all_features(self, table: Table, layout: str) -> bool:
        """Return whether rows of a layout have values of all current features of a table."""
        identity = bytes.fromhex(layout)
        if identity == table.layout_id:
            return True
        held = self._layouts.get(identity) or self._load_layout(table, identity)
        return held is not None and not unreadable(held, table.layout)

    def _layout(self, table: Table, identity: bytes) -> Layout:
        if identity not in self._layouts:
            saved = self._load_layout(table, identity)
            if saved is None:
                raise StoreError(
                    f"Online rows of view {table.name!r} have an unknown layout. Reload the view "
                    "from a new process."
                )
            self._layouts[identity] = saved
        return self._layouts[identity]


def merge_ledger(held: Iterable[Sequence[Any]], new: LedgerEntry) -> list[LedgerEntry]:
    """Return a ledger with one more entry; adjacent and overlapping windows are merged.

    Rows of a window that is reloaded have the layout of the reload only.
    """
    spans: dict[str, list[tuple[int, int]]] = {new.layout: [(new.start, new.end)]}
    for start, end, layout in held:
        whole = [(start, end)]
        outside = [(start, min(end, new.start)), (max(start, new.end), end)]
        left = whole if layout == new.layout else [(a, b) for a, b in outside if a < b]
        spans.setdefault(layout, []).extend(left)
    return [
        LedgerEntry(*span, layout) for layout, s in sorted(spans.items()) for span in _merged(s)
    ]


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
