"""Every system call of a commit fails, once or from then on: what was acknowledged is there."""

import errno
import os
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from feature_platform import Entity
from feature_platform.errors import FeaturePlatformError, StoreError, UnknownOutcomeError
from feature_platform.governance import plan
from feature_platform.project import ProjectSnapshot
from feature_platform.registry import FilesLog, Registry
from reliability.rows import MEMORY, Row, Tried, measured

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


@dataclass
class Seen:
    """What was seen of calls that failed.

    Attributes:
        failed: Call → in how many attempts it was the first to fail.
        outcomes: What a writer was told → how often.
        problems: What is wrong.
    """

    failed: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def attempt(self, kind: type[FilesLog], folder: Path, system: FailingSystem) -> None:
        """Commit on a system that fails, and then on one that does not."""
        sound = Registry(FilesLog(folder))
        before = sound.snapshot().version
        failing = Registry(kind(folder, system))
        outcome = "committed"
        try:
            commit = failing.commit(_entity(sound, "another"), principal="platform")
            if commit and "fsync" in system.failed:
                self._note(system, "acknowledged although a sync failed")
        except UnknownOutcomeError:
            outcome = "unknown"
        except StoreError:
            outcome = "refused"
        except FeaturePlatformError as error:
            self._note(system, f"{type(error).__name__}: {error}")
            return
        if system.failed:
            self.failed[system.failed[0]] += 1
            self.outcomes[outcome] += 1
        stored = Registry(FilesLog(folder)).snapshot().version - before
        allowed = {("committed", 1), ("refused", 0), ("unknown", 0), ("unknown", 1)}
        if (outcome, stored) not in allowed:
            self._note(system, f"{outcome}, and {stored} commits more are stored")
        again = Registry(FilesLog(folder))
        again.commit(_entity(again, "another"), principal="platform")
        if Registry(FilesLog(folder)).snapshot().version != before + 1:
            self._note(system, "applying again did not make it right")

    def sweep(self, kind: type[FilesLog], error: int, *, for_ever: bool, new: bool = False) -> None:
        """Let each call of a commit fail, until a commit has no call that is left to fail.

        Args:
            kind: The log.
            error: How calls fail.
            for_ever: Whether those after the first fail, too.
            new: Whether it is the registry's first commit, which makes the folders.
        """
        nth = 0
        while True:
            nth += 1
            # Nothing loses its power here: how long a disk takes to sync does not matter.
            with tempfile.TemporaryDirectory(dir=MEMORY) as parent:
                folder = Path(parent, "registry")
                if not new:
                    _prepare(folder)
                system = FailingSystem(nth, error, for_ever=for_ever)
                self.attempt(kind, folder, system)
                if not system.failed:
                    return

    def _note(self, system: FailingSystem, problem: str) -> None:
        self.problems.append(f"call {system.calls}: {problem}")


def _prepare(folder: Path) -> None:
    """Make a registry with a commit, and with what a crash left, to be looked at and swept."""
    sound = Registry(FilesLog(folder))
    sound.commit(_entity(sound, "first"), principal="platform")
    leftover = folder / "_tmp" / "of a crash"
    leftover.write_bytes(b"half a commit")
    os.utime(leftover, (0, 0))


def _entity(registry: Registry, name: str) -> Any:
    desired = [Entity(name=name)]
    return plan(ProjectSnapshot(registry.snapshot(), "p"), owner="platform", desired=desired)


def row() -> Row:
    """Each call of a first and of a later commit, four errors, once and for ever."""
    with measured() as clock:
        seen, swallowed = Seen(), Seen()
        for error, for_ever, new in product(ERRORS, (False, True), (False, True)):
            seen.sweep(FilesLog, error, for_ever=for_ever, new=new)
        swallowed.sweep(Swallowing, errno.EIO, for_ever=False)
    sweeps = 4 * len(ERRORS)
    return Row(
        name="system calls that fail, files",
        tried={
            "failures": Tried(seen.failed.total(), 25 * sweeps),
            "kinds of calls that failed": Tried(len(seen.failed), len(CALLS)),
            **{
                f"commits {outcome}": Tried(seen.outcomes[outcome], sweeps)
                for outcome in ("committed", "refused", "unknown")
            },
        },
        bad=len(seen.problems),
        detail=(seen.problems or ["ENOSPC, EIO, EDQUOT and EROFS, once and for ever"])[0],
        controls={"goes on when a sync fails": bool(swallowed.problems)},
        control_detail=f"{len(swallowed.problems)} problems",
        seconds=clock.seconds,
    )
