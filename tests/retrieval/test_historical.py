"""Training sets through the feature store: what users pass in and get back."""

from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet
from tests_support import HOUR, NOON, raises

from feature_platform import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    ViewReference,
)
from feature_platform.errors import NotFoundError, RequestError, SchemaError, StoreError
from feature_platform.types import Array, Float32, Int64, String, UnixTimestamp


def spine(**columns: list[object]) -> pd.DataFrame:
    rows = {"driver_id": [1, 2, 3], "event_timestamp": [NOON - HOUR, NOON, NOON]}
    return pd.DataFrame({**rows, **columns})


def answers(store: FeatureStore, rows: object, features: object, **options: object) -> list[dict]:
    return store.get_historical_features(rows, features, **options).to_arrow().to_pylist()


def test_entity_rows_come_in_any_frame_or_as_sql_or_a_path(platform, tmp_path: Path) -> None:
    frame = spine(label=[0, 1, 0])
    file = tmp_path / "spine.parquet"
    frame.to_parquet(file)
    sql = f"SELECT * FROM '{file}' WHERE driver_id < 9"
    given = [frame, pa.Table.from_pandas(frame), pl.from_pandas(frame), file, str(file), sql]

    results = [
        platform.get_historical_features(rows, ["driver_stats:trips"]).to_arrow().to_pylist()
        for rows in given
    ]
    assert results[0] == [
        {"driver_id": 1, "event_timestamp": NOON - HOUR, "label": 0, "trips": 11},
        {"driver_id": 2, "event_timestamp": NOON, "label": 1, "trips": 20},
        {"driver_id": 3, "event_timestamp": NOON, "label": 0, "trips": None},
    ]
    assert all(result == results[0] for result in results)


def test_the_result_comes_in_every_form(platform: FeatureStore, tmp_path: Path) -> None:
    job = platform.get_historical_features(spine(), ["driver_stats"])
    expected = job.to_arrow()

    assert pa.Table.from_batches(job.to_batches()).equals(expected)
    assert job.to_polars()["trips"].to_list() == [11, 20, None]
    assert job.to_df()["trips"].dtype == pd.Int64Dtype()
    assert job.to_df()["trips"].tolist()[:2] == [11, 20]
    assert parquet.read_table(job.to_parquet(tmp_path / "out" / "set.parquet")).equals(expected)
    folder = job.to_parquet(tmp_path / "parts", partition_by=["driver_id"])
    assert sorted(p.name for p in folder.iterdir()) == [f"driver_id={n}" for n in (1, 2, 3)]
    assert job.to_sql().startswith("WITH")
    assert "entities" in job.explain()
    assert job.registry_version == 1


def test_nothing_is_read_before_the_result_is_asked_for(platform, tmp_path: Path) -> None:
    (tmp_path / "driver.parquet").rename(tmp_path / "away.parquet")
    job = platform.get_historical_features(spine(), ["driver_stats"])
    with raises(StoreError, "'driver_source'", tmp_path / "driver.parquet"):
        job.to_arrow()

    (tmp_path / "away.parquet").rename(tmp_path / "driver.parquet")
    assert job.to_arrow().num_rows == 3


def test_a_failed_export_leaves_the_old_file(platform, tmp_path: Path) -> None:
    target = tmp_path / "set.parquet"
    job = platform.get_historical_features(spine(), ["driver_stats"])
    job.to_parquet(target)
    (tmp_path / "driver.parquet").unlink()

    with pytest.raises(StoreError):
        job.to_parquet(target)
    assert parquet.read_table(target).num_rows == 3
    assert [p.name for p in tmp_path.glob(".set*")] == []


def test_services_by_object_by_name_and_with_full_names(platform: FeatureStore) -> None:
    service = FeatureService(name="model", features=["driver_stats:rate", "driver_stats:trips"])
    platform.apply([service])

    for features in (service, "model"):
        columns = platform.get_historical_features(spine(), features).to_arrow().column_names
        assert columns == ["driver_id", "event_timestamp", "rate", "trips"]
    full = platform.get_historical_features(spine(), "model", full_feature_names=True).to_arrow()
    assert full.column_names[2:] == ["driver_stats__rate", "driver_stats__trips"]


def test_one_view_read_in_two_ways(platform: FeatureStore, driver_view: FeatureView) -> None:
    rows = pd.DataFrame({"mine": [1], "theirs": [2], "event_timestamp": [NOON]})
    features = [
        driver_view[["trips"]].with_name("mine").with_join_key_map({"driver_id": "mine"}),
        ViewReference(view="driver_stats", features=["trips"])
        .with_name("theirs")
        .with_join_key_map({"driver_id": "theirs"}),
    ]

    assert answers(platform, rows, features, full_feature_names=True) == [
        {"mine": 1, "theirs": 2, "event_timestamp": NOON, "mine__trips": 11, "theirs__trips": 20}
    ]
    with raises(RequestError, "'trips'", "'mine'", "'theirs'", "full_feature_names"):
        platform.get_historical_features(rows, features)


def test_without_entity_rows_every_observation_is_a_row(platform: FeatureStore) -> None:
    rows = answers(
        platform, None, ["driver_stats"], start_date=NOON - 2 * HOUR, end_date=NOON - HOUR
    )

    assert [(r["driver_id"], r["event_timestamp"], r["trips"]) for r in rows] == [
        (1, NOON - 2 * HOUR, 10), (1, NOON - HOUR, 11), (2, NOON - HOUR, 20),
    ]  # fmt: skip
    naive = (NOON - HOUR).replace(tzinfo=None)
    assert len(answers(platform, None, ["driver_stats"], start_date=naive)) == 2


def test_mapped_columns_composite_keys_and_created_times(open_store, tmp_path: Path) -> None:
    raw = pd.DataFrame(
        {
            "drv": [1, 1, 1],
            "cust": ["a", "a", "b"],
            "at": [NOON - HOUR] * 3,
            "made": [NOON - HOUR, NOON, NOON - HOUR],
            "Trip Count": [1, 2, 3],
        }
    )
    raw.to_csv(tmp_path / "trips.csv", index=False)
    source = FileSource(
        path="trips.csv",
        timestamp_field="at",
        created_timestamp_column="made",
        field_mapping={"drv": "driver_id", "cust": "customer_id", "Trip Count": "trips"},
    )
    pair = Entity(name="pair", join_keys=["driver_id", "customer_id"])
    view = FeatureView(
        name="pairs", entities=[pair], source=source, schema=[Field(name="trips", dtype=Int64)]
    )
    store = open_store()
    store.apply([pair, view])
    rows = pd.DataFrame(
        {
            "who": ["a", "b", "1"],
            "driver_id": [1, 1, 1],
            "event_timestamp": [NOON - timedelta(minutes=1)] * 3,
        }
    )
    features = [view.with_join_key_map({"customer_id": "who"})]

    found = [r["trips"] for r in answers(store, rows, features)]
    known = answers(store, rows, features, filter_by_created_timestamp=True)
    assert found == [2, 3, None]
    assert [r["trips"] for r in known] == [1, 3, None]


def test_every_type_comes_back_in_its_declared_type(open_store, tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": [1],
            "event_timestamp": pa.array([NOON]),
            "small": pa.array([0.1], pa.float64()),
            "when": pa.array([datetime(2026, 1, 1)], pa.timestamp("ms")),  # noqa: DTZ001
            "many": pa.array([["a", None]]),
            "whole": pa.array([3.0]),
        }
    )
    parquet.write_table(table, tmp_path / "types.parquet")
    view = FeatureView(
        name="types",
        entities=[Entity(name="id")],
        source=FileSource(path="types.parquet"),
        schema=[
            Field(name="small", dtype=Float32),
            Field(name="when", dtype=UnixTimestamp),
            Field(name="many", dtype=Array(String)),
            Field(name="whole", dtype=Int64),
        ],
    )
    store = open_store()
    store.apply([Entity(name="id"), view])
    rows = pd.DataFrame({"id": [1, 2], "event_timestamp": [NOON, NOON]})
    answer = store.get_historical_features(rows, ["types"]).to_arrow()

    assert [str(f.type) for f in answer.schema][2:] == [
        "float", "timestamp[us, tz=UTC]", "list<l: string>", "int64",
    ]  # fmt: skip
    assert answer["whole"].to_pylist() == [3, None]
    assert answer["many"].to_pylist() == [["a", None], None]


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        (lambda df: df.drop(columns="driver_id"), ["'driver_id'", "'driver_stats'"]),
        (
            lambda df: df.rename(columns={"event_timestamp": "t"}).astype({"t": str}),
            ["'event_timestamp'"],
        ),
        (
            lambda df: df.rename(columns={"event_timestamp": "t"}).assign(u=NOON),
            ["'event_timestamp'", "t, u"],
        ),
        (
            lambda df: df.astype({"driver_id": float}),
            ["'driver_id'", "'driver_stats'", "double", "int64", 'astype("Int64")'],
        ),
        (
            lambda df: df.astype({"driver_id": str}),
            ["'driver_id'", "'driver_stats'", "string", "int64"],
        ),
        (lambda df: df.assign(trips=1), ["'trips'", "full_feature_names"]),
        (lambda df: df.assign(event_timestamp=5), ["'event_timestamp'", "int64"]),
        (lambda df: "select 1; drop table x", ["SELECT"]),
        (lambda df: "copy (select 1) to '/tmp/x'", ["SELECT"]),
        (lambda df: "selec 1", ['"selec"']),
        (lambda df: 7, ["entity_df", "pandas", "polars", "int"]),
    ],
)
def test_wrong_entity_rows_are_explained(platform: FeatureStore, rows, names) -> None:
    with raises(RequestError, *names):
        platform.get_historical_features(rows(spine()), ["driver_stats"]).to_arrow()


@pytest.mark.parametrize(
    ("features", "names"),
    [
        ("modl", ["'modl'", "'model'"]),
        (["driver_stat"], ["'driver_stat'", "'driver_stats'"]),
        (["driver_stats:trip"], ["'driver_stats'", "'trip'", "'trips'"]),
    ],
)
def test_wrong_references_are_explained(platform: FeatureStore, features, names) -> None:
    platform.apply([FeatureService(name="model", features=["driver_stats"])])

    with raises(NotFoundError, *names):
        platform.get_historical_features(spine(), features)


@pytest.mark.parametrize(
    ("features", "names"),
    [([], ["features"]), ([5], ["features", "5"]), (None, ["features", "None"])],
)
def test_features_that_are_none_are_explained(platform: FeatureStore, features, names) -> None:
    with raises(RequestError, *names):
        platform.get_historical_features(spine(), features)


def test_a_source_that_drifted_is_explained(platform: FeatureStore, tmp_path: Path) -> None:
    file = tmp_path / "driver.parquet"
    good = pd.read_parquet(file)
    job = platform.get_historical_features(spine(), ["driver_stats"])
    for change, *names in (
        (good.rename(columns={"trips": "tripz"}), "'driver_stats'", "'trips'", "'tripz'"),
        (good.astype({"trips": str}), "'trips'", "string", "int64"),
        (good.assign(trips=[1.5, 1.5, 1.5]), "'trips'", "int64", "1.5"),
        (good.assign(event_timestamp=1), "'event_timestamp'", "int64"),
    ):
        change.to_parquet(file)
        with raises(SchemaError, "'driver_source'", *names):
            job.to_arrow()


def test_hostile_names_are_only_names(open_store, tmp_path: Path) -> None:
    nasty = "x\"'; drop table entity_rows; --"
    frame = pd.DataFrame({"id": [1], "event_timestamp": [NOON], nasty: [7]})
    frame.to_parquet(tmp_path / "it's.parquet")
    view = FeatureView(
        name="v",
        entities=[Entity(name="id")],
        source=FileSource(name="s", path="it's.parquet", field_mapping={nasty: "x"}),
        schema=[Field(name="x", dtype=Int64)],
    )
    store = open_store()
    store.apply([Entity(name="id"), view])
    rows = pd.DataFrame({"id": [1], "event_timestamp": [NOON], nasty: ["kept"]})

    assert answers(store, rows, ["v"])[0] == {
        "id": 1, "event_timestamp": NOON, nasty: "kept", "x": 7,
    }  # fmt: skip


def test_files_of_a_directory_and_of_a_glob_are_one_history(open_store, tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / "days" / f"day={number}"
        folder.mkdir(parents=True)
        frame = pd.DataFrame({"id": [number], "event_timestamp": [NOON], "x": [number]})
        frame.to_parquet(folder / "part.parquet")
    store = open_store()
    for name, path in (("by_folder", "days"), ("by_glob", "days/*/*.parquet")):
        source = FileSource(name=name, path=path)
        view = FeatureView(
            name=f"{name}_view",
            entities=["id"],
            source=source,
            schema=[Field(name="x", dtype=Int64)],
        )
        store.apply([Entity(name="id"), source, view])
        rows = pd.DataFrame({"id": [2, 1], "event_timestamp": [NOON, NOON]})
        assert [r["x"] for r in answers(store, rows, [f"{name}_view"])] == [2, 1]


def test_an_s3_source_reads_as_the_local_file_does(open_store, tmp_path: Path, s3, s3_endpoint):
    frame = pd.DataFrame({"id": [1, 2], "event_timestamp": [NOON, NOON], "x": [5, 6]})
    frame.to_parquet(tmp_path / "x.parquet")
    s3.create_bucket(Bucket="lake")
    s3.put_object(Bucket="lake", Key="raw/x.parquet", Body=(tmp_path / "x.parquet").read_bytes())
    store = open_store()
    for name, path in (("here", "x.parquet"), ("there", "s3://lake/raw/x.parquet")):
        source = FileSource(name=name, path=path, s3_endpoint_override=s3_endpoint)
        schema = [Field(name="x", dtype=Int64)]
        view = FeatureView(name=f"{name}_view", entities=["id"], source=source, schema=schema)
        store.apply([Entity(name="id"), source, view])
    rows = pd.DataFrame({"id": [2, 1, 3], "event_timestamp": [NOON] * 3})

    assert answers(store, rows, ["here_view"]) == answers(store, rows, ["there_view"])
    missing = FileSource(name="gone", path="s3://lake/no", s3_endpoint_override=s3_endpoint)
    view = FeatureView(name="gone_view", source=missing, schema=[Field(name="x", dtype=Int64)])
    store.apply([missing, view])
    with raises(StoreError, "'gone'", "s3://lake/no"):
        answers(store, rows, ["gone_view"])


def test_ties_do_not_depend_on_which_features_are_asked_for(open_store, tmp_path: Path) -> None:
    rows = {"id": [1, 1], "event_timestamp": [NOON, NOON], "x": [1, 2], "y": [9, 0]}
    pd.DataFrame(rows).to_parquet(tmp_path / "ties.parquet")
    fields = [Field(name="x", dtype=Int64), Field(name="y", dtype=Int64)]
    source = FileSource(path="ties.parquet")
    view = FeatureView(name="v", entities=["id"], source=source, schema=fields)
    store = open_store()
    store.apply([Entity(name="id", value_type=Int64), view])
    store.materialize(NOON - HOUR, NOON)
    asked = pd.DataFrame({"id": [1], "event_timestamp": [NOON]})

    assert answers(store, asked, ["v:y"])[0]["y"] == answers(store, asked, ["v"])[0]["y"] == 0
    assert store.get_online_features(["v:y"], [{"id": 1}]).to_dict()["y"] == [0]


def test_a_span_keeps_the_columns_of_composite_keys_apart(open_store, tmp_path: Path) -> None:
    """The two views list their entities in opposite orders."""
    entities = [Entity(name="a", value_type=Int64), Entity(name="b", value_type=Int64)]
    store = open_store()
    for name, order in (("v1", ["a", "b"]), ("v2", ["b", "a"])):
        frame = {"a": [1], "b": [10], "event_timestamp": [NOON], name: [7]}
        pd.DataFrame(frame).to_parquet(tmp_path / f"{name}.parquet")
        schema = [Field(name=name, dtype=Int64)]
        source = FileSource(path=f"{name}.parquet")
        view = FeatureView(name=name, entities=order, source=source, schema=schema)
        store.apply([*entities, view])

    assert answers(store, None, ["v1", "v2"], start_date=NOON) == [
        {"a": 1, "b": 10, "event_timestamp": NOON, "v1": 7, "v2": 7}
    ]


def test_names_that_look_alike_when_joined_stay_apart(open_store, tmp_path: Path) -> None:
    store = open_store()
    for name, feature, value in (("a", "b__c", 111), ("a__b", "c", 222)):
        frame = {"id": [1], "event_timestamp": [NOON], feature: [value]}
        pd.DataFrame(frame).to_parquet(tmp_path / f"{name}.parquet")
        source = FileSource(path=f"{name}.parquet")
        schema = [Field(name=feature, dtype=Int64)]
        view = FeatureView(name=name, entities=["id"], source=source, schema=schema)
        store.apply([Entity(name="id", value_type=Int64), view])
    asked = pd.DataFrame({"id": [1], "event_timestamp": [NOON]})

    assert answers(store, asked, ["a", "a__b"])[0]["b__c"] == 111
    assert answers(store, asked, ["a", "a__b"])[0]["c"] == 222
    with raises(RequestError, "'c'", "'a'", "'a__b'"):
        answers(store, asked, ["a", "a__b"], full_feature_names=True)


def test_text_in_csv_files_stays_text(open_store, tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("id,event_timestamp,code\n007,2026-01-01,0012\n")
    view = FeatureView(
        name="codes",
        entities=[Entity(name="id", value_type="String")],
        source=FileSource(path="codes.csv"),
        schema=[Field(name="code", dtype=String)],
    )
    store = open_store()
    store.apply([Entity(name="id", value_type="String"), view])
    asked = pd.DataFrame({"id": ["007", "7"], "event_timestamp": [NOON, NOON]})

    assert [row["code"] for row in answers(store, asked, ["codes"])] == ["0012", None]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["entity_df", "start_date", "end_date"]),
        (
            {"entity_df": "select 1", "start_date": NOON},
            ["entity_df", "start_date", "end_date"],
        ),
        ({"start_date": "2026-01-01"}, ["start_date", "datetime", "'2026-01-01'"]),
        (
            {"start_date": NOON, "end_date": NOON - HOUR},
            ["start_date", NOON, "end_date", NOON - HOUR],
        ),
    ],
)
def test_wrong_spans_are_explained(platform: FeatureStore, options, names) -> None:
    with raises(RequestError, *names):
        platform.get_historical_features(features=["driver_stats"], **options)


def test_a_csv_value_of_another_type_is_found_by_column_and_fractions_are_kept_out(
    open_store, tmp_path: Path
) -> None:
    view = FeatureView(
        name="counts",
        entities=[Entity(name="id", value_type=Int64)],
        source=FileSource(path="counts.csv"),
        schema=[Field(name="n", dtype=Int64)],
    )
    store = open_store()
    store.apply([Entity(name="id", value_type=Int64), view])
    asked = pd.DataFrame({"id": [1], "event_timestamp": [NOON]})

    for value in ("2.5", "many"):
        (tmp_path / "counts.csv").write_text(f"id,event_timestamp,n\n1,2026-01-01,{value}\n")
        with raises(SchemaError, "'counts'", "'n'", "int64", value):
            answers(store, asked, ["counts"])
    (tmp_path / "counts.csv").write_text("id,event_timestamp,n\n1,2026-01-01,\n")
    assert answers(store, asked, ["counts"])[0]["n"] is None
