"""Online features through the feature store: requests, statuses, ages."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from tests_support import HOUR, NOON

from feature_platform import FeatureService, FeatureStore, FieldStatus
from feature_platform.errors import NotFoundError, RequestError
from feature_platform.types import Int64


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
    ("rows", "message"),
    [
        ([], "entity_rows is empty"),
        ({}, "entity_rows is empty"),
        ([{}], "entity_rows is empty"),
        ([{"driver": 1}], "lack the join key 'driver_id'. Did you mean 'driver'"),
        ([{"driver_id": 1}, {"x": 2}], "row 1 lacks 'driver_id'"),
        ([{"driver_id": None}], "join key 'driver_id' is null in row 0"),
        ([{"driver_id": "1"}], "'driver_id' is not int64"),
        ([{"driver_id": 1.5}], "'driver_id' is not int64"),
        ([{"driver_id": 2**64}], "'driver_id' is not int64"),
        ({"driver_id": [1, 2], "x": [1]}, "columns differ in length"),
        ([1, 2], "must hold dicts; one is 1"),
        (5, "must be a pandas, polars or Arrow table, not int"),
    ],
)
def test_wrong_requests_are_explained(store: FeatureStore, rows, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        store.get_online_features(["driver_stats:trips"], rows)


def test_an_unknown_service_names_the_nearest(store: FeatureStore) -> None:
    store.apply([FeatureService(name="model", features=["driver_stats"])])

    with pytest.raises(NotFoundError, match="no feature service 'mode'. Did you mean 'model'"):
        store.get_online_features("mode", [{"driver_id": 1}])


def test_a_feature_added_to_a_view_is_null_until_it_is_loaded(store, driver_view) -> None:
    from feature_platform import Field

    grown = driver_view.model_copy(
        update={"fields": (*driver_view.fields, Field(name="new", dtype=Int64))}
    )
    store.apply([grown])

    answer = store.get_online_features(["driver_stats"], [{"driver_id": 1}])
    assert answer.to_dict()["trips"] == [11]
    assert answer.statuses()["new"] == [FieldStatus.NULL]
