"""Many values to one declared type: exactly as `exact_array` does, but fast for plain ones."""

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import pyarrow as pa

from feature_platform.errors import abbreviate
from feature_platform.types.arrow import to_python
from feature_platform.types.decimals import exact_decimals, holds_decimals
from feature_platform.types.values import exact_array

_SEARCHED = 10_000
Convert: TypeAlias = Callable[[Sequence[Any]], Sequence[Any]]
"""Converts values exactly to a declared type."""


def converter(dtype: pa.DataType | None, *, nan_is_null: bool = False) -> Convert:
    """Return a function that converts values as `exact_array` does, but fast for plain values.

    Raises (the converter):
        ValueError: As `exact_array`.
    """
    if dtype is not None and holds_decimals(dtype):
        return partial(exact_decimals, dtype=dtype, nan_is_null=nan_is_null)
    plain = _PLAIN.get(dtype)

    def convert(values: Sequence[Any]) -> Sequence[Any]:
        if plain is not None:
            try:
                return [None if value is None else plain(value) for value in values]
            except (TypeError, OverflowError):
                pass  # the general conversion decides
        return to_python(exact_array(values, dtype, nan_is_null=nan_is_null))

    return convert


def misplaced(values: Any, dtype: pa.DataType) -> str:
    """Return the position and value of the first value that cannot be converted, for messages.

    Args:
        values: Arrow or Python values; only the first 10,000 are checked.
        dtype: Their declared type.
    """
    first = values[:_SEARCHED]
    try:
        listed = first.to_pylist() if hasattr(first, "to_pylist") else first
    except (ValueError, OverflowError):  # Python has no such times
        return ""
    row = first_misfit(listed, converter(dtype, nan_is_null=True))
    return "" if row is None else f"row {row} ({abbreviate(listed[row])})"


def first_misfit(values: Sequence[Any], convert: Convert) -> int | None:
    """Return the position of the first value that cannot be converted; `None` if all can."""
    for position, value in enumerate(values):
        try:
            convert([value])
        except ValueError:
            return position
    return None


def _whole(bits: int) -> Callable[[Any], int]:
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def check(value: Any) -> int:
        if type(value) is int and least <= value <= most:
            return value
        raise TypeError

    return check


def _is(kind: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if type(value) is kind:
            return value
        raise TypeError

    return check


def _ascii(value: Any) -> str:
    if type(value) is str and value.isascii():
        return value
    raise TypeError


def _float(value: Any) -> float:
    if type(value) is float and value == value:  # noqa: PLR0124 - NaN may mean null
        return value
    raise TypeError


def _narrow(value: Any) -> float:
    narrow: float = _FLOAT32.unpack(_FLOAT32.pack(_float(value)))[0]
    return narrow


_FLOAT32 = struct.Struct("<f")
_PLAIN: Mapping[pa.DataType | None, Callable[[Any], Any]] = {
    pa.int64(): _whole(64),
    pa.int32(): _whole(32),
    pa.float64(): _float,
    pa.float32(): _narrow,
    pa.string(): _ascii,
    pa.binary(): _is(bytes),
    pa.bool_(): _is(bool),
}
