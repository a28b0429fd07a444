"""What an online store does: keep the newest row of every entity key."""

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
        event: When it was observed, microseconds since 1970 UTC.
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
    """A loaded stretch of event time, `[start, end)`."""

    start: datetime
    end: datetime


class LedgerEntry(NamedTuple):
    """An entry of the ledger, as backends keep it.

    Attributes:
        start: Where the window begins, microseconds since 1970 UTC.
        end: Where it ends.
        layout: The layout that its rows were written in, in hex.
    """

    start: int
    end: int
    layout: str


class OnlineStore(ABC):
    """Serves the newest feature values with low latency, and remembers what was loaded.

    The methods without an underscore are what callers use; a backend implements the others, a few
    calls each, and decides nothing. `tests/online/test_contract.py` states what each must do.
    """

    def __init__(self) -> None:
        self._layouts: dict[bytes, Layout] = {}

    def write(
        self,
        table: Table,
        batches: Iterable[pa.RecordBatch],
        on_progress: Callable[[int], None] | None = None,
    ) -> int:
        """Keep each row unless a newer one is stored for its key.

        The newer of two rows is the one with the later event timestamp, and of equal ones the
        one created later; equal in both, the row written last wins, so that corrections do.

        Args:
            table: Where the rows belong.
            batches: Columns keys, `event_timestamp`, `created_timestamp` (null where unknown) and
                features, in any row order; keys may repeat. Each batch is stored before the next
                is asked for.
            on_progress: Called after each batch with the number of rows handled so far.

        Returns:
            How many rows were handled.

        Raises:
            SchemaError: A row is too large for the backend; nothing of its batch is written.
            StoreError: The backend refused. Safe to retry: writing twice changes nothing.
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
        """Delete keys as of their event timestamps: rows observed later stay, or come back.

        Args:
            table: Where the rows are.
            batches: Columns keys, `event_timestamp` and `created_timestamp`.

        Returns:
            How many deletions were handled.
        """
        count = 0
        for batch in batches:
            self._put(table, tombstones(table, batch))
            count += batch.num_rows
        return count

    def read(self, reads: Sequence[tuple[Table, Sequence[bytes]]]) -> list[list[StoredRow | None]]:
        """Look up encoded keys in several tables, in one round trip where the backend can.

        Returns:
            For each read, one row or `None` per key, in order.
        """
        found = self._get([(table.identity, keys) for table, keys in reads])
        return [self._decoded(table, rows) for (table, _), rows in zip(reads, found, strict=True)]

    def windows(self, table: Table) -> list[Window]:
        """Return the windows that were loaded with all features of a table, merged, oldest first.

        A window that was loaded before a feature was added or retyped is not among them: its rows
        answer, and have nothing to say about that feature.
        """
        loaded = self._ledger(table)
        whole = {
            layout for layout in {e.layout for e in loaded} if self._has_all_features(table, layout)
        }
        spans = _merged((entry.start, entry.end) for entry in loaded if entry.layout in whole)
        return [Window(from_microseconds(start), from_microseconds(end)) for start, end in spans]

    def record(self, table: Table, window: Window) -> None:
        """Add a window to the ledger. Call it after the rows are stored, never before."""
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
        """Remove the rows and the ledger of a view, under whatever keys it had."""

    @abstractmethod
    def close(self) -> None:
        """Give back connections. The store opens new ones when it is used again."""

    @abstractmethod
    def _put(self, table: Table, records: Sequence[Record]) -> None:
        """Keep each record unless a newer one is stored; no two have one key."""

    @abstractmethod
    def _get(self, reads: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[StoredRecord | None]]:
        """Return what is stored under keys of tables, named by their identity."""

    @abstractmethod
    def _ledger(self, table: Table) -> list[LedgerEntry]:
        """Return what was entered for a table."""

    @abstractmethod
    def _add_to_ledger(self, table: Table, new: LedgerEntry) -> None:
        """Put `entered(held, new)` in place of what is held; nobody else's entry is lost."""

    @abstractmethod
    def _save_layout(self, table: Table) -> None:
        """Keep the table's layout, unless it is there. It comes before the rows that carry it."""

    @abstractmethod
    def _load_layout(self, table: Table, identity: bytes) -> Layout | None:
        """Return a layout that was saved for the table, with its features in order, if it is."""

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
                message = f"An online row of {table.name!r} is damaged: {error}. Load it again."
                raise StoreError(message) from error
            if row.layout != current:
                values = convert_row(values, self._layout(table, row.layout), table.layout)
            rows.append(StoredRow(row.event, values))
        return rows

    def _has_all_features(self, table: Table, layout: str) -> bool:
        """Say whether rows of a layout have values for all features that a table has today."""
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
                    f"Online rows of {table.name!r} are there, and the record of how they were "
                    "written is not. Load the view again, from a new process."
                )
            self._layouts[identity] = saved
        return self._layouts[identity]


def merge_ledger(held: Iterable[Sequence[Any]], new: LedgerEntry) -> list[LedgerEntry]:
    """Return a ledger with one more entry; what touches or overlaps is joined.

    Rows of a window that is loaded again are in the layout of that load, and in no other.
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
