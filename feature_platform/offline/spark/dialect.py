"""Spark's SQL."""

from collections.abc import Callable, Sequence

import pyarrow as pa

from feature_platform.offline.columns import family
from feature_platform.offline.dialect import Dialect
from feature_platform.types.arrow import is_nested

_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.binary(): "BINARY",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.int32(): "INT",
    pa.int64(): "BIGINT",
    pa.string(): "STRING",
}
_YEAR_1 = 62_135_596_800_000_000
_SHIFT = 10**18


class SparkDialect(Dialect):
    """Spark's SQL; nothing depends on the session's time zone."""

    def quote(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`"

    def literal(self, text: str) -> str:
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

    def type_name(self, dtype: pa.DataType) -> str:
        if pa.types.is_list(dtype):
            return f"ARRAY<{self.type_name(dtype.value_type)}>"
        if pa.types.is_map(dtype):
            return f"MAP<{self.type_name(dtype.key_type)}, {self.type_name(dtype.item_type)}>"
        if pa.types.is_struct(dtype):
            fields = (f"{self.quote(f.name)}: {self.type_name(f.type)}" for f in dtype)
            return f"STRUCT<{', '.join(fields)}>"
        if pa.types.is_decimal(dtype):
            return self.decimal_name(dtype)
        return "TIMESTAMP" if pa.types.is_timestamp(dtype) else _TYPES[dtype]

    def ordered(self, column: str, dtype: pa.DataType) -> str:
        return f"to_json({column})" if is_nested(dtype) else column

    def each(self, column: str, read: Callable[[str], str]) -> str:
        return f"transform({column}, item -> {read('item')})"

    def map_of_struct(self, column: str, names: Sequence[str]) -> str:
        pairs = ", ".join(f"{self.literal(n)}, {column}.{self.quote(n)}" for n in names)
        present = f"map_filter(map({pairs}), (k, v) -> v IS NOT NULL)"
        return f"CASE WHEN {column} IS NULL THEN NULL ELSE {present} END"

    def microseconds(self, column: str, dtype: pa.DataType) -> str | None:
        if pa.types.is_timestamp(dtype) and dtype.tz:
            return f"unix_micros({column})"
        if family(dtype) == "time":
            naive = f"CAST({column} AS TIMESTAMP_NTZ)"
            return f"timestampdiff(MICROSECOND, TIMESTAMP_NTZ'1970-01-01 00:00:00', {naive})"
        return None

    def instant(self, microseconds: str) -> str:
        return f"timestamp_micros({microseconds})"

    def between(
        self, column: str, dtype: pa.DataType, low: int | None, high: int | None
    ) -> list[str] | None:
        if not (pa.types.is_timestamp(dtype) and dtype.tz):
            return None
        conditions = [f"{column} >= timestamp_micros({low})"] if low is not None else []
        if high is not None:
            conditions.append(f"{column} <= timestamp_micros({high})")
        return conditions

    def failure(self, message: str, value: str) -> str | None:
        return f"raise_error(concat({self.literal(message)}, CAST({value} AS STRING)))"

    def pack(self, major: str, minor: str) -> str:
        # The years 1 to 9999, which Spark's times are, take 18 digits each.
        return f"(CAST({major} AS DECIMAL(38, 0)) * {_SHIFT} + ({minor} + {_YEAR_1}))"

    def packed_bound(self, major: str) -> str:
        return f"(CAST({major} AS DECIMAL(38, 0)) * {_SHIFT})"

    def quantiles(self, column: str, probabilities: Sequence[float]) -> list[str]:
        listed = ", ".join(f"{p}D" for p in probabilities)
        return [f"percentile_approx(CAST({column} AS DOUBLE), array({listed}))"]
