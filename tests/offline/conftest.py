"""Every contract test runs on every engine."""

from pathlib import Path
from typing import Any

import pytest

from offline.engines import Engine, Files, Snowflake, Spark, Statement

ON_SPARK = pytest.param("spark", marks=pytest.mark.xdist_group("spark"))  # one JVM for all


@pytest.fixture(params=["duckdb", "statement", ON_SPARK, "snowflake"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    if request.param == "duckdb":
        return Files(tmp_path)
    if request.param == "statement":
        return Statement(tmp_path)
    if request.param == "snowflake":
        return Snowflake(request.getfixturevalue("snowflake"))
    return Spark(tmp_path, request.getfixturevalue("spark"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many random cases each engine answered as plain Python does."""
    from offline.test_contract import ANSWERED, FULL

    for name, count in sorted(ANSWERED.items()) if FULL else ():
        terminalreporter.write_line(f"{name}: {count:,} random cases, all as the oracle says")
