"""Connections, feature groups, queries and feature views, embedded, over two projects."""

import contextlib
import math
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests_support import raises

import feature_platform
from feature_platform import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
)
from feature_platform.errors import AccessError, ConfigError, NotFoundError, RequestError
from feature_platform.handles.project_store import VersionWarning
from feature_platform.types import Float64, Int64, String

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def folder_of(tmp_path: Path, project: str, **settings: str) -> Path:
    folder = tmp_path / project
    folder.mkdir()
    other = "prod" if project == "dev" else "dev"
    lines = {
        "project": project,
        "team": "platform",
        "registry": "../registry.db",
        "online_store": "{type: sqlite, path: online.db}",
        "projects": f"{{{other}: {{path: ../{other}}}}}",
        "registry_cache_seconds": "0",
        **settings,
    }
    text = "".join(f"{name}: {value}\n" for name, value in lines.items())
    (folder / "feature_store.yaml").write_text(text)
    return folder


@pytest.fixture
def prod(tmp_path: Path) -> FeatureStore:
    """Production: hourly weather by city, some rows of which were corrected later."""
    folder = folder_of(tmp_path, "prod")
    city = Entity(name="city", join_keys=["city_id"], value_type=Int64)
    rows = pd.DataFrame(
        {
            "city_id": [1, 1, 1, 2],
            "observed": [NOON - 3 * HOUR, NOON - HOUR, NOON - HOUR, NOON - HOUR],
            "written": [NOON - 3 * HOUR, NOON - HOUR, NOON + 5 * HOUR, NOON - HOUR],
            "temp": [1.0, 2.0, 2.5, 9.0],
            "sky": ["clear", "cloud", "rain", "clear"],
        }
    )
    rows.to_parquet(folder / "weather.parquet")
    store = FeatureStore(folder)
    store.apply(
        [
            city,
            FeatureView(
                name="weather_1", entities=[city],
                schema=[Field(name="temp", dtype=Float64), Field(name="sky", dtype=String)],
                source=FileSource(
                    name="weather_rows", path="weather.parquet", timestamp_field="observed",
                    created_timestamp_column="written",
                ),
            ),
        ]
    )  # fmt: skip
    store.materialize(NOON - timedelta(days=1), NOON)
    store.sharing.share("dev")
    return store


@pytest.fixture
def conn(prod: FeatureStore, tmp_path: Path, monkeypatch: Any) -> Any:
    """A connection of development, which has accepted what production shares."""
    folder = folder_of(tmp_path, "dev")
    FeatureStore(folder).sharing.accept("prod")
    monkeypatch.chdir(folder)
    with feature_platform.connection() as connection:
        yield connection


TRIPS = pd.DataFrame(
    {
        "trip_id": [1, 2, 3, 4],
        "left_at": [NOON - 2 * HOUR, NOON, NOON, NOON + HOUR],
        "city": [1, 1, 2, 3],
        "distance": [10, 20, 30, 40],
        "late": [0, 1, 0, 1],
    }
)


@pytest.fixture
def trips(conn: Any) -> Any:
    group = conn.get_feature_store().get_or_create_feature_group(
        "trips", 1, primary_key=["trip_id"], event_time="left_at"
    )
    assert group.insert(TRIPS) == 4
    return group


@pytest.fixture
def weather(conn: Any) -> Any:
    return conn.get_feature_store("prod").get_feature_group("weather", version="1")


def test_a_join_over_two_stores(trips: Any, weather: Any) -> None:
    query = trips.select_all().join(weather.select_all(), left_on=["city"], right_on=["city_id"])
    assert query.columns() == ["trip_id", "left_at", "city", "distance", "late", "temp", "sky"]
    frame = query.read().sort_values("trip_id").reset_index(drop=True)
    assert list(frame.columns) == query.columns()
    assert frame["trip_id"].tolist() == [1, 2, 3, 4]
    assert frame["temp"].tolist()[:3] == [1.0, 2.5, 9.0]  # the correction wins the tie
    assert pd.isna(frame["temp"][3])
    assert frame["sky"].tolist()[:3] == ["clear", "rain", "clear"]
    explained = query.explain()
    for text in ("dev/trips_1", "prod/weather_1", "weather.city_id = city", "point-in-time"):
        assert text in explained
    assert "observed at or before left_at" in explained


def test_the_shared_group_may_be_the_first(trips: Any, weather: Any) -> None:
    keyed = weather.store  # the connection's own store reads both
    assert keyed.project == "dev"
    rows = weather.select(["city_id", "temp"]).read()
    assert sorted(rows["temp"]) == [1.0, 2.5, 9.0]  # one row for a key and a time
    joined = weather.select_all().join(
        trips.select(["distance"]), left_on=["city_id"], right_on=["trip_id"], prefix="trip_"
    )
    assert set(joined.read()["trip_distance"].dropna()) == {10}


def test_inner_joins_filters_and_prefixes(trips: Any, weather: Any) -> None:
    keys: dict[str, Any] = {"left_on": ["city"], "right_on": ["city_id"]}
    inner = trips.select(["trip_id"]).join(weather.select(["temp"]), join_type="inner", **keys)
    assert sorted(inner.read()["trip_id"]) == [1, 2, 3]
    prefixed = trips.select(["trip_id"]).join(weather.select(["temp"]), prefix="w_", **keys)
    assert prefixed.columns() == ["trip_id", "w_temp"]

    def matching(query: Any) -> list[int]:
        return sorted(query.read()["trip_id"])

    assert matching(trips.filter(trips["distance"] > 10)) == [2, 3, 4]
    assert matching(trips.filter((trips["distance"] > 10) & (trips["late"] == 1))) == [2, 4]
    assert matching(trips.filter((trips["distance"] < 20) | (trips["late"] != 0))) == [1, 2, 4]
    assert matching(trips.filter(trips["distance"].isin([10, 40]))) == [1, 4]
    assert matching(trips.filter(trips["left_at"] >= NOON)) == [2, 3, 4]
    cloudy = weather.select(["temp"]).filter(weather["sky"].like("r%"))
    assert matching(trips.select_all().join(cloudy, **keys)) == [2]  # a column that is not selected
    assert trips.select(["late"]).filter(trips["distance"] > 30).show(5) == [[1]]
    with pytest.raises(TypeError):
        trips.filter((trips["distance"] > 10) and (trips["late"] == 1))
    with raises(RequestError, "sky"):
        trips.filter(weather["sky"] == "x").read()
    with raises(KeyError, "distance"):
        trips["distnce"]


def test_queries_do_not_change(trips: Any, weather: Any) -> None:
    query = trips.select_all()
    before = query.columns()
    query.join(weather.select(["temp"]), left_on=["city"], right_on=["city_id"])
    query.filter(trips["distance"] > 10)
    query.as_of(NOON)
    assert query.columns() == before
    assert len(query.read()) == 4


def test_as_of_reads_what_had_been_written(trips: Any, weather: Any) -> None:
    early = weather.as_of(NOON).read().sort_values("city_id")
    assert sorted(early["temp"]) == [1.0, 2.0, 9.0]  # without the correction
    assert len(trips.as_of(NOON).read()) == 0  # trips were written just now
    assert len(trips.as_of(datetime(2100, 1, 1, tzinfo=UTC)).read()) == 4


def test_rows_of_a_period(trips: Any) -> None:
    assert sorted(trips.read(NOON, NOON)["trip_id"]) == [2, 3]
    assert sorted(trips.read(start_time=NOON)["trip_id"]) == [2, 3, 4]
    assert trips.select_all().read(dataframe_type="arrow").num_rows == 4
    assert trips.select_all().read(dataframe_type="polars").height == 4
    with raises(RequestError, "spark"):
        trips.select_all().read(dataframe_type="spark")


def test_joins_that_do_not_fit_are_refused(conn: Any, trips: Any, weather: Any) -> None:
    left = trips.select_all()
    with raises(RequestError, "city_id", "left_on"):
        left.join(weather.select_all())
    with raises(RequestError, "1", "2"):
        left.join(weather.select_all(), left_on=["city"], right_on=["city_id", "x"])
    with raises(RequestError, "on"):
        left.join(weather.select_all(), on=["city"], left_on=["city"])
    with raises(RequestError, "outer"):
        left.join(weather.select_all(), join_type="outer", left_on=["city"], right_on=["city_id"])
    with raises(RequestError, "citty"):
        left.join(weather.select_all(), left_on=["citty"], right_on=["city_id"])
    keys: dict[str, Any] = {"left_on": ["city"], "right_on": ["city_id"]}
    for prefix in ("w.", "w/", "7", "w ", "é"):
        with raises(RequestError, "prefix"):
            trips.select(["trip_id"]).join(weather.select(["temp"]), prefix=prefix, **keys)
    with raises(RequestError, "temp", "prefix"):
        left.join(weather.select_all(), **keys).join(weather.select_all(), **keys)
    with raises(RequestError, "first"):
        left.join(weather.select_all().join(trips.select_all(), left_on=["city_id"],
                                            right_on=["trip_id"], prefix="t"), **keys)  # fmt: skip
    store = conn.get_feature_store()
    timeless = store.create_feature_group("cities", 1, primary_key=["city_id"])
    timeless.insert(pd.DataFrame({"city_id": [1], "people": [5]}))
    with raises(RequestError, "event time", "cities"):
        left.join(timeless.select_all(), **keys)
    with raises(RequestError, "event time", "cities"):
        timeless.select_all().join(weather.select_all())
    assert timeless.read()["people"].tolist() == [5]


def test_versions(conn: Any, trips: Any) -> None:
    store = conn.get_feature_store()
    with pytest.warns(VersionWarning, match="trips"):
        assert store.get_feature_group("trips").version == 1
    with pytest.warns(VersionWarning):
        second = store.create_feature_group("trips", primary_key=["trip_id"], event_time="left_at")
    assert second.version == 2
    second.insert(TRIPS.assign(fare=1.5))
    assert [g.version for g in store.get_feature_groups("trips")] == [1, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.get_feature_group("trips", "2").feature_names[-1] == "fare"
    with raises(RequestError, "trips", "1"):
        store.create_feature_group("trips", 1)
    for wrong in ("one", 0, -1):
        with raises(RequestError, "trips"):
            store.get_feature_group("trips", wrong)


def test_groups_that_are_not_there(conn: Any, prod: FeatureStore, trips: Any) -> None:
    own = conn.get_feature_store()
    with raises(NotFoundError, "weather", "prod"):  # it names the project that has one
        own.get_feature_group("weather", 1)
    with raises(NotFoundError, "trips_1"):
        own.get_feature_group("tripps", 1)
    with raises(NotFoundError, "nothing"):
        conn.get_feature_store("prod").get_feature_group("nothing", 1)
    with raises(AccessError, "prod"):
        conn.get_feature_store("prod").create_feature_group("new", 1)
    with raises(AccessError, "nobody"):
        conn.get_feature_store("nobody")
    draft = own.get_or_create_feature_group("draft", 1, primary_key=["k"], event_time="t")
    with raises(NotFoundError, "draft_1", "save"):
        draft.select_all()
    with raises(RequestError, "features"):
        draft.save()
    prod.sharing.share("dev", ["weather_1:temp"])
    with raises(KeyError, "sky"):
        conn.get_feature_store("prod").get_feature_group("weather", 1).select(["sky"])
    prod.sharing.revoke("dev")
    with raises(AccessError, "prod"):
        conn.get_feature_store("prod")


def test_a_view_without_a_version_is_version_1(conn: Any, prod: FeatureStore) -> None:
    [view] = [v for v in prod.list_feature_views() if v.name == "weather_1"]
    prod.apply([view.model_copy(update={"name": "plain"})])
    group = conn.get_feature_store("prod_featurestore").get_feature_group("plain", 1)
    assert (group.view, group.primary_key) == ("plain", ("city_id",))
    assert group.event_time == "observed"
    assert [f.name for f in group.features] == ["temp", "sky"]


def test_rows_of_a_shared_group_are_written_by_right(weather: Any, prod: FeatureStore) -> None:
    rows = pd.DataFrame({"city_id": [5], "observed": [NOON], "temp": [3.0], "sky": ["x"]})
    with raises(AccessError, "reading only"):
        weather.insert(rows)


def test_a_group_is_registered_with_its_types(conn: Any) -> None:
    group = conn.get_feature_store().create_feature_group(
        "typed", 1, primary_key=["a", "b"], event_time="t", description="typed rows",
        features=[
            Field(name="a", dtype=Int64), Field(name="b", dtype=String),
            Field(name="x", dtype=Float64),
        ],
        online_enabled=False,
    )  # fmt: skip
    assert not group.online_enabled
    assert group.save().primary_key == ("a", "b")
    assert (group.description, group.feature_names) == ("typed rows", ("x",))
    assert group.insert(pd.DataFrame({"a": [1], "b": ["u"], "x": [0.5], "t": [NOON]})) == 1
    assert group.read()["x"].tolist() == [0.5]


@pytest.fixture
def view(conn: Any, trips: Any, weather: Any) -> Any:
    query = trips.select(["distance", "late"]).join(
        weather.select(["temp"]), left_on=["city"], right_on=["city_id"], prefix="w_"
    )
    return conn.get_feature_store().create_feature_view("delays", query, 1, labels=["late"])


def test_training_data_of_a_feature_view(conn: Any, view: Any, trips: Any) -> None:
    x, y = view.training_data()
    assert list(x.columns) == ["distance", "w_temp"]
    assert list(y.columns) == ["late"]
    together = pd.concat([x, y], axis=1).sort_values("distance")
    assert together["late"].tolist() == [0, 1, 0, 1]
    assert together["w_temp"].tolist()[:3] == [1.0, 2.5, 9.0]
    again = conn.get_feature_store().get_feature_view("delays", 1)
    assert again.query.columns() == view.query.columns()
    assert len(again.training_data(extra_filter=trips["distance"] > 20)[0]) == 2
    assert list(again.get_batch_data(start_time=NOON).columns) == ["distance", "w_temp"]


def test_splits_of_training_data(view: Any) -> None:
    x_train, x_test, y_train, y_test = view.train_test_split(train_end=NOON, test_end=NOON + HOUR)
    assert (sorted(x_train["distance"]), sorted(x_test["distance"])) == ([10], [20, 30, 40])
    assert (len(y_train), len(y_test)) == (1, 3)
    parts = view.train_validation_test_split(0.25, 0.25, seed=3)
    assert len(parts) == 6
    assert sum(map(len, parts[:3])) == 4
    assert [len(p) for p in parts[:3]] == [len(p) for p in parts[3:]]
    same = view.train_validation_test_split(0.25, 0.25, seed=3)
    assert all(a.equals(b) for a, b in zip(parts, same, strict=True))
    with raises(RequestError, "test_size"):
        view.train_test_split()
    with raises(RequestError, "both"):
        view.train_test_split(0.5, train_end=NOON)


def test_saved_training_data_never_changes(view: Any, trips: Any) -> None:
    version, dataset = view.create_training_data()
    assert (version, dataset.manifest["tags"]["service"]) == (1, "delays_1")
    split, _ = view.create_train_test_split(train_end=NOON)
    assert split == 2
    more = TRIPS.assign(trip_id=TRIPS["trip_id"] + 10)
    trips.insert(more)
    x, y = view.get_training_data(1)
    assert (len(x), list(y.columns)) == (4, ["late"])
    assert [len(part) for part in view.get_train_test_split(2)] == [1, 3, 1, 3]
    assert len(view.training_data()[0]) == 8
    with raises(NotFoundError, "9"):
        view.get_training_data(9)


def test_vectors_for_serving(view: Any, prod: FeatureStore) -> None:
    assert view.get_feature_vector({"trip_id": 2, "city": 2}) == [20, 9.0]
    assert view.get_feature_vectors([{"trip_id": 1, "city": 1}, {"trip_id": 8, "city": 8}]) == [
        [10, 2.5], [None, None],
    ]  # fmt: skip


def test_a_service_that_no_query_made_has_no_rows(conn: Any, prod: FeatureStore) -> None:
    from feature_platform import FeatureService

    prod.apply([FeatureService(name="plain", features=["weather_1:temp"])])
    view = conn.get_feature_store("prod").get_feature_view("plain", 1)
    assert view.get_feature_vector({"city_id": 2}) == [9.0]
    with raises(RequestError, "get_historical_features"):
        view.training_data()
    with raises(NotFoundError, "nope"):
        conn.get_feature_store("prod").get_feature_view("nope", 1)


def test_labels_and_filters_of_a_feature_view_are_checked(conn: Any, trips: Any) -> None:
    store = conn.get_feature_store()
    with raises(RequestError, "fare"):
        store.create_feature_view("v", trips.select_all(), 1, labels=["fare"])
    with raises(RequestError, "extra_filter"):
        store.create_feature_view("v", trips.filter(trips["late"] == 1), 1)
    with pytest.warns(VersionWarning):
        assert store.create_feature_view("v", trips.select(["distance"])).version == 1
    with pytest.warns(VersionWarning):
        assert store.create_feature_view("v", trips.select(["late"])).version == 2


def test_on_demand_views_of_a_feature_view(conn: Any, trips: Any) -> None:
    """A service of a handle is a service like any other."""
    conn._store.apply(
        [
            OnDemandFeatureView(
                name="km", mode="sql", sources=["trips_1"], expressions={"km": "distance * 2"},
                schema=[Field(name="km", dtype=Int64)],
            )
        ]
    )  # fmt: skip
    service = conn.get_feature_store().create_feature_view("one", trips.select(["distance"]), 1)
    answer = conn._store.get_online_features([*service.service.features, "km"], [{"trip_id": 1}])
    assert answer.to_dict() == {"trip_id": [1], "distance": [10], "km": [20]}


def test_a_connection_is_closed_and_opened(conn: Any, tmp_path: Path, monkeypatch: Any) -> None:
    conn.close()
    with raises(RequestError, "connect"):
        conn.get_feature_store()
    conn.connect()
    assert conn.get_feature_store().name == "dev"
    with raises(ConfigError, "dev", "other"):
        feature_platform.connection(project="other")
    with raises(ConfigError, "beam"):
        feature_platform.connection(engine="beam")
    monkeypatch.setenv("FEATURE_PLATFORM_REPO", str(tmp_path / "prod"))
    with feature_platform.connection(project="prod") as other:
        assert other.get_feature_store().name == "prod"
        assert conn.get_feature_store().name == "dev"  # two connections share nothing
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("FEATURE_PLATFORM_REPO", str(empty))
    with raises(ConfigError, "feature_store.yaml"):
        feature_platform.connection()


def test_integers_are_compared_with_fractions_exactly(trips: Any) -> None:
    def matching(condition: Any) -> list[int]:
        return sorted(trips.filter(condition).read()["distance"])

    distance = trips["distance"]
    assert matching(distance < 20.5) == [10, 20]
    assert matching(distance <= 19.5) == [10]
    assert matching(distance >= 20.5) == [30, 40]
    assert matching(distance > 29.5) == [30, 40]
    assert matching(distance == 20.5) == []
    assert matching(distance == 20.0) == [20]
    assert matching(distance != 20.5) == [10, 20, 30, 40]
    assert matching(distance < float("inf")) == [10, 20, 30, 40]
    assert matching(distance > math.nan) == []  # noqa: PLW0177
    assert matching(distance.isin([20.5, 30.0, None])) == [30]
    for wrong in (distance < 2**70, distance == "x", distance.isin(["x"]), distance.like("1%")):
        with raises(RequestError, "distance"):
            matching(wrong)


def test_conditions_on_a_group_that_is_there_twice_are_refused(trips: Any, weather: Any) -> None:
    keys: dict[str, Any] = {"left_on": ["city"], "right_on": ["city_id"]}
    cold = weather.select(["temp"]).filter(weather["temp"] > 5)
    once = trips.select(["trip_id"]).join(cold, prefix="a_", **keys)
    with raises(RequestError, "prod/weather_1", "temp"):
        once.join(weather.select(["temp"]), prefix="b_", **keys)
    other = trips.select(["distance"]).filter(trips["distance"] > 20)
    with raises(RequestError, "dev/trips_1"):
        trips.select(["late"]).join(other, left_on=["trip_id"], right_on=["trip_id"], prefix="o_")


def test_a_feature_view_keeps_no_inner_join(conn: Any, trips: Any, weather: Any) -> None:
    query = trips.select(["distance"]).join(
        weather.select(["temp"]), left_on=["city"], right_on=["city_id"], join_type="inner"
    )
    with raises(RequestError, "left"):
        conn.get_feature_store().create_feature_view("v", query, 1)


def test_datasets_of_two_projects_are_apart(conn: Any, trips: Any, weather: Any, prod: Any) -> None:
    with contextlib.chdir(prod.repo.path), feature_platform.connection() as theirs:
        group = theirs.get_feature_store().get_feature_group("weather", 1)
        theirs.get_feature_store().create_feature_view("same", group.select(["temp"]), 1)
    own = conn.get_feature_store().create_feature_view("same", trips.select(["distance"]), 1)
    shared = conn.get_feature_store("prod").get_feature_view("same", 1)
    assert own.create_training_data()[0] == 1
    with raises(NotFoundError, "prod"):
        shared.get_training_data(1)
    assert shared.create_training_data()[0] == 1
    assert list(own.get_training_data(1)[0].columns) == ["distance"]
    assert list(shared.get_training_data(1)[0].columns) == ["temp"]
