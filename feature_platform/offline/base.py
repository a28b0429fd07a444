"""What an offline store does: it answers queries over history."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from feature_platform.offline.measures import Histogram, Measure
from feature_platform.offline.statistics import Statistics
from feature_platform.table import Table, ViewRead


@dataclass(frozen=True, slots=True)
class Span:
    """Instead of entity rows: every feature row observed from `start` to `end`, inclusive."""

    start: datetime
    end: datetime


EntityRows: TypeAlias = pa.Table | str | Path | Span
"""Entity rows: a table, a SQL query, a Parquet path, or a span of history."""


Progress: TypeAlias = Callable[[str], None]
"""Callback that receives a short description of the next step."""

Deliver: TypeAlias = Callable[[Iterator[pa.RecordBatch]], int]
"""Writes batches and returns the number of rows."""


class Query(ABC):
    """A prepared query: nothing is read before one of its methods is called.

    Attributes:
        engine: What runs it, for messages.
    """

    engine: str = ""

    @abstractmethod
    def statement(self, names: Mapping[str, str] | None = None) -> str:
        """Return the query as one statement of the engine.

        Args:
            names: Column → output name; other intermediate columns are left out.
        """

    @abstractmethod
    def reader(self, progress: Progress | None = None) -> pa.RecordBatchReader:
        """Run it and stream the result.

        Args:
            progress: Callback for each step.

        Raises:
            RequestError: The entity rows lack a column, or a key has another type.
            SchemaError: A source lacks a declared column, or holds another type.
            StoreError: A source cannot be read.
        """

    @abstractmethod
    def deliver(self, write: Deliver) -> int | None:
        """Run a function over the result on the engine's workers.

        Args:
            write: Writes the batches of one partition and returns the number of rows. It is sent to
                the workers, so it must be a module-level function with plain arguments.

        Returns:
            The number of rows; `None` if the engine has no workers, and nothing was done.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Cancel the query from another thread; its reader raises a `StoreError`."""

    @abstractmethod
    def explain(self) -> str:
        """Return the engine's plan."""

    @abstractmethod
    def frame(self, names: Mapping[str, str]) -> Any:
        """Return the engine's lazy frame, with columns named as in `statement`.

        Raises:
            RequestError: The engine has none.
        """

    @abstractmethod
    def create_table(self, table: str, names: Mapping[str, str]) -> None:
        """Write the result into a new table of the engine, with columns named as in `statement`.

        Raises:
            RequestError: The engine keeps no tables.
            StoreError: The table exists.
        """


class OfflineStore(ABC):
    """Answers queries over history; `tests/offline/test_contract.py` specifies them."""

    @abstractmethod
    def point_in_time(
        self, rows: EntityRows, reads: Sequence[ViewRead], *, known_only: bool = False
    ) -> Query:
        """Join each entity row with the newest feature values that were known at its time.

        A row observed at `e` is valid for an entity row at `t` if their keys are equal and
        `t - ttl <= e <= t`. The newest `e` wins, then the newest created timestamp (null loses),
        then the greatest feature values, so ties do not depend on the order of the source. Null
        keys and times match nothing.

        Args:
            rows: Shape (n, keys + timestamp + any). The timestamp is `event_timestamp`, or else
                the only column of a time type. Naive times are UTC.
            reads: Features to look up.
            known_only: Use only rows whose created timestamp is not after the entity row's time.
                Tables without created timestamps are not affected.

        Returns:
            A query of shape (n, columns of `rows` + intermediate feature columns), in the order
            of `rows`; the timestamp is UTC microseconds.

        Source: Feast's `get_historical_features`, with its DuckDB store's closed ttl interval.
        """

    @abstractmethod
    def columns(self, table: Table) -> Mapping[str, pa.DataType]:
        """Return the columns of a table's source, as they are stored.

        Raises:
            StoreError: The source cannot be read.
        """

    @abstractmethod
    def count(self, table: Table, start: datetime, end: datetime) -> int:
        """Count the rows observed from `start` to `end`, both inclusive.

        Raises:
            SchemaError: The source lacks a declared column, or holds another type.
            StoreError: The source cannot be read.
        """

    @abstractmethod
    def append(self, table: Table, rows: pa.Table) -> str:
        """Append rows to a table's source; existing rows do not change.

        Args:
            table: The table of the rows.
            rows: Shape (n, keys + event timestamp + perhaps created timestamp + features), named
                as in the source, in declared types.

        Returns:
            The location of the new rows.

        Raises:
            RequestError: The table has no history, or its source is not appendable.
            StoreError: The source cannot be written; nothing was written.
        """

    @abstractmethod
    def statistics(
        self, table: Table, start: datetime | None = None, end: datetime | None = None
    ) -> Statistics:
        """Describe the features of the rows observed from `start` to `end`, in one pass.

        Raises:
            SchemaError: The source lacks a declared column, or holds another type.
            StoreError: The source cannot be read.
        """

    @abstractmethod
    def measure(
        self, table: Table, measures: Sequence[Measure], start: datetime | None, end: datetime
    ) -> list[int | None]:
        """Compute measures of the rows observed from `start` to `end`, in one pass.

        Args:
            table: The table.
            measures: What to compute.
            start: Inclusive; the beginning of time if left out.
            end: Exclusive.

        Raises:
            SchemaError: The source lacks a declared column, or holds another type.
            StoreError: The source cannot be read.
        """

    @abstractmethod
    def histogram(
        self,
        table: Table,
        feature: str,
        reference: tuple[datetime, datetime],
        window: tuple[datetime, datetime],
        bins: int,
    ) -> Histogram:
        """Count the values of a feature in two periods, `[start, end)`.

        Numbers fall into bins of equal frequency in the reference, texts and booleans are counted
        by value.

        Raises:
            RequestError: A text has more than 1,000 distinct values.
            SchemaError, StoreError: As for `measure`.
        """

    @abstractmethod
    def source_state(self, table: Table, now: datetime) -> str:
        """Return a hash that changes whenever a table's source does; empty if it is unknown.

        It is unknown for engines whose sources do not tell, and for a source that cannot be read
        or changed a moment ago: another change within the resolution of its times would not show.
        """

    @abstractmethod
    def latest(self, table: Table, start: datetime, end: datetime) -> Query:
        """Return the newest row of each key observed from `start` to `end`, both inclusive.

        Returns:
            A query of shape (n, keys + `event_timestamp` + `created_timestamp` + features).
        """
