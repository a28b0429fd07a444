"""The physical table behind a feature view: all that a store has to know about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from typing import Final

import pyarrow as pa

from feature_platform.types import FeatureType

EVENT_TIMESTAMP: Final = "event_timestamp"
CREATED_TIMESTAMP: Final = "created_timestamp"
TIMESTAMP: Final = pa.timestamp("us", tz="UTC")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_ARROW: Final[dict[str, pa.DataType]] = {
    "Bool": pa.bool_(),
    "Bytes": pa.binary(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "String": pa.string(),
    "UnixTimestamp": TIMESTAMP,
}


def arrow_type(dtype: FeatureType) -> pa.DataType:
    """Return the Arrow type that carries a feature type at every boundary."""
    if dtype.digits:
        return pa.decimal128(*dtype.digits)
    return pa.list_(arrow_type(dtype.item)) if dtype.item else _ARROW[dtype.name]


@dataclass(frozen=True, slots=True)
class History:
    """Where the rows of a table come from, and how their columns are called there.

    Attributes:
        source: Name of the registered source, for messages.
        location: What the offline store opens: `path` and `format`, or `database`, `schema`,
            `table` and `query`, as declared; values are strings.
        event_timestamp: Source column that says when a row was observed.
        created_timestamp: Source column that says when it became known; `None` without one.
        day_column: Partition column that holds the event time's day; `None` without one.
        renamed: Table column → source column, where the two differ.
    """

    source: str
    location: Mapping[str, str]
    event_timestamp: str
    created_timestamp: str | None = None
    day_column: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)

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
        ttl: How long a row may answer; `None` means for ever.
        history: Where past rows are; `None` for a view that is only pushed to.
    """

    project: str
    name: str
    keys: Mapping[str, pa.DataType | None]
    features: pa.Schema
    ttl: timedelta | None = None
    history: History | None = None

    @cached_property
    def identity(self) -> str:
        """Name of the rows in a store: other keys are another table, whatever it is called."""
        return self._named(self.keys)

    @cached_property
    def layout(self) -> dict[str, str]:
        """Feature → name of its Arrow type: how a row of the table is stored today."""
        return {f.name: str(f.type) for f in self.features}

    @cached_property
    def layout_id(self) -> bytes:
        """Short name of the layout, which every stored row carries."""
        return blake2b(repr(list(self.layout.items())).encode(), digest_size=6).digest()

    @cached_property
    def ledger(self) -> str:
        """Name of the record of what was loaded: another source starts from nothing."""
        history = self.history
        source = dict(history.location) if history else {}
        return self._named([list(self.keys), source, history and history.event_timestamp])

    def _named(self, content: object) -> str:
        digest = blake2b(repr(content).encode(), digest_size=6).hexdigest()
        return f"{self.project}.{self.name}.{digest}"

    @cached_property
    def ttl_us(self) -> int | None:
        """The ttl in microseconds."""
        return None if self.ttl is None else self.ttl // _MICROSECOND


def microseconds(time: datetime) -> int:
    """Return the microseconds since 1970 UTC; a naive time counts as UTC."""
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """Return the UTC time so many microseconds after 1970."""
    return _EPOCH + value * _MICROSECOND


def column(label: str, feature: str) -> str:
    """Return the intermediate column of a feature; no two features of a request share one."""
    return f"{label}:{feature}"


@dataclass(frozen=True, slots=True)
class ViewRead:
    """Features to look up in one table.

    Attributes:
        label: Name the view goes by in the request.
        table: Where the rows are.
        features: The features needed, in column order.
        keys: Join key of the table → column of the request.
    """

    label: str
    table: Table
    features: tuple[str, ...]
    keys: Mapping[str, str]

    @property
    def columns(self) -> dict[str, str]:
        """Feature → column of the intermediate result."""
        return {name: column(self.label, name) for name in self.features}
