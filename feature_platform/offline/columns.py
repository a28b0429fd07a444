"""How the columns that an engine finds become declared types, without losing anything."""

import pyarrow as pa

from feature_platform.errors import SchemaError
from feature_platform.offline.dialect import Dialect


def family(dtype: pa.DataType) -> str:
    """Return the family within which values can be compared and widened."""
    types = pa.types
    if types.is_dictionary(dtype):
        return family(dtype.value_type)
    if types.is_list(dtype) or types.is_large_list(dtype) or types.is_fixed_size_list(dtype):
        return f"array of {family(dtype.value_type)}"
    if types.is_integer(dtype) or (types.is_decimal(dtype) and dtype.scale == 0):
        return "integer"
    if types.is_floating(dtype) or types.is_decimal(dtype):
        return "number"
    if types.is_timestamp(dtype) or types.is_date(dtype):
        return "time"
    if types.is_string(dtype) or types.is_large_string(dtype) or types.is_string_view(dtype):
        return "text"
    if types.is_binary(dtype) or types.is_large_binary(dtype) or types.is_binary_view(dtype):
        return "bytes"
    return str(dtype)


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
        message = f"{where} is declared {declared} and holds a fraction: "
        if (whole := dialect.whole(column, declared, message)) is not None:
            return whole
    raise SchemaError(
        f"{where} is {found} and is declared {declared}. Correct the one or the other."
    )
