"""What a registry backend provides: reading records, and adding the next one."""

from abc import ABC, abstractmethod

LAST = 10**20 - 1
"""No record has a higher number."""


class CommitLog(ABC):
    """An append-only log of records, numbered from 1 without gaps.

    Checkpoints are a cache beside it: what lies there only saves reading the log from its start.
    `str(log)` says where it is, without secrets.
    """

    @abstractmethod
    def read(self, after: int, limit: int | None = None) -> list[bytes]:
        """Return the records newer than number `after`, oldest first.

        Args:
            after: Number before the first one wanted; 0 for all.
            limit: How many at most.

        Raises:
            StoreError: The backend cannot be read.
        """

    @abstractmethod
    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        """Store a record under the next number, durably and in one atomic step.

        Args:
            number: Its number; nothing is stored unless it is the next.
            commit_id: Identity of the change, the same over all attempts to store it.
            record: What to store.

        Returns:
            Whether the record is stored under the number, by this call or by an earlier one whose
            answer was lost. `False` means that it is not, and that another one may be.

        Raises:
            StoreError: Nothing was stored.
            UnknownOutcomeError: The backend never said; calling again with the same arguments
                is safe.
        """

    @abstractmethod
    def last(self, after: int = 0) -> int:
        """Return the highest number above `after` that a record is stored under, or `after`.

        It is what a listing says: a record it names beyond the end of what `read` returns shows
        that others are missing.

        Raises:
            StoreError: The backend cannot be read.
        """

    @abstractmethod
    def checkpoint(self, upto: int = LAST) -> bytes | None:
        """Return the newest checkpoint at number `upto` or before; `None` without one.

        Raises:
            StoreError: The backend cannot be read.
        """

    @abstractmethod
    def keep(self, number: int, checkpoint: bytes) -> None:
        """Store a checkpoint of the state after a record, unless there is one.

        Raises:
            StoreError: It could not be stored.
        """

    def close(self) -> None:  # noqa: B027 - most logs keep nothing open
        """Close connections; the log opens new ones when it is used again."""
