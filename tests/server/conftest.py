"""A feature server in this process, on a real port, over a registry with two projects."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import uvicorn
from tests_support import HOUR, NOON

from feature_platform import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    RepoConfig,
)
from feature_platform.server.app import FeatureServer
from feature_platform.server.keys import SCOPES, KeyStore
from feature_platform.types import Float64, Int64, String

YAML = """
project: prod
team: platform
registry: registry.db
registry_cache_seconds: 0
online_store: {type: sqlite, path: prod.db}
projects:
  dev: {online_store: {type: sqlite, path: dev.db}}
server: {keys: keys.db, max_body_mb: 1, max_seconds: 1.0}
"""


class Served:
    """A server that listens, and its keys.

    Attributes:
        folder: Its repo folder.
        port: Its port.
        keys: Its keys.
    """

    def __init__(self, folder: Path, **tls: Any) -> None:
        self.folder = folder
        self.keys = KeyStore(folder / "keys.db")
        self.application = FeatureServer(folder)
        config = uvicorn.Config(
            self.application.app(), port=0, log_level="error", lifespan="on", **tls
        )
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()
        while not self.server.started:
            assert self._thread.is_alive()
            time.sleep(0.005)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def key(self, owner: str = "platform", project: str = "prod", *scopes: str) -> str:
        """Return a new key."""
        return self.keys.create(owner, [project], scopes or SCOPES[:4])[1]

    def config(self, project: str = "prod", team: str = "platform", key: str = "") -> RepoConfig:
        """Return the settings of a client."""
        return RepoConfig(
            project=project,
            team=team,
            registry=f"{self.url}/{project}",
            registry_cache_seconds=0,
            connection={"api_key": key or self.key(team, project)},
            online_store={"type": "remote"},
            offline_store={"type": "remote"},
        )

    def client(self, folder: Path, project: str = "prod", team: str = "platform") -> FeatureStore:
        """Return a feature store that has nothing but the server."""
        return FeatureStore(folder, config=self.config(project, team))

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "server"
    path.mkdir()
    (path / "feature_store.yaml").write_text(YAML)
    frame = pd.DataFrame(
        {
            "city": [1, 1, 2],
            "event_timestamp": [NOON - 2 * HOUR, NOON - HOUR, NOON - HOUR],
            "temp": [1, 2, 2**53 + 1],
            "wind": [0.5, 0.25, None],
            "sky": ["clear", "rain", "snow"],
        }
    )
    (path / "weather").mkdir()
    frame.to_parquet(path / "weather" / "a.parquet")
    return path


@pytest.fixture
def prod(folder: Path) -> FeatureStore:
    """The store of project `prod`, on its own files, without the server."""
    store = FeatureStore(folder)
    city = Entity(name="city", join_keys=["city"], value_type=Int64)
    history = FileSource(name="history", path="weather")
    view = FeatureView(
        name="weather",
        entities=[city],
        schema=[
            Field(name="temp", dtype=Int64),
            Field(name="wind", dtype=Float64),
            Field(name="sky", dtype=String),
        ],
        source=PushSource(name="push", batch_source=history),
    )
    store.apply([city, view, FeatureService(name="forecast", features=["weather"])])
    store.materialize(NOON - timedelta(days=1), NOON)
    return store


@pytest.fixture
def served(folder: Path, prod: FeatureStore) -> Iterator[Served]:
    served = Served(folder)
    yield served
    served.stop()


@pytest.fixture
def start() -> Iterator[Callable[..., Served]]:
    """Start servers of a test."""
    started: list[Served] = []

    def start_(folder: Path, **tls: Any) -> Served:
        started.append(Served(folder, **tls))
        return started[-1]

    yield start_
    for each in started:
        each.stop()
