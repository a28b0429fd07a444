"""What only the store in PostgreSQL does."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from online.test_contract import ONE, batch, observed, values
from tests_support import NOON, open_online_store, raises

from feature_platform.errors import StoreError

SCHEMAS = ("prod", "Prod", "with space", 'quo"te', "back\\slash", "a,b", "public; drop")


@pytest.fixture
def settings_of(postgres_url: str) -> Any:
    parts = urlsplit(postgres_url)
    database = parts.path.strip("/")
    host = parse_qs(parts.query)["host"][0]
    server = {"type": "postgres", "host": host, "database": database, "user": parts.username}
    with psycopg.connect(postgres_url, autocommit=True) as db:
        for name in SCHEMAS:
            quoted = psycopg.sql.Identifier(name)
            db.execute(psycopg.sql.SQL("create schema if not exists {}").format(quoted))
    return lambda schema: {**server, "db_schema": schema}


def test_a_schema_is_used_as_it_is_spelled(settings_of: Any, tmp_path) -> None:
    stores = [open_online_store(settings_of(name), tmp_path) for name in SCHEMAS]
    for number, store in enumerate(stores):
        assert values(store, 1) == [None]
        store.write(ONE, [batch(ONE, observed(1, NOON, number))])
    assert [values(store, 1) for store in stores] == [[n] for n in range(len(SCHEMAS))]
    for store in stores:
        store.close()


@pytest.mark.parametrize("name", ["missing", "PROD", "prod,public"])
def test_a_schema_that_does_not_exist_is_named(settings_of: Any, tmp_path, name: str) -> None:
    store = open_online_store(settings_of(name), tmp_path)
    with raises(StoreError, repr(name), "db_schema"):
        values(store, 1)
    store.close()
