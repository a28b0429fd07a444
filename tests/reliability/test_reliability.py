"""Every row of `make reliability`, small enough for every change."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reliability import ambiguous, crash, faults, programs, tamper, writers
from reliability.rows import Row

SEED = 7


def check(row: Row) -> None:
    assert row.bad == 0, row.detail
    assert row.cases > 0
    assert all(row.controls.values()), row.control_detail


def test_crash_points() -> None:
    """The rarest of the seeded bugs takes more crash points than a quick test has."""
    tried, bad = crash.crash(crash.FilesLog, 500, SEED)
    assert (tried, bad) == (500, {})
    for broken in crash.BROKEN[:-1]:
        assert crash.crash(broken, 600, SEED)[1], broken


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


def test_killed_writers(tmp_path: Path) -> None:
    """In a process of its own: it forks, and this one may have threads."""
    program = (
        "import sys; from pathlib import Path; from reliability import kills;"
        f"row = kills.row(Path(sys.argv[1]), 30, {SEED}); print(row); sys.exit(not row.is_good)"
    )
    tests = str(Path(__file__).parents[1])
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={"PYTHONPATH": tests, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
