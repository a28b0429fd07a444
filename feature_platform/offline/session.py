"""What an engine has to offer so that the queries of this package run on it."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from feature_platform.errors import RequestError
from feature_platform.offline.base import Deliver, EntityRows, Progress
from feature_platform.offline.dialect import Dialect
from feature_platform.offline.history import HistorySql, Relation, history_of
from feature_platform.offline.point_in_time import PointInTime, Search, SpineSql
from feature_platform.offline.windows import latest_sql
from feature_platform.table import History, Table

_log = logging.getLogger("feature_platform.offline")


class Session(ABC):
    """One question's connection to an engine; what it creates is gone once it is closed.

    Attributes:
        sql: The engine's SQL.
    """

    sql: Dialect
    stores_rows: ClassVar[bool] = True
    """Whether even a statement that is only shown needs the entity rows in the engine."""

    has_workers: ClassVar[bool] = False
    """Whether it can hand results to a function on workers of its own."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._relations: dict[tuple[str, ...], Relation] = {}

    def step(self, what: str) -> None:
        """Say what is done next."""
        _log.debug(what)
        if self._progress:
            self._progress(what)

    def relation(self, table: Table) -> Relation:
        """Return a table's source, opened and described once.

        Raises:
            RequestError: The table has no history.
            StoreError: The source cannot be read.
        """
        history = history_of(table)
        key = (history.source, *history.location.values(), *self.reads_as(table))
        if key not in self._relations:
            self._relations[key] = self.open(table, history)
        return self._relations[key]

    def deliver(self, sql: str, write: Deliver) -> int:
        """Hand a query's result to a function on the engine's workers; see `Query.deliver`."""
        raise RequestError("This engine has no workers.")

    def reads_as(self, table: Table) -> tuple[str, ...]:
        """Return what a source's relation depends on besides its location."""
        return ()

    @abstractmethod
    def open(self, table: Table, history: History) -> Relation:
        """Describe a table's source.

        Raises:
            StoreError: It cannot be read.
        """

    @abstractmethod
    def entity_rows(self, rows: EntityRows) -> tuple[str, Mapping[str, pa.DataType]]:
        """Return the relation of users' entity rows, and its columns.

        Raises:
            RequestError: They cannot be read.
        """

    @abstractmethod
    def number(self, relation: str, time: str, *, store: bool) -> str:
        """Number entity rows.

        Args:
            relation: The entity rows.
            time: Expression of their time.
            store: Whether the relation will be read more than once.

        Returns:
            A relation with the columns `ROW` and `TIME` besides those of the entity rows.
        """

    @abstractmethod
    def row(self, sql: str) -> tuple[object, ...]:
        """Return the only row of a query."""

    @abstractmethod
    def reader(self, sql: str, schema: pa.Schema) -> pa.RecordBatchReader:
        """Stream the result of a query; the session closes with the last batch.

        Args:
            sql: The query.
            schema: What its columns are declared as, in their order.
        """

    @abstractmethod
    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a small query, with lower-case column names."""

    @abstractmethod
    def append(self, history: History, rows: pa.Table) -> str:
        """Add rows to a source and return where they were written.

        Raises:
            RequestError: The source cannot grow.
            StoreError: It cannot be written.
        """

    def frame(self, sql: str) -> Any:
        """Return the engine's own lazy frame of a query.

        Raises:
            RequestError: The engine has none.
        """
        raise RequestError("to_spark_df needs offline_store: {type: spark}.")

    def create_table(self, table: str, sql: str) -> None:
        """Write a query's result into a new table.

        Raises:
            RequestError: The engine keeps no tables.
        """
        raise RequestError("to_snowflake needs offline_store: {type: snowflake}.")

    @abstractmethod
    def explain(self, sql: str) -> str:
        """Return the engine's plan."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop what is running, from another thread."""

    @abstractmethod
    def close(self) -> None:
        """Give back what the session holds."""

    def join(self, spine: SpineSql, found: Sequence[Search], schema: pa.Schema) -> str:
        """Do what has to come before the last statement of a join, and return that."""

        def outgoing(name: str, sql: str) -> str:
            return self.outgoing(sql, schema.field(name).type)

        return PointInTime(self.sql, spine, outgoing).statement(found)

    def latest(
        self,
        history: HistorySql,
        columns: Mapping[str, str],
        span: tuple[int, int],
        schema: pa.Schema,
    ) -> str:
        """Do what has to come before the last statement for newest rows, and return that."""
        sent = {n: self.outgoing(sql, schema.field(n).type) for n, sql in columns.items()}
        return latest_sql(self.sql, history, sent, *span)

    def outgoing(self, sql: str, dtype: pa.DataType) -> str:
        """Return how a column of a result that is read here is written."""
        return sql
