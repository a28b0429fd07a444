"""Saved datasets, rows that are written to history, and statistics, through the feature store."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
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
    PushMode,
    PushSource,
    RandomSplit,
    SavedDataset,
    SavedDatasetFileStorage,
    TimeSplit,
)
from feature_platform.errors import (
    DefinitionError,
    NotFoundError,
    RequestError,
    SchemaError,
    SourceError,
    StoreError,
)
from feature_platform.offline.s3 import s3_client
from feature_platform.types import Float32, Int64, String


def spine(count: int = 3) -> pd.DataFrame:
    ids = [n % 3 + 1 for n in range(count)]
    return pd.DataFrame(
        {"driver_id": ids, "event_timestamp": [NOON - HOUR * (n % 2) for n in range(count)]}
    )


def test_a_saved_dataset_says_how_it_was_made(platform: FeatureStore) -> None:
    job = platform.get_historical_features(spine(), ["driver_stats"])
    saved = platform.create_saved_dataset(job, "drivers", tags={"for": "ranking"})

    assert platform.get_saved_dataset("drivers").manifest == saved.manifest
    platform.create_saved_dataset(job, "again")
    assert [each.name for each in platform.list_saved_datasets()] == ["again", "drivers"]
    assert platform.list_saved_datasets(tags={"for": "ranking"}) == [saved]
    assert platform.list_saved_datasets(tags={"for": "another"}) == []
    assert saved.to_arrow().equals(job.to_arrow())
    assert saved.to_df()["trips"].tolist()[:2] == [11, 20]
    assert saved.to_polars()["trips"].to_list() == [11, 20, None]
    kept = saved.manifest
    assert (kept["registry_version"], kept["rows"], kept["tags"]) == (1, 3, {"for": "ranking"})
    assert kept["features"] == {"trips": "driver_stats:trips", "rate": "driver_stats:rate"}
    assert kept["entity_rows"] == {"rows": 3, "columns": ["driver_id", "event_timestamp"]}
    trips = kept["statistics"]["trips"]
    assert (trips["count"], trips["nulls"], trips["min"], trips["max"]) == (3, 1, 11, 20)


def test_a_dataset_can_be_made_again_from_its_registry_version(
    platform: FeatureStore, driver_view: FeatureView, tmp_path: Path
) -> None:
    saved = platform.create_saved_dataset(
        platform.get_historical_features(spine(), ["driver_stats"]), "then"
    )
    longer = driver_view.model_copy(update={"ttl": timedelta(minutes=1)})
    platform.apply([longer], override="values expire sooner")
    assert (
        not platform.get_historical_features(spine(), ["driver_stats"])
        .to_arrow()
        .equals(saved.to_arrow())
    )

    pinned = FeatureStore(tmp_path, config=platform.config, registry_version=saved.registry_version)
    features = list(saved.manifest["features"].values())
    again = pinned.get_historical_features(spine(), features).to_arrow()
    assert again.equals(saved.to_arrow())


def test_a_dataset_is_split_by_chance_or_by_time(platform: FeatureStore, tmp_path: Path) -> None:
    job = platform.get_historical_features(spine(1000), ["driver_stats:trips"])
    halves = RandomSplit({"train": 0.8, "test": 0.2}, seed=1)
    one, same = (
        job.persist(SavedDatasetFileStorage(tmp_path / name), split=halves) for name in "ab"
    )
    other = job.persist(
        SavedDatasetFileStorage(tmp_path / "c"), split=RandomSplit(halves.parts, seed=2)
    )
    assert one.splits == ("train", "test")
    assert 750 < one.to_arrow("train").num_rows < 850
    assert one.to_arrow().num_rows == 1000
    assert one.to_arrow("test").equals(same.to_arrow("test"))
    assert not one.to_arrow("test").equals(other.to_arrow("test"))

    by_time = TimeSplit({"before": NOON, "after": None})
    parts = job.persist(SavedDatasetFileStorage(tmp_path / "d"), split=by_time)
    assert set(parts.to_arrow("before")["event_timestamp"].to_pylist()) == {NOON - HOUR}
    assert set(parts.to_arrow("after")["event_timestamp"].to_pylist()) == {NOON}
    with raises(NotFoundError, "'d'", "'before'", "'after'"):
        parts.to_arrow("train")


@pytest.mark.parametrize(
    ("split", "wrong", "right", "name"),
    [
        (RandomSplit, {"a": 0.5}, {"a": 0.5, "b": 0.5}, "{'a': 0.5}"),
        (RandomSplit, {"a": 1.5, "b": -0.5}, {"a": 0.5, "b": 0.5}, "{'a': 1.5, 'b': -0.5}"),
        (TimeSplit, {"a": None, "b": NOON}, {"a": NOON, "b": None}, "TimeSplit"),
        (TimeSplit, {"a": NOON, "b": NOON}, {"a": NOON, "b": NOON + HOUR}, "TimeSplit"),
    ],
)
def test_splits_that_are_none_are_explained(split, wrong, right, name: str) -> None:
    """The right ones differ by nothing but the fault."""
    split(right)
    with raises(RequestError, name):
        split(wrong)


def test_a_dataset_that_fails_leaves_nothing_and_one_that_exists_stays(
    platform: FeatureStore, tmp_path: Path
) -> None:
    job = platform.get_historical_features(spine(), ["driver_stats"])
    for split, *names in (
        (TimeSplit({"a": NOON - 9 * HOUR}), "TimeSplit", "'event_timestamp'"),
        (TimeSplit({"a": None}, column="when"), "TimeSplit", "'when'"),
        (RandomSplit({"../x": 1.0}), "'../x'"),
    ):
        with raises(RequestError, *names):
            platform.create_saved_dataset(job, "broken", split=split)
        assert list((tmp_path / "datasets").iterdir()) == []
    saved = platform.create_saved_dataset(job, "kept")
    with raises(RequestError, saved.path):
        platform.create_saved_dataset(job, "kept")
    with raises(RequestError, "'../kept'"):
        platform.create_saved_dataset(job, "../kept")
    with raises(NotFoundError, tmp_path / "datasets" / "lost"):
        platform.get_saved_dataset("lost")
    assert SavedDataset.load(saved.path).to_arrow().num_rows == 3


def test_jobs_tell_their_progress_and_can_be_cancelled(
    platform: FeatureStore, tmp_path: Path
) -> None:
    steps: list[str] = []
    platform.get_historical_features(spine(), ["driver_stats"]).on_progress(steps.append).to_arrow()
    assert len(set(steps)) == len(steps) >= 3
    assert all(steps)
    assert any("3" in step.split() for step in steps)  # how many entity rows there are

    rows = "SELECT range % 9 AS driver_id, TIMESTAMP '2026-01-01' AS event_timestamp FROM range"
    job = platform.get_historical_features(f"{rows}(3000000000)", ["driver_stats"])
    timer = threading.Timer(0.5, job.cancel)
    timer.start()
    with raises(StoreError) as error:
        job.to_arrow()
    assert timer.finished.is_set()
    assert isinstance(error.value.__cause__, duckdb.InterruptException)
    timer.join()


def test_sql_has_the_names_of_the_answer(platform: FeatureStore) -> None:
    job = platform.get_historical_features(spine(), ["driver_stats:trips"], full_feature_names=True)

    assert 'AS "driver_stats__trips"' in job.to_sql()
    with raises(RequestError, "to_spark_df", "offline_store", "type: spark"):
        job.to_spark_df()
    with raises(RequestError, "to_snowflake", "offline_store", "type: snowflake"):
        job.to_snowflake("t")


@pytest.fixture
def pushed(open_store, tmp_path: Path) -> FeatureStore:
    """A view whose history is a folder, fed by a push source."""
    history = FileSource(
        name="history", path="history", timestamp_field="at", created_timestamp_column="made",
        field_mapping={"Trips": "trips"},
    )  # fmt: skip
    view = FeatureView(
        name="live",
        entities=[Entity(name="driver_id", value_type=Int64)],
        source=PushSource(name="events", batch_source=history),
        schema=[Field(name="trips", dtype=Int64), Field(name="rate", dtype=Float32)],
    )
    store = open_store()
    store.apply([Entity(name="driver_id", value_type=Int64), view])
    return store


def pushed_rows(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"driver_id": [1], "at": [NOON], "trips": [7], "rate": [0.5], **columns})


def test_pushed_rows_go_online_into_history_or_both(pushed: FeatureStore, tmp_path: Path) -> None:
    asked = pd.DataFrame({"driver_id": [1], "event_timestamp": [NOON]})

    def online() -> list[object]:
        return pushed.get_online_features(["live:trips"], [{"driver_id": 1}]).to_dict()["trips"]

    def offline() -> list[object]:
        found = pushed.get_historical_features(asked, ["live:trips"]).to_arrow()
        return list(found["trips"].to_pylist())

    pushed.push("events", pushed_rows(), to=PushMode.OFFLINE)
    assert (online(), offline()) == ([None], [7])
    pushed.push("events", pushed_rows(trips=[8]))
    assert (online(), offline()) == ([8], [7])
    later = pushed_rows(trips=[9], at=[NOON - HOUR])
    pushed.push("events", later, to=PushMode.ONLINE_AND_OFFLINE)
    assert (online(), offline()) == ([8], [7])
    pushed.write_to_offline_store("live", pushed_rows(trips=[10], made=[NOON + HOUR]))
    assert offline() == [10]

    files = sorted((tmp_path / "history").iterdir())
    assert len(files) == 3
    assert parquet.read_schema(files[0]).names == ["driver_id", "at", "made", "Trips", "rate"]


def test_a_refused_push_writes_nothing(pushed: FeatureStore, tmp_path: Path) -> None:
    good = pushed_rows()
    for rows in (good.assign(trips="many"), good.assign(extra=1), good.drop(columns="at")):
        with pytest.raises(SchemaError):
            pushed.push("events", rows, to=PushMode.ONLINE_AND_OFFLINE)
    assert not (tmp_path / "history").exists()


def test_a_source_that_cannot_grow_is_explained(platform: FeatureStore) -> None:
    rows = pd.DataFrame({"driver_id": [1], "event_timestamp": [NOON], "trips": [1], "rate": [0.5]})
    with raises(RequestError, "'driver_source'", "'driver.parquet'", "Parquet"):
        platform.write_to_offline_store("driver_stats", rows)


def test_days_are_folders_and_other_days_are_not_read(open_store, tmp_path: Path) -> None:
    source = FileSource(name="days", path="days", date_partition_column="day")
    view = FeatureView(
        name="daily", entities=["id"], source=source, schema=[Field(name="x", dtype=Int64)],
        ttl=timedelta(hours=2),
    )  # fmt: skip
    store = open_store()
    store.apply([Entity(name="id", value_type=Int64), source, view])
    rows = pd.DataFrame(
        {"id": [1, 1], "event_timestamp": [NOON, NOON - timedelta(days=3)], "x": [1, 2]}
    )
    store.write_to_offline_store("daily", rows)
    assert sorted(p.name for p in (tmp_path / "days").iterdir()) == [
        "day=2025-12-29",
        "day=2026-01-01",
    ]
    asked = pd.DataFrame({"id": [1], "event_timestamp": [NOON + HOUR]})
    assert store.get_historical_features(asked, ["daily"]).to_arrow()["x"].to_pylist() == [1]

    broken = next((tmp_path / "days" / "day=2025-12-29").iterdir())
    content = broken.read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8  # all but the metadata is broken
    broken.write_bytes(content[:4] + b"\0" * (len(content) - footer - 4) + content[-footer:])
    assert store.get_historical_features(asked, ["daily"]).to_arrow()["x"].to_pylist() == [1]


def test_statistics_of_a_view(platform: FeatureStore) -> None:
    found = platform.get_statistics("driver_stats")

    assert (found["trips"].count, found["trips"].min, found["trips"].max) == (3, 10, 20)
    assert found["rate"].mean == pytest.approx(0.5)
    assert platform.get_statistics("driver_stats", NOON - HOUR)["trips"].count == 2


def test_delta_and_iceberg_tables_are_read_and_delta_grows(open_store, tmp_path: Path) -> None:
    from deltalake import write_deltalake
    from pyiceberg.catalog.memory import InMemoryCatalog

    table = pa.table(
        {"id": pa.array([1, 2]), "event_timestamp": pa.array([NOON, NOON]), "x": pa.array([5, 6])}
    )
    write_deltalake(tmp_path / "delta", table)
    catalog = InMemoryCatalog("test", warehouse=f"file://{tmp_path}/warehouse")
    catalog.create_namespace("lake")
    iceberg = catalog.create_table("lake.x", schema=table.schema)
    iceberg.append(table)
    store = open_store()
    store.apply([Entity(name="id", value_type=Int64)])
    asked = pd.DataFrame({"id": [2, 1, 3], "event_timestamp": [NOON] * 3})
    places = {"delta": "delta", "iceberg": iceberg.metadata_location}
    for kind, path in places.items():
        source = FileSource(name=f"{kind}_source", path=path, file_format=kind)
        schema = [Field(name="x", dtype=Int64)]
        store.apply([FeatureView(name=kind, entities=["id"], source=source, schema=schema), source])
        found = store.get_historical_features(asked, [kind]).to_arrow()
        assert found["x"].to_pylist() == [6, 5, None]

    more = pd.DataFrame({"id": [3], "event_timestamp": [NOON], "x": [7]})
    store.write_to_offline_store("delta", more)
    found = store.get_historical_features(asked, ["delta"]).to_arrow()
    assert found["x"].to_pylist() == [6, 5, 7]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_any_unit_are_split_alike(platform: FeatureStore, unit: str) -> None:
    rows = spine(2).assign(
        label_time=pd.array(["2026-01-01", "2026-03-01"], dtype=f"datetime64[{unit}]")
    )
    split = TimeSplit({"a": NOON + timedelta(days=30), "b": None}, column="label_time")
    job = platform.get_historical_features(rows, ["driver_stats"])

    assert platform.create_saved_dataset(job, "x", split=split).manifest["splits"] == {
        "a": 1,
        "b": 1,
    }


def test_an_end_is_exact_to_the_microsecond(platform: FeatureStore) -> None:
    end = datetime(2038, 7, 10, 8, 23, 42, 42318, tzinfo=UTC)
    rows = pd.DataFrame(
        {"driver_id": [1, 1], "event_timestamp": [end - timedelta(microseconds=1), end]}
    )
    job = platform.get_historical_features(rows, ["driver_stats"])
    saved = platform.create_saved_dataset(job, "x", split=TimeSplit({"a": end, "b": None}))

    assert saved.manifest["splits"] == {"a": 1, "b": 1}


def test_partitions_appear_as_a_whole_and_never_mix(platform: FeatureStore, tmp_path: Path) -> None:
    job = platform.get_historical_features(spine(), ["driver_stats"])
    job.to_parquet(tmp_path / "parts", partition_by=["driver_id"])
    files = sorted((tmp_path / "parts").rglob("*"))
    with raises(RequestError, tmp_path / "parts"):
        job.to_parquet(tmp_path / "parts", partition_by=["driver_id"])
    with raises(RequestError, tmp_path / "parts"):
        job.to_parquet(tmp_path / "parts")
    assert sorted((tmp_path / "parts").rglob("*")) == files
    (tmp_path / "empty").mkdir()
    job.to_parquet(tmp_path / "empty", partition_by=["driver_id"])

    def broken(rows: object) -> object:
        raise RuntimeError

    reader = job.to_batches
    job.to_batches = lambda: pa.RecordBatchReader.from_batches(  # type: ignore[method-assign]
        reader().schema, map(broken, [1])
    )
    with pytest.raises(RuntimeError):
        job.to_parquet(tmp_path / "new", partition_by=["driver_id"])
    assert sorted(p.name for p in tmp_path.iterdir() if "new" in p.name) == []


def test_pushes_elsewhere_are_explained(pushed: FeatureStore) -> None:
    with raises(RequestError, "'offline'", *PushMode):
        pushed.push("events", pushed_rows(), to="offline")  # type: ignore[arg-type]


def test_damaged_datasets_are_explained(platform: FeatureStore, tmp_path: Path) -> None:
    saved = platform.create_saved_dataset(
        platform.get_historical_features(spine(), ["driver_stats"]), "x"
    )
    (saved.path / "data.parquet").unlink()
    with raises(StoreError, "'x'", saved.path / "data.parquet"):
        saved.to_arrow()
    for text in ("[]", "{}", "nothing"):
        (saved.path / "_dataset.json").write_text(text)
        with raises(NotFoundError, saved.path):
            SavedDataset.load(saved.path)


def test_the_files_of_a_delta_table_are_not_its_rows(open_store, tmp_path: Path) -> None:
    from deltalake import write_deltalake

    table = pa.table({"id": [1], "event_timestamp": pa.array([NOON]), "x": [5], "other": [1]})
    write_deltalake(tmp_path / "delta", table)
    store = open_store()
    asked = pd.DataFrame({"id": [1, 2], "event_timestamp": [NOON, NOON]})
    for name, kind in (("plain", None), ("delta", "delta")):
        source = FileSource(name=f"{name}_source", path="delta", file_format=kind)
        schema = [Field(name="x", dtype=Int64)]
        view = FeatureView(name=name, entities=["id"], source=source, schema=schema)
        store.apply([Entity(name="id", value_type=Int64), source, view])
    with raises(StoreError, "'plain_source'", tmp_path / "delta", 'file_format="delta"'):
        store.get_historical_features(asked, ["plain"]).to_arrow()

    row = pd.DataFrame({"id": [2], "event_timestamp": [NOON], "x": [6]})
    store.write_to_offline_store("delta", row)  # the column nobody knows becomes null
    found = store.get_historical_features(asked, ["delta"]).to_arrow()
    assert found["x"].to_pylist() == [5, 6]


@pytest.mark.parametrize("url", ["s3://b", "s3://b//x", "s3://k:s@b/x", "gs://b/x", "hdfs://h/x"])
def test_targets_are_local_or_on_s3(
    platform: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """`Path` folds `s3://bucket` to `s3:/bucket`, which is a local folder."""
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    asked = pd.DataFrame({"driver_id": [1], "event_timestamp": [NOON]})
    job = platform.get_historical_features(asked, ["driver_stats"])
    for path in (url, Path(url), Path("s3://bucket/x")):
        with raises(RequestError, "to_parquet", "://"):
            job.to_parquet(path)
        with raises(RequestError, "SavedDatasetFileStorage", "://"):
            platform.create_saved_dataset(job, "d", SavedDatasetFileStorage(path))
        with raises(RequestError, "SavedDataset", "://"):
            SavedDataset.load(path)
    with raises(RequestError, "entity_df", "://"):
        platform.get_historical_features(f"{url}.parquet", ["driver_stats"])
    assert set(tmp_path.rglob("*")) == before


def test_s3_holds_results_datasets_and_entity_rows(
    platform: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3, bucket: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    job = platform.get_historical_features(spine(), ["driver_stats"])
    table = job.to_arrow()
    root = f"s3://{bucket}"

    file = job.to_parquet(f"{root}/sets/one.parquet")
    assert file == f"{root}/sets/one.parquet"
    assert job.to_parquet(file) == file  # it is replaced
    with raises(RequestError, f"{root}/sets"):
        job.to_parquet(f"{root}/sets")
    job.to_parquet(f"{root}/days", partition_by=["driver_id"])
    with raises(RequestError, f"{root}/days"):
        job.to_parquet(f"{root}/days", partition_by=["driver_id"])
    split = TimeSplit({"a": NOON - HOUR, "b": None})
    saved = job.persist(SavedDatasetFileStorage(f"{root}/datasets/d"), split=split)
    assert saved.path == f"{root}/datasets/d"
    loaded = SavedDataset.load(saved.path)
    assert loaded.manifest == saved.manifest
    assert sum(loaded.to_arrow(part).num_rows for part in ("a", "b")) == table.num_rows
    assert loaded.to_arrow().sort_by("event_timestamp").equals(table.sort_by("event_timestamp"))
    with raises(RequestError, saved.path):
        job.persist(SavedDatasetFileStorage(saved.path))

    rows = f"{root}/rows.parquet"
    keys = list(spine().columns)
    parquet.write_table(table.select(keys), f"{bucket}/rows.parquet", filesystem=s3_client(""))
    again = platform.get_historical_features(rows, ["driver_stats"]).to_arrow()
    assert again.equals(table)
    for path in (f"{root}/no.parquet", f"s3://no-bucket-{bucket}/x.parquet"):
        with raises(RequestError, path):
            platform.get_historical_features(path, ["driver_stats"])
    with raises(StoreError, "s3://no-such-bucket"):
        job.to_parquet("s3://no-such-bucket/x.parquet")
    with raises(NotFoundError, f"{root}/datasets/no"):
        SavedDataset.load(f"{root}/datasets/no")
    stored = {entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert {key.split("/")[0] for key in stored} == {"sets", "days", "datasets", "rows.parquet"}
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("folder", ["day=20260101", "day=today", "day=__HIVE_DEFAULT_PARTITION__"])
def test_a_folder_that_is_not_a_day_is_refused(open_store, tmp_path: Path, folder: str) -> None:
    """Its rows would be left out in silence."""
    source = FileSource(name="days", path="days", date_partition_column="day")
    view = FeatureView(
        name="daily", entities=[Entity(name="id", value_type=Int64)], source=source,
        schema=[Field(name="x", dtype=Int64)],
    )  # fmt: skip
    store = open_store()
    store.apply([view])
    rows = pd.DataFrame({"id": [1], "event_timestamp": [NOON], "x": [1]})
    store.write_to_offline_store("daily", rows)
    (tmp_path / "days" / "day=2026-01-01").rename(tmp_path / "days" / folder)
    with raises(SourceError, "'days'", folder):
        store.get_historical_features(rows.drop(columns="x"), ["daily"]).to_arrow()
    with raises(SourceError, "'days'", folder):
        store.materialize(NOON - HOUR, NOON)


def test_partition_folders_of_csv_files_are_refused_when_declared() -> None:
    with raises(DefinitionError, "date_partition_column", "CSV"):
        FileSource(name="days", path="days", file_format="csv", date_partition_column="day")


@pytest.mark.parametrize(
    ("names", "dtype", "values"),
    [
        (("k=1", "k=2"), String, ["1", "2"]),
        (("k=2026-01-01",), String, ["2026-01-01"]),
        (("k=01", "k=7"), Int64, [1, 7]),
    ],
)
def test_values_of_partition_folders_have_their_declared_type(
    open_store, tmp_path: Path, names: tuple[str, ...], dtype: Any, values: list[Any]
) -> None:
    for position, name in enumerate(names):
        (tmp_path / "parts" / name).mkdir(parents=True)
        times = pa.array([NOON - HOUR], pa.timestamp("us", "UTC"))
        rows = pa.table({"event_timestamp": times, "x": [position]})
        parquet.write_table(rows, tmp_path / "parts" / name / "a.parquet")
    view = FeatureView(
        name="parted", entities=[Entity(name="k", value_type=dtype)],
        source=FileSource(name="parts", path="parts"), schema=[Field(name="x", dtype=Int64)],
    )  # fmt: skip
    store = open_store()
    store.apply([view])
    asked = pa.table({"k": values, "event_timestamp": [NOON] * len(values)})
    answer = store.get_historical_features(asked, ["parted"]).to_arrow()
    assert answer["x"].to_pylist() == list(range(len(values)))
    store.materialize(NOON - 2 * HOUR, NOON)
    online = store.get_online_features(["parted"], {"k": values}).to_dict()
    assert online["x"] == list(range(len(values)))
