"""Crash points of the file protocol, and of five protocols that look as good."""

import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from feature_platform.errors import FeaturePlatformError
from feature_platform.registry import FilesLog
from reliability.disk import Disk
from reliability.rows import Row, Tried, measured

FOLDER = Path("/registry")
WRITERS, COMMITS, POINTS_PER_RUN = 3, 4, 20


class InPlace(FilesLog):
    """Creates the final file and writes into it."""

    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        self._prepare()
        target = self._log / f"{number:020d}.json"
        try:
            handle = self._os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return False
        rest = record
        while rest:
            rest = rest[self._os.write(handle, rest) :]
        self._os.fsync(handle)
        self._os.close(handle)
        self._sync(self._log)
        return True


class Unsynced(FilesLog):
    """Links a file that may not be on disk yet, and never syncs the folder."""

    def _write(self, label: str, content: bytes) -> Path:
        fsync, self._os.fsync = self._os.fsync, lambda _: None
        try:
            return super()._write(label, content)
        finally:
            self._os.fsync = fsync

    def _sync(self, folder: Path) -> None:
        if not self._ready:
            super()._sync(folder)


class FolderUnsynced(FilesLog):
    """Syncs the file, never the folder."""

    def _sync(self, folder: Path) -> None:
        if not self._ready:
            super()._sync(folder)


class Renaming(FilesLog):
    """Looks, and then renames over what may be there by now."""

    def _link(self, written: Path, number: int, record: bytes) -> bool:
        target = self._log / f"{number:020d}.json"
        if self._read(target) is not None:
            return False
        self._os.rename(written, target)
        self._sync(self._log)
        return True


class ParentUnsynced(FilesLog):
    """The textbook recipe: builds on a commit that may be visible and not on disk."""

    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        self._prepare()
        if number > 1 and self._read(self._log / f"{number - 1:020d}.json") is None:
            return False
        written = self._write(commit_id, record)
        try:
            return self._link(written, number, record)
        finally:
            self._os.unlink(written)


BROKEN = (InPlace, Unsynced, FolderUnsynced, Renaming, ParentUnsynced)


class Turns:
    """Lets writers go on one at a time, in an order that a seed decides."""

    def __init__(self, choose: random.Random, after_each: Callable[[], None]) -> None:
        self._choose, self._after_each = choose, after_each
        self._mine = threading.local()
        self._main = threading.Semaphore(0)
        self.gates: list[threading.Semaphore] = []
        self.errors: list[Exception] = []

    def pause(self) -> None:
        gate = getattr(self._mine, "gate", None)
        if gate is not None:
            self._main.release()
            gate.acquire()

    def run(self, *writers: Callable[[], None]) -> None:
        def start(gate: threading.Semaphore, writer: Callable[[], None]) -> None:
            self._mine.gate = gate
            gate.acquire()
            try:
                writer()
            except Exception as error:  # noqa: BLE001 - a thread's error would only be printed
                self.errors.append(error)
            finally:
                self.gates.remove(gate)
                self._main.release()

        self.gates = [threading.Semaphore(0) for _ in writers]
        threads = [
            threading.Thread(target=start, args=pair)
            for pair in zip(list(self.gates), writers, strict=True)
        ]
        for thread in threads:
            thread.start()
        # Some writers stand still while others do much: that is where protocols break.
        stays = self._choose.choice([0.0, 0.8, 0.95])
        gate = None
        while self.gates:
            if gate not in self.gates or self._choose.random() > stays:
                gate = self._choose.choice(self.gates)
            gate.release()
            self._main.acquire()
            self._after_each()
        for thread in threads:
            thread.join()


def sealed(text: str, parent: bytes) -> bytes:
    body = f"{text}.{sha256(parent).hexdigest()[:12]}".encode()
    return body + b"|" + sha256(body).hexdigest()[:12].encode()


def is_bad(disk: Disk, acked: dict[int, bytes]) -> str:
    """Say what is wrong with a registry after a crash: nothing, if all is well."""
    log = FilesLog(FOLDER, disk)
    records = log.read(0)
    if any(number > len(records) or records[number - 1] != r for number, r in acked.items()):
        return "an acknowledged commit is lost"
    if log.last() > len(records):
        return "a commit is there without the one before"
    for number, record in enumerate(records):
        body, _, seal = record.partition(b"|")
        parent = records[number - 1] if number else b""
        if sha256(body).hexdigest()[:12].encode() != seal:
            return "half a commit is visible"
        if not body.endswith(sha256(parent).hexdigest()[:12].encode()):
            return "a commit stands on another than it was made for"
    try:
        after = sealed("after", records[-1] if records else b"")
        went_on = log.append(len(records) + 1, "after", after)
    except FeaturePlatformError as error:
        return f"nothing can be written: {error}"
    return "" if went_on else "nothing can be written"


class Run:
    """Writers that take turns on one disk, and looks at what a crash would leave of it."""

    def __init__(self, protocol: type[FilesLog], choose: random.Random) -> None:
        self._protocol, self._choose = protocol, choose
        self.acked: dict[int, bytes] = {}
        self._turns = Turns(choose, self._look)
        self._disk = Disk(self._turns.pause)
        self.images: list[tuple[Disk, dict[int, bytes]]] = []

    def run(self) -> None:
        self._turns.run(*(lambda name=name: self._write(name) for name in "abc"[:WRITERS]))
        if self._turns.errors:
            raise self._turns.errors[0]

    def _look(self) -> None:
        if self._choose.random() < POINTS_PER_RUN / 300:
            self.images.append((self._disk.crashed(self._choose), dict(self.acked)))

    def _write(self, name: str) -> None:
        log = self._protocol(FOLDER, self._disk)
        for count in range(COMMITS):
            for attempt in range(40):
                records = log.read(0)
                text = f"{name}{count}.{attempt}"
                record = sealed(text, records[-1] if records else b"")
                if log.append(len(records) + 1, text, record):
                    self.acked[len(records) + 1] = record
                    break


@dataclass
class Crashes:
    """What was seen of crashes.

    Attributes:
        points: How many crash points were tried.
        after_commits: How many of them had acknowledged commits to lose.
        unacked: How many of them left a commit that nobody had acknowledged yet, or part of one.
        acked: How many commits the writers had acknowledged in the end.
        bad: What was wrong → how often.
    """

    points: int = 0
    after_commits: int = 0
    unacked: int = 0
    acked: int = 0
    bad: Counter[str] = field(default_factory=Counter)

    def tried(self, points: int) -> dict[str, Tried]:
        """Say how much that is, beside what so many points have to bring."""
        return {
            "crash points": Tried(self.points, points),
            "of these after acknowledged commits": Tried(self.after_commits, points // 2),
            "of these with more on the disk": Tried(self.unacked, max(1, points // 50)),
            "acknowledged commits": Tried(self.acked, points // 8),
        }


def crash(protocol: type[FilesLog], points: int, seed: int) -> Crashes:
    """Try so many crash points."""
    seen = Crashes()
    runs = random.Random(seed)
    while seen.points < points:
        run = Run(protocol, random.Random(runs.random()))
        run.run()
        seen.acked += len(run.acked)
        for image, known in run.images[: points - seen.points]:
            seen.points += 1
            seen.after_commits += bool(known)
            seen.unacked += FilesLog(FOLDER, image).last() > max(known, default=0)
            if wrong := is_bad(image, known):
                seen.bad[wrong] += 1
    return seen


def row(points: int, seed: int) -> Row:
    """10,000 crash points, and the five protocols that must not pass."""
    with measured() as clock:
        seen = crash(FilesLog, points, seed)
        caught = {p.__name__: crash(p, points, seed).bad.total() for p in BROKEN}
    return Row(
        name="crash points, files",
        tried=seen.tried(points),
        bad=seen.bad.total(),
        detail=", ".join(f"{what}: {n}" for what, n in seen.bad.items()) or "no bad state",
        controls={name: count > 0 for name, count in caught.items()},
        control_detail=", ".join(f"{name} {count:,}" for name, count in caught.items()),
        seconds=clock.seconds,
    )
