"""Every contract test runs on every engine."""

from pathlib import Path

import pytest

from offline.engines import Engine, Files, Snowflake, Spark, Statement


@pytest.fixture(params=["duckdb", "statement", "spark", "snowflake"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    if request.param == "duckdb":
        return Files(tmp_path)
    if request.param == "statement":
        return Statement(tmp_path)
    if request.param == "snowflake":
        return Snowflake(request.getfixturevalue("snowflake"))
    return Spark(tmp_path, request.getfixturevalue("spark"))
