"""The engines that the contract holds for, as tests use them."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from feature_platform.offline import OfflineStore, Query, SqlOfflineStore, open_offline_store


class Engine(ABC):
    """An offline store, and a way to give it a table.

    Attributes:
        store: The store.
        cases: How many random cases one query answers; a query of a cluster takes long.
    """

    store: OfflineStore
    cases = 1

    @abstractmethod
    def table(self, name: str, rows: pa.Table) -> dict[str, str]:
        """Make or replace a table and return its location."""

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


class Statement(Files):
    """Parquet files, read by DuckDB with the one statement that `to_sql` shows."""

    def answer(self, query: Any) -> pa.Table:
        session = query._open(None)
        return session.reader(query._statement(session)).read_all()


class Spark(Files):
    """Parquet files, read by Spark."""

    cases = 40

    def __init__(self, folder: Path, spark: Any) -> None:
        from feature_platform.offline.spark.session import SparkQuerySession

        super().__init__(folder)
        self.store = SqlOfflineStore(lambda progress: SparkQuerySession(spark, folder, progress))
