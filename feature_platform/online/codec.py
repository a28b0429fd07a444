"""One stored row as compact bytes, readable after the view gained or lost features."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
import pyarrow as pa

from feature_platform.table import Table

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

# Arrow's names of the pairs that `types.widens` allows.
_WIDER = {("int32", "int64"), ("int32", "double"), ("float", "double")}
_LIST = "list<item: "

Layout = Mapping[str, str]
"""Feature → name of its Arrow type, in the order of a stored row."""


def layout_of(table: Table) -> dict[str, str]:
    """Return the layout in which a table's rows are written today."""
    return {f.name: str(f.type) for f in table.features}


def layout_id(layout: Layout) -> bytes:
    """Return the short name of a layout, which every stored row carries."""
    return blake2b(_encode(list(layout.items())), digest_size=6).digest()


def storable(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """Return a column's values as msgpack takes them: times become microseconds."""
    return _integer_times(column).to_pylist()  # type: ignore[no-any-return]


def encode_row(values: Sequence[object]) -> bytes:
    """Encode one row's values."""
    return _encode(values)


def decode_row(row: bytes, stored: Layout, wanted: Layout) -> Sequence[object]:
    """Decode a row written in one layout for a reader of another.

    A feature that was added since, or whose type changed, reads as null; one whose type was
    widened reads as what it is.
    """
    values: Sequence[object] = _decode(row)
    if stored == wanted:
        return values
    held = dict(zip(stored, values, strict=True))
    return [_widened(held.get(n), stored.get(n), dtype) for n, dtype in wanted.items()]


def _widened(value: Any, stored: str | None, wanted: str) -> Any:
    if stored == wanted or value is None:
        return value
    if stored and stored.startswith(_LIST) and wanted.startswith(_LIST):
        items = stored[len(_LIST) : -1], wanted[len(_LIST) : -1]
        return [_widened(item, *items) for item in value] if items in _WIDER else None
    if (stored, wanted) not in _WIDER:
        return None
    return float(value) if wanted == "double" else value


def _integer_times(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.int64())
    if pa.types.is_list(column.type) and pa.types.is_timestamp(column.type.value_type):
        return column.cast(pa.list_(pa.int64()))
    return column
