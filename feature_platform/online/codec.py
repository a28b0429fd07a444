"""Compact encoding of stored rows, readable after features are added, removed or widened."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Context, Decimal
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa

from feature_platform.online.keys import encode_keys
from feature_platform.table import CREATED_TIMESTAMP, EVENT_TIMESTAMP, Table
from feature_platform.types import FeatureType, Float32, Float64
from feature_platform.types.arrow import feature_type, to_python
from feature_platform.types.widening import is_widening

NEVER: Final = -(2**63)
"""Created timestamp of rows without one; it sorts before all others."""

Layout = Mapping[str, str]
"""Feature → name of its Arrow type, in the order of the stored values."""

encode_row = msgspec.msgpack.Encoder().encode
decode_row = msgspec.msgpack.Decoder().decode

_ALL_DIGITS = Context(prec=38)


class Record(NamedTuple):
    """The newest row of a key, as backends store it.

    Attributes:
        key: Encoded join keys.
        event: Event timestamp, in microseconds since 1970 UTC.
        created: Created timestamp, likewise, or `NEVER`.
        layout: Id of the body's layout; empty for a deletion.
        body: Encoded values; empty for a deletion.
    """

    key: bytes
    event: int
    created: int
    layout: bytes
    body: bytes


def records(table: Table, batch: pa.RecordBatch) -> list[Record]:
    """Encode the newest row of each key of a batch; of equally new ones, the last."""
    layout = table.layout_id
    features = [to_storable(batch[name]) for name in table.features.names]
    rows = zip(*features, strict=True) if features else [()] * batch.num_rows
    return _newest(
        Record(key, event, created, layout, encode_row(values))
        for (key, event, created), values in zip(_key_columns(table, batch), rows, strict=True)
        if key is not None and event is not None
    )


def tombstones(table: Table, batch: pa.RecordBatch) -> list[Record]:
    """Encode deletions of a batch's keys as of their event timestamps."""
    return _newest(
        Record(key, event, created, b"", b"")
        for key, event, created in _key_columns(table, batch)
        if key is not None and event is not None
    )


def convert_row(values: Sequence[Any], stored: Layout, current: Layout) -> list[Any]:
    """Convert a row from its stored layout to the current one.

    Added and retyped features become null; widened ones are converted to the wider type.
    """
    by_name = dict(zip(stored, values, strict=True))
    return [_convert(by_name.get(n), stored.get(n), dtype) for n, dtype in current.items()]


def unreadable_features(stored: Layout, current: Layout) -> list[str]:
    """Return the features of the current layout that rows in the stored one have no values for."""
    return [name for name, dtype in current.items() if not _is_readable(stored.get(name), dtype)]


def rounded_features(stored: Layout, current: Layout) -> list[str]:
    """Return the features whose rows were rounded to a narrower float than the current one."""
    return [n for n, dtype in current.items() if n in stored and _was_rounded(stored[n], dtype)]


def to_storable(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """Convert a column to values for msgpack: times to microseconds, decimals to exact text."""
    stored = _storable(column.type)
    if stored != column.type:
        column = column.cast(stored)
    return to_python(column)


def _storable(dtype: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(dtype):
        return pa.int64()
    if pa.types.is_decimal(dtype):
        return pa.string()
    if pa.types.is_list(dtype):
        return pa.list_(_storable(dtype.value_type))
    if pa.types.is_struct(dtype):
        return pa.struct([(f.name, _storable(f.type)) for f in dtype])
    return dtype


def _key_columns(table: Table, batch: pa.RecordBatch) -> Iterable[tuple[bytes | None, int, int]]:
    keys = encode_keys([batch[name].to_pylist() for name in table.keys], batch.num_rows)
    created = [NEVER if at is None else at for at in to_storable(batch[CREATED_TIMESTAMP])]
    return zip(keys, to_storable(batch[EVENT_TIMESTAMP]), created, strict=True)


def _newest(records: Iterable[Record]) -> list[Record]:
    newest: dict[bytes, Record] = {}
    for record in records:
        other = newest.get(record.key)
        if other is None or (record.event, record.created) >= (other.event, other.created):
            newest[record.key] = record
    return list(newest.values())


def _is_readable(stored: str | None, current: str) -> bool:
    if stored is None:
        return False
    return stored == current or is_widening(feature_type(stored), feature_type(current))


def _was_rounded(stored: str, current: str) -> bool:
    before, after = feature_type(stored), feature_type(current)
    while before.item and after.item:
        before, after = before.item, after.item
    return (before, after) == (Float32, Float64)


def _convert(value: Any, stored: str | None, current: str) -> Any:
    if stored == current or value is None:
        return value
    return _widen(value, feature_type(current)) if _is_readable(stored, current) else None


def _widen(value: Any, dtype: FeatureType) -> Any:
    if value is None:
        return None
    if dtype.item:
        return [_widen(item, dtype.item) for item in value]
    if dtype.digits:
        unit = Decimal(1).scaleb(-dtype.digits[1])
        return str(Decimal(value).quantize(unit, context=_ALL_DIGITS))
    return float(value) if dtype == Float64 else value
