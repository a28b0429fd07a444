"""Base class of streams, which deliver messages at least once."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self


class Message(NamedTuple):
    """One message of a stream.

    Attributes:
        position: Position in the stream, in the broker's terms.
        body: Content, the JSON text of a row.
    """

    position: Any
    body: bytes


class StreamState(NamedTuple):
    """How far the readers of a stream are.

    Attributes:
        unread: Messages that are not acknowledged; `None` if the broker does not know.
        rejected: Messages in `<topic>.rejected`.
        last_message: When the newest message was sent; `None` if there is none.
    """

    unread: int | None
    rejected: int
    last_message: datetime | None


class Stream(ABC):
    """A reader of a stream. The broker stores the position of the reader's group.

    Unacknowledged messages are delivered again, to any reader of the group.
    `tests/streams/test_contract.py` is the contract of implementations.
    """

    @abstractmethod
    def read(self, most: int, wait_seconds: float) -> Sequence[Message]:
        """Return the next messages as soon as some arrive, or none after the timeout.

        Raises:
            StoreError: The broker cannot be read.
        """

    @abstractmethod
    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge processed messages, in the order of delivery."""

    @abstractmethod
    def reject(self, message: Message, reason: str) -> None:
        """Write a message and the reason of its rejection to `<topic>.rejected`."""

    @abstractmethod
    def pending(self) -> bool:
        """Return whether delivered messages of the group are unacknowledged."""

    @abstractmethod
    def state(self) -> StreamState:
        """Return how far the group is, without reading for it.

        Raises:
            StoreError: The broker cannot be read.
        """

    @abstractmethod
    def close(self) -> None:
        """Leave the group."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
