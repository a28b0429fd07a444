"""Resources are opened once, closed once, and never shared with a forked process."""

import os
from threading import Barrier, Thread

import pytest

from feature_platform.lazy import Lazy, PerThread


class Resource:
    """Counts how many are open."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def in_fork(function) -> int:
    """Run a function in a forked process and return its exit code."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(int(function() or 0))
        except BaseException:  # noqa: BLE001 - the parent asserts on the code
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_resource_is_opened_when_it_is_used_and_again_after_it_was_closed() -> None:
    lazy = Lazy(Resource, Resource.close)
    assert not lazy.is_open
    first = lazy.get()
    assert lazy.get() is first
    assert lazy.is_open
    lazy.close()
    lazy.close()
    assert (first.closed, lazy.is_open) == (1, False)
    assert lazy.get() is not first


def test_closing_what_was_never_opened_opens_nothing() -> None:
    opened = []
    lazy = Lazy(lambda: opened.append(1) or Resource(), Resource.close)
    lazy.close()
    assert opened == []


def test_an_opener_that_fails_is_tried_again() -> None:
    outcomes = iter([OSError("refused"), "connection"])

    def opener() -> str:
        if isinstance(outcome := next(outcomes), Exception):
            raise outcome
        return outcome

    lazy = Lazy(opener)
    with pytest.raises(OSError, match="refused"):
        lazy.get()
    assert lazy.get() == "connection"


def test_threads_share_one_resource() -> None:
    barrier = Barrier(8)
    lazy, seen = Lazy(Resource), []

    def use() -> None:
        barrier.wait()
        seen.append(lazy.get())

    threads = [Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, seen))) == 1


def test_a_fork_opens_its_own_and_leaves_the_parents_alone() -> None:
    lazy = Lazy(Resource, Resource.close)
    parents = lazy.get()

    def child() -> bool:
        was_open = lazy.is_open
        lazy.close()  # it has none to close
        return was_open or parents.closed or lazy.get() is parents

    assert in_fork(child) == 0
    assert (lazy.get(), parents.closed) == (parents, 0)


def test_a_fork_while_another_thread_opens_does_not_wait_for_it() -> None:
    opening, proceed = Barrier(2), Barrier(2)
    process = os.getpid()

    def opener() -> Resource:
        if os.getpid() == process:
            opening.wait()
            proceed.wait()
        return Resource()

    lazy = Lazy(opener)
    thread = Thread(target=lazy.get)
    thread.start()
    opening.wait()
    assert in_fork(lambda: lazy.get() is None) == 0
    proceed.wait()
    thread.join()


def test_each_thread_has_its_own_and_may_take_it_away() -> None:
    local = PerThread(Resource)
    first = local.get()
    assert local.get() is first
    assert local.take() is first
    assert local.get() is not first  # what is taken is not handed out again
    others = []
    thread = Thread(target=lambda: others.append(local.get()))
    thread.start()
    thread.join()
    assert others[0] is not local.get()
    kept = local.get()
    assert local.pop() is kept
    assert local.pop() is None
    kept = local.get()
    assert in_fork(lambda: local.pop() is kept or local.get() is kept) == 0
