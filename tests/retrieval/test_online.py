"""Online features through the feature store: requests, statuses, ages."""

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests_support import HOUR, NOON, raises

from feature_platform import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FieldStatus,
    OnDemandFeatureView,
    PushSource,
    RequestSource,
)
from feature_platform.errors import NotFoundError, RequestError, SchemaError
from feature_platform.types import Int64, String


@pytest.fixture
def store(platform: FeatureStore) -> FeatureStore:
    platform.materialize(NOON - 3 * HOUR, NOON)
    return platform


def test_a_service_answers_by_name_in_the_order_of_the_request(store: FeatureStore) -> None:
    store.apply([FeatureService(name="model", features=["driver_stats"])])
    rows = [{"driver_id": 2}, {"driver_id": 1}, {"driver_id": 2}]

    assert store.get_online_features(features="model", entity_rows=rows).to_dict() == {
        "driver_id": [2, 1, 2],
        "trips": [20, 11, 20],
        "rate": [0.75, 0.25, 0.75],
    }


@pytest.mark.parametrize(
    "rows",
    [
        [{"driver_id": 1}, {"driver_id": 2}],
        {"driver_id": [1, 2]},
        pd.DataFrame({"driver_id": [1, 2]}),
        [{"driver_id": np.int64(1), "else": 1}, {"driver_id": np.int64(2)}],
    ],
)
def test_requests_come_as_rows_columns_or_frames(store: FeatureStore, rows) -> None:
    assert store.get_online_features(["driver_stats:trips"], rows).to_dict()["trips"] == [11, 20]


def test_every_value_has_a_status(store: FeatureStore, open_store) -> None:
    null = pd.DataFrame(
        {"driver_id": [4], "event_timestamp": [NOON], "trips": [None], "rate": [1.0]}
    ).astype({"trips": "Int64"})
    store.write_to_online_store("driver_stats", null)
    later = open_store(clock=lambda: NOON + timedelta(hours=23, microseconds=1))
    rows = [{"driver_id": n} for n in (1, 4, 404)]
    answer = later.get_online_features(["driver_stats:trips"], rows)

    assert answer.statuses()["trips"] == [
        FieldStatus.OUTSIDE_MAX_AGE, FieldStatus.NULL, FieldStatus.NOT_FOUND,
    ]  # fmt: skip
    assert answer.to_dict(include_event_timestamps=True) == {
        "driver_id": [1, 4, 404],
        "trips": [None, None, None],
        "driver_id__ts": [None] * 3,
        "trips__ts": [(NOON - HOUR).timestamp(), NOON.timestamp(), None],
    }


def test_a_value_is_served_up_to_its_ttl(store: FeatureStore, open_store) -> None:
    edge = open_store(clock=lambda: NOON + timedelta(hours=23))

    answer = edge.get_online_features(["driver_stats:trips"], [{"driver_id": 1}])
    assert answer.statuses()["trips"] == [FieldStatus.PRESENT]


def test_answers_keep_their_types(store: FeatureStore) -> None:
    answer = store.get_online_features(["driver_stats"], [{"driver_id": 1}, {"driver_id": 9}])

    assert [str(f.type) for f in answer.to_arrow().schema] == ["int64", "int64", "float"]
    assert answer.to_df()["trips"].dtype == pd.Int64Dtype()
    assert answer.registry_version == 1


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ([{"driver": 1}], ["'driver_id'", "'driver'"]),
        ([{"driver_id": 1}, {"x": 2}], ["'driver_id'", "row 1"]),
        ([{"driver_id": None}], ["'driver_id'", "row 0", "null"]),
        ([{"driver_id": "1"}], ["'driver_id'", "row 0", "int64", "string"]),
        ([{"driver_id": 1.5}], ["'driver_id'", "row 0", "int64", "1.5"]),
        ([{"driver_id": 2**64}], ["'driver_id'", "row 0", "int64"]),
        ({"driver_id": [1, 2], "x": [1]}, ["{'driver_id': 2, 'x': 1}"]),
        ([1, 2], ["dict", "1"]),
        (5, ["pandas", "polars", "int"]),
        (
            [{"driver_id": n} for n in range(100_000)],
            ["100,000", "10,000", "get_historical_features"],
        ),
        ([{}], ["'driver_id'"]),
        ({"driver_id": 1}, ["'driver_id'", "list", "1"]),
        ({"driver_id": "1"}, ["'driver_id'", "list", "'1'"]),
        ([{"driver_id": True}], ["'driver_id'", "row 0", "int64", "bool"]),
        ([{"driver_id": float("nan")}], ["'driver_id'", "row 0", "null"]),
    ],
)
def test_wrong_requests_are_explained(store: FeatureStore, rows, names) -> None:
    with raises(RequestError, "entity_rows", *names):
        store.get_online_features(["driver_stats:trips"], rows)


@pytest.mark.parametrize("rows", [[], {}])
def test_a_request_of_no_entities_lacks_those_and_no_key(store: FeatureStore, rows) -> None:
    with raises(RequestError, "entity_rows") as error:
        store.get_online_features(["driver_stats:trips"], rows)
    assert "driver_id" not in str(error.value)


def test_all_missing_keys_and_values_are_named_at_once(store: FeatureStore) -> None:
    pair = Entity(name="pair", join_keys=["one", "other"])
    view = FeatureView(
        name="pairs", entities=[pair], schema=[Field(name="x", dtype=Int64)],
        source=PushSource(name="p"),
    )  # fmt: skip
    request = RequestSource(schema=[Field(name="a", dtype=Int64), Field(name="b", dtype=Int64)])
    computed = OnDemandFeatureView(
        name="sums", sources=["pairs", request], schema=[Field(name="y", dtype=Int64)], mode="sql",
        expressions={"y": "a + b"},
    )  # fmt: skip
    store.apply([pair, view, computed])

    with raises(RequestError, "entity_rows", "'one'", "'other'"):
        store.get_online_features(["pairs"], [{"x": 1}])
    with raises(RequestError, "'a'", "'b'", "'sums'"):
        store.get_online_features(["sums"], [{"one": 1, "other": 2}])


def test_an_unknown_service_names_the_nearest(store: FeatureStore) -> None:
    store.apply([FeatureService(name="model", features=["driver_stats"])])

    with raises(NotFoundError, "'mode'", "'model'"):
        store.get_online_features("mode", [{"driver_id": 1}])


def test_a_feature_added_to_a_view_is_null_until_it_is_loaded(store, driver_view) -> None:
    grown = driver_view.model_copy(
        update={"fields": (*driver_view.fields, Field(name="new", dtype=Int64))}
    )
    store.apply([grown])

    answer = store.get_online_features(["driver_stats"], [{"driver_id": 1}])
    assert answer.to_dict()["trips"] == [11]
    assert answer.statuses()["new"] == [FieldStatus.NULL]


@pytest.mark.parametrize(
    ("features", "names"),
    [
        (["driver_stats:trip"], ["'driver_stats'", "'trip'", "'trips'"]),
        (["driver_stat:trips"], ["'driver_stat'", "'driver_stats'"]),
        ("driver_stat", ["'driver_stat'", "'driver_stats'"]),
        (["model:trips"], ["'model'", "feature service"]),
    ],
)
def test_unknown_features_are_named(store: FeatureStore, features, names) -> None:
    store.apply([FeatureService(name="model", features=["driver_stats"])])
    with raises(NotFoundError, *names):
        store.get_online_features(features, [{"driver_id": 1}])


def test_a_request_is_resolved_once_per_registry_version(store, monkeypatch) -> None:
    from feature_platform.services import serving

    resolved = []
    real = serving.resolve
    monkeypatch.setattr(serving, "resolve", lambda *a, **k: resolved.append(1) or real(*a, **k))
    service = FeatureService(name="model", features=["driver_stats"])
    store.apply([service])
    for features in ("model", service, ["driver_stats:trips", "driver_stats:rate"]):
        for _ in range(3):
            store.get_online_features(features, [{"driver_id": 1}])
    assert len(resolved) == 3

    store.apply([FeatureService(name="model", features=["driver_stats:rate"])])
    answer = store.get_online_features("model", [{"driver_id": 1}])
    assert list(answer.to_dict()) == ["driver_id", "rate"]
    assert answer.registry_version == 3


def test_commits_of_others_are_seen_in_time(store: FeatureStore, open_store) -> None:
    other = open_store("risk")
    store.get_online_features(["driver_stats"], [{"driver_id": 1}])
    other.apply([FeatureService(name="risk_model", features=["driver_stats:rate"])])

    # What is asked for and was not known is looked for at once.
    answer = store.get_online_features("risk_model", [{"driver_id": 1}])
    assert answer.to_dict()["rate"] == [0.25]


def test_a_registry_that_cannot_be_read_does_not_stop_serving(store, monkeypatch, caplog) -> None:
    from feature_platform.errors import StoreError

    def down(*_: object) -> None:
        raise StoreError("the registry is down")

    store.get_online_features(["driver_stats"], [{"driver_id": 1}])
    monkeypatch.setattr(store.registry, "_read_at", -1e9)
    monkeypatch.setattr(store.registry.log, "read", down)
    monkeypatch.setattr(store.registry.log, "last", down)
    answer = store.get_online_features(["driver_stats:trips"], [{"driver_id": 1}])

    assert answer.to_dict()["trips"] == [11]
    [record] = caplog.records
    assert (record.name, record.levelname) == ("feature_platform.registry", "WARNING")
    assert record.args[0] == answer.registry_version == 1
    assert "the registry is down" in record.getMessage()


def test_a_service_can_be_asked_for_as_of_a_registry_version(store, open_store) -> None:
    store.apply([FeatureService(name="model", features=["driver_stats:trips"])])
    store.apply([FeatureService(name="model", features=["driver_stats:rate"])])

    pinned = open_store(registry_version=2)
    assert list(pinned.get_online_features("model", [{"driver_id": 1}]).to_dict()) == [
        "driver_id", "trips",
    ]  # fmt: skip


def test_decimals_in_requests_and_rows_are_refused_or_exact(store: FeatureStore) -> None:
    from decimal import Decimal

    rows = pd.DataFrame(
        {"driver_id": [5], "event_timestamp": [NOON], "trips": [Decimal(7)], "rate": [0.5]}
    )
    with raises(SchemaError, "'driver_stats'", "'trips'", "Decimal('7')", "int64"):
        store.write_to_online_store("driver_stats", rows)
    with raises(RequestError, "entity_rows", "'driver_id'", "int64", "decimal128"):
        store.get_online_features(["driver_stats"], [{"driver_id": Decimal(1)}])


def test_a_view_without_entities_answers_every_row(store: FeatureStore) -> None:
    view = FeatureView(
        name="market",
        schema=[Field(name="price", dtype=Int64)],
        source=PushSource(name="prices"),
    )
    store.apply([view])
    store.push("prices", pd.DataFrame({"event_timestamp": [NOON], "price": [7]}))

    assert store.get_online_features(["market"], [{"x": 1}, {"x": 2}]).to_dict() == {
        "price": [7, 7]
    }
    both = store.get_online_features(["market", "driver_stats:trips"], [{"driver_id": 1}])
    assert both.to_dict() == {"driver_id": [1], "price": [7], "trips": [11]}


def pushed_view(store: FeatureStore, name: str, feature: str, **options) -> FeatureView:
    """Register a view that is only pushed to."""
    view = FeatureView(
        name=name, entities=["driver"], schema=[Field(name=feature, dtype=Int64)],
        source=PushSource(name=f"{name}_source"), **options,
    )  # fmt: skip
    store.apply([view])
    return view


def test_a_list_that_changes_after_use_changes_no_later_answer(store: FeatureStore) -> None:
    v1, v2 = pushed_view(store, "v1", "a"), pushed_view(store, "v2", "b")
    features = [v1[["a"]]]
    store.get_online_features(features, [{"driver_id": 1}])
    identity = id(features[0])
    features.clear()
    others = [v2[["b"]] for _ in range(5000)]

    assert identity not in map(id, others)  # it is held, so nobody else can have it
    assert "b" in store.get_online_features([others[0]], [{"driver_id": 1}]).to_dict()


def test_keys_of_two_types_cannot_share_a_column(store: FeatureStore, driver_view) -> None:
    account = Entity(name="account", join_keys=["account_id"], value_type=String)
    w = FeatureView(
        name="w", entities=[account], schema=[Field(name="b", dtype=Int64)],
        source=PushSource(name="w_source"),
    )  # fmt: skip
    store.apply([account, w])
    features = [
        driver_view.with_join_key_map({"driver_id": "id"}),
        w.with_join_key_map({"account_id": "id"}),
    ]

    with raises(RequestError, "'id'", "int64", "string", "'w'"):
        store.get_online_features(features, [{"id": 1}])


def test_a_view_that_is_not_served_online_is_not_asked_online(store: FeatureStore) -> None:
    pushed_view(store, "v", "a", online=False)

    with raises(RequestError, "'v'", "online=False"):
        store.get_online_features(["v"], [{"driver_id": 1}])


def test_times_that_no_key_needs_do_not_matter(store: FeatureStore) -> None:
    far = pa.array([2**62], pa.int64()).cast(pa.timestamp("us"))
    rows = pa.table({"driver_id": [1], "far": far})

    assert store.get_online_features(["driver_stats:trips"], rows).to_dict()["trips"] == [11]


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("features", "rows", "names"),
    [
        (["driver_stats"], pd.Series([1]), ["entity_rows", "Series"]),
        (
            ["driver_stats"],
            pa.table([[1], [2]], ["driver_id"] * 2),
            ["entity_rows", "'driver_id'"],
        ),
        (LOOP, [{"driver_id": 1}], ["features", "[[...]]"]),
    ],
    ids=["series", "twice", "loop"],
)
def test_odd_requests_get_errors_of_ours(store: FeatureStore, features, rows, names) -> None:
    with raises(RequestError, *names):
        store.get_online_features(features, rows)


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        ([{}], 1),
        ([{}, {}], 2),
        ([{"anything": 0}], 1),
        (pd.DataFrame(index=[0, 1]), 2),
        (pd.DataFrame({"anything": [0]}), 1),
        ({"anything": [0, 0, 0]}, 3),
    ],
)
def test_a_view_without_entities_answers_rows_of_any_shape(open_store, rows, count: int) -> None:
    store: FeatureStore = open_store()
    value = Field(name="v", dtype=Int64)
    view = FeatureView(name="totals", schema=[value], source=PushSource(name="p"))
    twice = OnDemandFeatureView(
        name="twice",
        sources=["totals:v"],
        schema=[Field(name="w", dtype=Int64)],
        mode="sql",
        expressions={"w": "v * 2"},
    )
    service = FeatureService(name="both", features=[view, twice])
    store.apply([view, twice, service])
    store.push("p", pd.DataFrame({"event_timestamp": [NOON], "v": [1]}))

    answer = store.get_online_features("both", rows).to_dict()
    assert answer == {"v": [1] * count, "w": [2] * count}


def test_entity_rows_may_be_a_stream_of_batches(platform: FeatureStore) -> None:
    platform.materialize(NOON - 3 * HOUR, NOON)
    batches = pa.table({"driver_id": [1, 2]}).to_reader()
    answer = platform.get_online_features(["driver_stats:trips"], batches).to_dict()
    assert answer["trips"] == [11, 20]
