"""What waits in a server: streams that nobody reads, and keys that cannot be looked up yet."""

import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from server.conftest import Served
from server.test_hostile import send
from tests_support import NOON

from feature_platform import FeatureStore
from feature_platform.server import streaming
from feature_platform.server.authentication import principal_of
from feature_platform.server_client import ARROW
from feature_platform.services import remote

BODY = remote.packed(pa.table({"city": [1], "event_timestamp": [NOON]}), {"features": "forecast"})
"""A request for a training set."""


class Endless:
    """A query whose first batches come at once, and whose next one comes when it is cancelled."""

    registry_version = 1

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.is_cancelled = threading.Event()
        self.is_waiting = threading.Event()

    def to_batches(self) -> pa.RecordBatchReader:
        schema = pa.schema([("x", pa.int64())])
        batch = pa.RecordBatch.from_arrays([pa.array(range(100_000))], schema=schema)

        def batches() -> Iterator[pa.RecordBatch]:
            for _ in range(self.batches):
                yield batch
            self.is_waiting.set()
            assert self.is_cancelled.wait(60)

        return pa.RecordBatchReader.from_batches(schema, batches())

    def cancel(self) -> None:
        self.is_cancelled.set()


@pytest.fixture
def served(folder: Path, prod: FeatureStore, start: Callable[..., Served]) -> Served:
    file = folder / "feature_store.yaml"
    file.write_text(file.read_text().replace("keys.db,", "keys.db, max_concurrent: 1,"))
    return start(folder)


def ask(served: Served, query: Endless) -> socket.socket:
    """Ask for a training set, and read the first bytes of the answer."""
    key = served.key()
    principal = principal_of(served.keys.list()[-1])
    store = served.application._store_of("prod", principal)
    store.get_historical_features = lambda *_, **__: query
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=30)
    head = (
        f"POST /v1/training-set HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {ARROW}\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    connection.sendall(head.encode() + BODY)
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    return connection


def online(served: Served, key: str) -> Any:
    body = json.dumps({"features": "forecast", "entities": {"city": [1]}})
    return send(served, "/v1/online-features", body, key).status


@pytest.mark.parametrize("batches", [1, 1000])
def test_a_reader_that_goes_away_ends_its_query(served: Served, batches: int) -> None:
    """While a batch is computed, or waits to be sent."""
    query, key = Endless(batches), served.key()
    connection = ask(served, query)
    if batches == 1:
        assert query.is_waiting.wait(30)
    assert not query.is_cancelled.is_set()
    assert online(served, key) == 503  # a stream is a request at work
    connection.close()
    assert query.is_cancelled.wait(30)
    while served.application._gate._active:
        time.sleep(0.01)
    assert online(served, key) == 200


def test_a_stream_that_nobody_reads_ends(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "STALL_SECONDS", 0.2)
    query = Endless(1000)
    connection = ask(served, query)
    assert query.is_cancelled.wait(30)
    connection.close()


def test_keys_that_cannot_be_looked_up_stop_nobody(served: Served) -> None:
    key = served.key()
    assert online(served, key) == 200  # it is remembered for a second
    statuses: list[int] = []
    with sqlite3.connect(served.folder / "keys.db", isolation_level=None) as file:
        file.execute("BEGIN EXCLUSIVE")
        waiting = threading.Thread(target=lambda: statuses.append(online(served, "fp_a_b")))
        waiting.start()
        for _ in range(20):
            assert send(served, "/health/live", None, "", "GET").status == 200
        assert waiting.is_alive()
        file.execute("ROLLBACK")
    waiting.join(30)
    assert statuses == [401]


@pytest.mark.parametrize(("path", "status"), [("/v1/caller", 401), ("/health/ready", 200)])
def test_bodies_of_get_are_not_read(served: Served, path: str, status: int) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=0.9) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".encode())
        assert connection.recv(1000).startswith(f"HTTP/1.1 {status}".encode())
