"""The source documents, which lie beside the checkout and are no part of it."""

import os
from pathlib import Path

import pytest

SEEDS = Path(__file__).parents[3] / "shared" / "seeds"


@pytest.fixture(scope="session")
def guide() -> str:
    """The federated guide.

    Without it its tests are skipped, which the terminal summary reports; in CI they fail.
    """
    files = sorted(SEEDS.glob("002_*.txt"))
    if len(files) == 1:
        return files[0].read_text("utf-8")
    reason = f"the guide is missing or ambiguous: {SEEDS / '002_*.txt'} is {len(files)} files"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
