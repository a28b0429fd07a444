"""Online stores: the newest feature values."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from feature_platform.online.base import OnlineStore as OnlineStore
from feature_platform.online.base import StoredRow as StoredRow
from feature_platform.online.base import Window as Window
from feature_platform.online.codec import encode_row as encode_row
from feature_platform.online.codec import storable as storable
from feature_platform.online.codec import unreadable as unreadable
from feature_platform.online.keys import encode_keys as encode_keys
from feature_platform.online.sqlite import SqliteOnlineStore as SqliteOnlineStore
from feature_platform.table import Table


def write_rows(
    settings: dict[str, Any], root: Path, table: Table, batches: Iterator[pa.RecordBatch]
) -> int:
    """Write batches through a store of one's own, as workers elsewhere do."""
    store = open_online_store(settings, root)
    try:
        return store.write(table, batches)
    finally:
        store.close()


def open_online_store(settings: dict[str, Any], root: Path) -> OnlineStore:
    """Open the store that `online_store` in `feature_store.yaml` names; nothing is contacted.

    Raises:
        ConfigError: The connection string of a Redis has an unknown option.
    """
    given = {name: value for name, value in settings.items() if name != "type"}
    if settings["type"] == "redis":
        from feature_platform.online.redis import RedisOnlineStore

        return RedisOnlineStore(given.get("connection_string", "localhost:6379"))
    if settings["type"] == "dynamodb":
        from feature_platform.online.dynamodb import DynamoDBOnlineStore

        return DynamoDBOnlineStore(**given)
    if settings["type"] == "postgres":
        from feature_platform.online.postgres import PostgresOnlineStore

        schema = given.pop("db_schema", "")
        if "database" in given:
            given["dbname"] = given.pop("database")
        return PostgresOnlineStore(given, schema)
    return SqliteOnlineStore(root / given.get("path", "data/online.db"))
