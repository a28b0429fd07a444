"""What a stream does: deliver messages at least once."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Self


class Message(NamedTuple):
    """One message of a stream.

    Attributes:
        place: Its position in the stream, as the broker identifies it.
        body: Its content.
    """

    place: Any
    body: bytes


class Stream(ABC):
    """A reader's position in a stream, which the broker keeps for the reader's group.

    A message that is not acknowledged is delivered again, to this reader or another one.
    `tests/streams/test_contract.py` specifies the methods.
    """

    @abstractmethod
    def read(self, most: int, wait_seconds: float) -> Sequence[Message]:
        """Return the next messages as soon as some arrive; none after a timeout.

        Raises:
            StoreError: The broker cannot be read.
        """

    @abstractmethod
    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages, which are the oldest unacknowledged ones."""

    @abstractmethod
    def reject(self, message: Message, reason: str) -> None:
        """Move a message to the dead letters in `<topic>.rejected`, with the reason."""

    @abstractmethod
    def pending(self) -> bool:
        """Return whether delivered messages are not acknowledged yet."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
