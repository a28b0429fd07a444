"""Measures and histograms: every engine counts what plain Python counts."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from tests_support import NOON

from feature_platform.errors import RequestError
from feature_platform.offline import Measure
from feature_platform.table import SourceTable, Table
from feature_platform.types.arrow import TIMESTAMP

HOUR = timedelta(hours=1)
TYPES = {"n": pa.int64(), "x": pa.float64(), "t": pa.string(), "b": pa.bool_(),
         "d": pa.decimal128(10, 2)}  # fmt: skip
ROWS: list[dict[str, Any]] = [
    {"n": 1, "x": 0.5, "t": "a", "b": True, "d": Decimal("1.50")},
    {"n": -2, "x": 1.5, "t": "b", "b": False, "d": Decimal("-3.25")},
    {"n": None, "x": None, "t": None, "b": None, "d": None},
    {"n": 7, "x": 1e300, "t": "a", "b": True, "d": Decimal("0.00")},
    {"n": 7, "x": -0.25, "t": "", "b": True, "d": Decimal("9.99")},
]


def table(engine, rows: list[dict[str, Any]] = ROWS, keys: list[int] | None = None) -> Table:
    """Return a table whose row i was observed i hours before noon."""
    columns = {name: pa.array([row[name] for row in rows], dtype) for name, dtype in TYPES.items()}
    keys = keys or [number % 2 for number in range(len(rows))]
    times = pa.array([NOON - number * HOUR for number in range(len(rows))], TIMESTAMP)
    data = pa.table({"k": pa.array(keys, pa.int64()), "event_timestamp": times, **columns})
    history = SourceTable("s", engine.table("rows", data), "event_timestamp")
    return Table("p", "v", {"k": pa.int64()}, pa.schema(list(TYPES.items())), None, history)


def test_measures_are_counted_in_one_statement(engine) -> None:
    measures = {
        Measure("rows"): 5,
        Measure("newest"): int(NOON.timestamp() * 1_000_000),
        Measure("duplicates"): 0,
        Measure("nulls", "n"): 1,
        Measure("nulls", "k"): 0,
        Measure("outside", "n", low=0): 1,
        Measure("outside", "n", high=6): 2,
        Measure("outside", "x", low=0, high=1): 3,
        Measure("outside", "d", low=-3.25, high=1.5): 1,
        Measure("others", "t", values=("a", "b", "it's\\")): 1,
        Measure("others", "n", values=(1, 7)): 1,
        Measure("others", "b", values=(True,)): 1,
    }
    store = engine.store

    end = NOON + HOUR
    assert dict(zip(measures, store.measure(table(engine), list(measures), None, end),
                    strict=True)) == measures  # fmt: skip


def test_a_window_includes_its_start_and_not_its_end(engine) -> None:
    def rows(start: datetime | None, end: datetime) -> list[int | None]:
        return engine.store.measure(table(engine), [Measure("rows"), Measure("newest")], start, end)

    newest = int((NOON - HOUR).timestamp() * 1_000_000)
    assert rows(NOON - 3 * HOUR, NOON) == [3, newest]
    assert rows(datetime(2030, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)) == [0, None]


def test_rows_of_one_key_and_time_are_duplicates(engine) -> None:
    rows = pa.table(
        {"k": [1, 1, 1, 2, None, None], "event_timestamp": pa.array([NOON] * 6, TIMESTAMP),
         "n": [1, 2, 2, 1, 1, 1]}
    )  # fmt: skip
    history = SourceTable("s", engine.table("rows", rows), "event_timestamp")
    fields = pa.schema([("n", pa.int64())])
    repeated = Table("p", "v", {"k": pa.int64()}, fields, None, history)

    assert engine.store.measure(repeated, [Measure("duplicates")], None, NOON + HOUR) == [3]


def test_numbers_are_counted_in_bins_of_the_reference(engine) -> None:
    many = [{**ROWS[0], "n": number % 100} for number in range(400)]
    many += [{**ROWS[0], "n": None}]
    numbers = table(engine, many, keys=list(range(len(many))))
    old = NOON - 401 * HOUR, NOON - 200 * HOUR
    histogram = engine.store.histogram(numbers, "n", old, (NOON - 200 * HOUR, NOON + HOUR), 4)

    assert len(histogram.labels) == 5  # nulls and four bins
    assert (histogram.reference[0], histogram.window[0]) == (1, 0)
    assert (sum(histogram.reference), sum(histogram.window)) == (200, 201)
    assert all(abs(count - 50) <= 5 for count in histogram.reference[1:])


def test_texts_and_booleans_are_counted_by_value(engine) -> None:
    old, new = (NOON - 9 * HOUR, NOON - 2 * HOUR), (NOON - 2 * HOUR, NOON + HOUR)

    def counts(feature: str) -> dict[object, tuple[int, int]]:
        histogram = engine.store.histogram(table(engine), feature, old, new, 10)
        return dict(zip(histogram.labels, zip(histogram.reference, histogram.window, strict=True),
                        strict=True))  # fmt: skip

    assert counts("t") == {None: (0, 1), "": (1, 0), "a": (1, 1), "b": (0, 1)}
    assert counts("b") == {None: (0, 1), False: (0, 1), True: (2, 1)}


def test_a_feature_of_one_value_or_none_has_a_histogram(engine) -> None:
    same = table(engine, [{**ROWS[0], "n": 3} for _ in range(6)])
    old, new = (NOON - 9 * HOUR, NOON - 2 * HOUR), (NOON - 2 * HOUR, NOON + HOUR)

    histogram = engine.store.histogram(same, "n", old, new, 10)
    assert (sum(histogram.reference), sum(histogram.window)) == (3, 3)
    nothing = table(engine, [ROWS[2]] * 6)
    histogram = engine.store.histogram(nothing, "x", old, new, 10)
    assert (histogram.reference[0], histogram.window[0]) == (3, 3)


def test_a_text_with_too_many_values_is_refused(engine) -> None:
    many = [{**ROWS[0], "t": f"t{number}"} for number in range(1_002)]
    period = (NOON - 2_000 * HOUR, NOON + HOUR)
    with pytest.raises(RequestError, match="1,000"):
        engine.store.histogram(table(engine, many), "t", period, period, 10)
