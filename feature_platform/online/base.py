"""What an online store does: keep the newest row of every entity key."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa

from feature_platform.table import Table


class StoredRow(NamedTuple):
    """The newest row of one key.

    Attributes:
        event: When it was observed, microseconds since 1970 UTC.
        values: One value per feature of the table, in column order; timestamps are microseconds.
    """

    event: int
    values: Sequence[object]


@dataclass(frozen=True, slots=True)
class Window:
    """A loaded stretch of event time, `[start, end)`."""

    start: datetime
    end: datetime


class OnlineStore(ABC):
    """Serves the newest feature values with low latency, and remembers what was loaded.

    An adapter turns these operations into calls of one backend and decides nothing;
    `tests/online/test_contract.py` states what each must do.
    """

    @abstractmethod
    def write(self, table: Table, batches: Iterable[pa.RecordBatch]) -> int:
        """Keep each row unless a newer one is stored for its key.

        The newer of two rows is the one with the later event timestamp, and of equal ones the
        one created later; equal in both, the row written last wins, so that corrections do.

        Args:
            table: Where the rows belong.
            batches: Columns keys, `event_timestamp`, `created_timestamp` (null where unknown) and
                features, in any row order; keys may repeat.

        Returns:
            How many rows were handled.

        Raises:
            StoreError: The backend refused. Safe to retry: writing twice changes nothing.
        """

    @abstractmethod
    def read(self, reads: Sequence[tuple[Table, Sequence[bytes]]]) -> list[list[StoredRow | None]]:
        """Look up encoded keys in several tables, in one round trip where the backend can.

        Returns:
            For each read, one row or `None` per key, in order.
        """

    @abstractmethod
    def windows(self, table: Table) -> list[Window]:
        """Return the loaded windows of a table, merged, oldest first."""

    @abstractmethod
    def record(self, table: Table, window: Window) -> None:
        """Add a window to the ledger. Call it after the rows are stored, never before."""

    @abstractmethod
    def drop(self, table: Table) -> None:
        """Remove the rows and the ledger of a view, under whatever keys it had."""


def merge(windows: Iterable[Window]) -> list[Window]:
    """Join windows that touch or overlap."""
    merged: list[Window] = []
    for window in sorted(windows, key=lambda w: w.start):
        if merged and window.start <= merged[-1].end:
            merged[-1] = Window(merged[-1].start, max(merged[-1].end, window.end))
        else:
            merged.append(window)
    return merged
