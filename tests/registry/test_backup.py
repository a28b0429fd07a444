"""Backups and repairs: everything comes back, and nothing is ever overwritten."""

from pathlib import Path

import pytest
from tests_support import assert_names, raises

from feature_platform import Entity
from feature_platform.errors import ConflictError, CorruptLogError, NotFoundError
from feature_platform.governance import plan
from feature_platform.project import ProjectSnapshot
from feature_platform.registry import (
    CommitLog,
    FilesLog,
    MemoryLog,
    Registry,
    examine,
    export_records,
    import_records,
    read_export,
    repair,
)

DIGEST = "5e0bea7128813d5112c7202139ced82761d90409a20c8c915ed10c943d3aee53"


def filled(log: CommitLog, *names: str) -> Registry:
    registry = Registry(log)
    for name in names:
        made = plan(
            ProjectSnapshot(registry.snapshot(), "p"), owner="platform", desired=[Entity(name=name)]
        )
        registry.commit(made, principal="platform")
    return registry


def exported(log: CommitLog) -> bytes:
    return b"".join(export_records(log.read(0)))


def test_a_registry_moves_to_any_backend(log: CommitLog) -> None:
    source = MemoryLog()
    state = filled(source, *"abcde").snapshot()

    assert import_records(read_export(exported(source)), log) == 5
    assert Registry(log).snapshot() == state
    assert filled(log, "f").snapshot().version == 6


def test_an_import_that_was_interrupted_goes_on() -> None:
    source, target = MemoryLog(), MemoryLog()
    filled(source, *"abcde")
    records = read_export(exported(source))
    import_records(records[:2], target)

    assert import_records(records, target) == 3
    assert import_records(records, target) == 0


def test_an_import_overwrites_nothing() -> None:
    source, target = MemoryLog(), MemoryLog()
    filled(source, *"abc")
    filled(target, "x")

    with raises(ConflictError, target) as caught:
        import_records(read_export(exported(source)), target)
    assert_names(caught.value, 1)  # how many commits it has
    assert len(target.read(0)) == 1


def test_every_damage_of_a_backup_is_noticed() -> None:
    source = MemoryLog()
    filled(source, *"abc")
    good = exported(source)
    lines = good.splitlines(keepends=True)
    damaged = [good[:size] for size in range(0, len(good), 13)]
    damaged += [b"", b"end 0 \n", good + b"x", b"".join(lines[2:]), b"".join(lines[:4] + lines[6:])]
    for position in range(0, len(good) * 8, 11):
        flipped = bytearray(good)
        flipped[position // 8] ^= 1 << position % 8
        damaged.append(bytes(flipped))

    for content in damaged:
        with pytest.raises(CorruptLogError):
            read_export(content)


def damage(folder: Path, number: int, content: bytes | None) -> None:
    path = folder / "_log" / f"{number:020d}.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)


@pytest.mark.parametrize("content", [b"torn", b"", None])
def test_fsck_says_what_is_wrong_and_repairs_into_a_new_registry(
    tmp_path: Path, content: bytes | None
) -> None:
    log = FilesLog(tmp_path / "r")
    state = filled(log, *"abc").snapshot(2)
    filled(log, "d")
    backup = log.read(0, 4)
    filled(log, "e", "f")
    damage(tmp_path / "r", 3, content)

    report = examine(log)
    assert (len(report.good), report.stored, report.is_damaged) == (2, 6, True)
    assert [f.version for f in report.findings if f.damage] == [3]
    with pytest.raises(CorruptLogError):
        Registry(log).snapshot()
    assert Registry(log).snapshot(2) == state

    assert repair(log, FilesLog(tmp_path / "saved")) == (2, 0)
    assert Registry(FilesLog(tmp_path / "saved")).snapshot() == state
    assert repair(log, FilesLog(tmp_path / "better"), backup) == (2, 2)
    assert Registry(FilesLog(tmp_path / "better")).snapshot().version == 4
    assert not examine(FilesLog(tmp_path / "better")).findings
    assert examine(log) == report


def test_a_sound_registry_has_no_findings(log: CommitLog) -> None:
    filled(log, *(f"e{n}" for n in range(53)))

    assert examine(log).findings == ()


def test_fsck_tells_of_lost_commits_and_bad_checkpoints() -> None:
    log = MemoryLog()
    filled(log, *(f"e{n}" for n in range(52)))
    log._records = log._records[:40]
    [lost] = examine(log).findings
    assert (lost.version, lost.damage) == (41, False)
    assert_names(lost.message, 50)

    log._checkpoints[50] = b"noise"
    [unreadable] = examine(log).findings
    assert (unreadable.version, unreadable.damage) == (40, False)  # no version is lost by that
    assert not examine(log).is_damaged


def test_a_repair_touches_nothing_that_is_there(tmp_path: Path) -> None:
    log, other = FilesLog(tmp_path / "r"), MemoryLog()
    filled(log, *"abc")
    filled(other, *"abcd")
    damage(tmp_path / "r", 2, b"torn")
    stored = sorted((p.name, p.read_bytes()) for p in (tmp_path / "r" / "_log").iterdir())

    for target in (FilesLog(tmp_path / "r"), other):
        with raises(ConflictError, target):
            repair(log, target)
    empty = MemoryLog()
    with raises(ConflictError, log):  # whose backup this is not
        repair(log, empty, other.read(0))
    assert (empty.read(0), len(other.read(0))) == ([], 4)
    assert sorted((p.name, p.read_bytes()) for p in (tmp_path / "r" / "_log").iterdir()) == stored


def test_fsck_tells_of_a_clock_that_was_ahead() -> None:
    from datetime import UTC, datetime

    log = MemoryLog()
    future = datetime(2999, 1, 1, tzinfo=UTC)
    registry = Registry(log, now=lambda: future)
    made = plan(
        ProjectSnapshot(registry.snapshot(), "p"), owner="platform", desired=[Entity(name="e")]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryLog, "time", lambda _: future)
        registry.commit(made, principal="platform")

    [finding] = examine(log).findings
    assert (finding.version, finding.damage) == (1, False)
    assert_names(finding.message, "2999-01-01")


def test_nothing_can_be_saved_of_nothing() -> None:
    log = MemoryLog()
    log.append(1, "a", b"noise")

    with raises(NotFoundError, log):
        repair(log, MemoryLog())


def test_a_log_of_format_1_is_read_for_ever() -> None:
    """The file is never made again: a release that cannot read it breaks every registry."""
    golden = Path(__file__).parent / "golden" / "format_1.jsonl"
    log = MemoryLog()
    import_records(read_export(golden.read_bytes()), log)
    state = Registry(log).snapshot()

    assert f"{state.digest:064x}" == DIGEST
    assert len(state.entries) == 9
    assert all(entry.definition.to_json() == entry.body for entry in state.entries.values())
    assert not examine(log).findings
    assert Registry(log).show(4).waived
