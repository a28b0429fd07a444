"""DuckDB's SQL."""

from collections.abc import Callable, Sequence

import pyarrow as pa

from feature_platform.offline.columns import family
from feature_platform.offline.dialect import Dialect
from feature_platform.types.text import ISO_TIME

_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.binary(): "BLOB",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.string(): "VARCHAR",
}
_RANGES = {  # what every time of a unit can be compared with, in microseconds
    "us": (-62_135_596_800_000_000, 253_402_300_799_999_999),
    "ns": (-9_223_372_036_854_775, 9_223_372_036_854_775),
}


class DuckDBDialect(Dialect):
    """DuckDB's SQL."""

    def quote(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def literal(self, text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    def type_name(self, dtype: pa.DataType) -> str:
        if pa.types.is_list(dtype):
            return f"{self.type_name(dtype.value_type)}[]"
        if pa.types.is_map(dtype):
            return f"MAP({self.type_name(dtype.key_type)}, {self.type_name(dtype.item_type)})"
        if pa.types.is_struct(dtype):
            fields = (f"{self.quote(f.name)} {self.type_name(f.type)}" for f in dtype)
            return f"STRUCT({', '.join(fields)})"
        if pa.types.is_decimal(dtype):
            return self.decimal_name(dtype)
        return "TIMESTAMPTZ" if pa.types.is_timestamp(dtype) else _TYPES[dtype]

    def each(self, column: str, read: Callable[[str], str]) -> str:
        return f"list_transform({column}, lambda item: {read('item')})"

    def map_of_struct(self, column: str, names: Sequence[str]) -> str:
        entries = ", ".join(
            f"{{'k': {self.literal(name)}, 'v': {column}.{self.quote(name)}}}" for name in names
        )
        pairs = f"list_filter([{entries}], lambda e: e.v IS NOT NULL)"
        return f"CASE WHEN {column} IS NULL THEN NULL ELSE map_from_entries({pairs}) END"

    def microseconds(self, column: str, dtype: pa.DataType) -> str | None:
        if pa.types.is_timestamp(dtype) and dtype.unit == "ns":
            nanoseconds = f"epoch_ns({column})"
            return f"(({nanoseconds} - ({nanoseconds} % 1000 + 1000) % 1000) // 1000)"
        microseconds = f"epoch_us(CAST({column} AS TIMESTAMPTZ))"
        if family(dtype) == "text":  # DuckDB also reads 'epoch', 'infinity' and names of zones
            allowed = f"{column} IS NULL OR regexp_matches(trim({column}), '{ISO_TIME}')"
            message = "a time is not in ISO 8601, as 2026-01-31T12:00:00Z is: "
            return (
                f"CASE WHEN {allowed} THEN {microseconds} ELSE {self.failure(message, column)} END"
            )
        return microseconds if family(dtype) == "time" else None

    def instant(self, microseconds: str) -> str:
        return f"make_timestamptz({microseconds})"

    def between(
        self, column: str, dtype: pa.DataType, low: int | None, high: int | None
    ) -> list[str] | None:
        if not pa.types.is_timestamp(dtype) or dtype.unit not in _RANGES:
            return None
        least, most = _RANGES[dtype.unit]
        if not all(bound is None or least <= bound < most for bound in (low, high)):
            return None
        zone = "tz" if dtype.tz else ""
        time = f"make_timestamp{zone}({{}})"
        if dtype.unit == "ns":
            time = f"CAST({time} AS TIMESTAMP{zone.upper()}_NS)"
        conditions = [f"{column} >= {time.format(low)}"] if low is not None else []
        if high is not None and dtype.unit == "us":
            conditions.append(f"{column} <= {time.format(high)}")
        elif high is not None:  # nanoseconds are floored
            conditions.append(f"{column} < {time.format(high + 1)}")
        return conditions

    def matches(self, text: str, pattern: str) -> str:
        return f"regexp_matches({text}, {pattern})"

    def failure(self, message: str, value: str) -> str | None:
        return f"error({self.literal(message)} || {value})"

    def pack(self, major: str, minor: str) -> str:
        # 64 bits each: every time that DuckDB has fits.
        return (
            f"(CAST({major} AS HUGEINT) * 18446744073709551616 + ({minor} + 9223372036854775808))"
        )

    def packed_bound(self, major: str) -> str:
        return f"(CAST({major} AS HUGEINT) * 18446744073709551616)"

    def quantiles(self, column: str, probabilities: Sequence[float]) -> list[str]:
        return [f"approx_quantile(CAST({column} AS DOUBLE), {list(probabilities)})"]

    def asof_join(self, rows: str, source: str, conditions: str) -> str | None:
        return f"{rows} ASOF JOIN {source} ON {conditions}"
