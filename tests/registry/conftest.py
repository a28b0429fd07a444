"""Registry tests: every backend, empty, as a URL and as a log."""

from pathlib import Path

import pytest

from feature_platform.registry import CommitLog, MemoryLog, open_log

BACKENDS = ["sqlite", "files", "postgres", "s3"]


@pytest.fixture(params=BACKENDS)
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty log of each kind that outlives a process."""
    if request.param == "sqlite":
        return f"sqlite:////{tmp_path}/deep/registry.db"
    if request.param == "files":
        return f"files:///{tmp_path}/deep/registry"
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return f"s3://{request.getfixturevalue('bucket')}/team/registry"


@pytest.fixture(params=["memory", *BACKENDS])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> CommitLog:
    """An empty log of each kind."""
    if request.param == "memory":
        return MemoryLog()
    url = {
        "sqlite": lambda: f"{tmp_path}/deep/registry.db",
        "files": lambda: f"{tmp_path}/deep/registry/",
        "postgres": lambda: request.getfixturevalue("postgres_url"),
        "s3": lambda: f"s3://{request.getfixturevalue('bucket')}/team/registry",
    }[request.param]()
    return open_log(url, tmp_path)
