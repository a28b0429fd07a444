"""Feature types as Arrow types, which carry them at every boundary."""

import re
from functools import lru_cache
from typing import Any, Final, TypeAlias

import pyarrow as pa

from feature_platform.errors import SchemaError
from feature_platform.types.feature_types import (
    SCALARS,
    Array,
    Decimal,
    FeatureType,
    Struct,
    outer_parts,
)

Column: TypeAlias = Any
"""An Arrow array or chunked array."""

TIMESTAMP: Final = pa.timestamp("us", tz="UTC")

_ARROW: Final[dict[str, pa.DataType]] = {
    "Bool": pa.bool_(),
    "Bytes": pa.binary(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "Json": pa.string(),
    "Map": pa.map_(pa.string(), pa.string()),
    "String": pa.string(),
    "UnixTimestamp": TIMESTAMP,
}
_BY_ARROW_NAME: Final = {
    str(dtype): SCALARS[name] for name, dtype in _ARROW.items() if name != "Json"
}
_DECIMAL: Final = re.compile(r"decimal128\((\d+), (\d+)\)")
_LIST: Final = re.compile(r"list<item: (.+)>")
_STRUCT: Final = re.compile(r"struct<(.+)>")


def arrow_type(dtype: FeatureType) -> pa.DataType:
    """Return the Arrow type of a feature type."""
    if dtype.digits:
        return pa.decimal128(*dtype.digits)
    if dtype.fields:
        return pa.struct([(name, arrow_type(field)) for name, field in dtype.fields])
    return pa.list_(arrow_type(dtype.item)) if dtype.item else _ARROW[dtype.name]


@lru_cache(maxsize=1024)
def feature_type(arrow_name: str) -> FeatureType:
    """Return the feature type of an Arrow type, by the name that Arrow prints.

    Raises:
        ValueError: No feature type is carried by that Arrow type.

    Example:
        >>> feature_type("list<item: int64>")
        Array(Int64)
    """
    if array := _LIST.fullmatch(arrow_name):
        return Array(feature_type(array[1]))
    if struct := _STRUCT.fullmatch(arrow_name):
        parts = [part.partition(": ") for part in outer_parts(struct[1])]
        return Struct({name: feature_type(dtype) for name, _, dtype in parts})
    if digits := _DECIMAL.fullmatch(arrow_name):
        return Decimal(int(digits[1]), int(digits[2]))
    if arrow_name not in _BY_ARROW_NAME:
        raise ValueError(f"{arrow_name!r} is not the Arrow type of a feature.")
    return _BY_ARROW_NAME[arrow_name]


def widest(dtype: pa.DataType) -> pa.DataType:
    """Return the 64-bit type of integers and floats, also in lists; other types unchanged."""
    if is_list(dtype):
        return pa.list_(widest(dtype.value_type))
    if pa.types.is_integer(dtype):
        return pa.int64()
    return pa.float64() if pa.types.is_floating(dtype) else dtype


def is_nested(dtype: pa.DataType) -> bool:
    """Say whether values of a type are maps or structs, or lists of them or of lists."""
    if is_list(dtype):
        return is_list(dtype.value_type) or is_nested(dtype.value_type)
    return bool(pa.types.is_map(dtype) or pa.types.is_struct(dtype))


def to_python(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return values as Python's; maps as dicts.

    Raises:
        SchemaError: A map has a key twice.
    """
    if is_nested(column.type):
        try:
            return column.to_pylist(maps_as_pydicts="strict")  # type: ignore[no-any-return]
        except KeyError as error:
            reason = str(error.args[0]) if error.args else "a key"
            raise SchemaError(f"A map has a key twice: {reason}") from None
    return column.to_pylist()  # type: ignore[no-any-return]


def is_list(dtype: pa.DataType) -> bool:
    """Say whether values of a type are lists, in any of Arrow's layouts."""
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(dtype) for test in tests)


def is_pandas_index(name: str) -> bool:
    """Return whether a column of a file is an unnamed index that pandas wrote beside the data."""
    return name.startswith("__index_level_") and name.endswith("__")
