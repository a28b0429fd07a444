"""The demo's repos, copied to a temporary folder, with their tables built once."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what `make demo` and `make dev` run, without any data."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("platform_repo", "team_repos"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("workspace.yaml", "dagster.yaml"):
        shutil.copy(ROOT / name, folder)
    return folder
