"""Every row of `make reliability`, small enough for every change."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests_support import environment

from feature_platform.registry import FilesLog
from reliability import ambiguous, crash, faults, kills, programs, served, tamper, writers
from reliability.rows import Row, Tried

SEED = 7


def check(row: Row) -> None:
    assert row.bad == 0, row.detail
    assert not row.short
    assert row.is_good, row.control_detail


GOOD = Row(
    name="row",
    tried={"crashes": Tried(20, 20), "commits": Tried(10, 5)},
    bad=0,
    detail="",
    controls={"a bug": True},
)


def test_a_row_that_did_enough_and_noticed_its_bugs_is_good() -> None:
    assert GOOD.is_good
    assert (GOOD.cases, GOOD.short) == (20, [])
    assert GOOD.to_json()["tried"]["commits"] == {"count": 10, "least": 5}


@pytest.mark.parametrize(
    "tried",
    [
        {"crashes": Tried(20, 20), "commits": Tried(4, 5)},
        {"crashes": Tried(19, 20), "commits": Tried(5, 5)},
        {"crashes": Tried(20, 20), "commits": Tried(0, 0)},  # a floor of nothing is none
        {},
    ],
)
def test_a_row_below_its_floor_is_not_good(tried: dict[str, Tried]) -> None:
    row = replace(GOOD, tried=tried)

    assert not row.is_good
    assert len(row.short) == 1
    assert row.to_json()["good"] is False


def test_a_row_that_went_wrong_or_noticed_nothing_is_not_good() -> None:
    assert not replace(GOOD, bad=1).is_good
    assert not replace(GOOD, controls={"a bug": True, "another": False}).is_good
    assert not replace(GOOD, controls={}).is_good


def test_writers_that_write_nothing_are_not_good() -> None:
    row = writers._row("writers", [], [], 100, {"a bug": ["noticed"]})

    assert (row.bad, row.is_good, len(row.short)) == (0, False, 2)


def test_writers_that_take_turns_do_not_overlap() -> None:
    at_once = [writers.Done(0.0, 3.0, 1, "a"), writers.Done(1.0, 2.0, 2, "b")]
    in_turn = [writers.Done(0.0, 1.0, 1, "a"), writers.Done(1.0, 2.0, 2, "b")]

    assert (writers.overlaps(at_once), writers.overlaps(in_turn)) == (1, 0)


def test_a_writer_in_doubt_that_breaks_off_is_a_problem() -> None:
    class Broken(ambiguous.S3Log):
        def append(self, number: int, commit_id: str, record: bytes) -> bool:
            raise ValueError("a bug of the test")

    _, problems, tally = ambiguous.on_fake(Broken, 5, SEED)
    assert len(problems) == ambiguous.WRITERS
    assert not tally.acked


def test_a_writer_that_breaks_off_ends_the_crash_points() -> None:
    class Broken(crash.FilesLog):
        def append(self, number: int, commit_id: str, record: bytes) -> bool:
            raise ValueError("a bug of the test")

    with pytest.raises(ValueError, match="a bug of the test"):
        crash.crash(Broken, 5, SEED)


def test_crash_points() -> None:
    """The rarest of the seeded bugs takes more crash points than a quick test has."""
    seen = crash.crash(crash.FilesLog, 500, SEED)
    bugs = {bug.__name__: bool(crash.crash(bug, 600, SEED).bad) for bug in crash.BROKEN[:-1]}
    check(Row("crash points", seen.tried(500), seen.bad.total(), str(seen.bad), bugs))


def test_system_calls_that_fail() -> None:
    check(faults.row())


def test_damaged_logs() -> None:
    check(tamper.row(12, 1))


def test_outcomes_in_doubt_on_the_fake() -> None:
    check(ambiguous.fake_row(400, SEED))


def test_outcomes_in_doubt_over_http() -> None:
    check(ambiguous.server_row(10, SEED))


def test_random_programs() -> None:
    check(programs.row(120, SEED))


def test_programs_that_do_nothing_are_not_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "run", lambda *_: (Counter(), ""))
    row = programs.row(120, SEED)

    assert row.bad == 0
    assert len(row.short) == len(programs.LEAST_PER_PROGRAM)


def test_writers_on_the_fake() -> None:
    check(writers.fake_row(8, 20, SEED))


@pytest.mark.parametrize("kind", ["files", "sqlite"])
def test_writers_in_processes(kind: str, tmp_path: Path) -> None:
    name = "" if kind == "sqlite" else "/"
    urls = (f"{tmp_path}/good{name}", f"{tmp_path}/bug{name}")
    check(writers.process_row("writers", kind, urls, 4, 15))


def test_writers_on_postgres(postgres: Any) -> None:
    from reliability.__main__ import databases

    made = databases(postgres)
    check(writers.process_row("writers", "postgres", (made[0], made[1]), 4, 15))


def test_writers_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "")  # what the row sets is taken back
    check(writers.server_row(4, 4))


def test_a_writer_dies_within_the_write_that_was_chosen_for_it(tmp_path: Path) -> None:
    """Counted from what the write before did, so it does not matter how fast it is."""
    for share in (0.0, 0.5, 0.99):
        log = FilesLog(tmp_path / str(share))
        deaths: list[int] = []
        death = kills.Death(2, share, by_itself=False)
        kills.Doomed(log, death, lambda d=deaths, log=log: d.append(log.last()))
        for number in (1, 2, 3):
            assert log.append(number, str(number), b"record")
        assert deaths == [3 if share > 0.9 else 2]  # commit 3 is not there yet, or just


def test_killed_writers(tmp_path: Path) -> None:
    """In a process of its own: it forks, and this one may have threads."""
    program = (
        "import sys; from pathlib import Path; from reliability import kills;"
        f"row = kills.row(Path(sys.argv[1]), 30, {SEED}); print(row); sys.exit(not row.is_good)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env=environment(PATH=""),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_writers_at_a_server_over_a_lossy_proxy() -> None:
    check(served.lossy_row(4, 10, 1))


def test_a_server_that_is_killed() -> None:
    check(served.killed_row(3, 1))
