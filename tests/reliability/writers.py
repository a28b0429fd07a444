"""Many writers at once, on every backend: nothing lost, nothing twice, in the order of time."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple

from feature_platform import Entity
from feature_platform.errors import CorruptLogError, FeaturePlatformError
from feature_platform.governance import plan
from feature_platform.project import ProjectSnapshot
from feature_platform.registry import CommitLog, FilesLog, Registry, SqliteLog, open_log
from feature_platform.registry.logs.postgres import PostgresLog
from feature_platform.registry.logs.s3 import S3Log
from reliability.fake_s3 import FakeS3
from reliability.lossy_server import serve
from reliability.rows import Row, Tried, measured


class Done(NamedTuple):
    """One commit, as its writer saw it."""

    started: float
    ended: float
    version: int
    commit_id: str


class LastWins(FilesLog):
    """Renames over what is there."""

    def _link(self, written: Path, number: int, record: bytes) -> bool:
        os.replace(written, self._log / f"{number:020d}.json")  # noqa: PTH105
        return True


class Unlocked(SqliteLog):
    """Replaces what is there."""

    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        with self._connection() as db:
            db.execute("drop trigger if exists commits_are_not_updated")
            db.execute("drop trigger if exists commits_are_not_deleted")
            db.execute(
                "insert or replace into commits values (?, ?, ?)", (number, commit_id, record)
            )
        return True


class Upserting(PostgresLog):
    """Replaces what is there."""

    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        PostgresLog.append(self, 1, "first", b"")  # makes the tables, and stores nothing twice
        query = (
            "insert into registry_commits values (%s, %s, %s) on conflict (version) do update "
            "set commit_id = excluded.commit_id, body = excluded.body"
        )
        self._run(lambda db: db.execute(query, (number, commit_id, record)))
        return True


class Unconditional(S3Log):
    """Puts without the condition."""

    def _probe(self) -> None: ...

    def _put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=key, Body=content)


BUGGY: dict[str, Callable[[str], CommitLog]] = {
    "files": lambda url: LastWins(Path(url)),
    "sqlite": lambda url: Unlocked(Path(url)),
    "postgres": Upserting,
    "s3": Unconditional.open,
}


def commit_all(log: CommitLog, writer: int, commits: int) -> list[Done]:
    registry = Registry(log, deadline_seconds=120)
    done = []
    for number in range(commits):
        desired = [Entity(name=f"entity_{writer}", description=str(number))]
        while True:
            try:
                made = plan(
                    ProjectSnapshot(registry.snapshot(), "p"), owner="platform", desired=desired
                )
                started = time.monotonic()
                commit = registry.commit(made, principal="platform")
            except FeaturePlatformError as error:
                if not error.retryable:
                    return done
                continue
            if commit is not None:
                done.append(Done(started, time.monotonic(), commit.version, commit.commit_id))
            break
    return done


def _process(url: str, bug: str, writer: int, commits: int, barrier: Any, results: Any) -> None:
    done: list[Done] = []
    try:
        log = BUGGY[bug](url) if bug else open_log(url, Path("/"))
        barrier.wait()
        done = commit_all(log, writer, commits)
    finally:
        results.put(done)  # somebody waits for it


def in_processes(url: str, writers: int, commits: int, *, bug: str = "") -> list[Done]:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(writers), context.SimpleQueue()
    processes = [
        context.Process(target=_process, args=(url, bug, writer, commits, barrier, results))
        for writer in range(writers)
    ]
    for process in processes:
        process.start()
    done = [item for _ in processes for item in results.get()]
    for process in processes:
        process.join()
    return done


def in_threads(make: Callable[[], CommitLog], writers: int, commits: int) -> list[Done]:
    done: list[Done] = []
    barrier = threading.Barrier(writers)

    def write(writer: int) -> None:
        barrier.wait()
        done.extend(commit_all(make(), writer, commits))

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


def damage(log: CommitLog, done: list[Done]) -> list[str]:
    """Compare what writers were told with what is stored, in O(n log n)."""
    try:
        commits = Registry(log).history()
        Registry(log).snapshot()
    except CorruptLogError as error:
        return [str(error)]
    found = []
    if [commit.version for commit in commits] != list(range(1, len(commits) + 1)):
        found.append("versions are not contiguous")
    ids = [commit.commit_id for commit in commits]
    if len(set(ids)) < len(ids):
        found.append("a commit is stored twice")
    found += [
        f"version {d.version} lost" for d in done if ids[d.version - 1 : d.version] != [d.commit_id]
    ]
    newest = 0.0
    for d in sorted(done, key=lambda d: d.version, reverse=True):
        if newest and d.started > newest:
            found.append(f"version {d.version} began after a later one had ended")
        newest = min(newest or d.ended, d.ended)
    return found


def problems(log: CommitLog, done: list[Done], expected: int) -> list[str]:
    """Return what is damaged, and say if somebody did not get done."""
    found = damage(log, done)
    if not found and (counts := (len(done), len(Registry(log).history()))) != (expected, expected):
        found.append(f"{counts[0]} of {expected} acknowledged, {counts[1]} stored")
    return found


def overlaps(done: list[Done]) -> int:
    """Count the commits that began while another one was on its way."""
    count, latest = 0, 0.0
    for d in sorted(done):
        count += d.started < latest
        latest = max(latest, d.ended)
    return count


def _row(
    name: str, check: list[str], done: list[Done], expected: int, bugs: dict[str, list[str]]
) -> Row:
    took = sorted(d.ended - d.started for d in done) or [0.0]
    slow = quantiles(took, n=100)[98] if len(took) > 1 else 0.0
    middle = took[len(took) // 2]
    speed = f"a commit took {middle * 1000:.1f} ms, 99 of 100 less than {slow * 1000:.0f} ms"
    return Row(
        name=name,
        tried={
            "acknowledged commits": Tried(len(done), expected),
            "of these at the same time as others": Tried(overlaps(done), max(1, expected // 4)),
        },
        bad=len(check),
        detail=f"{check[0] if check else 'all kept'}; {speed}",
        controls={bug: bool(seen) for bug, seen in bugs.items()},
        control_detail="; ".join(f"{bug}: {len(seen)} problems" for bug, seen in bugs.items()),
    )


def process_row(name: str, kind: str, urls: tuple[str, str], writers: int, commits: int) -> Row:
    """Writers in processes of their own; the second URL is for the seeded bug."""
    with measured() as clock:
        done = in_processes(urls[0], writers, commits)
        check = problems(open_log(urls[0], Path("/")), done, writers * commits)
        target = urls[1].removesuffix("/") if kind in {"files", "sqlite"} else urls[1]
        lost = in_processes(target, 8, 25, bug=kind)
        # Where nothing was acknowledged, nothing could be lost.
        seen = damage(open_log(urls[1], Path("/")), lost) if lost else []
    row = _row(name, check, done, writers * commits, {"replaces what is there": seen})
    return replace(row, seconds=clock.seconds)


def fake_row(writers: int, commits: int, seed: int) -> Row:
    """Writers in threads, on the fake S3 where a fifth of the writes goes wrong."""
    quick = {"deadline_seconds": 20.0, "first_pause_seconds": 0.0005}
    with measured() as clock:
        fake = FakeS3(seed, share=0.2)
        done = in_threads(lambda: S3Log("b", "p", fake, **quick), writers, commits)
        fake.settle()
        check = problems(S3Log("b", "p", fake), done, writers * commits)
        other = FakeS3(seed, share=0.2, conditional=False)
        lost = in_threads(lambda: Unconditional("b", "p", other, **quick), 8, 25)
        other.settle()
        seen = damage(S3Log("b", "p", other), lost) if lost else []
    bugs = {"a store that ignores the condition": seen}
    row = _row("writers, fake S3", check, done, writers * commits, bugs)
    faults = Tried(fake.faults.total(), max(1, writers * commits // 10))
    return replace(row, tried={**row.tried, "faults": faults}, seconds=clock.seconds)


def server_row(writers: int, commits: int) -> Row:
    """Writers in processes of their own, on the emulator over HTTP."""
    with serve() as (_, address):
        os.environ |= {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        import boto3

        boto3.client("s3").create_bucket(Bucket="writers")
        urls = ("s3://writers/a", "s3://writers/b")
        return process_row("writers, S3 over HTTP", "s3", urls, writers, commits)
