"""Casts of source columns to declared types, without losing information."""

from collections.abc import Callable

import pyarrow as pa

from feature_platform.errors import SourceError
from feature_platform.offline.dialect import Dialect
from feature_platform.types.arrow import is_list
from feature_platform.types.arrow_times import check_times
from feature_platform.types.decimals import holds_decimals
from feature_platform.types.values import innermost
from feature_platform.types.widening import more_digits

_FAMILIES: tuple[tuple[str, tuple[Callable[[pa.DataType], bool], ...]], ...] = (
    ("integer", (pa.types.is_integer,)),
    ("number", (pa.types.is_floating, pa.types.is_decimal)),
    ("time", (pa.types.is_timestamp, pa.types.is_date)),
    ("text", (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)),
    ("bytes", (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)),
)
_WIDENED = (("integer", "number"), ("array of integer", "array of number"))
_DOUBLE_DIGITS = 15  # of integers that a float of 64 bits always holds
_INTEGER_DIGITS = {
    pa.int8(): 3,
    pa.int16(): 5,
    pa.int32(): 10,
    pa.int64(): 19,
    pa.uint8(): 3,
    pa.uint16(): 5,
    pa.uint32(): 10,
    pa.uint64(): 20,
}


def check_times_of(rows: pa.RecordBatch, label: str) -> None:
    """Check the times in rows that an engine answered.

    Raises:
        SourceError: One is outside of the years 1 to 9999.
    """
    for field, column in zip(rows.schema, rows.columns, strict=True):
        if not isinstance(innermost(field.type), pa.TimestampType):
            continue
        try:
            check_times(column)
        except ValueError as error:
            raise SourceError(f"{label}, column {field.name!r}: {error}.") from None


def family(dtype: pa.DataType) -> str:
    """Return the family of types that can be compared and widened."""
    if pa.types.is_dictionary(dtype):
        return family(dtype.value_type)
    if isinstance(dtype, pa.UuidType):
        return "text"
    if pa.types.is_nested(dtype):
        return _family_of_nested(dtype)
    if pa.types.is_decimal(dtype) and dtype.scale == 0:
        return "integer"
    of = (name for name, tests in _FAMILIES if any(test(dtype) for test in tests))
    return next(of, str(dtype))


def _family_of_nested(dtype: pa.DataType) -> str:
    if is_list(dtype):
        return f"array of {family(dtype.value_type)}"
    if pa.types.is_map(dtype):
        return f"map of {family(dtype.key_type)} to {family(dtype.item_type)}"
    if pa.types.is_struct(dtype):
        return f"struct of {', '.join(f'{f.name}: {family(f.type)}' for f in dtype)}"
    return str(dtype)


def comparable(left: pa.DataType, right: pa.DataType) -> bool:
    """Return whether two columns can contain the same key."""
    return family(left) == family(right) != "number"


def typed(
    dialect: Dialect, column: str, stored: pa.DataType, declared: pa.DataType | None, label: str
) -> str:
    """Return the SQL that reads a column as its declared type.

    Raises:
        SourceError: The column's type cannot become the declared one.
    """
    if isinstance(stored, pa.UuidType) and declared in (None, pa.string()):
        return dialect.uuid(column)
    if declared is None and pa.types.is_null(stored):
        return f"CAST({column} AS {dialect.type_name(pa.string())})"  # null, beside any key
    if declared is None:
        has_nanoseconds = pa.types.is_timestamp(stored) and stored.unit == "ns"
        microseconds = dialect.microseconds(column, stored) if has_nanoseconds else None
        return dialect.instant(microseconds) if microseconds else column
    if _holds_only_nulls(stored, declared):
        return f"CAST({column} AS {dialect.type_name(declared)})"
    read = _read_decimal if holds_decimals(declared) else _read
    if (sql := read(dialect, column, stored, declared, label)) is None:
        raise SourceError(
            f"{label} is {stored} but declared {declared}. Change the source or the declaration."
        )
    return sql


def _holds_only_nulls(stored: pa.DataType, declared: pa.DataType) -> bool:
    """Return whether a column has no values, or only empty lists: both are of every type."""
    while is_list(stored) and is_list(declared):
        stored, declared = stored.value_type, declared.value_type
    return bool(pa.types.is_null(stored))


def _read(
    dialect: Dialect, column: str, stored: pa.DataType, declared: pa.DataType, label: str
) -> str | None:
    source, target = family(stored), family(declared)
    if target == "time" and source == "time":
        microseconds = dialect.microseconds(column, stored)
        if microseconds:
            return dialect.instant(microseconds)
    if source == target and _loses_inside(stored, declared):
        return None
    if source == target or (source, target) in _WIDENED:
        return _cast(dialect, column, stored, declared, label)
    if pa.types.is_map(declared) and pa.types.is_struct(stored):  # as pandas writes dicts
        are_texts = {family(field.type) for field in stored} == {"text"}
        names = [field.name for field in stored]
        return dialect.map_of_struct(column, names) if are_texts else None
    if (source, target) == ("number", "integer"):  # as pandas stores those with missing values
        message = f"{label} is declared {declared}, but this value is a fraction or too large: "
        return dialect.whole(column, stored, declared, message)
    return None


def _cast(
    dialect: Dialect, column: str, stored: pa.DataType, declared: pa.DataType, label: str
) -> str:
    stored_item, item = innermost(stored), innermost(declared)
    if _has_large_integers(stored_item) and pa.types.is_floating(item):
        message = f"{label} is declared {declared}, which cannot hold this value exactly: "
        if stored_item is stored:
            return dialect.exact_float(column, declared, message)
        if each := dialect.each(column, lambda item_: dialect.exact_float(item_, item, message)):
            return each
    same = stored == declared and not pa.types.is_nested(declared)
    return column if same else f"CAST({column} AS {dialect.type_name(declared)})"


def _has_large_integers(dtype: pa.DataType) -> bool:
    """Return whether a type has integers that a float of 64 bits rounds."""
    digits = _digits(dtype)
    return digits is not None and digits[1] <= 0 and digits[0] - digits[1] > _DOUBLE_DIGITS


def _loses_inside(stored: pa.DataType, declared: pa.DataType) -> bool:
    """Return whether a cast of nested values would round decimals or times within them.

    Engines say nothing when they do, and what they make of nanoseconds differs.
    """
    if not pa.types.is_nested(declared):
        return False
    return any(
        _loses_inside(item, target)
        or (pa.types.is_timestamp(item) and item.unit == "ns")
        or (pa.types.is_decimal(target) and not _holds_digits(target, item))
        for item, target in zip(_inside(stored), _inside(declared), strict=True)
    )


def _holds_digits(declared: pa.DataType, stored: pa.DataType) -> bool:
    """Return whether a decimal type has room for every digit of a stored number."""
    digits = _digits(stored)
    return digits is not None and more_digits(digits, (declared.precision, declared.scale))


def _inside(dtype: pa.DataType) -> list[pa.DataType]:
    """Return the types that a nested type is made of."""
    if is_list(dtype):
        return [dtype.value_type]
    if pa.types.is_map(dtype):
        return [dtype.key_type, dtype.item_type]
    return [field.type for field in dtype] if pa.types.is_struct(dtype) else []


def _read_decimal(
    dialect: Dialect, column: str, stored: pa.DataType, declared: pa.DataType, label: str
) -> str | None:
    """Cast only if no digit can be lost: engines silently round digits after the point."""
    if stored == declared:
        return column
    item, target = stored, declared
    while is_list(item) and is_list(target):
        item, target = item.value_type, target.value_type
    if family(item) == "text" and item is stored:
        message = f"{label} is declared {declared}, but has the value "
        return dialect.decimal(column, declared, message)
    if not _holds_digits(target, item):
        return None
    return f"CAST({column} AS {dialect.type_name(declared)})"


def _digits(dtype: pa.DataType) -> tuple[int, int] | None:
    """Return precision and scale of an exact number; `None` for others."""
    if pa.types.is_decimal(dtype):
        return dtype.precision, dtype.scale
    return (_INTEGER_DIGITS[dtype], 0) if pa.types.is_integer(dtype) else None
