"""Spark on real servers: a standalone master with two workers, and Spark Connect."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests_support import environment

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("kind", ["standalone", "connect"])
def test_a_cluster_answers_as_duckdb_does(tmp_path: Path, kind: str) -> None:
    """1M rows of history and 100,000 entity rows, with ties, with and without what was known.

    Then the workers load the newest rows into Redis.

    Over Connect it is a tenth of that.
    """
    done = subprocess.run(
        [sys.executable, "-m", "offline.spark_cluster", kind, str(tmp_path)],
        cwd=TESTS,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["spark"] == found["duckdb"]
    assert len(set(found["duckdb"])) == 3
