"""Every system call of a commit fails, once or from then on: what was acknowledged is there."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

from feature_platform import Entity
from feature_platform.errors import FeaturePlatformError, StoreError, UnknownOutcomeError
from feature_platform.registry import FilesLog, Registry, plan
from reliability.rows import Row, measured

CALLS = ("open", "write", "fsync", "link", "unlink", "mkdir", "read", "listdir", "stat")
ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)


class FailingSystem:
    """The `os` module, of which the n-th call fails."""

    def __init__(self, nth: int, error: int, *, for_ever: bool) -> None:
        self._nth, self._error, self._for_ever = nth, error, for_ever
        self.calls = 0
        self.failed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*arguments: Any) -> Any:
            self.calls += 1
            if self.calls == self._nth or (self._for_ever and self.calls > self._nth):
                self.failed.append(name)
                raise OSError(self._error, os.strerror(self._error))
            return real(*arguments)

        return call


class Swallowing(FilesLog):
    """Goes on when a sync fails."""

    def _sync(self, folder: Path) -> None:
        try:
            super()._sync(folder)
        except OSError:
            return


def attempt(kind: type[FilesLog], folder: Path, system: FailingSystem) -> list[str]:
    """Commit on a system that fails, and then on one that does not; return what is wrong."""
    found = []
    sound = Registry(FilesLog(folder))
    made = _entity(sound, "first")
    sound.commit(made, principal="platform")
    failing = Registry(kind(folder, system))
    outcome = "committed"
    try:
        commit = failing.commit(_entity(sound, "second"), principal="platform")
        if commit and "fsync" in system.failed:
            found.append("acknowledged although a sync failed")
    except UnknownOutcomeError:
        outcome = "unknown"
    except StoreError:
        outcome = "refused"
    except FeaturePlatformError as error:
        return [f"{type(error).__name__}: {error}"]
    stored = Registry(FilesLog(folder)).snapshot().version
    if (outcome, stored) not in {("committed", 2), ("refused", 1), ("unknown", 1), ("unknown", 2)}:
        found.append(f"{outcome}, and {stored} commits are stored")
    again = Registry(FilesLog(folder))
    again.commit(_entity(again, "second"), principal="platform")
    if Registry(FilesLog(folder)).snapshot().version != 2:
        found.append("applying again did not make it right")
    return found


def _entity(registry: Registry, name: str) -> Any:
    desired = [Entity(name=name)]
    return plan(registry.snapshot(), project="p", owner="platform", desired=desired)


def sweep(kind: type[FilesLog], error: int, *, for_ever: bool) -> tuple[int, list[str]]:
    found, nth = [], 0
    while True:
        nth += 1
        with tempfile.TemporaryDirectory() as folder:
            system = FailingSystem(nth, error, for_ever=for_ever)
            found += [f"call {nth}: {what}" for what in attempt(kind, Path(folder), system)]
            if not system.failed:
                return nth - 1, found


def row() -> Row:
    """Each call, four errors, once and for ever."""
    with measured() as clock:
        results = [sweep(FilesLog, e, for_ever=f) for e in ERRORS for f in (False, True)]
        _, swallowed = sweep(Swallowing, errno.EIO, for_ever=False)
    problems = [problem for _, found in results for problem in found]
    return Row(
        name="system calls that fail, files",
        cases=sum(count for count, _ in results),
        bad=len(problems),
        detail=problems[0] if problems else "ENOSPC, EIO, EDQUOT and EROFS, once and for ever",
        controls={"goes on when a sync fails": bool(swallowed)},
        control_detail=f"{len(swallowed)} problems",
        seconds=clock.seconds,
    )
