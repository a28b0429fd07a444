"""What a Feast repo uses: import paths, names, arguments and settings, with the import changed."""

import asyncio
import copy
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet
from tests_support import assert_losses, raises, refused

import feature_platform
from feature_platform import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    Project,
    PushSource,
    RepoConfig,
    SavedDataset,
    StreamSource,
    Transfer,
    feast_names,
)
from feature_platform.cli import main
from feature_platform.definitions.feast_arguments import ATTRIBUTES
from feature_platform.errors import (
    AbsentNameError,
    ConfigError,
    DefinitionError,
    NotFoundError,
    RequestError,
    SchemaError,
)
from feature_platform.services.reconciling import Verdict
from feature_platform.types import Array, Float32, Int32, Int64, Map, String

PATHS = {
    "aggregation": ["Aggregation"],
    "batch_feature_view": ["BatchFeatureView"],
    "data_format": ["ParquetFormat", "JsonFormat", "AvroFormat"],
    "data_source": ["PushSource", "RequestSource", "KafkaSource", "PushMode"],
    "entity": ["Entity"],
    "feature_logging": ["LoggingConfig"],
    "feature_service": ["FeatureService"],
    "feature_store": ["FeatureStore"],
    "feature_view": ["FeatureView"],
    "field": ["Field"],
    "infra.offline_stores.bigquery_source": ["BigQuerySource"],
    "infra.offline_stores.file_source": ["FileSource", "SavedDatasetFileStorage"],
    "infra.offline_stores.contrib.spark_offline_store.spark_source": ["SparkSource"],
    "infra.offline_stores.contrib.postgres_offline_store.postgres_source": ["PostgreSQLSource"],
    "infra.online_stores.redis": ["RedisOnlineStoreConfig"],
    "labeling": ["LabelView", "ConflictPolicy"],
    "on_demand_feature_view": ["on_demand_feature_view", "OnDemandFeatureView"],
    "permissions.permission": ["Permission"],
    "project": ["Project"],
    "repo_config": ["RepoConfig", "RegistryConfig"],
    "saved_dataset": ["SavedDatasetFileStorage"],
    "stream_feature_view": ["StreamFeatureView", "stream_feature_view"],
    "types": ["Array", "Float32", "Json", "Map", "Struct", "ValueType", "UnixTimestamp"],
    "value_type": ["ValueType"],
}
SOURCE = FileSource(path="data/trips.parquet")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
VIEW: dict[str, Any] = {"schema": [Field(name="trips", dtype=Int64)], "source": SOURCE}


@pytest.mark.parametrize("path", PATHS)
def test_names_are_imported_from_feasts_paths(path: str) -> None:
    lines = [f"from feature_platform.{path} import {name}" for name in PATHS[path]]
    lines += [f"import feature_platform.{path}", f"from feature_platform.{path} import missing"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    # All but the last line are fine.
    assert f"line {len(lines)}," in done.stderr, done.stderr
    assert "ImportError" in done.stderr


def test_a_decorator_and_the_module_of_its_name() -> None:
    code = """
    from feature_platform.on_demand_feature_view import on_demand_feature_view
    from feature_platform import on_demand_feature_view as again
    from feature_platform.field import Field
    from feature_platform.types import Int64

    @again(sources=["v:trips"], schema=[Field(name="twice", dtype=Int64)])
    def doubled(inputs):
        return {"twice": inputs["trips"] * 2}

    view = on_demand_feature_view(sources=["v:trips"], schema=[Field(name="x", dtype=Int64)])
    print(doubled({"trips": 2}), type(doubled).__name__, type(view).__name__)
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["{'twice':", "4}", "OnDemandFeatureView", "OnDemandFeatureView"]


def test_every_name_of_the_tables_can_be_imported() -> None:
    for name in feature_platform.__all__:
        assert getattr(feature_platform, name) is not None
    for name in feast_names.ABSENT:
        absent = getattr(feature_platform, name)
        for use in (lambda a: a(name="x"), lambda a: a.SOMETHING, lambda a: a[0], list):
            with raises(AbsentNameError, name):
                use(absent)
    assert not set(feature_platform.__all__) & set(feast_names.ABSENT)


def test_all_absent_names_of_a_repo_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text("project: p\n")
    (tmp_path / "a.py").write_text(
        "from feature_platform import BigQuerySource, Entity\nsource = BigQuerySource(table='t')\n"
    )
    (tmp_path / "b.py").write_text(
        "from datetime import timedelta\n"
        "from feature_platform.permissions.permission import Permission as P\n"
        "from feature_platform import KinesisSource\n"
    )
    with raises(AbsentNameError, "BigQuerySource (a.py:1)", "Permission (b.py:2)", "b.py:3") as e:
        FeatureStore(tmp_path).plan()
    assert len(e.value.names) == 3


def test_internals_of_feast_are_named_where_a_repo_imports_them(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text("project: p\n")
    (tmp_path / "a.py").write_text(
        "from feature_platform.infra.registry.registry import Registry\n"
        "from feature_platform.infra.offline_stores.file_source import FileSource\n"
        "from feature_platform.transformation.base import Transformation, Unknown\n"
        "import feature_platform.driver_test_data as data\n"
        "registry = Registry('p')\n"
    )
    lines = ("Registry (a.py:1)", "Transformation (a.py:3)", "Unknown (a.py:3)")
    with raises(AbsentNameError, *lines) as e:
        FeatureStore(tmp_path).plan()
    assert len(e.value.names) == 3
    (tmp_path / "a.py").write_text("from feature_platform.field import Feild\n")
    with raises(ConfigError, "Feild", "a.py"):
        FeatureStore(tmp_path).plan()


def test_arguments_that_only_feast_has() -> None:
    view = FeatureView(
        name="v", entities=None, ttl=None, tags=None, owner=None, enable_validation=True,
        version="latest", offline=True, org="", udf=None, mode=None, aggregations=[], **VIEW,
    )  # fmt: skip
    assert view == FeatureView(name="v", **VIEW)
    for argument in ({"version": "v2"}, {"udf": len}, {"org": "x"}, {"enabled": False},
                     {"sink_source": SOURCE}):  # fmt: skip
        with raises(DefinitionError, *argument):
            FeatureView(name="v", **VIEW, **argument)
    with pytest.warns(UserWarning, match="logging_config"):
        service = FeatureService(
            name="s", features=["v"],
            logging_config=feature_platform.LoggingConfig(
                destination=feature_platform.FileLoggingDestination(path="x")
            ),
        )  # fmt: skip
    assert service == FeatureService(name="s", features=["v"])
    with pytest.warns(UserWarning, match="vector_index"):
        Field(name="e", dtype=Array(Float32), vector_index=True, vector_length=8)
    assert Field(name="e", dtype=Float32, vector_index=False) == Field(name="e", dtype=Float32)
    assert Entity(name="e", join_key="k") == Entity(name="e", join_keys=["k"])
    with raises(DefinitionError, "join_key"):
        Entity(name="e", join_key="k", join_keys=["other"])
    file = FileSource(path="x", file_format=feature_platform.ParquetFormat())
    assert file.file_format == "parquet"


def test_views_of_feast_that_are_feature_views_here() -> None:
    assert feature_platform.BatchFeatureView(name="v", mode="python", **VIEW) == FeatureView(
        name="v", **VIEW
    )
    with raises(DefinitionError, "udf"):
        feature_platform.BatchFeatureView(name="v", mode="python", udf=len, **VIEW)
    labels = feature_platform.LabelView(name="l", labeler_field="who", **VIEW)
    assert labels == FeatureView(name="l", **VIEW)
    with raises(DefinitionError, "majority_vote"):
        feature_platform.LabelView(
            name="l", conflict_policy=feature_platform.ConflictPolicy.MAJORITY_VOTE, **VIEW
        )


def test_a_kafka_source_is_a_stream_source() -> None:
    with pytest.warns(UserWarning, match="broker"):
        source = feature_platform.KafkaSource(
            name="events", kafka_bootstrap_servers="kafka:9092", topic="trips",
            timestamp_field="at", batch_source=SOURCE, watermark_delay_threshold=timedelta(1),
            message_format=feature_platform.JsonFormat("{}"),
        )  # fmt: skip
    assert source == StreamSource(name="events", topic="trips", batch_source=SOURCE)
    with pytest.warns(UserWarning, match="avro"):
        feature_platform.KafkaSource(name="e", message_format=feature_platform.AvroFormat("{}"))
    with raises(DefinitionError, "field_mapping"):
        feature_platform.KafkaSource(name="e", field_mapping={"a": "b"})


def test_a_frame_means_pandas_and_a_singleton_a_row() -> None:
    def frame(inputs: pd.DataFrame) -> pd.DataFrame:
        return inputs

    arguments: dict[str, Any] = {"sources": ["v:trips"], "schema": VIEW["schema"]}
    assert OnDemandFeatureView(name="f", udf=frame, **arguments).mode == "pandas"
    assert OnDemandFeatureView(**arguments)(frame).mode == "pandas"
    assert OnDemandFeatureView(name="f", udf=frame, mode="pandas", **arguments).mode == "pandas"
    with raises(DefinitionError, "pandas"):
        OnDemandFeatureView(name="f", udf=frame, mode="row", **arguments)

    def row(inputs: dict[str, Any]) -> dict[str, Any]:
        return inputs

    single = OnDemandFeatureView(name="f", udf=row, mode="python", singleton=True, **arguments)
    assert single.mode == "row"
    assert OnDemandFeatureView(name="f", udf=row, mode="python", **arguments).mode == "python"
    with raises(DefinitionError, "singleton", "'pandas'"):
        OnDemandFeatureView(name="f", udf=row, mode="pandas", singleton=True, **arguments)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("online_store: {path: data/online.db}", "sqlite"),
        ('online_store: "null"', None),
        ("online_store: null", None),
        ("online_store: {type: postgres, pgvector_enabled: true, vector_len: 3}", "postgres"),
        ("offline_store: {type: dask}\ngo_feature_serving: true", "sqlite"),
        ("registry: {registry_type: sql, path: r.db, cache_ttl_seconds: 60}", "sqlite"),
    ],
)
def test_settings_of_feast(tmp_path: Path, text: str, kind: str | None) -> None:
    (tmp_path / "feature_store.yaml").write_text(f"project: p\n{text}\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        store = RepoConfig.load(tmp_path).online_store
    assert (store and store.type) == kind


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("feature_server: {type: local, feature_logging: {enabled: true}}", ["feature_logging"]),
        ("feature_server: {feature_logging: [on]}", ["feature_logging"]),
        ("auth: {type: oidc}", ["auth", "server"]),
        ("online_store: {type: remote, path: 'http://x'}", ["online_store", "registry"]),
    ],
)
def test_settings_that_carried_something_are_errors(tmp_path: Path, text: str, names: Any) -> None:
    (tmp_path / "feature_store.yaml").write_text(f"project: p\n{text}\n")
    with raises(ConfigError, *names):
        RepoConfig.load(tmp_path)


def test_what_is_not_registered_is_a_key_error(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text("project: p\n")
    store = FeatureStore(tmp_path)
    with pytest.raises(KeyError) as caught:
        store.get_feature_view("none")
    assert isinstance(caught.value, NotFoundError)
    assert not str(caught.value).startswith(("'", '"'))


NAMES = ["7-day stats", "driver-stats", "1st", "a-5", "a 5"]


@pytest.mark.parametrize("name", NAMES)
def test_names_with_hyphens_spaces_and_digits(tmp_path: Path, name: str) -> None:
    feature, key = f"{name} x", f"{name} k"
    now = datetime.now(UTC).replace(microsecond=0)
    rows = {key: [1, 2], "event_timestamp": [now - timedelta(hours=1)] * 2, feature: [2**53 + 1, 5]}
    parquet.write_table(pa.table(rows), tmp_path / "rows.parquet")
    config = RepoConfig(project="p", team="platform", registry="r.db")
    store = FeatureStore(tmp_path, config=config)
    view = FeatureView(
        name=name, entities=[Entity(name=name, join_keys=[key], value_type=Int64)],
        schema=[Field(name=feature, dtype=Int64)],
        source=FileSource(name=name, path="rows.parquet"),
    )  # fmt: skip
    computed = OnDemandFeatureView(
        name=f"{name} sql", sources=[f"{name}:{feature}"], mode="sql",
        expressions={f"{name} y": f'"{feature}" + 1'},
        schema=[Field(name=f"{name} y", dtype=Int64)],
    )  # fmt: skip
    service = FeatureService(name=f"{name} model", features=[f"{name}:{feature}", computed])
    store.apply([view, computed, service])
    asked = pd.DataFrame({key: [1], "event_timestamp": [now]})
    history = store.get_historical_features(asked, f"{name} model").to_arrow()
    assert history[feature].to_pylist() == [2**53 + 1]
    assert history[f"{name} y"].to_pylist() == [2**53 + 2]
    assert store.materialize(now - timedelta(days=1), now) == {name: 2}
    answer = store.get_online_features(f"{name} model", {key: [2]}, full_feature_names=True)
    assert answer.to_dict() == {key: [2], f"{name}__{feature}": [5], f"{name} sql__{name} y": [6]}


def test_online_tables_of_names_that_look_alike_are_apart(tmp_path: Path) -> None:
    """A name that comes back has rows of another generation: never those of another name."""
    from feature_platform.table import Table

    names = ["a", "a-5", "a 5", "a-b", "a b", "b", "a-5-6"]
    prefixes = [
        Table("p", name, {"k": pa.int64()}, pa.schema([]), generation=generation).prefix
        for name in names
        for generation in (0, 5, 6)
    ]
    for first in prefixes:
        assert [other for other in prefixes if other.startswith(first)] == [first]

    config = RepoConfig(project="p", team="platform", registry="r.db")
    store = FeatureStore(tmp_path, config=config)
    store.apply([Entity(name="a-b", value_type=Int64)])
    with refused(("collision", "entity 'a b'", "'a-b'")):
        store.apply([Entity(name="a b", value_type=String)])


def test_a_project_is_described_under_its_own_name(tmp_path: Path) -> None:
    config = RepoConfig(project="flights", team="platform", registry="r.db")
    store = FeatureStore(tmp_path, config=config)
    store.apply([Project(name="flights", description="Delays", tags={"a": "b"}, owner="x@y.z")])
    assert store.snapshot().version == 1
    with refused(("naming", "project 'rides'", "'flights'")):
        store.apply([Project(name="rides")])


def test_a_key_has_the_type_that_any_view_declares(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, config=RepoConfig(project="p", registry="r.db"))
    driver = Entity(name="driver", join_keys=["driver_id"])
    plain = FeatureView(name="plain", entities=[driver], **VIEW)
    [advisory] = store.review(store.plan([plain])).advisories
    assert "'driver_id'" in advisory.message
    assert "value_type" in advisory.message
    store.apply([plain])
    stats = FeatureView(
        name="stats", entities=["driver"], source=SOURCE.name,
        schema=[Field(name="trips", dtype=Int64), Field(name="driver_id", dtype=Int64)],
    )  # fmt: skip
    assert not store.review(store.plan([stats])).advisories
    store.apply([stats])
    store.write_to_online_store(
        "plain", pd.DataFrame({"driver_id": ["1001"], "event_timestamp": [datetime.now(UTC)],
                               "trips": [3]}).astype({"driver_id": "int64"}),
    )  # fmt: skip
    assert store.get_online_features(["plain"], {"driver_id": [1001]}).to_dict()["trips"] == [3]
    with raises(Exception, "driver_id"):
        store.get_online_features(["plain"], {"driver_id": ["1001"]})
    text = stats.model_copy(
        update={"name": "text", "schema": [Field(name="trips", dtype=Int64),
                                           Field(name="driver_id", dtype=String)]},
    )  # fmt: skip
    for name in ("text", "a_text"):  # whichever name comes first
        other = text.model_copy(update={"name": name})
        with refused(("reference", f"feature view '{name}'", "'driver_id'", "Int64", "String")):
            store.apply([other])


@pytest.fixture
def untyped(tmp_path: Path) -> FeatureStore:
    """A loaded view whose key has no type, a view that would give it one, and a reader.

    Its file was not there when it was applied, or the key would have its type.
    """
    config = RepoConfig(project="p", team="platform", registry="r.db")
    store = FeatureStore(tmp_path, config=config)
    driver = Entity(name="driver", join_keys=["driver_id"])
    store.apply([FeatureView(name="plain", entities=[driver], **VIEW)])
    team = RepoConfig(project="p", team="growth", registry="r.db")
    reader = FeatureStore(tmp_path, config=team)
    reader.apply([FeatureService(name="model", features=["plain"])])
    now = datetime.now(UTC)
    rows = {"driver_id": [1], "event_timestamp": [now], "trips": [3]}
    (tmp_path / "data").mkdir()
    pd.DataFrame(rows).to_parquet(tmp_path / "data" / "trips.parquet")
    store.materialize_incremental(now)
    return store


@pytest.mark.parametrize("keys", [[1, 2], ["a", "b"]], ids=["numbers", "texts"])
@pytest.mark.parametrize("pushed", [False, True])
def test_a_key_has_the_type_of_its_column(tmp_path: Path, keys: list[Any], pushed: bool) -> None:
    """As most public repos leave it out: text and numbers are not two keys of one driver."""
    (tmp_path / "data").mkdir()
    times = [NOW - timedelta(hours=1)] * 2
    rows = pd.DataFrame({"driver_id": keys, "event_timestamp": times, "trips": [3, 4]})
    rows.to_parquet(tmp_path / "data" / "trips.parquet")
    config = RepoConfig(project="p", team="platform", registry="r.db")
    driver = Entity(name="driver", join_keys=["driver_id"])
    history = VIEW["source"]
    source = PushSource(name="pushed", batch_source=history) if pushed else history
    view = FeatureView(name="plain", entities=[driver], **VIEW | {"source": source})
    store = FeatureStore(tmp_path, config=config, clock=lambda: NOW)
    assert store.apply([view])
    expected = Int64 if keys == [1, 2] else String
    assert store.get_entity("driver").value_type == expected
    assert not store.plan([view])  # the code stays as it is
    assert not store.audit([view])
    assert store.assess([view]).verdict is Verdict.IN_SYNC

    store.materialize(NOW - timedelta(days=1), NOW)
    wrong = [str(key) for key in keys] if keys == [1, 2] else [7, 8]
    assert store.get_online_features(["plain"], {"driver_id": keys}).to_dict()["trips"] == [3, 4]
    with raises(RequestError, "driver_id"):
        store.get_online_features(["plain"], {"driver_id": wrong})
    with raises(SchemaError, "driver_id"):
        store.write_to_online_store("plain", rows.assign(driver_id=wrong))
    (tmp_path / "data" / "trips.parquet").unlink()
    assert not store.plan([view])  # it is registered with its type


TYPED = FeatureView(
    name="typed", entities=["driver"], source=feature_platform.PushSource(name="pushed"),
    schema=[Field(name="z", dtype=Int64), Field(name="driver_id", dtype=Int64)],
)  # fmt: skip


def test_a_view_that_gives_others_keys_a_type_is_reported_for_them(untyped) -> None:
    report = untyped.review(untyped.plan([TYPED]))
    assert not report.problems
    [effect] = report.effects
    assert (effect.reader.name, effect.owner, effect.breaks) == ("model", "growth", False)
    [backfill] = report.backfills
    assert (backfill.view, backfill.rows) == ("plain", 1)


def test_a_view_that_gave_others_keys_a_type_cannot_go_while_they_have_readers(untyped) -> None:
    untyped.apply([TYPED])
    untyped.materialize_incremental()
    report = untyped.review(untyped.plan([], objects_to_delete=[TYPED]))
    assert_losses(report, ("keys", "model", "growth", "plain", "driver_id"))
    assert [backfill.view for backfill in report.backfills] == ["plain"]


def test_the_widest_of_the_declared_integers_is_the_type_of_a_key(untyped) -> None:
    """Whatever the names of the views, so that a new one moves no rows."""
    untyped.apply([TYPED])
    narrow = TYPED.model_copy(update={
        "name": "a_narrow",
        "schema": [Field(name="z", dtype=Int64), Field(name="driver_id", dtype=Int32)],
    })  # fmt: skip
    report = untyped.review(untyped.plan([narrow]))
    assert (report.problems, report.effects, report.backfills) == ((), (), ())


@pytest.fixture
def trips(tmp_path: Path) -> FeatureStore:
    """A store with one pushed view of trips."""
    config = RepoConfig(project="p", team="platform", registry="r.db")
    store = FeatureStore(tmp_path, config=config)
    view = FeatureView(
        name="trips", entities=[Entity(name="driver", join_keys=["driver_id"], value_type=Int64)],
        schema=[Field(name="trips", dtype=Int64), Field(name="labels", dtype=Map)],
        source=feature_platform.PushSource(name="push"),
    )  # fmt: skip
    store.apply([view, FeatureService(name="model", features=["trips"])])
    return store


LABELS = [{"a": "b"}, {"c": "d", "e": ""}, {}]


@pytest.mark.parametrize(
    "rows",
    [
        {"driver_id": [1, 2, 3], "event_timestamp": [NOW] * 3, "trips": [5, None, 2**53 + 1],
         "labels": LABELS},
        [{"driver_id": 1, "event_timestamp": NOW, "trips": 5, "labels": LABELS[0]},
         {"driver_id": 2, "event_timestamp": NOW, "labels": LABELS[1]},
         {"driver_id": 3, "event_timestamp": NOW, "trips": 2**53 + 1, "labels": LABELS[2]}],
    ],
    ids=["columns", "rows"],
)  # fmt: skip
def test_rows_are_written_as_columns_or_dicts(trips: FeatureStore, rows: Any) -> None:
    assert trips.push("push", rows) == 3
    answer = trips.get_online_features("model", {"driver_id": [3, 2, 1]})
    assert answer.to_dict()["trips"] == [2**53 + 1, None, 5]
    assert answer.to_dict()["labels"] == LABELS[::-1]
    frame = answer.to_df(include_event_timestamps=True)
    assert list(frame["trips__ts"]) == [NOW.timestamp()] * 3
    assert answer.to_polars()["trips"].to_list() == [2**53 + 1, None, 5]
    for empty in ([], {}, pd.DataFrame(), pd.DataFrame({"driver_id": []})):
        with raises(SchemaError):
            trips.push("push", empty)


def test_pushes_and_reads_do_not_block_the_loop(trips: FeatureStore) -> None:
    async def both() -> Any:
        row = [{"driver_id": 1, "event_timestamp": NOW, "trips": 7, "labels": None}]
        assert await trips.push_async("push", row) == 1
        answers = await asyncio.gather(
            *(trips.get_online_features_async("model", {"driver_id": [1]}) for _ in range(20))
        )
        return [answer.to_dict()["trips"] for answer in answers]

    assert asyncio.run(both()) == [[7]] * 20


def test_views_and_services_are_deleted_by_name(trips: FeatureStore) -> None:
    assert trips.list_projects() == ["p"]
    with raises(NotFoundError, "'q'"):
        trips.get_project("q")
    assert [v.name for v in trips.list_batch_feature_views()] == ["trips"]
    assert trips.get_entity("driver").join_key == "driver_id"
    with refused(("contract", "feature view 'trips'", "'model'")):
        trips.delete_feature_view("trips")
    trips.delete_feature_service("model")
    trips.delete_feature_view("trips")
    assert trips.list_all_feature_views() == []
    with pytest.raises(KeyError):
        trips.delete_feature_view("trips")
    with raises(DefinitionError, "'a'"):
        assert Entity(name="e", join_keys=["a", "b"]).join_key


@pytest.mark.parametrize("others", [0, 20], ids=["few changes", "many changes"])
def test_readers_of_names_with_hyphens_are_protected(tmp_path: Path, others: int) -> None:
    """Also where plans look readers up by an index."""
    platform = FeatureStore(
        tmp_path, config=RepoConfig(project="p", team="platform", registry="r.db")
    )
    team = FeatureStore(tmp_path, config=RepoConfig(project="p", team="risk", registry="r.db"))
    view = FeatureView(name="driver-stats v2", **VIEW)
    more = [FeatureView(name=f"more {n}", **VIEW) for n in range(others)]
    platform.apply([view, *more])
    team.apply([FeatureService(name="my model", features=["driver-stats v2"])])
    changed = {"schema": [Field(name="trips", dtype=String)], "description": "other"}
    plan = platform.plan(
        [view.model_copy(update=changed), *(m.model_copy(update=changed) for m in more)]
    )
    assert [e.reader.name for e in platform.review(plan).effects if e.breaks] == ["my model"]
    with refused(("contract", "feature view 'driver-stats v2'", "'my model'", "'risk'")):
        platform.commit(plan)


def test_names_with_hyphens_are_saved_in_plans_and_transferred(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text("project: p\nteam: risk\nregistry: r.db\n")
    store = FeatureStore(tmp_path, config=RepoConfig(project="p", team="platform", registry="r.db"))
    store.apply([FeatureView(name="driver-stats v2", **VIEW)])
    (tmp_path / "services.py").write_text(
        "from feature_platform import FeatureService\n"
        "model = FeatureService(name='my model-1', features=['driver-stats v2'])\n"
    )
    saved = str(tmp_path / "plan.json")
    for arguments in (["plan", "--out", saved], ["apply", saved]):
        result = CliRunner().invoke(main, ["-C", str(tmp_path), *arguments])
        assert result.exit_code == 0, result.output
    risk = FeatureStore(tmp_path)
    offer = Transfer(name="hand over", objects=["feature_service/my model-1"], to="growth")
    assert risk.apply([offer])
    for wrong in ("feature_service/", "my model", "a b/c", "feature_service/a  b"):
        with raises(DefinitionError, repr(wrong)):
            Transfer(name="t", objects=[wrong], to="growth")
    with raises(DefinitionError, "schema"):
        FeatureView(name="v", source=SOURCE, schema=[
            Field(name="a-b", dtype=Int64), Field(name="a b", dtype=Int64)])  # fmt: skip


def test_attributes_that_only_feast_has_say_what_to_use(trips: FeatureStore) -> None:
    view = trips.get_feature_view("trips")
    asked = {"driver_id": [1], "event_timestamp": [NOW]}
    objects: list[Any] = [
        view, trips, trips.get_historical_features(asked, ["trips:trips"]), trips.registry,
        trips.get_online_features(["trips:trips"], {"driver_id": [1]}), SavedDataset("x", "x", {}),
    ]  # fmt: skip
    for kind, names in ATTRIBUTES.items():
        [item] = [o for o in objects if kind in [of.__name__ for of in type(o).__mro__]]
        for name, remedy in names.items():
            with raises(AttributeError, name, remedy):
                getattr(item, name)
        assert not hasattr(item, "neither")
    assert copy.deepcopy(view) == view


def test_methods_take_the_arguments_of_feasts(trips: FeatureStore) -> None:
    [view] = trips.list_feature_views(allow_cache=True)  # type: ignore[call-arg]
    assert trips.get_feature_view("trips", allow_registry_cache=True) == view  # type: ignore[call-arg]
    rows = {"driver_id": [1], "event_timestamp": [NOW], "trips": [5], "labels": [None]}
    assert trips.push("push", rows, allow_registry_cache=True, transform_on_write=True) == 1  # type: ignore[call-arg]
    with raises(RequestError, "push()", "transform_on_write"):
        trips.push("push", rows, transform_on_write=False)  # type: ignore[call-arg]
    with raises(RequestError, "disable_event_timestamp"):
        trips.materialize(NOW, NOW, disable_event_timestamp=True)  # type: ignore[call-arg]
    answer = trips.get_online_features(["trips:trips"], {"driver_id": [1]}, True)
    stamp = int(NOW.timestamp())
    assert answer.to_dict(True)["trips__trips__ts"] == [stamp]
    assert answer.to_df(True)["trips__trips__ts"].tolist() == [stamp]
    assert answer.to_arrow(include_event_timestamps=True)["trips__trips__ts"].to_pylist() == [stamp]
    assert trips.apply([view], skip_feature_view_validation=True) is None  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "settings",
    [
        {"online_store": {"type": "redis", "redis_type": "redis", "key_ttl_seconds": 5}},
        {"online_store": {"type": "postgres", "conn_type": "pool", "min_conn": 1, "max_conn": 2}},
        {"online_store": {"type": "dynamodb", "batch_size": 40, "table_name_template": "x"}},
        {"offline_store": {"type": "file", "staging_location": "s3://b/p"}},
        {"offline_store": {"type": "spark", "staging_location": "s3://b/p", "region": "x"}},
    ],
)
def test_settings_that_only_feasts_stores_have_are_a_warning(settings: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match="no effect"):
        RepoConfig(project="p", registry="r.db", **settings)


def test_a_cluster_and_protection_are_not_waved_through() -> None:
    for store in (
        {"type": "redis", "redis_type": "redis_cluster"},
        {"type": "postgres", "sslkey_path": "key.pem"},
    ):
        with raises(ConfigError, list(store)[1]):
            RepoConfig(project="p", registry="r.db", online_store=store)


def test_errors_are_caught_by_feasts_names(trips: FeatureStore) -> None:
    from feature_platform import errors

    with pytest.raises(errors.FeatureViewNotFoundException):
        trips.get_feature_view("other")
    assert issubclass(errors.FeatureNameCollisionError, RequestError)
    with pytest.raises(ImportError):
        from feature_platform.errors import Nothing  # noqa: F401
