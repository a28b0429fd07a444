"""Statistics of features, computed by the engine in one pass."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from feature_platform.display import html_table, text_table
from feature_platform.offline.columns import family
from feature_platform.offline.dialect import Dialect
from feature_platform.types.times import from_microseconds

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TOP = 10
FEW_VALUES = 1000
"""The most frequent values are counted for up to this many distinct values."""
_ORDERED = ("integer", "number", "time", "text", "bool")
_NUMERIC = ("integer", "number")


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """Statistics of one feature.

    Attributes:
        feature: Its name.
        dtype: Its Arrow type.
        count: Rows.
        nulls: Rows without a value.
        distinct: Number of distinct values: exact up to about 1,000, estimated within a few percent
            beyond that.
        min: Smallest value; `None` without values and for arrays and bytes. Exact for decimals.
        max: Greatest value.
        mean: Of numbers.
        stddev: Of numbers, of the sample.
        quantiles: Probability → value, of numbers, estimated.
        top: The most frequent values with their counts, if there are at most 1,000 distinct
            values.
    """

    feature: str
    dtype: str
    count: int
    nulls: int
    distinct: int
    min: Any = None
    max: Any = None
    mean: float | None = None
    stddev: float | None = None
    quantiles: Mapping[float, float | None] | None = None
    top: Sequence[tuple[Any, int]] = ()

    @property
    def null_share(self) -> float:
        """Share of rows without a value; 0 without rows."""
        return self.nulls / self.count if self.count else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class Statistics(dict[str, FeatureStatistics]):
    """Feature → its statistics; prompts and notebooks show a table, with ~ at estimates."""

    HEADS = ("feature", "rows", "nulls", "~distinct", "min", "~median", "mean", "max", "stddev")

    def cells(self) -> list[tuple[str, ...]]:
        """Return a row for each feature, with a text for each of `HEADS`."""
        rows = []
        for name, s in self.items():
            median = (s.quantiles or {}).get(0.5)
            values = (s.count, s.nulls, s.distinct, s.min, median, s.mean, s.max, s.stddev)
            rows.append((name, *map(_cell, values)))
        return rows

    def __repr__(self) -> str:
        return text_table(self.HEADS, self.cells(), most=len(self))

    def _repr_html_(self) -> str:
        return html_table(self.HEADS, self.cells(), most=len(self))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def statistics_sql(
    dialect: Dialect, relation: str, columns: Mapping[str, str], types: pa.Schema
) -> str:
    """Return the query that describes every column in one pass, as one row.

    Args:
        dialect: The engine's SQL.
        relation: The expression after FROM, with conditions.
        columns: Feature → expression.
        types: Their types.
    """
    selected = ["count(*) AS n"]
    for i, (name, column) in enumerate(columns.items()):
        parts = _parts(dialect, column, types.field(name).type)
        selected += [f"{sql} AS {part}_{i}" for part, sql in parts.items()]
    return f"SELECT {', '.join(selected)} FROM {relation}"


def _parts(dialect: Dialect, column: str, dtype: pa.DataType) -> dict[str, str]:
    kind = family(dtype)
    parts = {"present": f"count({column})", "distinct": f"approx_count_distinct({column})"}
    if kind in _ORDERED:
        compared = dialect.microseconds(column, dtype) if kind == "time" else column
        parts |= {"min": f"min({compared})", "max": f"max({compared})"}
    if kind in _NUMERIC:
        number = column  # sums of many digits would overflow
        if pa.types.is_decimal(dtype):
            number = f"CAST({column} AS {dialect.type_name(pa.float64())})"
        parts |= {"mean": f"avg({number})", "stddev": f"stddev_samp({number})"}
        parts |= {f"q{j}": q for j, q in enumerate(dialect.quantiles(column, QUANTILES))}
    return parts


def top_sql(relation: str, columns: Sequence[str]) -> str:
    """Return the query of the most frequent values of columns of one type, by position.

    The source is read once for all of them: planning it costs as much as it has columns.
    """
    selected = ", ".join(f"{column} AS c{i}" for i, column in enumerate(columns))
    parts = [
        f"(SELECT {i} AS i, v, n, d FROM (SELECT c{i} AS v, count(*) AS n, count(*) OVER () AS d "
        f"FROM described GROUP BY c{i}) g{i} ORDER BY n DESC, v LIMIT {TOP + 1})"
        for i in range(len(columns))
    ]
    ordered = "SELECT i, v, n, d FROM top_values ORDER BY i, n DESC, v"
    return (
        f"WITH described AS (SELECT {selected} FROM {relation}), "
        f"top_values AS ({' UNION ALL '.join(parts)}) {ordered}"
    )


def read_statistics(
    row: Mapping[str, Any], types: pa.Schema, top: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Statistics:
    """Return what `statistics_sql` answered, by feature.

    Args:
        row: The answer.
        types: The features.
        top: Feature → what `top_sql` answered, where it was asked.
    """
    described = Statistics()
    parts: dict[str, dict[str, Any]] = {}
    for label, value in row.items():
        name, _, number = label.rpartition("_")
        parts.setdefault(number, {})[name] = value
    for i, field in enumerate(types):
        part = parts[str(i)]
        quantiles = [v for name, v in part.items() if name.startswith("q") and v is not None]
        if quantiles and isinstance(quantiles[0], list):
            [quantiles] = quantiles
        described[field.name] = FeatureStatistics(
            feature=field.name,
            dtype=str(field.type),
            count=row["n"],
            nulls=row["n"] - part["present"],
            distinct=_distinct(part, row["n"], top.get(field.name)),
            min=_value(part.get("min"), field.type),
            max=_value(part.get("max"), field.type),
            mean=_float(part.get("mean")),
            stddev=_float(part.get("stddev")),
            quantiles=dict(zip(QUANTILES, map(_float, quantiles), strict=True))
            if quantiles
            else None,
            top=[(r["v"], r["n"]) for r in top.get(field.name, ()) if r["v"] is not None][:TOP],
        )
    return described


def _distinct(
    part: Mapping[str, Any], rows: int, counted: Sequence[Mapping[str, Any]] | None
) -> int:
    if counted:
        return int(counted[0]["d"]) - int(part["present"] < rows)
    return min(int(part["distinct"]), int(part["present"]))


def _value(value: Any, dtype: pa.DataType) -> Any:
    if value is None:
        return None
    if family(dtype) == "time":
        try:
            return from_microseconds(int(value))
        except OverflowError:  # beyond the years that Python has
            return None
    if isinstance(value, Decimal) and not pa.types.is_decimal(dtype):
        return float(value)
    return value


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
