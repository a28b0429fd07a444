"""What a registry backend provides: reading records, and adding the next one."""

from abc import ABC, abstractmethod

LAST = 10**20 - 1
"""The highest number of a record."""


class CommitLog(ABC):
    """An append-only log of records, numbered from 1 without gaps.

    Checkpoints are a cache beside it. `str(log)` is its location, without secrets.
    """

    @abstractmethod
    def read(self, after: int, limit: int | None = None) -> list[bytes]:
        """Return the records newer than number `after`, oldest first.

        Args:
            after: Number before the first record; 0 for all.
            limit: Maximum number of records.

        Raises:
            StoreError: The backend cannot be read.
        """

    @abstractmethod
    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        """Store a record under the next number, durably and in one atomic step.

        Args:
            number: Its number; nothing is stored unless it is the next.
            commit_id: Identity of the change, the same in all attempts to store it.
            record: The record.

        Returns:
            Whether the record is stored under the number, by this call or an earlier one whose
            response was lost. `False` means that it is not, and another record may be.

        Raises:
            StoreError: Nothing was stored.
            UnknownOutcomeError: The backend did not confirm; calling again with the same arguments
                is safe.
        """

    @abstractmethod
    def last(self, after: int = 0) -> int:
        """Return the highest number of a stored record above `after`, or `after`.

        A listing finds it, so a record beyond the end of what `read` returns reveals that others
        are missing.

        Raises:
            StoreError: The backend cannot be read.
        """

    @abstractmethod
    def checkpoint(self, upto: int = LAST) -> bytes | None:
        """Return the newest checkpoint up to number `upto`; `None` without one.

        Raises:
            StoreError: The backend cannot be read.
        """

    @abstractmethod
    def keep(self, number: int, checkpoint: bytes) -> None:
        """Store a checkpoint of the state after a record, unless one exists.

        Raises:
            StoreError: It could not be stored.
        """

    def close(self) -> None:  # noqa: B027 - most logs keep nothing open
        """Close connections; the log opens new ones when it is used again."""
