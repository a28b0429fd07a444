"""What a registry backend provides: two operations."""

from abc import ABC, abstractmethod


class CommitLog(ABC):
    """An append-only log of records, numbered from 1 without gaps."""

    @abstractmethod
    def read(self, after: int) -> list[bytes]:
        """Return the records newer than number `after`, oldest first.

        Raises:
            StoreError: The backend cannot be read.
        """

    @abstractmethod
    def append(self, number: int, record: bytes) -> bool:
        """Store a record under the next number, durably and in one atomic step.

        Returns:
            Whether the number was still free. `False` means that a record is stored there, which
            may be this very one if an earlier attempt's answer was lost.

        Raises:
            StoreError: Nothing was stored.
            UnknownOutcomeError: The backend never said; calling again with the same arguments
                is safe.
        """
