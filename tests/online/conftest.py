"""Every contract test runs on every online store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest
import redis
from tests_support import open_online_store

from feature_platform.online import OnlineStore

# Every store, and its share of the 5,000 random runs of `make contract`: fast ones take more.
STORES = {"sqlite": 2400, "redis": 2000, "postgres": 500, "dynamodb": 100}


@pytest.fixture(params=STORES)
def online_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """`online_store` of a feature_store.yaml, for a server that the tests started."""
    if request.param == "redis":
        address = request.getfixturevalue("redis_server")
        redis.Redis.from_url(f"redis://{address}").flushall()
        return {"type": "redis", "connection_string": address}
    if request.param == "postgres":
        parts = urlsplit(request.getfixturevalue("postgres_url"))
        host = parse_qs(parts.query)["host"][0]
        database = parts.path.strip("/")
        return {"type": "postgres", "host": host, "database": database, "user": parts.username}
    if request.param == "dynamodb":
        request.getfixturevalue("aws")
        endpoint = request.getfixturevalue("s3_endpoint")
        urlopen(f"{endpoint}/moto-api/reset", data=b"")  # noqa: S310 - our own server
        return {"type": "dynamodb", "region": "us-west-2", "endpoint_url": endpoint}
    return {"type": "sqlite", "path": "deep/online.db"}


@pytest.fixture
def random_runs(online_settings: dict[str, Any]) -> int:
    """How many random runs a store gets in `make contract`."""
    return STORES[online_settings["type"]]


@pytest.fixture
def store(online_settings: dict[str, Any], tmp_path: Path) -> Iterator[OnlineStore]:
    opened = open_online_store(online_settings, tmp_path)
    yield opened
    opened.close()
