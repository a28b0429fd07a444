"""Text, as CSV files hold values: read as declared types; nothing is rounded, cut or guessed."""

import json
from collections.abc import Sequence

import pyarrow as pa

from feature_platform.types.arrow import TIMESTAMP, Column
from feature_platform.types.values import exact_array, exact_cast

INTEGER = r"^[+-]?[0-9]+([.]0*)?$"
"""An integer; pandas writes those beside missing values as 1.0."""
NUMBER = r"(?i)^([+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)(e[+-]?[0-9]+)?|[+-]?inf(inity)?|nan)$"
BOOLEAN = r"(?i)^(true|false|0|1)$"
ISO_TIME = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?"
    r"( ?([Zz]|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?))?)?$"
)
CANONICAL_INTEGER = "^(0|-?[1-9][0-9]{0,17})$"
"""An integer of 64 bits as programs write it, so that it is no text such as 007."""
_FRACTION = r"^-?(0|[1-9][0-9]*)[.][0-9]+(e[+-]?[0-9]+)?$"
_NOT_FINITE = "(?i)inf|nan"


def from_text(column: Column, dtype: pa.DataType) -> Column:
    """Return text as values of a declared type; lists, maps and structs are JSON.

    Raises:
        ValueError: A value is not of that type.
    """
    from pyarrow import compute

    if pa.types.is_nested(dtype):
        values = [None if v is None else json.loads(v) for v in column.to_pylist()]
        return exact_array(values, dtype)
    if pa.types.is_integer(dtype):
        _check(column, INTEGER, "an integer")
        whole = compute.replace_substring_regex(column, r"^[+]|[.]0*$", "")
        return _cast(whole, dtype)
    if pa.types.is_floating(dtype):
        _check(column, NUMBER, "a number")
        number = _cast(column, dtype)
        large = compute.and_(
            compute.invert(compute.is_finite(number)),
            compute.invert(compute.match_substring_regex(column, _NOT_FINITE)),
        )
        if compute.any(large).as_py():
            raise ValueError(f"{column.filter(large)[0].as_py()} is too large for {dtype}")
        return number
    if pa.types.is_boolean(dtype):
        _check(column, BOOLEAN, "true or false")
    elif pa.types.is_timestamp(dtype):
        _check(column, ISO_TIME, "an ISO 8601 time, such as 2026-01-31T12:00:00Z")
    return _cast(column, dtype) if pa.types.is_boolean(dtype) else exact_cast(column, dtype)


def inferred(column: Column) -> Column:
    """Return text as the type that all of its values have beyond doubt; else as it is."""
    if column.null_count == len(column):
        return pa.nulls(len(column))
    for pattern, dtype in _PLAIN:
        if _misfit(column, pattern) is None:
            try:
                return from_text(column, dtype)
            except ValueError:
                return column
    return column


_PLAIN: Sequence[tuple[str, pa.DataType]] = (
    (CANONICAL_INTEGER, pa.int64()),
    (f"{CANONICAL_INTEGER}|{_FRACTION}", pa.float64()),
    ("(?i)^(true|false)$", pa.bool_()),
    (ISO_TIME, TIMESTAMP),
)


def _check(column: Column, pattern: str, expected: str) -> None:
    misfit = _misfit(column, pattern)
    if misfit is not None:
        raise ValueError(f"{misfit!r} is not {expected}")


def _misfit(column: Column, pattern: str) -> str | None:
    """Return the first value that does not match a pattern; `None` if all do."""
    from pyarrow import compute

    matches = compute.match_substring_regex(column, pattern)
    misfits = column.filter(compute.invert(matches))
    return str(misfits[0].as_py()) if len(misfits) else None


def _cast(column: Column, dtype: pa.DataType) -> Column:
    try:
        return column.cast(dtype)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
