"""What a stream does: deliver messages at least once."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Self


class Message(NamedTuple):
    """One message of a stream.

    Attributes:
        place: Where it is in the stream, as the broker knows it.
        body: What it says.
    """

    place: Any
    body: bytes


class Stream(ABC):
    """One reader's place in a stream, remembered by the broker for the reader's group.

    A message that was not acknowledged is delivered again, to this reader or another one.
    `tests/streams/test_contract.py` states what each must do.
    """

    @abstractmethod
    def read(self, most: int, wait_seconds: float) -> Sequence[Message]:
        """Return the next messages, as soon as there are any; none after a while without.

        Raises:
            StoreError: The broker cannot be read.
        """

    @abstractmethod
    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Say that messages, which are the first ones unacknowledged, are taken care of."""

    @abstractmethod
    def reject(self, message: Message, reason: str) -> None:
        """Put a message aside, into `<topic>.rejected`, with what is wrong about it."""

    @abstractmethod
    def pending(self) -> bool:
        """Whether messages that some reader took are not acknowledged yet."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
