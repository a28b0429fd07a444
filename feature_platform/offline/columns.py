"""How the columns that an engine finds become declared types, without losing anything."""

from collections.abc import Callable

import pyarrow as pa

from feature_platform.errors import SchemaError
from feature_platform.offline.dialect import Dialect

_FAMILIES: tuple[tuple[str, tuple[Callable[[pa.DataType], bool], ...]], ...] = (
    ("integer", (pa.types.is_integer,)),
    ("number", (pa.types.is_floating, pa.types.is_decimal)),
    ("time", (pa.types.is_timestamp, pa.types.is_date)),
    ("text", (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)),
    ("bytes", (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)),
)
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def family(dtype: pa.DataType) -> str:
    """Return the family within which values can be compared and widened."""
    if pa.types.is_dictionary(dtype):
        return family(dtype.value_type)
    if any(is_list(dtype) for is_list in _LISTS):
        return f"array of {family(dtype.value_type)}"
    if pa.types.is_decimal(dtype) and dtype.scale == 0:
        return "integer"
    of = (name for name, tests in _FAMILIES if any(test(dtype) for test in tests))
    return next(of, str(dtype))


def comparable(left: pa.DataType, right: pa.DataType) -> bool:
    """Say whether two columns can hold the same key."""
    return family(left) == family(right) != "number"


def typed(
    dialect: Dialect, column: str, found: pa.DataType, declared: pa.DataType | None, where: str
) -> str:
    """Return the SQL that reads a column as its declared type.

    Raises:
        SchemaError: The column's type cannot become the declared one.
    """
    if declared is None:
        return column
    held, wanted = family(found), family(declared)
    if wanted == "time" and held == "time":
        microseconds = dialect.microseconds(column, found)
        if microseconds:
            return dialect.instant(microseconds)
    if held == wanted or (held, wanted) == ("integer", "number"):
        same = found == declared and not pa.types.is_list(declared)
        return column if same else f"CAST({column} AS {dialect.type_name(declared)})"
    if (held, wanted) == ("array of integer", "array of number"):
        return f"CAST({column} AS {dialect.type_name(declared)})"
    if (held, wanted) == ("number", "integer"):  # whole numbers that missed values in pandas
        message = f"{where} is declared {declared} and holds a fraction, or more than a float can: "
        if (whole := dialect.whole(column, found, declared, message)) is not None:
            return whole
    raise SchemaError(
        f"{where} is {found} and is declared {declared}. Correct the one or the other."
    )
