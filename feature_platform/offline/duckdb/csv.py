"""Values of CSV files: text, converted strictly to declared types.

DuckDB's own detection is not used. It infers types from a sample, rounds or cuts later values to
them, and guesses the order of day and month for each file.
"""

import pyarrow as pa

from feature_platform.errors import SourceError
from feature_platform.offline.dialect import Dialect
from feature_platform.table import SourceTable, Table
from feature_platform.types.arrow import TIMESTAMP, is_list
from feature_platform.types.text import BOOLEAN, CANONICAL_INTEGER, INTEGER, ISO_TIME, NUMBER

CSV_OPTIONS = """
    all_varchar = true, quote = '"', escape = '"', comment = '', skip = 0,
    allow_quoted_nulls = false
"""
"""Only the delimiter and the line ends are detected."""


def column_types(table: Table, source: SourceTable) -> dict[str, pa.DataType | None]:
    """Return source column → declared type; `None` for keys without one."""
    declared = {**table.keys, **{f.name: f.type for f in table.features}}
    types = {source.column(name): dtype for name, dtype in declared.items()}
    times = (source.event_timestamp, source.created_timestamp)
    return types | {name: TIMESTAMP for name in times if name}


def parse(dialect: Dialect, source: str, name: str, dtype: pa.DataType) -> str:
    """Return the SQL that reads a text column as a declared type, or fails with the value.

    Text stays text, and so do decimals, which are parsed from their digits when they are read.
    """
    column = dialect.quote(name)
    if is_list(dtype):
        texts = f"CAST({column} AS VARCHAR[])"
        each = dialect.each(texts, lambda i: _parsed(dialect, source, name, i, dtype.value_type))
        return each or texts
    return _parsed(dialect, source, name, column, dtype)


def only_integers(column: str) -> str:
    """Return the condition that all values of a text column are integers as numbers are written."""
    return f"coalesce(bool_and(regexp_matches({column}, '{CANONICAL_INTEGER}')), false)"


def _parsed(dialect: Dialect, source: str, name: str, value: str, dtype: pa.DataType | None) -> str:
    if dtype is None or pa.types.is_string(dtype) or pa.types.is_decimal(dtype):
        return value
    type_name = dialect.type_name(dtype)
    if pa.types.is_binary(dtype):
        return f"CAST({value} AS {type_name})"
    if type_name not in _PATTERNS:
        raise SourceError(
            f"Source {source!r}: column {name!r} is declared {dtype}, which CSV files do not hold. "
            "Use Parquet."
        )
    pattern, expected = _PATTERNS[type_name]
    text = f"trim({value})"
    digits = f"split_part({text}, '.', 1)" if pattern == INTEGER else text
    parsed = f"TRY_CAST({digits} AS {type_name})"
    allowed = f"regexp_matches({text}, {dialect.literal(pattern)})"
    if pattern == NUMBER:  # a number that is too large is not infinity
        allowed += f" AND (isfinite({parsed}) OR regexp_matches({text}, '(?i)inf|nan'))"
    message = f"Source {source!r}, column {name!r} is declared {dtype}, but {expected}: "
    return (
        f"CASE WHEN {value} IS NULL THEN NULL WHEN {allowed} AND {parsed} IS NOT NULL "
        f"THEN {parsed} ELSE {dialect.failure(message, value)} END"
    )


_PATTERNS = {
    "INTEGER": (INTEGER, "this value is not a 32-bit integer"),
    "BIGINT": (INTEGER, "this value is not a 64-bit integer"),
    "FLOAT": (NUMBER, "this value is not a number"),
    "DOUBLE": (NUMBER, "this value is not a number"),
    "BOOLEAN": (BOOLEAN, "this value is neither true nor false"),
    "TIMESTAMPTZ": (ISO_TIME, "this value is not an ISO 8601 time, such as 2026-01-31T12:00:00Z"),
}
