"""Writers that are killed while they write.

When a writer dies is a matter of what it has done, never of a clock: after some acknowledged
commits, at some event of the next one. A slow machine kills at the same points as a fast one.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from feature_platform import Entity
from feature_platform.errors import FeaturePlatformError
from feature_platform.governance import plan
from feature_platform.project import ProjectSnapshot
from feature_platform.registry import CommitLog, FilesLog, Registry, SqliteLog
from reliability.rows import Row, Tried, measured

LEAST_COMMITS, MOST_COMMITS = 2, 4  # before a writer is killed; its first one makes folders, too
NOW = "now"  # what a writer says at the event at which it dies


class Torn(FilesLog):
    """Writes into the final file, a bit at a time."""

    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        self._prepare()
        with (self._log / f"{number:020d}.json").open("xb", buffering=0) as file:
            for start in range(0, len(record), 100):
                file.write(record[start : start + 100])
        return True


class Death(NamedTuple):
    """When a writer dies.

    Attributes:
        commits: After so many of its commits.
        share: How far into the write of the next one, as a share of its events.
        by_itself: Whether it dies at that very event. Otherwise it is killed from outside as soon
            as it says that it is there, which is in the middle of a system call more often.
    """

    commits: int
    share: float
    by_itself: bool


class Doomed:
    """Counts the events of a log's appends, which are calls and returns, and dies at one of them.

    The append before the last one says how many events there are to choose from.
    """

    def __init__(self, log: CommitLog, death: Death, die: Callable[[], None]) -> None:
        self._append, self._death, self._die = log.append, death, die
        self._appends = self._events = self._last = 0
        log.append = self.append

    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        dies = self._appends >= self._death.commits
        self._last = 1 + int(self._death.share * self._events) if dies else 0
        self._events = 0
        sys.setprofile(self._count)
        try:
            return self._append(number, commit_id, record)
        finally:
            sys.setprofile(None)
            self._appends += 1

    def _count(self, _frame: FrameType, _event: str, _argument: object) -> None:
        self._events += 1
        if self._events == self._last:
            self._die()


def _write_until_killed(log: CommitLog, told: int, death: Death) -> None:
    """Commit without end, and tell the parent after each."""

    def die() -> None:
        os.write(told, f"{NOW}\n".encode())
        if death.by_itself:
            os.kill(os.getpid(), signal.SIGKILL)

    registry = Registry(log)
    Doomed(log, death, die)
    while True:
        desired = [Entity(name="e", description=str(time.time_ns()))]
        made = plan(ProjectSnapshot(registry.snapshot(), "p"), owner="platform", desired=desired)
        commit = registry.commit(made, principal="platform")
        os.write(told, f"{commit.version} {commit.commit_id}\n".encode())


def _run_one(log: CommitLog, death: Death) -> tuple[list[str], bool]:
    """Let one writer live and die; return what it said, and whether it was killed."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        try:
            _write_until_killed(log, theirs, death)
        finally:
            os._exit(1)
    os.close(theirs)
    said = []
    with os.fdopen(ours, "r") as told:
        for line in told:
            said.append(line.strip())
            if said[-1] == NOW and not death.by_itself:
                os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return said, os.WIFSIGNALED(status)


@dataclass
class Killed:
    """What was seen of writers that were killed.

    Attributes:
        kills: How many were.
        acked: Version → id of each acknowledged commit.
        cut_short: How many died before the write that they were in was acknowledged.
        landed: How many of these writes are stored all the same.
        problems: What is wrong.
    """

    kills: int = 0
    acked: dict[int, str] = field(default_factory=dict)
    cut_short: int = 0
    landed: int = 0
    problems: list[str] = field(default_factory=list)


def kill(log: CommitLog, kills: int, seed: int) -> Killed:
    """Kill a writer so many times, every second one by its own hand."""
    choose, reader, seen = random.Random(seed), Registry(log), Killed()
    for number in range(kills):
        # Spread evenly, and to the very end: few kills, too, come on both sides of what decides.
        share = min((number // 2 + choose.random()) / max(1, (kills - 1) // 2), 0.99)
        death = Death(choose.randint(LEAST_COMMITS, MOST_COMMITS), share, number % 2 == 0)
        said, was_killed = _run_one(log, death)
        pairs = (line.split() for line in said if line != NOW)
        seen.acked |= {int(version): name for version, name in pairs}
        if not was_killed:
            seen.problems.append("a writer could not go on after one was killed")
            return seen
        seen.kills += 1
        try:
            newest = reader.snapshot().version
        except FeaturePlatformError as error:
            seen.problems.append(str(error))
            return seen
        if said[-1] == NOW:
            seen.cut_short += 1
            seen.landed += newest not in seen.acked
    stored = {commit.version: commit.commit_id for commit in Registry(log).history()}
    seen.problems += [f"version {v} is lost" for v, n in seen.acked.items() if stored.get(v) != n]
    seen.problems += [] if list(stored) == list(range(1, len(stored) + 1)) else ["gap"]
    return seen


def row(folder: Path, kills: int, seed: int) -> Row:
    """500 kills, half of them on files and half on SQLite."""
    half = kills // 2
    with measured() as clock:
        files = kill(FilesLog(folder / "files"), half, seed)
        sqlite = kill(SqliteLog(folder / "r.db"), kills - half, seed)
        torn = kill(Torn(folder / "torn"), 50, seed)
    problems = files.problems + sqlite.problems
    cut_short = files.cut_short + sqlite.cut_short
    landed = files.landed + sqlite.landed
    by_themselves = half // 2 + (kills - half) // 2  # these die in the middle of a write for sure
    return Row(
        name="writers killed (SIGKILL)",
        tried={
            "kills": Tried(files.kills + sqlite.kills, kills),
            "acknowledged commits on files": Tried(len(files.acked), LEAST_COMMITS * half),
            "acknowledged commits on SQLite": Tried(
                len(sqlite.acked), LEAST_COMMITS * (kills - half)
            ),
            "writes cut short": Tried(cut_short, by_themselves),
            # Both sides of the moment that decides have to be tried.
            "of these stored": Tried(landed, max(1, kills // 50)),
            "of these not stored": Tried(cut_short - landed, max(1, kills // 50)),
        },
        bad=len(problems),
        detail=problems[0] if problems else "all there",
        controls={"writes in place": bool(torn.acked) and bool(torn.problems)},
        control_detail=torn.problems[0][:60] if torn.problems else "",
        seconds=clock.seconds,
    )
