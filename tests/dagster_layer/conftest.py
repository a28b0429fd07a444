"""Repo folders for the Dagster layer."""

import warnings
from pathlib import Path

import pytest
from dagster_support import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Workspace(tmp_path)
