"""The engines that the contract holds for, as tests use them."""

from abc import ABC, abstractmethod
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet
from tests_support import open_offline_store

from feature_platform.offline import OfflineStore, Query, SqlOfflineStore
from feature_platform.offline.session import Engine as SqlEngine
from feature_platform.types.arrow import TIMESTAMP


class Engine(ABC):
    """An offline store, and a way to give it a table.

    Attributes:
        store: The store.
        cases: How many random cases one query answers; a query of a cluster takes long.
        enough: How many random cases `make contract` asks for.
        some: How many `make test` asks for.
    """

    store: OfflineStore
    cases = 10
    enough = 20_000
    some = 300

    @abstractmethod
    def table(self, name: str, rows: pa.Table) -> dict[str, str]:
        """Make or replace a table and return its location."""

    @abstractmethod
    def growing(self, name: str, schema: pa.Schema) -> dict[str, str]:
        """Return the location of a table that rows can be added to."""

    def answer(self, query: Query) -> pa.Table:
        """Run a query."""
        return query.reader().read_all()


class Files(Engine):
    """Parquet files, read by DuckDB in steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = open_offline_store({"type": "duckdb"}, folder)

    def table(self, name: str, rows: pa.Table) -> dict[str, str]:
        parquet.write_table(rows, self.folder / f"{name}.parquet")
        return {"path": f"{name}.parquet", "format": "parquet", "endpoint": ""}

    def growing(self, name: str, schema: pa.Schema) -> dict[str, str]:
        return {"path": name, "format": "parquet", "endpoint": ""}


class Statement(Files):
    """Parquet files, read by DuckDB with the one statement that `to_sql` shows."""

    def answer(self, query: Any) -> pa.Table:
        session = query._engine.open(None)
        statement = query._statement(session)
        return session.reader(statement, pa.schema([])).read_all()


class Spark(Files):
    """Parquet files, read by Spark."""

    cases = 40
    enough = 500
    some = 200

    def __init__(self, folder: Path, spark: Any) -> None:
        from feature_platform.offline.spark.session import SparkQuerySession

        super().__init__(folder)
        self.store = SqlOfflineStore(
            SqlEngine(
                SparkQuerySession, lambda progress: SparkQuerySession(spark, folder, progress)
            )
        )


class Snowflake(Engine):
    """Tables of an emulated Snowflake, through the real connector."""

    enough = 500
    some = 40

    def __init__(self, settings: dict[str, Any]) -> None:
        from feature_platform.offline.snowflake.session import SnowflakeSession, connector

        self.connect = connector(settings)
        self.store = SqlOfflineStore(
            SqlEngine(SnowflakeSession, lambda progress: SnowflakeSession(self.connect, progress))
        )

    def table(self, name: str, rows: pa.Table) -> dict[str, str]:
        connection = self.connect()
        kinds = {pa.int64(): "NUMBER(38,0)", pa.string(): "VARCHAR", TIMESTAMP: "TIMESTAMP_TZ"}
        kinds[pa.timestamp("us")] = "TIMESTAMP_NTZ"
        kinds[pa.float64()] = "FLOAT"
        columns = [
            f"{_quoted(field.name)} {kinds.get(field.type) or str(field.type).replace('128', '')}"
            for field in rows.schema
        ]
        target = _quoted(name.upper())
        cursor = connection.cursor()
        cursor.execute(f"CREATE OR REPLACE TABLE {target} ({', '.join(columns)})")
        lines = [", ".join(map(_literal, row.values())) for row in rows.to_pylist()]
        if lines:
            cursor.execute(f"INSERT INTO {target} SELECT {' UNION ALL SELECT '.join(lines)}")
        connection.close()
        empty = {"database": "", "schema": "", "query": "", "warehouse": ""}
        return {"format": "snowflake", **empty, "table": name.upper()}

    def growing(self, name: str, schema: pa.Schema) -> dict[str, str]:
        return self.table(name, schema.empty_table())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(value: Any) -> str:
    if isinstance(value, datetime):
        kind = "TIMESTAMP_TZ" if value.tzinfo else "TIMESTAMP_NTZ"
        return f"'{value:%Y-%m-%d %H:%M:%S.%f}'::{kind}"
    if isinstance(value, Decimal):
        return str(value)
    return "NULL" if value is None else repr(value)
