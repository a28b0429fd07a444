"""Checkpoints: a shortcut that never changes what is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_platform import Entity
from feature_platform.governance import plan
from feature_platform.project import ProjectSnapshot, Snapshot
from feature_platform.registry import CommitLog, MemoryLog, Registry
from feature_platform.registry.checkpoint import Checkpoint, is_due
from feature_platform.registry.commit import replay


def commit(registry: Registry, number: int) -> None:
    desired = [Entity(name=f"e{number % 5}", description=str(number))]
    made = plan(ProjectSnapshot(registry.snapshot(), "p"), owner="platform", desired=desired)
    registry.commit(made, principal="platform")


def filled(log: CommitLog, commits: int) -> Registry:
    registry = Registry(log)
    for number in range(commits):
        commit(registry, number)
    return registry


def watch(log: CommitLog) -> list[int]:
    """Return a list that tells how many records each read gives from now on."""
    counts: list[int] = []
    read = log.read

    def watched(after: int, limit: int | None = None) -> list[bytes]:
        records = read(after, limit)
        counts.append(len(records))
        return records

    log.read = watched
    return counts


def test_a_cold_open_reads_a_checkpoint_and_a_short_tail(log: CommitLog) -> None:
    state = filled(log, 103).snapshot()
    counts = watch(log)

    assert Registry(log).snapshot() == state
    assert sum(counts) <= 1 + 3  # the commit the checkpoint stands for, and three after it
    counts.clear()
    assert Registry(log).snapshot(60).version == 60
    assert sum(counts) <= 1 + 10


@pytest.fixture(scope="module")
def kept() -> tuple[MemoryLog, Snapshot]:
    log = MemoryLog()
    return log, filled(log, 55).snapshot()


@given(st.binary(max_size=60))
def test_whatever_stands_in_a_checkpoint_the_state_is_the_same(kept, noise: bytes) -> None:
    log, state = kept
    good = log._checkpoints[50]
    for content in (noise, good + noise, good[: len(noise)], noise + good):
        log._checkpoints = {50: content, 40: noise, 70: good}
        assert Registry(log).snapshot() == state
    log._checkpoints = {50: good}


def test_every_flipped_bit_of_a_checkpoint_is_ignored(kept) -> None:
    log, state = kept
    good = log._checkpoints[50]
    for position in range(0, len(good) * 8, 7):
        flipped = bytearray(good)
        flipped[position // 8] ^= 1 << position % 8
        log._checkpoints = {50: bytes(flipped)}
        assert Registry(log).snapshot() == state
    log._checkpoints = {50: good}


def test_a_checkpoint_of_another_log_or_with_another_content_is_ignored(kept) -> None:
    log, state = kept
    other = MemoryLog()
    filled(other, 55)
    mine = Checkpoint.read(log._checkpoints[50])
    forged = mine.model_copy(update={"entries": mine.entries[1:]}).to_bytes()
    good = log._checkpoints[50]
    for content in (other._checkpoints[50], forged):
        log._checkpoints = {50: content}
        assert Registry(log).snapshot() == state
    log._checkpoints = {50: good}


def test_a_checkpoint_that_cannot_be_written_hurts_nobody() -> None:
    from feature_platform.errors import StoreError

    class Full(MemoryLog):
        def keep(self, number: int, checkpoint: bytes) -> None:
            raise StoreError("no space left")

    log = Full()
    assert filled(log, 51).snapshot().version == 51
    assert Registry(log).snapshot().version == 51


def test_a_checkpoint_holds_what_was_deleted_too() -> None:
    log = MemoryLog()
    registry = filled(log, 49)
    made = plan(
        ProjectSnapshot(registry.snapshot(), "p"), owner="platform", desired=[], partial=False,
        mass_delete=True,
    )  # fmt: skip
    registry.commit(made, principal="platform")

    cold = Registry(log).snapshot()
    assert cold.version == 50
    assert len(cold.removed) == 5
    assert cold == replay(Snapshot(), log.read(0))


def test_checkpoints_take_no_more_room_than_the_commits_do() -> None:
    """With many objects they are made more rarely."""
    assert [v for v in range(1, 201) if is_due(v, 10)] == [50, 100, 150, 200]
    assert [v for v in range(1, 2001) if is_due(v, 10_000)] == [1050]


def test_ten_thousand_commits_of_one_team_cost_others_little() -> None:
    """T24: opening reads a checkpoint and a tail, however long the log is."""
    log = MemoryLog()
    spammer = Registry(log)
    for number in range(10_000):
        commit(spammer, number)
    counts = watch(log)
    reader = Registry(log)
    reader.snapshot()

    assert sum(counts) <= 1 + 50
    counts.clear()
    commit(reader, 1)
    assert sum(counts) <= 4
