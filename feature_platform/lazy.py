"""Resources opened on first use: connections, clients, stores."""

import os
from collections.abc import Callable
from threading import Lock, local
from typing import Generic, TypeVar

T = TypeVar("T")

_forks = 0


def _count_fork() -> None:
    global _forks  # noqa: PLW0603 - fork hooks can only change process-wide state
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class Lazy(Generic[T]):
    """A resource of this process: opened on first use, and reopened on use after `close`.

    A forked process opens its own and leaves the parent's alone: closing a shared connection in
    the child would end the parent's session.

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
        """Whether this process has opened the resource."""
        return self._value is not None and self._fork == _forks

    def close(self) -> None:
        """Close the resource if this process has opened it."""
        value = self._value if self.is_open else None
        self._value = None
        if value is not None and self._closer is not None:
            self._closer(value)

    def _open(self) -> T:
        if self._fork != _forks:
            # The lock may have been locked by another thread of the parent at the fork.
            self._lock, self._value, self._fork = Lock(), None, _forks
        with self._lock:
            if self._value is None:
                self._value = self._opener()
            return self._value


class PerThread(Generic[T]):
    """A separate resource for each thread, released when the thread ends."""

    def __init__(self, opener: Callable[[], T]) -> None:
        self._opener = opener
        self._local = local()

    def take(self) -> T:
        """Check out the thread's resource, opening it if necessary.

        Re-entrant code opens another one meanwhile. Return it with `put`, except after an error.
        """
        value = self.pop()
        return self._opener() if value is None else value

    def put(self, value: T) -> None:
        """Store a resource for the thread's next use."""
        self._local.resource = (_forks, value)

    def get(self) -> T:
        """Return the thread's resource, opened if necessary."""
        value = self.take()
        self.put(value)
        return value

    def pop(self) -> T | None:
        """Remove and return the thread's resource; `None` if this thread has not opened one."""
        fork, value = self._local.__dict__.pop("resource", (_forks, None))
        return value if fork == _forks else None
