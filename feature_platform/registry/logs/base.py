"""The interface of registry backends."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from feature_platform.errors import StoreError
from feature_platform.types.times import utc_now

LAST = 10**20 - 1
"""Highest possible number of a record."""


class CommitLog(ABC):
    """An append-only log of records, numbered from 1 without gaps, with a cache of checkpoints.

    `str(log)` returns its URL or path without secrets.
    """

    @abstractmethod
    def read(self, after: int, limit: int | None = None) -> list[bytes]:
        """Return the records after a number, oldest first.

        Args:
            after: Number of the record before the first one to return; 0 for all.
            limit: Maximum number of records.

        Raises:
            StoreError: The backend cannot be read.
        """

    @abstractmethod
    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        """Store a record under the next number, durably and atomically.

        Args:
            number: Number of the record. Nothing is stored unless it is the next number.
            commit_id: Id of the change, the same for all attempts to store it.
            record: The record.

        Returns:
            Whether the record is stored under the number, by this call or by an earlier attempt
            whose response was lost. If not, another record may be.

        Raises:
            StoreError: Nothing was stored.
            UnknownOutcomeError: The outcome is unknown; retrying with the same arguments is safe.
        """

    @abstractmethod
    def last(self, after: int = 0) -> int:
        """Return the highest number of a stored record; at least `after`.

        The number comes from a listing. If it is higher than that of the last record that `read`
        returns, records are missing.

        Raises:
            StoreError: The backend cannot be read.
        """

    @abstractmethod
    def checkpoint(self, upto: int = LAST) -> bytes | None:
        """Return the newest checkpoint at or before a number; `None` if there is none.

        Raises:
            StoreError: The backend cannot be read.
        """

    @abstractmethod
    def keep(self, number: int, checkpoint: bytes) -> None:
        """Store a checkpoint of the state after a record, unless one exists.

        Raises:
            StoreError: The checkpoint was not stored.
        """

    def time(self) -> datetime:
        """Return the time of the backend's clock; of this machine's if it has none.

        S3 needs none: it refuses requests of clocks that are 15 minutes off.
        """
        return utc_now()

    def close(self) -> None:  # noqa: B027 - most logs have no connections
        """Close connections; the next use opens new ones."""


class SigningLog(CommitLog):
    """A log behind a server, which checks plans and writes the commits itself."""

    @abstractmethod
    def commit(self, request: Mapping[str, Any]) -> bytes | None:
        """Send a plan to the server.

        Args:
            request: The plan, the id of the commit, the message and the program, as JSON.

        Returns:
            The record of the commit; `None` if the registry already contains the changes.

        Raises:
            RefusedError: The plan breaks rules, or the key does not act for its owner.
            ConflictError: An object changed since the plan.
            UnknownOutcomeError: The outcome is unknown; sending the same request again is safe.
        """

    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        raise StoreError(f"{self} takes plans, not records.")

    def keep(self, number: int, checkpoint: bytes) -> None:
        """The server keeps checkpoints."""
