"""Resources that are opened when they are first used: connections, clients, stores."""

import os
from collections.abc import Callable
from threading import Lock, local
from typing import Generic, TypeVar

T = TypeVar("T")

_forks = 0


def _count_fork() -> None:
    global _forks  # noqa: PLW0603 - it belongs to the process
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class Lazy(Generic[T]):
    """One resource of this process: opened at first use, closed once, opened again when used again.

    A forked process opens its own. The parent's is left alone: two processes cannot share a
    connection, and closing it in the child would end the parent's session.

    Args:
        opener: Opens the resource.
        closer: Closes it.

    Example:
        >>> numbers = Lazy(lambda: [1, 2])
        >>> numbers.is_open, numbers.get(), numbers.is_open
        (False, [1, 2], True)
    """

    def __init__(
        self, opener: Callable[[], T], closer: Callable[[T], object] | None = None
    ) -> None:
        self._opener = opener
        self._closer = closer
        self._value: T | None = None
        self._fork = _forks
        self._lock = Lock()

    def get(self) -> T:
        """Return the resource."""
        value = self._value
        return self._open() if value is None or self._fork != _forks else value

    @property
    def is_open(self) -> bool:
        """Whether this process has opened it."""
        return self._value is not None and self._fork == _forks

    def close(self) -> None:
        """Close the resource if this process has opened it."""
        value = self._value if self.is_open else None
        self._value = None
        if value is not None and self._closer is not None:
            self._closer(value)

    def _open(self) -> T:
        if self._fork != _forks:
            # Another thread of the parent may have held the lock when the process forked.
            self._lock, self._value, self._fork = Lock(), None, _forks
        with self._lock:
            if self._value is None:
                self._value = self._opener()
            return self._value


class PerThread(Generic[T]):
    """A resource that each thread has to itself, and that ends with its thread."""

    def __init__(self, opener: Callable[[], T]) -> None:
        self._opener = opener
        self._local = local()

    def take(self) -> T:
        """Return the thread's resource, opened if necessary, and forget it.

        While it is taken, code that interrupts the thread opens another. Return it with `put`;
        after an error, do not.
        """
        fork, value = self._local.__dict__.pop("resource", (_forks, None))
        return self._opener() if value is None or fork != _forks else value

    def put(self, value: T) -> None:
        """Keep a resource for the thread's next use."""
        self._local.resource = (_forks, value)

    def get(self) -> T:
        """Return the thread's resource, opened if necessary."""
        value = self.take()
        self.put(value)
        return value

    def pop(self) -> T | None:
        """Forget the thread's resource and return it; `None` if the thread has not opened one."""
        fork, value = self._local.__dict__.pop("resource", (_forks, None))
        return value if fork == _forks else None
