"""What an engine has to provide to run the queries of this package."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import pyarrow as pa

from feature_platform.offline.base import Deliver, EntityRows, Progress
from feature_platform.offline.dialect import Dialect
from feature_platform.offline.point_in_time import EntityRowsSql, PointInTime, Search
from feature_platform.offline.source_sql import Relation, SourceSql, source_of
from feature_platform.offline.time_ranges import latest_sql
from feature_platform.table import SourceTable, Table

_log = logging.getLogger("feature_platform.offline")


class Session(ABC):
    """The connection of one query to an engine; closing it removes everything it created.

    Attributes:
        sql: The engine's SQL.
    """

    label: ClassVar[str]
    """Name of the engine, for messages."""

    sql: Dialect
    stores_rows: ClassVar[bool] = True
    """Whether a statement that is only displayed needs the entity rows in the engine."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._relations: dict[tuple[str, ...], Relation] = {}

    def step(self, message: str) -> None:
        """Report the next step."""
        _log.debug(message)
        if self._progress:
            self._progress(message)

    def relation(self, table: Table) -> Relation:
        """Return the relation of a table's source, opened and described once.

        Raises:
            RequestError: The table has no history.
            StoreError: The source cannot be read.
        """
        source = source_of(table)
        key = (source.name, *source.location.values(), *self.reads_as(table))
        if key not in self._relations:
            self._relations[key] = self.open(table, source)
        return self._relations[key]

    def reads_as(self, table: Table) -> tuple[str, ...]:
        """Return what the relation depends on besides the location."""
        return ()

    @abstractmethod
    def open(self, table: Table, source: SourceTable) -> Relation:
        """Describe a table's source.

        Raises:
            StoreError: It cannot be read.
        """

    @abstractmethod
    def entity_rows(self, rows: EntityRows) -> tuple[str, Mapping[str, pa.DataType]]:
        """Return the relation of the entity rows, and its columns.

        Raises:
            RequestError: They cannot be read.
        """

    @abstractmethod
    def number(self, relation: str, time: str, *, store: bool) -> str:
        """Number entity rows.

        Args:
            relation: The entity rows.
            time: Expression of their time.
            store: Whether the relation is read more than once.

        Returns:
            A relation with the additional columns `ROW` and `TIME`.
        """

    @abstractmethod
    def row(self, sql: str) -> tuple[object, ...]:
        """Return the only row of a query."""

    @abstractmethod
    def reader(self, sql: str, schema: pa.Schema) -> pa.RecordBatchReader:
        """Stream the result of a query; the session closes with the last batch.

        Args:
            sql: The query.
            schema: Declared types of its columns, in order.
        """

    @abstractmethod
    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a small query, with lower-case column names."""

    @abstractmethod
    def append(self, source: SourceTable, rows: pa.Table) -> str:
        """Append rows to a source and return their location.

        Raises:
            RequestError: The source is not appendable.
            StoreError: It cannot be written.
        """

    @abstractmethod
    def explain(self, sql: str) -> str:
        """Return the engine's plan."""

    @abstractmethod
    def cancel(self) -> None:
        """Cancel the running query, from another thread."""

    @abstractmethod
    def close(self) -> None:
        """Release the session's resources."""

    def join(self, entities: EntityRowsSql, searches: Sequence[Search], schema: pa.Schema) -> str:
        """Run all but the last statement of a join, and return the last."""

        def exact_output(name: str, sql: str) -> str:
            return self.exact_output(sql, schema.field(name).type)

        return PointInTime(self.sql, entities, exact_output).statement(searches)

    def latest(
        self,
        source: SourceSql,
        columns: Mapping[str, str],
        span: tuple[int, int],
        schema: pa.Schema,
    ) -> str:
        """Run all but the last statement for the newest rows, and return the last."""
        sent = {n: self.exact_output(sql, schema.field(n).type) for n, sql in columns.items()}
        return latest_sql(self.sql, source, sent, *span)

    def exact_output(self, sql: str, dtype: pa.DataType) -> str:
        """Return the SQL of a result column in a form that this process reads exactly."""
        return sql


class WorkerSession(ABC):
    """A session whose engine runs functions on workers of its own."""

    @abstractmethod
    def deliver(self, sql: str, write: Deliver) -> int:
        """Run a function on the workers over a query's result; see `Query.deliver`."""


class FrameSession(ABC):
    """A session whose engine has a lazy frame."""

    @abstractmethod
    def frame(self, sql: str) -> Any:
        """Return the frame of a query."""


class TableSession(ABC):
    """A session whose engine can keep a result as a table."""

    @abstractmethod
    def create_table(self, table: str, sql: str) -> None:
        """Write a query's result into a new table."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers questions.

    Attributes:
        session_type: Class of its sessions: which of the capabilities above it has.
        open: Opens a session.
        source_state: See `OfflineStore.source_state`.
    """

    session_type: type[Session]
    open: Callable[[Progress | None], Session]
    source_state: Callable[[SourceTable, datetime], str] = lambda _source, _now: ""
