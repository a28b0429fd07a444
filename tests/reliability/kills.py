"""Writers that are killed while they write."""

import os
import random
import signal
import time
from pathlib import Path

from feature_platform import Entity
from feature_platform.errors import FeaturePlatformError
from feature_platform.registry import CommitLog, FilesLog, Registry, SqliteLog, plan
from reliability.rows import Row, measured


class Torn(FilesLog):
    """Writes into the final file, a bit at a time."""

    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        self._prepare()
        with (self._log / f"{number:020d}.json").open("xb", buffering=0) as file:
            for start in range(0, len(record), 100):
                file.write(record[start : start + 100])
                time.sleep(0.0005)
        return True


def _write_until_killed(log: CommitLog, told: int) -> None:
    """Commit without end, and tell the parent after each."""
    registry = Registry(log)
    while True:
        desired = [Entity(name="e", description=str(time.time_ns()))]
        made = plan(registry.snapshot(), project="p", owner="platform", desired=desired)
        commit = registry.commit(made, principal="platform")
        os.write(told, f"{commit.version} {commit.commit_id}\n".encode())


def kill(log: CommitLog, kills: int, seed: int) -> tuple[int, list[str]]:
    """Kill a writer so many times; return how many commits were acknowledged, and what is wrong."""
    choose, reader = random.Random(seed), Registry(log)
    acked: dict[int, str] = {}
    for _ in range(kills):
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(ours)
            try:
                _write_until_killed(log, theirs)
            finally:
                os._exit(1)
        os.close(theirs)
        time.sleep(choose.uniform(0.002, 0.06))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        with os.fdopen(ours, "rb") as told:
            lines = told.read().decode().splitlines()
        acked |= {int(version): name for version, name in (line.split() for line in lines)}
        if not os.WIFSIGNALED(status):
            return len(acked), ["a writer could not go on after one was killed"]
        try:
            reader.snapshot()
        except FeaturePlatformError as error:
            return len(acked), [str(error)]
    stored = {commit.version: commit.commit_id for commit in Registry(log).history()}
    lost = [f"version {v} is lost" for v, name in acked.items() if stored.get(v) != name]
    return len(acked), lost + ([] if list(stored) == list(range(1, len(stored) + 1)) else ["gap"])


def row(folder: Path, kills: int, seed: int) -> Row:
    """500 kills, half of them on files and half on SQLite."""
    half = kills // 2
    with measured() as clock:
        files, files_bad = kill(FilesLog(folder / "files"), half, seed)
        sqlite, sqlite_bad = kill(SqliteLog(folder / "r.db"), kills - half, seed)
        _, torn = kill(Torn(folder / "torn"), 50, seed)
    return Row(
        name="writers killed (SIGKILL)",
        cases=kills,
        bad=len(files_bad) + len(sqlite_bad),
        detail=(files_bad + sqlite_bad + ["all there"])[0]
        + f": {files:,} acknowledged commits on files and {sqlite:,} on SQLite",
        controls={"writes in place": bool(torn)},
        control_detail=torn[0][:60] if torn else "",
        seconds=clock.seconds,
    )
