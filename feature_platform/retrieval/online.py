"""Online features: the newest values, with the status of each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_platform.errors import RequestError, did_you_mean
from feature_platform.online import OnlineStore, StoredRow, encode_keys
from feature_platform.resolve import Retrieval
from feature_platform.retrieval.frames import to_arrow, to_pandas
from feature_platform.retrieval.transform import Functions, check_request, transform
from feature_platform.table import TIMESTAMP, ViewRead, from_microseconds, microseconds
from feature_platform.values import exact_array

if TYPE_CHECKING:
    import pandas as pd


class FieldStatus(Enum):
    """Why a value is what it is."""

    PRESENT = "PRESENT"
    NULL = "NULL"
    NOT_FOUND = "NOT_FOUND"
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"


@dataclass(frozen=True)
class Column:
    """One column of an answer: values, and where they come from."""

    values: Sequence[Any]
    type: pa.DataType
    statuses: Sequence[FieldStatus]
    events: Sequence[int | None]


class OnlineResponse:
    """Features of the requested entities, in the order of the request.

    Attributes:
        registry_version: Registry version that the request was resolved from.

    Source: Feast's `OnlineResponse`.
    """

    def __init__(self, columns: Mapping[str, Column], *, registry_version: int) -> None:
        self._columns = columns
        self.registry_version = registry_version

    def to_dict(self, *, include_event_timestamps: bool = False) -> dict[str, list[Any]]:
        """Return join keys and features as lists.

        Args:
            include_event_timestamps: Add `<feature>__ts`, seconds since 1970 UTC; `None` where
                nothing was found.
        """
        answer = {name: list(column.values) for name, column in self._columns.items()}
        if include_event_timestamps:
            for name, column in self._columns.items():
                answer[f"{name}__ts"] = [e and e // 1_000_000 for e in column.events]
        return answer

    def to_arrow(self) -> pa.Table:
        """Return join keys and features in their declared types."""
        return pa.table(
            {name: pa.array(c.values, c.type) for name, c in self._columns.items()},
        )

    def to_df(self) -> "pd.DataFrame":
        """Return join keys and features as pandas."""
        return to_pandas(self.to_arrow())

    def statuses(self) -> dict[str, list[FieldStatus]]:
        """Return the status of every value."""
        return {name: list(column.statuses) for name, column in self._columns.items()}


def online(
    store: OnlineStore,
    retrieval: Retrieval,
    rows: object,
    functions: Functions,
    *,
    now: datetime,
) -> OnlineResponse:
    """Look up the newest features of entities.

    Args:
        store: Where the newest values are.
        retrieval: What was asked for.
        rows: A list of dicts, a dict of lists, or a frame: join keys, and the values that
            on-demand views need.
        functions: Where the functions of on-demand views come from.
        now: What the age of a value is measured against.

    Raises:
        RequestError: The request lacks a key or a value, or one has another type.
        StoreError: The store cannot be read.
        TransformationError: An on-demand view failed.
    """
    request = _request(rows, retrieval)
    size = len(next(iter(request.values()), []))
    answer = {
        name: Column(request[name].to_pylist(), request[name].type, [FieldStatus.PRESENT] * size,
                     [None] * size)
        for name in retrieval.join_keys
    }  # fmt: skip
    keys = [_keys(read, request, size) for read in retrieval.reads]
    found = store.read([(read.table, k) for read, k in zip(retrieval.reads, keys, strict=True)])
    columns: dict[str, Column] = {}
    for read, stored in zip(retrieval.reads, found, strict=True):
        columns |= _columns(read, stored, microseconds(now))
    columns |= _computed(retrieval, request, columns, functions)
    if taken := sorted(answer.keys() & retrieval.outputs):
        raise RequestError(
            f"{taken[0]!r} is a join key of the request and also a feature asked for. Pass "
            "full_feature_names=True, or leave the feature out."
        )
    answer |= {name: columns[column] for name, column in retrieval.outputs.items()}
    return OnlineResponse(answer, registry_version=retrieval.version)


def _request(rows: object, retrieval: Retrieval) -> dict[str, pa.Array]:
    """Return the request's columns that matter; join keys in their declared types."""
    keys = retrieval.join_keys
    wanted = [*keys, *retrieval.request_fields]
    given = _column_lists(rows, wanted)
    for name in keys:
        if name not in given:
            hint = did_you_mean(name, given)
            raise RequestError(f"entity_rows lack the join key {name!r}.{hint}")
    check_request(given, retrieval.transformations)
    request = {}
    for name in dict.fromkeys(wanted):
        dtype = keys.get(name)
        try:
            request[name] = exact_array(given[name], dtype, nan_is_null=True)
        except ValueError as error:
            what = dtype or "of one type"
            raise RequestError(f"entity_rows: {name!r} is not {what}: {error}.") from error
        if name in keys and request[name].null_count:
            row = request[name].is_null().to_pylist().index(True)
            raise RequestError(f"entity_rows: the join key {name!r} is null in row {row}.")
    return request


def _column_lists(rows: object, wanted: Sequence[str]) -> dict[str, list[Any]]:
    if isinstance(rows, Mapping):
        for name, values in rows.items():
            if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
                raise RequestError(f"entity_rows: {name!r} must hold a list, not {values!r}.")
        columns = {str(name): list(values) for name, values in rows.items()}
    elif isinstance(rows, (list, tuple)):
        if wrong := [row for row in rows if not isinstance(row, Mapping)]:
            raise RequestError(f"entity_rows must hold dicts; one is {wrong[0]!r}.")
        known = dict.fromkeys(str(name) for row in rows for name in row)
        for name in wanted:
            lacking = [i for i, row in enumerate(rows) if name not in row]
            if name in known and lacking:
                raise RequestError(f"entity_rows: row {lacking[0]} lacks {name!r}.")
        columns = {name: [row.get(name) for row in rows] for name in known}
    else:
        columns = to_arrow(rows, "entity_rows").to_pydict()
    sizes = {name: len(values) for name, values in columns.items()}
    if not any(sizes.values()):
        raise RequestError("entity_rows is empty: name at least one entity.")
    if len(set(sizes.values())) > 1:
        raise RequestError(f"entity_rows: columns differ in length: {sizes}.")
    return columns


def _keys(read: ViewRead, request: Mapping[str, pa.Array], size: int) -> list[bytes]:
    parts = [request[column].to_pylist() for column in read.keys.values()]
    return [key for key in encode_keys(parts, size) if key is not None]


def _columns(read: ViewRead, stored: Sequence[StoredRow | None], now: int) -> dict[str, Column]:
    oldest = None if read.table.ttl_us is None else now - read.table.ttl_us
    positions = {name: i for i, name in enumerate(read.table.features.names)}
    events = [row.event if row else None for row in stored]
    columns = {}
    for name, column in read.columns.items():
        position, dtype = positions[name], read.table.features.field(name).type
        values, statuses = [], []
        for row in stored:
            value, status = None, FieldStatus.NOT_FOUND
            if row is not None:
                if oldest is not None and row.event < oldest:
                    status = FieldStatus.OUTSIDE_MAX_AGE
                else:
                    value = row.values[position]
                    status = FieldStatus.NULL if value is None else FieldStatus.PRESENT
            values.append(_python(value, dtype))
            statuses.append(status)
        columns[column] = Column(values, dtype, statuses, events)
    return columns


def _computed(
    retrieval: Retrieval,
    request: Mapping[str, pa.Array],
    columns: Mapping[str, Column],
    functions: Functions,
) -> dict[str, Column]:
    if not retrieval.transformations:
        return {}
    arrays = dict(request) | {name: pa.array(c.values, c.type) for name, c in columns.items()}
    table = transform(pa.table(arrays), retrieval.transformations, functions)
    computed = {}
    for step in retrieval.transformations:
        for field in step.outputs:
            values = table[field.name].to_pylist()
            statuses = [FieldStatus.NULL if v is None else FieldStatus.PRESENT for v in values]
            computed[field.name] = Column(values, field.type, statuses, [None] * len(values))
    return computed


def _python(value: Any, dtype: pa.DataType) -> Any:
    """Return a stored value as users know it: times are stored as microseconds."""
    if value is None:
        return None
    if dtype == TIMESTAMP:
        return from_microseconds(value)
    if pa.types.is_list(dtype) and dtype.value_type == TIMESTAMP:
        return [item if item is None else from_microseconds(item) for item in value]
    return value
