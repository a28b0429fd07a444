"""Values arrive in their declared types, exactly, or not at all."""

import datetime as dt
import math
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests_support import raises

from feature_platform.errors import RequestError
from feature_platform.retrieval import to_arrow
from feature_platform.types.converter import converter
from feature_platform.types.times import utc_time
from feature_platform.types.values import exact_array, exact_cast

TIME = pa.timestamp("us", tz="UTC")
NEW_YORK = ZoneInfo("America/New_York")
MONEY = pa.decimal128(9, 2)
NEW_YEAR = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([2**53 + 1, None], pa.int64(), [2**53 + 1, None]),
        ([3.0], pa.int64(), [3]),
        ([1], pa.float64(), [1.0]),
        ([2**24 + 1], pa.float32(), [2.0**24]),
        (np.array([2**24 + 1]), pa.float32(), [2.0**24]),
        (
            [dt.datetime(2026, 11, 1, 6, 30, tzinfo=dt.UTC).astimezone(NEW_YORK)],
            TIME,
            [dt.datetime(2026, 11, 1, 6, 30, tzinfo=dt.UTC)],
        ),
        (["2026-01-01 00:00:00"], TIME, [NEW_YEAR]),
        (["2026-01-01T02:00:00+02:00"], TIME, [NEW_YEAR]),
        (["2026-01-01T00:00:00.000000999"], TIME, [NEW_YEAR]),
        (["2026-01-01T00:00:00.000000999Z", None], TIME, [NEW_YEAR, None]),
        ([dt.date(2026, 1, 1)], TIME, [NEW_YEAR]),
        ([pd.Timestamp("2026-01-01 00:00:00.000000999", tz="UTC")], TIME, [NEW_YEAR]),
        ([pd.NaT, None], TIME, [None, None]),
        ([pd.NA, 1], pa.int64(), [None, 1]),
        (pd.Series([1, None]), pa.int64(), [1, None]),
        (pd.Series(["a", "b"], dtype="category"), pa.string(), ["a", "b"]),
        (np.array([1, 2]), pa.float64(), [1.0, 2.0]),
        ([[1, None], None], pa.list_(pa.int64()), [[1, None], None]),
        ([], pa.int64(), []),
        ([Decimal("1.5"), 2, None], MONEY, [Decimal("1.50"), Decimal(2), None]),
        (["12.30", None], MONEY, [Decimal("12.30"), None]),
        (np.array([-7]), MONEY, [Decimal(-7)]),
        (pd.Series([Decimal("0.01"), None]), MONEY, [Decimal("0.01"), None]),
        ([[Decimal("1.1"), 3], [2]], pa.list_(MONEY), [[Decimal("1.1"), 3], [2]]),
        ([[1], None], pa.list_(MONEY), [[1], None]),
    ],
)
def test_values_that_fit(values: Any, dtype: pa.DataType, expected: list[Any]) -> None:
    found = exact_array(values, dtype)

    assert (found.type, found.to_pylist()) == (dtype, expected)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1.5], pa.int64()), ([[1.5]], pa.list_(pa.int64())), ([Decimal("1.5")], pa.int64()),
        (["7"], pa.int64()), ([True], pa.int64()), ([np.True_], pa.int64()), ([1], pa.bool_()),
        ([1.0, True], pa.float64()), ([2**53 + 1], pa.float64()), ([1e300], pa.float32()),
        ([[1e300]], pa.list_(pa.float32())), ([5], TIME), (np.array([5]), TIME),
        ([dt.date(2026, 1, 1), NEW_YEAR], TIME), ([dt.timedelta(1)], pa.int64()),
        (["soon"], TIME), ([b"a"], pa.string()), (["a"], pa.binary()), ([1], pa.string()),
        ([1.5], MONEY), ([Decimal("1.005")], MONEY), (["1.005"], MONEY), ([10**8], MONEY),
        (["dear"], MONEY), (["1_0"], MONEY), (["1e9999"], MONEY), ([""], MONEY), (["٣"], MONEY),
        ([Decimal("NaN")], MONEY), ([Decimal("inf")], MONEY), ([True], MONEY),
        (["ab"], pa.list_(pa.string())), ([2**64], pa.int64()), ([1, "a"], pa.int64()),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_refused(values: Any, dtype: pa.DataType) -> None:
    with pytest.raises(ValueError, match="."):
        exact_array(values, dtype)


def test_the_columns_of_polars_fit() -> None:
    frame = pl.DataFrame(
        {"b": [b"x"], "s": ["x"], "l": [[1]]}, schema_overrides={"l": pl.List(pl.Int32)}
    ).with_columns(c=pl.col("s").cast(pl.Categorical), a=pl.col("l").list.to_array(1))
    table = pa.table(frame)
    wanted = {
        "b": pa.binary(),
        "s": pa.string(),
        "c": pa.string(),
        "l": pa.list_(pa.int64()),
        "a": pa.list_(pa.int64()),
    }

    for name, dtype in wanted.items():
        assert exact_cast(table[name], dtype).type == dtype


def test_a_moment_is_a_datetime_within_the_calendar() -> None:
    assert utc_time(dt.datetime(2026, 1, 1), "start") == NEW_YEAR  # noqa: DTZ001
    early = dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5)))
    for wrong in ("2026-01-01", dt.date(2026, 1, 1), 5, early):
        with raises(RequestError, "start"):
            utc_time(wrong, "start")


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (pa.int64(), [2**63 - 1, -(2**63), None, 0, True]),
        (pa.int64(), [2**63]),
        (pa.int32(), [2**31 - 1, -(2**31), 3.0]),
        (pa.int32(), [2**31]),
        (pa.float32(), [0.1, 16777217, None, math.inf, -0.0]),
        (pa.float32(), [1e39]),
        (pa.float64(), [0.1, 3, math.inf, None]),
        (pa.float64(), [2**53 + 1]),
        (pa.string(), ["a", "naïve", None]),
        (pa.string(), ["\ud800"]),
        (pa.string(), [1]),
        (pa.binary(), [b"a", bytearray(b"b"), None]),
        (pa.bool_(), [True, None, np.True_]),
        (pa.bool_(), [1]),
        (TIME, [NEW_YEAR, None]),
        (pa.list_(pa.int64()), [[1, None], None]),
    ],
)
def test_the_cheap_way_gives_the_same_values_and_errors(dtype: pa.DataType, values: Any) -> None:
    def outcome(convert: Any) -> Any:
        try:
            return [(type(v), v) for v in convert(values)]
        except ValueError:
            return "refused"

    assert outcome(converter(dtype)) == outcome(lambda v: exact_array(v, dtype).to_pylist())


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("as_pandas", [False, True])
@pytest.mark.parametrize(
    "mixed",
    [
        [NEW_YEAR.date(), NEW_YEAR], [NEW_YEAR, NEW_YEAR.date()],  # Arrow cuts times to dates
        [1.5, True], [True, 1.5], [5, np.True_], [Decimal(1), True],
    ],
)  # fmt: skip
def test_kinds_that_arrow_mixes_are_refused(
    mixed: list[Any], *, as_pandas: bool, nested: bool
) -> None:
    values: Any = [[value] for value in mixed] if nested else mixed
    if as_pandas:
        values = pd.Series(values, dtype=object)
    with raises(ValueError, "mixed"):
        exact_array(values, None)


def test_fields_of_dicts_are_of_types_of_their_own() -> None:
    rows = [{"a": 1, "b": True, "at": NEW_YEAR.date()}]
    assert exact_array(rows, None).to_pylist() == rows


@pytest.mark.parametrize(
    ("values", "exact"),
    [
        (pa.array([2.0**53 - 1, None]), True), (pa.array([2.0**53]), False),
        (pa.array([2.0**24 - 1], pa.float32()), True), (pa.array([2.0**24], pa.float32()), False),
        (pa.array([[2.0**53]]), False), (pa.array([-(2.0**53)]), False),
    ],
)  # fmt: skip
def test_integers_from_floats_are_those_that_floats_hold_exactly(
    values: pa.Array, *, exact: bool
) -> None:
    dtype = pa.list_(pa.int64()) if pa.types.is_list(values.type) else pa.int64()
    if exact:
        assert exact_cast(values, dtype).to_pylist() == values.to_pylist()
        return
    with raises(ValueError, "rounded"):
        exact_cast(values, dtype)


def test_sets_have_one_order() -> None:
    words = frozenset(["b", "a", "c"])
    for values in ([words, None, set()], pd.Series([words, None, set()])):
        for dtype in (pa.list_(pa.string()), None):
            listed = exact_array(values, dtype).to_pylist()
            assert listed == [["a", "b", "c"], None, []]
    nested = exact_array([[words]], pa.list_(pa.list_(pa.string())))
    assert nested.to_pylist() == [[["a", "b", "c"]]]
    assert exact_array([{2, None}], pa.list_(pa.int64())).to_pylist() == [[2, None]]


def test_frames_of_pandas_may_have_only_text() -> None:
    frame = pd.DataFrame({"k": ["a", "b"]})
    assert to_arrow(frame, "rows").to_pydict() == {"k": ["a", "b"]}
    assert to_arrow(frame[:0], "rows").num_rows == 0
    mixed = pd.DataFrame({"k": ["a", None], 1: [1, 2], "at": pd.Timestamp("2026-01-01")})
    table = to_arrow(mixed, "rows")
    assert table.column_names == ["k", "1", "at"]
    assert table["k"].to_pylist() == ["a", None]
    assert table["1"].to_pylist() == [1, 2]


def test_half_floats_and_lists_of_integers_become_declared_types() -> None:
    halves = pa.array(np.array([1, 2], np.float16))
    assert exact_array(halves, pa.int64()).to_pylist() == [1, 2]
    with pytest.raises(ValueError, match="rounded"):
        exact_array(pa.array(np.array([2**11], np.float16)), pa.int64())
    lists = exact_array([[2**24 + 1]], pa.list_(pa.float32()))
    assert lists.to_pylist() == [[2.0**24]]  # rounded like any float
