"""Snowflake's SQL."""

from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from feature_platform.errors import SourceError
from feature_platform.offline.columns import family
from feature_platform.offline.dialect import Dialect

_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.binary(): "BINARY",
    pa.float32(): "FLOAT",
    pa.float64(): "FLOAT",
    pa.int32(): "NUMBER(38, 0)",
    pa.int64(): "NUMBER(38, 0)",
    pa.string(): "VARCHAR",
}
_YEAR_1 = 62_135_596_800_000_000


class SnowflakeDialect(Dialect):
    """Snowflake's SQL; times are written without a zone and mean UTC."""

    folds_names: ClassVar[bool] = True

    def quote(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def literal(self, text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"

    def type_name(self, dtype: pa.DataType) -> str:
        if pa.types.is_decimal(dtype):
            return self.decimal_name(dtype)
        if pa.types.is_nested(dtype):
            raise SourceError(
                f"Snowflake has no {dtype} here: arrays, maps and structs need DuckDB or Spark."
            )
        return "TIMESTAMP_NTZ" if pa.types.is_timestamp(dtype) else _TYPES[dtype]

    def microseconds(self, column: str, dtype: pa.DataType) -> str | None:
        if pa.types.is_timestamp(dtype):
            return f"DATE_PART(EPOCH_MICROSECOND, {column})"
        if family(dtype) == "time":
            return f"DATE_PART(EPOCH_MICROSECOND, CAST({column} AS TIMESTAMP_NTZ))"
        return None

    def instant(self, microseconds: str) -> str:
        return f"TO_TIMESTAMP_NTZ({microseconds}, 6)"

    def between(
        self, column: str, dtype: pa.DataType, low: int | None, high: int | None
    ) -> list[str] | None:
        if not pa.types.is_timestamp(dtype) or dtype.tz:
            return None
        conditions = [f"{column} >= TO_TIMESTAMP_NTZ({low}, 6)"] if low is not None else []
        if high is not None:  # nanoseconds are floored
            conditions.append(f"{column} < TO_TIMESTAMP_NTZ({high + 1}, 6)")
        return conditions

    def failure(self, message: str, value: str) -> str | None:
        return None

    def pack(self, major: str, minor: str) -> str:
        return f"({_digits(major)} || {_digits(minor)})"

    def packed_bound(self, major: str) -> str:
        return _digits(f"greatest({major}, -{_YEAR_1})")

    def quantiles(self, column: str, probabilities: Sequence[float]) -> list[str]:
        return [f"APPROX_PERCENTILE({column}, {p})" for p in probabilities]


def _digits(microseconds: str) -> str:
    """Return a time as text of one length, which orders as the time does, from year 1 to 9999."""
    return f"LPAD(TO_VARCHAR({microseconds} + {_YEAR_1}), 18, '0')"
