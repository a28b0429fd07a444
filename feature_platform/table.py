"""The physical table behind a feature view, as stores see it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from typing import Final

import pyarrow as pa

from feature_platform.types.times import MICROSECOND

EVENT_TIMESTAMP: Final = "event_timestamp"
CREATED_TIMESTAMP: Final = "created_timestamp"


@dataclass(frozen=True, slots=True)
class SourceTable:
    """Location of a table's history, and the names of its columns in the source.

    Attributes:
        name: Name of the registered source, for messages.
        location: `path` and `format`, or `database`, `schema`, `table` and `query`, as declared
            and as strings, for the offline store.
        event_timestamp: Source column with the time a row was observed.
        created_timestamp: Source column with the time a row became known, if any.
        day_column: Partition column with the day of the event timestamp, if any.
        renamed: Table column → source column, for names that differ.
        is_pushed: Whether rows are also pushed to the online store.
    """

    name: str
    location: Mapping[str, str]
    event_timestamp: str
    created_timestamp: str | None = None
    day_column: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    is_pushed: bool = False

    def column(self, name: str) -> str:
        """Return the source column behind a table column."""
        return self.renamed.get(name, name)


@dataclass(frozen=True)
class Table:
    """Rows of one feature view, as stores see them.

    Attributes:
        project: Namespace of the table in every store.
        name: Name of the view, unique in its project.
        keys: Join keys in key order; `None` where no type is declared.
        features: Feature columns, in column order.
        ttl: How long after its event timestamp a row is valid; `None` for no limit.
        source: Location of the history; `None` for a view that is only pushed to.
        generation: Registry version at which a deleted name was registered again; 0 if it never
            was. Rows of one generation are never read by another.
    """

    project: str
    name: str
    keys: Mapping[str, pa.DataType | None]
    features: pa.Schema
    ttl: timedelta | None = None
    source: SourceTable | None = None
    generation: int = 0

    @cached_property
    def identity(self) -> str:
        """Name of the rows in a store.

        It depends on the join keys and, where their names differ, on the source columns of keys
        and times: rows that were loaded from other columns belong to other keys or times. Rows that
        are pushed have the names of the view, whatever those of its history are.
        """
        source = self.source
        if source is None or source.is_pushed:
            return self._digest_name(self.keys)
        columns = {name: source.column(name) for name in self.keys}
        columns[EVENT_TIMESTAMP] = source.event_timestamp
        columns[CREATED_TIMESTAMP] = source.created_timestamp or CREATED_TIMESTAMP
        renamed = {name: column for name, column in columns.items() if name != column}
        return self._digest_name((self.keys, renamed) if renamed else self.keys)

    @cached_property
    def layout(self) -> dict[str, str]:
        """Feature → name of its Arrow type, for rows written with the current definition."""
        return {f.name: str(f.type) for f in self.features}

    @cached_property
    def layout_id(self) -> bytes:
        """Hash of the layout, stored with every row."""
        return blake2b(repr(list(self.layout.items())).encode(), digest_size=6).digest()

    @cached_property
    def ledger(self) -> str:
        """Name of the ledger of loaded windows."""
        return f"{self.prefix}loads"

    @cached_property
    def content(self) -> str:
        """Hash of everything that decides what a load reads.

        Loads of other content do not count: from elsewhere, from other columns or times, with
        another ttl from another range of time, or into rows of other keys.
        """
        source = self.source
        if source is None:
            return _digest([self.identity, self.ttl])
        columns = {name: source.column(name) for name in (*self.keys, *self.features.names)}
        renamed = {name: column for name, column in columns.items() if name != column}
        times: tuple[str | None, ...] = (source.event_timestamp, source.created_timestamp)
        if source.day_column:
            times += (source.day_column,)
        return _digest([self.identity, dict(source.location), times, renamed, self.ttl])

    @cached_property
    def prefix(self) -> str:
        """Prefix of the names of all rows and ledgers of the view in this generation."""
        generation = f"-{self.generation}" if self.generation else ""
        # One name for each table, in characters that all stores have.
        name = self.name.replace("-", "--").replace(" ", "-.")
        return f"{self.project}.{name}{generation}."

    def _digest_name(self, content: object) -> str:
        return self.prefix + _digest(content)

    @cached_property
    def ttl_us(self) -> int | None:
        """The ttl in microseconds."""
        return None if self.ttl is None else self.ttl // MICROSECOND


def _digest(content: object) -> str:
    return blake2b(repr(content).encode(), digest_size=6).hexdigest()


def column(label: str, feature: str) -> str:
    """Return the intermediate column of a feature, unique in a request."""
    return f"{label}:{feature}"


@dataclass(frozen=True, slots=True)
class ViewRead:
    """Features to look up in one table.

    Attributes:
        label: Name of the view in the request.
        table: Table to read.
        features: Required features, in column order.
        keys: Join key of the table → column of the request.
        as_of: Read only rows that had been created by then; `None` for all.
    """

    label: str
    table: Table
    features: tuple[str, ...]
    keys: Mapping[str, str]
    as_of: datetime | None = None

    @property
    def columns(self) -> dict[str, str]:
        """Feature → column of the intermediate result."""
        return {name: column(self.label, name) for name in self.features}
