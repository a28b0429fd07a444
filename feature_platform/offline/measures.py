"""Measures of a window of rows, computed by the engine in one pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from feature_platform.offline.dialect import Dialect
from feature_platform.offline.source_sql import SourceSql

Scalar = bool | int | float | str


@dataclass(frozen=True)
class Measure:
    """A number about the rows of a window.

    Attributes:
        kind: `rows`: how many there are. `nulls`, `outside` (of `low` to `high`), `others` (than
            `values`): how many have such a value in `column`. `duplicates`: how many share keys and
            event time with an earlier one. `newest`: the newest event time, in microseconds.
        column: A feature or a join key.
        low: Smallest value.
        high: Greatest value.
        values: Allowed values.
    """

    kind: Literal["rows", "nulls", "outside", "others", "duplicates", "newest"]
    column: str = ""
    low: float | None = None
    high: float | None = None
    values: tuple[Scalar, ...] = ()


@dataclass(frozen=True)
class Histogram:
    """How often values of a feature occur in a reference and in a window, bin by bin.

    Attributes:
        labels: The bins: upper bounds of numbers, or the values themselves; `None` for nulls.
        reference: Rows of each bin in the reference.
        window: Rows of each bin in the window.
    """

    labels: tuple[object, ...]
    reference: tuple[int, ...]
    window: tuple[int, ...]


def measures_sql(
    dialect: Dialect, source: SourceSql, conditions: str, measures: Sequence[Measure]
) -> str:
    """Return the statement that computes measures, as one row."""
    columns = {**source.keys, **source.features}
    rows = f"{source.relation} WHERE {conditions}"
    distinct = ", ".join(
        f"{expression} AS c{i}"
        for i, expression in enumerate([*source.keys.values(), source.event])
    )
    selected = []
    for i, measure in enumerate(measures):
        column = columns.get(measure.column, "")
        sql = {
            "rows": "count(*)",
            "nulls": f"count(*) - count({column})",
            "newest": f"max({source.event})",
            "duplicates": (
                f"count(*) - (SELECT count(*) FROM (SELECT DISTINCT {distinct} FROM {rows}) d)"
            ),
            "outside": _count_if(_outside(column, measure)),
            "others": _count_if(_others(dialect, column, measure)),
        }[measure.kind]
        selected.append(f"{sql} AS m{i}")
    return f"SELECT {', '.join(selected)} FROM {rows}"


def bins_sql(column: str, relation: str, periods: Sequence[str], edges: Sequence[float]) -> str:
    """Return the statement that counts numbers by bin and period, as one row.

    Args:
        column: The numbers.
        relation: The expression after FROM, with conditions.
        periods: Condition of each period.
        edges: Upper bounds of all bins but the last, ascending.
    """
    bounds = [*map(literal_number, edges)]
    bins = [f"{column} IS NULL"]
    bins += [
        f"{column} <= {high}" if low is None else f"{column} > {low} AND {column} <= {high}"
        for low, high in zip([None, *bounds[:-1]], bounds, strict=False)
    ]
    bins.append(f"{column} > {bounds[-1]}" if bounds else f"{column} IS NOT NULL")
    counts = [
        f"{_count_if(f'({period}) AND ({condition})')} AS p{i}_{j}"
        for i, period in enumerate(periods)
        for j, condition in enumerate(bins)
    ]
    return f"SELECT {', '.join(counts)} FROM {relation}"


def literal_number(value: float) -> str:
    """Return a number as SQL writes it; only finite ones come here."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return repr(int(value))
    return repr(value)


def _count_if(condition: str) -> str:
    return f"coalesce(sum(CASE WHEN {condition} THEN 1 ELSE 0 END), 0)"


def _outside(column: str, measure: Measure) -> str:
    conditions = []
    if measure.low is not None:
        conditions.append(f"NOT ({column} >= {literal_number(measure.low)})")
    if measure.high is not None:
        conditions.append(f"NOT ({column} <= {literal_number(measure.high)})")
    joined = " OR ".join(conditions) or "1 = 0"
    return f"{column} IS NOT NULL AND ({joined})"


def _others(dialect: Dialect, column: str, measure: Measure) -> str:
    listed = ", ".join(_literal(dialect, value) for value in measure.values) or "NULL"
    return f"{column} IS NOT NULL AND {column} NOT IN ({listed})"


def _literal(dialect: Dialect, value: Scalar) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return dialect.literal(value) if isinstance(value, str) else repr(value)
