"""Columns of entity rows that nothing reads come back as they were given."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from tests_support import HOUR, NOON, raises

from feature_platform import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    RepoConfig,
    RequestSource,
)
from feature_platform.errors import RequestError
from feature_platform.types import Int64, UnixTimestamp

OWN: dict[str, Any] = {
    "durations": pa.array([timedelta(seconds=1), None]),
    "half floats": pa.array(np.array([1.5, 2.5], np.float16)),
    "wide decimals": pa.array([Decimal(10) ** 60, None], pa.decimal256(76, 0)),
    "nanoseconds": pa.array([1, 2], pa.timestamp("ns")),
    "intervals": pa.array([pa.MonthDayNano([1, 2, 3]), None]),
    "dictionaries": pa.array(["a", "b"]).dictionary_encode(),
    "large text": pa.array(["a", "b"], pa.large_string()),
    "": pa.array([1, 2]),
    "a\0b": pa.array([1, 2]),
    "K": pa.array([1, 2]),
    "nulls": pa.nulls(2),
    "unions": pa.UnionArray.from_sparse(
        pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]
    ),
}


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    times = pa.array([NOON - HOUR] * 3, pa.timestamp("us", "UTC"))
    rows = pa.table({"k": [1, 2, 3], "event_timestamp": times, "v": [10, 20, 30]})
    parquet.write_table(rows, tmp_path / "rows.parquet")
    key = Entity(name="k", value_type=Int64)
    asked = RequestSource(name="asked", schema=[Field(name="n", dtype=Int64)])
    view = FeatureView(
        name="view", entities=[key], source=FileSource(path="rows.parquet"),
        schema=[Field(name="v", dtype=Int64)],
    )  # fmt: skip
    total = OnDemandFeatureView(
        name="total", mode="sql", sources=["view", asked], expressions={"sum": "v + n"},
        schema=[Field(name="sum", dtype=Int64)],
    )  # fmt: skip
    config = RepoConfig(project="p", team="platform", registry="r.db")
    store = FeatureStore(tmp_path, config=config, clock=lambda: NOON)
    store.apply([view, total])
    return store


@pytest.mark.parametrize("name", OWN)
def test_a_column_comes_back_as_it_is(store: FeatureStore, name: str) -> None:
    rows = pa.table({name: OWN[name], "k": [3, 1], "event_timestamp": [NOON] * 2, "n": [5, 6]})
    answer = store.get_historical_features(rows, ["view", "total"]).to_arrow()
    assert answer.column_names == [name, "k", "event_timestamp", "n", "v", "sum"]
    assert answer.schema.types[0] == OWN[name].type
    assert answer[0].to_pylist() == OWN[name].to_pylist()
    assert (answer["v"].to_pylist(), answer["sum"].to_pylist()) == ([30, 10], [35, 16])


def test_pandas_columns_come_back_as_they_are(store: FeatureStore) -> None:
    rows = pd.DataFrame({"k": [2, 1], "event_timestamp": [NOON] * 2}).assign(
        period=pd.period_range("2026", periods=2, freq="M"),
        duration=pd.to_timedelta([1, 2], unit="s"),
        category=pd.Categorical(["x", "y"]),
    )
    answer = store.get_historical_features(rows, ["view"]).to_df()
    for name in ("period", "duration", "category"):
        pd.testing.assert_series_equal(answer[name], rows[name])
    assert answer["v"].tolist() == [20, 10]


def test_many_batches_keep_their_columns(store: FeatureStore) -> None:
    size = 300_000
    numbers = pa.chunked_array([pa.array(range(100_000)), pa.array(range(100_000, size))])
    rows = pa.table(
        {"own": numbers, "k": [i % 4 for i in range(size)], "event_timestamp": [NOON] * size}
    )
    answer = store.get_historical_features(rows, ["view"]).to_arrow()
    assert answer["own"].to_pylist() == numbers.to_pylist()
    assert answer["v"].to_pylist() == [(None, 10, 20, 30)[i % 4] for i in range(size)]


def test_what_is_wrong_with_rows_is_said_with_all_their_columns(store: FeatureStore) -> None:
    rows = pa.table({"K": [1], "event_timestamp": [NOON], "own": [1]})
    with raises(RequestError, "'k'", "'K'"):
        store.get_historical_features(rows, ["view"]).to_arrow()
    rows = pa.table({"k": [1], "own": [NOON], "other": [NOON]})
    with raises(RequestError, "own", "other"):
        store.get_historical_features(rows, ["view"]).to_arrow()
    rows = pa.table({"k": [1], "event_timestamp": [NOON], "v": [1]})
    with raises(RequestError, "'v'"):
        store.get_historical_features(rows, ["view"]).to_arrow()


@pytest.mark.parametrize("value_type", [UnixTimestamp, None])
@pytest.mark.parametrize("stored", ["ns", "us"])
@pytest.mark.parametrize("asked", ["ns", "us"])
def test_nanoseconds_of_keys_are_floored_everywhere(
    tmp_path, value_type: Any, stored: str, asked: str
) -> None:
    def key(unit: str) -> pa.Array:
        return pa.array([1_999 if unit == "ns" else 1], pa.timestamp(unit, "UTC"))

    times = pa.array([NOON - HOUR], pa.timestamp("us", "UTC"))
    rows = pa.table({"k": key(stored), "event_timestamp": times, "v": [7]})
    parquet.write_table(rows, tmp_path / "rows.parquet")
    view = FeatureView(
        name="view", entities=[Entity(name="k", value_type=value_type)],
        source=FileSource(path="rows.parquet"), schema=[Field(name="v", dtype=Int64)],
    )  # fmt: skip
    config = RepoConfig(project="p", team="platform", registry="r.db")
    store = FeatureStore(tmp_path, config=config, clock=lambda: NOON)
    store.apply([view])
    store.materialize(NOON - 2 * HOUR, NOON)
    rows = pa.table({"k": key(asked), "event_timestamp": [NOON]})
    assert store.get_historical_features(rows, ["view"]).to_arrow()["v"].to_pylist() == [7]
    assert store.get_online_features(["view"], rows.select(["k"])).to_dict()["v"] == [7]
    if asked == "ns":
        parquet.write_table(rows, tmp_path / "asked.parquet")
        with raises(RequestError, "'k'"):
            store.get_historical_features(str(tmp_path / "asked.parquet"), ["view"]).to_arrow()


@pytest.mark.parametrize("form", [list, tuple])
def test_missing_request_values_may_be_nan(store: FeatureStore, form: Any) -> None:
    store.materialize(NOON - 2 * HOUR, NOON)
    nan = float("nan")
    rows = {"k": form([1, 2]), "n": form([5, nan])}
    assert store.get_online_features(["total"], rows).to_dict()["sum"] == [15, None]
    asked = [{"k": 1, "n": 5}, {"k": 2, "n": nan}]
    assert store.get_online_features(["total"], asked).to_dict()["sum"] == [15, None]
    times = {"event_timestamp": [NOON] * 2}
    history = store.get_historical_features({**rows, **times}, ["total"])
    assert history.to_arrow()["sum"].to_pylist() == [15, None]


def test_a_time_that_is_no_time_is_named(store: FeatureStore) -> None:
    for wrong in ("28/11/2026", "soon"):
        asked = {"k": [1], "event_timestamp": [wrong]}
        with raises(RequestError, "event_timestamp", wrong):
            store.get_historical_features(asked, ["view"]).to_arrow()


def test_columns_of_one_text_are_refused(store: FeatureStore) -> None:
    rows = pd.DataFrame({"k": [1], "event_timestamp": [NOON], 0: ["a"], "0": ["b"]})
    with raises(RequestError, "'1'"):
        store.get_historical_features(rows, ["view"]).to_arrow()
