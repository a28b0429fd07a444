"""Every way to damage a log a little."""

import json
from collections.abc import Callable
from typing import NamedTuple

from feature_platform import Entity
from feature_platform.errors import CorruptLogError, LogReplacedError
from feature_platform.governance import plan
from feature_platform.project import ProjectSnapshot, Snapshot
from feature_platform.registry import MemoryLog, Registry
from feature_platform.registry.commit import replay
from reliability.rows import Row, Tried, measured


def good_log(commits: int) -> list[bytes]:
    log = MemoryLog()
    registry = Registry(log)
    for number in range(commits):
        desired = [Entity(name=f"e{number % 7}", description=f"as of {number}")]
        made = plan(ProjectSnapshot(registry.snapshot(), "p"), owner="platform", desired=desired)
        registry.commit(made, principal="platform", message=f"number {number}")
    return log.read(0)


def noticed(before: Snapshot, records: list[bytes]) -> bool:
    try:
        replay(before, records)
    except CorruptLogError:
        return True
    return False


def sees_no_seal(before: Snapshot, records: list[bytes]) -> bool:
    """The seeded bug: reads what is JSON, and believes it."""
    try:
        for record in records:
            json.loads(record.partition(b"\n")[0])["version"]
    except (ValueError, KeyError, TypeError):
        return True
    return False


class Damages(NamedTuple):
    """How many damages of each kind were tried, how many missed, and how many false alarms."""

    flips: int
    cuts: int
    moves: int
    missed: int
    alarms: int


def damaged(records: list[bytes], stride: int, sees: Callable[..., bool]) -> Damages:
    """Flip, cut, leave out and swap."""
    flips = cuts = moves = missed = 0
    before, alarms = Snapshot(), 0
    for index, record in enumerate(records):
        rest = records[index + 1 : index + 2]
        for position in range(0, len(record) * 8, stride):
            flipped = bytearray(record)
            flipped[position // 8] ^= 1 << position % 8
            flips += 1
            missed += not sees(before, [bytes(flipped)])
        for size in range(len(record)):
            cuts += 1
            missed += not sees(before, [record[:size]])
        if rest:
            moves += 2
            missed += not sees(before, rest)  # this one is gone
            missed += not sees(before, [*rest, record])
        alarms += noticed(before, [record])
        before = replay(before, [record])
    return Damages(flips, cuts, moves, missed, alarms)


def cut_tails(records: list[bytes]) -> tuple[int, int]:
    """Cut the log anywhere: whoever read it, or has a cursor, notices."""
    missed = 0
    log = MemoryLog()
    log._records = list(records)
    reader = Registry(log)
    cursor = reader.snapshot().cursor
    for size in range(len(records)):
        log._records = list(records[:size])
        for read in (reader.snapshot, lambda: Registry(log).changes(cursor)):
            try:
                read()
            except LogReplacedError:
                continue
            missed += 1
    return 2 * len(records), missed


def row(commits: int, stride: int) -> Row:
    """Every bit, every length, every record of a log of 200 commits."""
    with measured() as clock:
        records = good_log(commits)
        seen = damaged(records, stride, noticed)
        tails, tails_missed = cut_tails(records)
        few = records[:3]
        blind = damaged(few, 8, sees_no_seal)
    total = seen.flips + seen.cuts + seen.moves + tails
    size = 500  # a commit has more bytes than that
    return Row(
        name="a damaged log",
        tried={
            "damages": Tried(total, commits * (size * 8 // stride + size)),
            "commits": Tried(len(records), commits),
            "flipped bits": Tried(seen.flips, commits * size * 8 // stride),
            "cut records": Tried(seen.cuts, commits * size),
            "records left out or swapped": Tried(seen.moves, 2 * (commits - 1)),
            "cut tails": Tried(tails, 2 * commits),
        },
        bad=seen.missed + tails_missed + seen.alarms,
        detail=f"{seen.missed + tails_missed} not noticed, {seen.alarms} false alarms",
        controls={"believes all JSON": blind.missed > 0},
        control_detail=f"{blind.missed:,} missed",
        seconds=clock.seconds,
    )
