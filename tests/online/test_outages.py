"""Stores that are not there, or hold less than they are given."""

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pyarrow as pa
import pytest
from online.test_contract import NOON, ONE, batch, observed, values
from tests_support import free_port, open_online_store, raises

from feature_platform.errors import SchemaError, StoreError
from feature_platform.table import Table


def test_requests_wait_for_a_postgres_that_is_down_beside_one_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feature_platform.online.postgres._WAIT_SECONDS", 1)
    port = free_port()
    settings = {"type": "postgres", "host": "127.0.0.1", "port": port, "user": "nobody"}
    store = open_online_store(settings, tmp_path)

    def ask(_: int) -> None:
        with raises(StoreError, "127.0.0.1", port, os.strerror(errno.ECONNREFUSED)):
            values(store, 1)

    began = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, range(6)))
    assert time.monotonic() - began < 4  # one after another they take six seconds
    store.close()


@pytest.mark.usefixtures("aws")
def test_a_row_that_dynamodb_cannot_hold_is_refused_before_its_batch(
    s3_endpoint: str, tmp_path: Path
) -> None:
    settings = {"type": "dynamodb", "region": "us-west-2", "endpoint_url": s3_endpoint}
    store = open_online_store(settings, tmp_path)
    table = Table("shop", "large", ONE.keys, pa.schema([("value", pa.string())]))
    rows = [{"id": n, "event_timestamp": NOON, "value": "x" * size}
            for n, size in ((1, 5), (2, 450_000))]  # fmt: skip

    with raises(SchemaError, "large", "2026-01-01T12", "450,0"):
        store.write(table, [batch(table, *rows)])
    assert values(store, 1, 2, table=table) == [None, None]
    store.write(table, [batch(table, *rows[:1])])
    assert values(store, 1, table=table) == ["xxxxx"]
    store.close()


def test_connections_that_postgres_ended_are_replaced(postgres_url: str, tmp_path: Path) -> None:
    parts = urlsplit(postgres_url)
    host, database = parse_qs(parts.query)["host"][0], parts.path.strip("/")
    settings = {"type": "postgres", "host": host, "database": database, "user": parts.username}
    store = open_online_store(settings, tmp_path)
    store.write(ONE, [batch(ONE, observed(1, NOON, 10))])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: values(store, 1), range(200)))
    with psycopg.connect(postgres_url, autocommit=True) as db:
        ended = db.execute(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        ).fetchone()
    assert ended is not None
    assert ended[0] > 0

    assert values(store, 1) == [10]
    store.close()
