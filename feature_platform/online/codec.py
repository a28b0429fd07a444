"""One stored row as compact bytes, readable after the view gained or lost features."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Context, Decimal
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa

from feature_platform.online.keys import encode_keys
from feature_platform.table import CREATED_TIMESTAMP, EVENT_TIMESTAMP, Table
from feature_platform.types import more_digits

NEVER: Final = -(2**63)
"""The created timestamp of a row that has none: older than any other."""

Layout = Mapping[str, str]
"""Feature → name of its Arrow type, in the order of a stored row."""

encode_row = msgspec.msgpack.Encoder().encode
decode_row = msgspec.msgpack.Decoder().decode

# Arrow's names of what `types.widens` allows, besides decimals.
_WIDER = {("int32", "int64"), ("int32", "double"), ("float", "double")}
_LIST = "list<item: "
_DECIMAL = re.compile(r"decimal128\((\d+), (\d+)\)")
_ALL_DIGITS = Context(prec=38)


class Record(NamedTuple):
    """The newest row of a key, as stores keep it.

    Attributes:
        key: The encoded entity key.
        event: When it was observed, microseconds since 1970 UTC.
        created: When it became known, or `NEVER`.
        layout: Which layout the body is written in; empty for a deleted row.
        body: The encoded values; empty for a deleted row.
    """

    key: bytes
    event: int
    created: int
    layout: bytes
    body: bytes


def records(table: Table, batch: pa.RecordBatch) -> list[Record]:
    """Encode a batch: one record per key, the newest; of equal ones the last."""
    layout = table.layout_id
    features = [storable(batch[name]) for name in table.features.names]
    rows = zip(*features, strict=True) if features else [()] * batch.num_rows
    return _newest(
        Record(key, event, created, layout, encode_row(values))
        for (key, event, created), values in zip(_places(table, batch), rows, strict=True)
        if key is not None and event is not None
    )


def tombstones(table: Table, batch: pa.RecordBatch) -> list[Record]:
    """Encode the deletion of a batch's keys, each at its event timestamp."""
    return _newest(
        Record(key, event, created, b"", b"")
        for key, event, created in _places(table, batch)
        if key is not None and event is not None
    )


def translated(values: Sequence[Any], stored: Layout, wanted: Layout) -> list[Any]:
    """Return a row written in one layout for a reader of another.

    A feature that was added since, or whose type changed, reads as null; one whose type was
    widened reads as what it is.
    """
    held = dict(zip(stored, values, strict=True))
    return [_widened(held.get(n), stored.get(n), dtype) for n, dtype in wanted.items()]


def unreadable(stored: Layout, wanted: Layout) -> list[str]:
    """Return the features that rows of one layout have no values for, as another wants them."""
    return [name for name, dtype in wanted.items() if not _reads_as(stored.get(name), dtype)]


def storable(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """Return a column's values as msgpack takes them.

    Times become microseconds, and decimals become text, whose digits are all kept.
    """
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    elif pa.types.is_list(column.type) and pa.types.is_timestamp(column.type.value_type):
        column = column.cast(pa.list_(pa.int64()))
    elif pa.types.is_decimal(column.type):
        column = column.cast(pa.string())
    elif pa.types.is_list(column.type) and pa.types.is_decimal(column.type.value_type):
        column = column.cast(pa.list_(pa.string()))
    return column.to_pylist()  # type: ignore[no-any-return]


def _places(table: Table, batch: pa.RecordBatch) -> Iterable[tuple[bytes | None, int, int]]:
    keys = encode_keys([batch[name].to_pylist() for name in table.keys], batch.num_rows)
    created = storable(batch[CREATED_TIMESTAMP])
    known = [NEVER if at is None else at for at in created]
    return zip(keys, storable(batch[EVENT_TIMESTAMP]), known, strict=True)


def _newest(found: Iterable[Record]) -> list[Record]:
    newest: dict[bytes, Record] = {}
    for record in found:
        held = newest.get(record.key)
        if held is None or (record.event, record.created) >= (held.event, held.created):
            newest[record.key] = record
    return list(newest.values())


def _widened(value: Any, stored: str | None, wanted: str) -> Any:
    if stored == wanted or value is None:
        return value
    if stored is None or not _reads_as(stored, wanted):
        return None
    if wanted.startswith(_LIST):
        items = stored[len(_LIST) : -1], wanted[len(_LIST) : -1]
        return [_widened(item, *items) for item in value]
    if digits := _DECIMAL.fullmatch(wanted):
        unit = Decimal(1).scaleb(-int(digits[2]))
        return str(Decimal(value).quantize(unit, context=_ALL_DIGITS))
    return float(value) if wanted == "double" else value


def _reads_as(stored: str | None, wanted: str) -> bool:
    """Say of Arrow's names of two types whether each value of one is, exactly, one of the other."""
    if stored is None or stored == wanted:
        return stored is not None
    if stored.startswith(_LIST) and wanted.startswith(_LIST):
        return _reads_as(stored[len(_LIST) : -1], wanted[len(_LIST) : -1])
    before, after = _DECIMAL.fullmatch(stored), _DECIMAL.fullmatch(wanted)
    if before and after:
        return more_digits((int(before[1]), int(before[2])), (int(after[1]), int(after[2])))
    return (stored, wanted) in _WIDER
