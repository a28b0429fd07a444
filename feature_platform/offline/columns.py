"""How DuckDB's column types become declared types, without losing anything."""

import re

import pyarrow as pa

from feature_platform.errors import RequestError, SchemaError

_SQL = {
    pa.bool_(): "BOOLEAN",
    pa.binary(): "BLOB",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.string(): "VARCHAR",
}
_INTEGERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|UINTEGER")
_FLOATS = ("FLOAT", "DOUBLE", "DECIMAL")
_TIMES = ("TIMESTAMP", "DATE")


def sql_type(dtype: pa.DataType) -> str:
    """Return DuckDB's name of an Arrow type."""
    if pa.types.is_list(dtype):
        return f"{sql_type(dtype.value_type)}[]"
    return "TIMESTAMPTZ" if pa.types.is_timestamp(dtype) else _SQL[dtype]


def family(dtype: str) -> str:
    """Return the family within which values can be compared and widened."""
    if dtype.endswith("[]"):
        return f"array of {family(dtype[:-2])}"
    if _INTEGERS.fullmatch(dtype):
        return "integer"
    if dtype.startswith(_FLOATS):
        return "number"
    if dtype.startswith("TIME") or dtype == "DATE":
        return "time"
    return "text" if dtype.startswith(("VARCHAR", "ENUM")) else dtype.lower()


def comparable(left: str, right: str) -> bool:
    """Say whether two columns can hold the same key."""
    return family(left) == family(right) != "number"


def microseconds_of(column: str, dtype: str) -> str:
    """Return the SQL of a time as microseconds since 1970 UTC; naive times are UTC.

    Nanoseconds are floored, so that nothing moves into the future or out of it.

    Raises:
        RequestError: The column is not a time.
    """
    if dtype.endswith("_NS"):
        nanoseconds = f"epoch_ns({column})"
        floor = f"({nanoseconds} - ({nanoseconds} % 1000 + 1000) % 1000)"
        return f"({floor} // 1000)"
    if dtype.startswith(_TIMES) or family(dtype) == "text":
        return f"epoch_us(CAST({column} AS TIMESTAMPTZ))"
    raise RequestError(f"column {column} is {dtype}, not a time.")


def expression(column: str, found: str, declared: pa.DataType | None, where: str) -> str:
    """Return the SQL that reads a column as its declared type.

    Raises:
        SchemaError: The column's type cannot become the declared one.
    """
    if declared is None:
        return column
    wanted = sql_type(declared)
    if wanted == "TIMESTAMPTZ" and found.startswith(_TIMES):
        return f"make_timestamptz({microseconds_of(column, found)})"
    held, needed = family(found), family(wanted)
    if held == needed or (held, needed) == ("integer", "number"):
        return column if found == wanted else f"CAST({column} AS {wanted})"
    if (held, needed) == ("array of integer", "array of number"):
        return f"CAST({column} AS {wanted})"
    if (held, needed) == ("number", "integer"):  # whole numbers that missed values in pandas
        message = f"{where} is declared {wanted} and holds a fraction: "
        return (
            f"CASE WHEN {column} IS NULL OR isnan({column}) THEN NULL WHEN {column} = "
            f"trunc({column}) THEN CAST({column} AS {wanted}) ELSE "
            f"error('{message.replace(chr(39), chr(39) * 2)}' || {column}) END"
        )
    raise SchemaError(f"{where} is {found} and is declared {wanted}. Correct the one or the other.")
