"""A table's source as SQL expressions of its declared types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from feature_platform.errors import RequestError, SourceError, did_you_mean
from feature_platform.offline.columns import typed
from feature_platform.offline.dialect import Dialect
from feature_platform.table import SourceTable, Table
from feature_platform.types.arrow import TIMESTAMP

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Relation:
    """A source as an engine sees it.

    Attributes:
        sql: The expression after FROM.
        columns: Column → type.
        row_id: Columns that identify a row; empty if there are none.
    """

    sql: str
    columns: Mapping[str, pa.DataType]
    row_id: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class SourceSql:
    """One table's past rows, as SQL expressions over `relation`.

    Attributes:
        relation: The expression after FROM.
        keys: Join key → expression.
        key_types: Join key → declared type, or else the stored one.
        event: Expression of the event time, microseconds.
        created: Expression of the created time, microseconds; `None` without one.
        features: Feature → expression of the declared type.
        ties: Expressions that order rows with equal times: all features, requested or not, so the
            result does not depend on the request.
        ttl: Microseconds; `None` for ever.
        event_column: The event time as stored, and its type.
        day_column: A partition column with the event time's day as `YYYY-MM-DD`; empty without one.
        row_id: Columns that identify a row; empty if the engine has none.
    """

    relation: str
    keys: Mapping[str, str]
    key_types: Mapping[str, pa.DataType]
    event: str
    created: str | None
    features: Mapping[str, str]
    ties: Sequence[str]
    ttl: int | None
    event_column: tuple[str, pa.DataType]
    day_column: str = ""
    row_id: Sequence[str] = ()

    def created_by(self, time: int) -> "SourceSql":
        """Return the rows that had been created by a time, in microseconds.

        Raises:
            RequestError: The source has no created timestamp.
        """
        if self.created is None:
            raise RequestError(
                "as_of needs sources with a created_timestamp_column, and a source has none."
            )
        rows = f"(SELECT * FROM {self.relation} WHERE {self.created} <= {time}) AS created_by"
        return replace(self, relation=rows, row_id=())

    def same_times(self, other: "SourceSql") -> bool:
        """Return whether one search can serve both."""
        mine = (self.relation, list(self.keys.values()), self.event, self.created)
        theirs = (other.relation, list(other.keys.values()), other.event, other.created)
        return mine == theirs


@dataclass(frozen=True, slots=True)
class JoinSql:
    """One table to join.

    Attributes:
        source: Its rows.
        keys: Join key → column of the entity rows.
        columns: Feature → column of the result.
        position: Position of its columns in the result, among those of other tables.
    """

    source: SourceSql
    keys: Mapping[str, str]
    columns: Mapping[str, str]
    position: int = 0


def source_of(table: Table) -> SourceTable:
    """Return a table's source.

    Raises:
        RequestError: The table has no history.
    """
    if table.source is None:
        raise RequestError(
            f"View {table.name!r} has no history: its push source names no batch_source."
        )
    return table.source


def source_sql(
    dialect: Dialect, table: Table, features: Sequence[str], relation: Relation
) -> SourceSql:
    """Return the SQL that reads a table's history in its declared types.

    Raises:
        RequestError: The table has no history.
        SourceError: The source lacks a column, or one has another type than is declared.
    """
    source = source_of(table)
    columns = relation.columns
    stored = _stored(columns) if dialect.folds_names else {}

    def column(name: str) -> str:
        return name if name in columns else stored.get(name.casefold(), name)

    event = column(source.event_timestamp)
    created = column(source.created_timestamp) if source.created_timestamp else None
    day = column(source.day_column) if source.day_column else None
    raw = {name: column(source.column(name)) for name in (*table.keys, *features)}
    needed = [*raw.values(), *(n for n in (event, created, day) if n)]
    if missing := [name for name in needed if name not in columns]:
        hint = did_you_mean(missing[0], columns)
        raise SourceError(
            f"Source {source.name!r} of view {table.name!r} has no column {missing[0]!r}."
            f"{hint} Its columns are {_listed(columns)}."
        )

    def read(name: str, dtype: pa.DataType | None) -> str:
        label = f"Source {source.name!r}, column {raw[name]!r}"
        return typed(dialect, dialect.quote(raw[name]), columns[raw[name]], dtype, label)

    def instant(name: str) -> str:
        if pa.types.is_null(columns[name]):
            return "CAST(NULL AS BIGINT)"
        microseconds = dialect.microseconds(dialect.quote(name), columns[name])
        if microseconds is None:
            raise SourceError(
                f"Source {source.name!r}: column {name!r} is {columns[name]}, not a time."
            )
        return microseconds

    ties = [column(source.column(name)) for name in table.features.names]
    return SourceSql(
        relation=relation.sql,
        keys={key: read(key, dtype) for key, dtype in table.keys.items()},
        key_types={key: dtype or _key_type(columns[raw[key]]) for key, dtype in table.keys.items()},
        event=instant(event),
        created=instant(created) if created else None,
        features={name: read(name, table.features.field(name).type) for name in features},
        ties=[dialect.ordered(dialect.quote(n), columns[n]) for n in ties if n in columns],
        ttl=table.ttl_us,
        event_column=(dialect.quote(event), columns[event]),
        day_column=dialect.quote(day) if day else "",
        row_id=relation.row_id,
    )


def _key_type(stored: pa.DataType) -> pa.DataType:
    if isinstance(stored, pa.UuidType):
        return pa.string()
    has_nanoseconds = pa.types.is_timestamp(stored) and stored.unit == "ns"
    return TIMESTAMP if has_nanoseconds else stored


def _stored(columns: Mapping[str, object]) -> dict[str, str]:
    """Return case-folded name → column, where that is unambiguous."""
    folded = [name.casefold() for name in columns]
    return {name.casefold(): name for name in columns if folded.count(name.casefold()) == 1}


def _listed(columns: Mapping[str, object]) -> str:
    names, more = list(columns)[:_SHOWN], len(columns) - _SHOWN
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
