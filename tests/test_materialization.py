"""Offline to online: closed windows, a ledger, late rows, and what a change leaves of them."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from tests_support import HOUR, NOON, raises, refused, table_for

from feature_platform import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    PushSource,
    RepoConfig,
)
from feature_platform.errors import (
    ConfigError,
    FeaturePlatformError,
    NotFoundError,
    RequestError,
    SchemaError,
    SourceError,
    StoreError,
)
from feature_platform.offline.duckdb import files
from feature_platform.online import Window
from feature_platform.table import Table
from feature_platform.types import (
    Decimal,
    FeatureType,
    Float32,
    Float64,
    Int32,
    Int64,
    Map,
    UnixTimestamp,
)
from feature_platform.types.arrow import TIMESTAMP

MICROSECOND = timedelta(microseconds=1)


def trips(store: FeatureStore, *drivers: int) -> list[int | None]:
    rows = [{"driver_id": driver} for driver in drivers]
    return store.get_online_features(["driver_stats:trips"], rows).to_dict()["trips"]


def windows(store: FeatureStore) -> list[Window]:
    return store.online.windows(table_for(store, "driver_stats"))


def rows(*triples: tuple[int, object, int], rate: float = 0.5) -> pd.DataFrame:
    ids, times, counts = zip(*triples, strict=True)
    return pd.DataFrame({"driver_id": ids, "event_timestamp": times, "trips": counts, "rate": rate})


def test_the_newest_row_of_the_window_is_loaded(platform: FeatureStore) -> None:
    assert platform.materialize(NOON - 3 * HOUR, NOON) == {"driver_stats": 2}

    assert trips(platform, 1, 2, 3) == [11, 20, None]


def test_both_ends_of_the_window_belong_to_it(platform: FeatureStore) -> None:
    platform.materialize(NOON - 2 * HOUR, NOON - HOUR - MICROSECOND)
    assert trips(platform, 1, 2) == [10, None]

    platform.materialize(NOON - HOUR, NOON)
    assert trips(platform, 1, 2) == [11, 20]


def test_an_older_backfill_never_replaces_newer_values(platform: FeatureStore) -> None:
    platform.materialize(NOON - HOUR, NOON)
    platform.materialize(NOON - 3 * HOUR, NOON - 2 * HOUR)

    assert trips(platform, 1) == [11]


def test_a_rerun_changes_nothing(platform: FeatureStore) -> None:
    for _ in range(2):
        platform.materialize(NOON - 3 * HOUR, NOON)

    assert trips(platform, 1, 2) == [11, 20]
    assert windows(platform) == [Window(NOON - 3 * HOUR, NOON)]


def test_the_ledger_joins_windows_and_claims_no_future(platform: FeatureStore) -> None:
    platform.materialize(NOON - 3 * HOUR, NOON - 2 * HOUR)
    platform.materialize(NOON - 2 * HOUR, NOON + 5 * HOUR)

    assert windows(platform) == [Window(NOON - 3 * HOUR, NOON)]


def test_an_empty_window_is_refused(platform: FeatureStore) -> None:
    with raises(RequestError, NOON, "start", "end"):
        platform.materialize(NOON, NOON)


def test_incremental_loads_go_on_where_the_last_one_ended(platform, tmp_path: Path) -> None:
    platform.materialize_incremental()
    assert trips(platform, 1, 2) == [11, 20]

    late = rows((1, NOON - timedelta(minutes=90), 999), (2, NOON - timedelta(minutes=30), 21))
    file = tmp_path / "driver.parquet"
    pd.concat([pd.read_parquet(file), late]).to_parquet(file)
    platform.materialize_incremental(lookback=timedelta(minutes=45))
    assert trips(platform, 1, 2) == [11, 21]


def test_a_row_that_arrives_late_is_found_by_looking_back(platform, tmp_path: Path) -> None:
    platform.materialize_incremental()
    late = rows((3, NOON - 5 * HOUR, 30))
    file = tmp_path / "driver.parquet"
    pd.concat([pd.read_parquet(file), late]).to_parquet(file)

    platform.materialize_incremental(lookback=HOUR)
    assert trips(platform, 3) == [None]
    platform.materialize_incremental()
    assert trips(platform, 3) == [30]


def test_rows_of_an_unchanged_source_are_not_read_again(
    open_store, driver, driver_source, driver_view, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(files, "_SETTLED", timedelta(days=-9999))  # also files written just now
    store = open_store()
    store.apply([driver, driver_source, driver_view])
    assert store.materialize_incremental() == {"driver_stats": 2}
    assert store.materialize_incremental(NOON + MICROSECOND) == {"driver_stats": 0}

    file = tmp_path / "driver.parquet"
    times = file.stat()
    late = tmp_path / "late.parquet"
    pd.concat([pd.read_parquet(file), rows((3, NOON - 5 * HOUR, 30))]).to_parquet(late)
    os.utime(late, ns=(times.st_atime_ns, times.st_mtime_ns))
    late.replace(file)  # it brings its older modification time along
    assert store.materialize_incremental(NOON + 2 * MICROSECOND) == {"driver_stats": 3}
    assert store.materialize_incremental(NOON + 3 * MICROSECOND) == {"driver_stats": 0}
    assert trips(store, 1, 2, 3) == [11, 20, 30]


def test_loaded_rows_that_a_push_replaced_are_read_again(
    open_store, driver, driver_source, monkeypatch
) -> None:
    """The pushed row was written before a feature came back, so it lacks it."""
    monkeypatch.setattr(files, "_SETTLED", timedelta(days=-9999))
    source = PushSource(name="events", batch_source=driver_source)
    fields = [Field(name="trips", dtype=Int64), Field(name="rate", dtype=Float64)]
    both, one = (
        FeatureView(name="driver_stats", entities=[driver], source=source, schema=schema)
        for schema in (fields, fields[:1])
    )
    store = open_store()
    store.apply([driver, both])
    store.materialize_incremental()
    store.apply([one])
    store.push("events", rows((2, NOON - HOUR, 20)).drop(columns="rate"))
    store.apply([both])
    read = [{"driver_id": 2}]
    assert store.get_online_features("driver_stats", read).to_dict()["rate"] == [None]

    store.materialize_incremental(NOON + MICROSECOND)
    assert store.get_online_features("driver_stats", read).to_dict()["rate"] == [0.75]


def test_a_lookback_into_the_future_is_refused(platform: FeatureStore) -> None:
    with raises(RequestError, "lookback"):
        platform.materialize_incremental(lookback=timedelta(minutes=-30))


def test_a_longer_lookback_reads_what_no_load_of_this_state_has_read(
    open_store, driver, driver_source, driver_view, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(files, "_SETTLED", timedelta(days=-9999))
    store = open_store()
    store.apply([driver, driver_source, driver_view])
    store.materialize_incremental()
    file = tmp_path / "driver.parquet"
    pd.concat([pd.read_parquet(file), rows((3, NOON - 5 * HOUR, 30))]).to_parquet(file)

    store.materialize_incremental(NOON + MICROSECOND, lookback=HOUR)
    assert trips(store, 3) == [None]
    store.materialize_incremental(NOON + 2 * MICROSECOND)
    assert trips(store, 3) == [30]


def test_the_next_increment_loads_what_was_added_or_retyped(
    platform: FeatureStore, driver_view: FeatureView, tmp_path: Path
) -> None:
    def changed(**types: FeatureType) -> FeatureView:
        fields = [Field(name=name, dtype=dtype) for name, dtype in types.items()]
        return FeatureView(
            name="driver_stats", entities=["driver"], ttl=driver_view.ttl, schema=fields,
            source=driver_view.source,
        )  # fmt: skip

    def ask() -> dict[str, list[object]]:
        return platform.get_online_features("driver_stats", {"driver_id": [1, 2]}).to_dict()

    platform.materialize_incremental()
    assert ask() == {"driver_id": [1, 2], "trips": [11, 20], "rate": [0.25, 0.75]}
    before = windows(platform)
    wider = [changed(trips=Int64, rate=Float64)]
    [reload] = platform.review(platform.plan(wider)).backfills
    assert (reload.view, reload.windows) == ("driver_stats", tuple(before))
    platform.apply(wider)
    assert windows(platform) == []  # the source may have digits that floats of 32 bits have not
    assert ask() == {"driver_id": [1, 2], "trips": [11, 20], "rate": [0.25, 0.75]}
    platform.materialize_incremental()

    platform.apply([changed(trips=Decimal(20, 1), rate=Float64)])
    assert ask() == {"driver_id": [1, 2], "trips": [None, None], "rate": [0.25, 0.75]}
    assert windows(platform) == []
    assert platform.materialize_incremental() == {"driver_stats": 2}
    assert ask() == {"driver_id": [1, 2], "trips": [11, 20], "rate": [0.25, 0.75]}

    platform.apply([changed(trips=Decimal(20, 1))])
    assert windows(platform) == before  # less is all there
    platform.materialize_incremental()

    platform.apply([changed(trips=Int64, rate=Float32)])  # and back again
    assert platform.materialize_incremental() == {"driver_stats": 2}
    assert ask() == {"driver_id": [1, 2], "trips": [11, 20], "rate": [0.25, 0.75]}


def test_a_view_that_is_only_pushed_to_is_left_out_of_loads(platform, driver) -> None:
    push = PushSource(name="live")
    view = FeatureView(
        name="live_view", entities=[driver], source=push, schema=[Field(name="x", dtype=Int64)]
    )
    platform.apply([push, view])

    assert platform.materialize(NOON - HOUR, NOON) == {"driver_stats": 2}
    with raises(RequestError, "'live_view'", "batch_source"):
        platform.materialize(NOON - HOUR, NOON, ["live_view"])


def test_without_an_online_store_the_settings_are_named(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text("project: shop\nonline_store: null\n")

    with raises(ConfigError, "online_store", "null"):
        FeatureStore(tmp_path).online  # noqa: B018


def test_teardown_empties_the_online_tables(platform: FeatureStore) -> None:
    table = table_for(platform, "driver_stats")
    platform.materialize(NOON - HOUR, NOON)
    platform.teardown()

    assert platform.online.windows(table) == []


def test_a_view_with_other_keys_starts_from_nothing(platform: FeatureStore, driver_view) -> None:
    platform.materialize(NOON - 3 * HOUR, NOON)
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=Int64)
    platform.apply([customer, driver_view.model_copy(update={"entities": ("customer",)})])

    answer = platform.get_online_features(["driver_stats:trips"], [{"customer_id": 1}])
    assert answer.to_dict()["trips"] == [None]


def test_a_view_that_was_deleted_comes_back_empty(platform, driver_view) -> None:
    platform.materialize(NOON - 3 * HOUR, NOON)
    platform.apply([], objects_to_delete=[driver_view])
    platform.apply([driver_view])

    assert trips(platform, 1) == [None]
    assert windows(platform) == []


def test_another_source_is_loaded_from_the_beginning(platform, driver_view, tmp_path) -> None:
    platform.materialize_incremental()
    early = rows((9, NOON - 20 * HOUR, 90))
    early.to_parquet(tmp_path / "other.parquet")
    platform.apply([FileSource(name="driver_source", path="other.parquet")])
    platform.materialize_incremental(lookback=timedelta(0))

    assert trips(platform, 9, 1) == [90, 11]


def test_nothing_new_is_no_error(platform: FeatureStore) -> None:
    platform.materialize_incremental(lookback=timedelta(0))

    assert platform.materialize_incremental(lookback=timedelta(0)) == {"driver_stats": 0}


def test_a_view_that_is_not_served_online_is_not_loaded(platform, driver_view) -> None:
    platform.apply([driver_view.model_copy(update={"online": False})])

    for act in (
        lambda: platform.materialize(NOON - HOUR, NOON, ["driver_stats"]),
        lambda: platform.write_to_online_store("driver_stats", rows((1, NOON, 1))),
    ):
        with raises(RequestError, "'driver_stats'", "online=False"):
            act()


def test_the_apply_that_would_delete_everything_is_refused(platform, driver_view) -> None:
    with raises(RequestError, "partial=True", "teardown"):
        platform.apply([], objects_to_delete=[driver_view], partial=False)
    assert platform.list_feature_views()


def test_rows_of_a_deleted_view_do_not_come_back_with_a_new_one(
    platform: FeatureStore, open_store: Any, driver_view: FeatureView, tmp_path: Path
) -> None:
    """Though the online store could not be reached when the view was deleted."""
    platform.materialize(NOON - 3 * HOUR, NOON)
    (tmp_path / "online.db").rename(tmp_path / "away")
    (tmp_path / "online.db").mkdir()
    with pytest.warns(RuntimeWarning) as warned:
        open_store().apply([], objects_to_delete=[driver_view])
    [message] = [str(warning.message) for warning in warned]
    assert all(name in message for name in ("version 2", str(tmp_path / "online.db")))
    open_store().apply([driver_view])

    (tmp_path / "online.db").rmdir()
    (tmp_path / "away").rename(tmp_path / "online.db")
    again = open_store()
    answer = again.get_online_features(["driver_stats:trips"], [{"driver_id": 1}])
    assert answer.to_dict()["trips"] == [None]


def test_a_view_that_cannot_be_read_does_not_keep_others_from_being_loaded(
    platform: FeatureStore, driver: Entity
) -> None:
    broken = FeatureView(
        name="a_broken_one",
        entities=[driver],
        schema=[Field(name="x", dtype=Int64)],
        source=FileSource(name="nowhere", path="nowhere.parquet"),
    )
    platform.apply([broken])
    with raises(StoreError, "'nowhere'", "nowhere.parquet", "driver_stats"):
        platform.materialize(NOON - 3 * HOUR, NOON)

    assert trips(platform, 1, 2) == [11, 20]


LONG_AGO = NOON - timedelta(days=30)
# What a view read, what it reads after a change, its rows, and the value of key 1 from then on.
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[int | None]]] = {
    "another column of a feature": (
        {},
        {"field_mapping": {"v2": "v", "v": "unused"}},
        {"k": [1], "event_timestamp": [LONG_AGO], "v": [1], "v2": [100]},
        [100, None],
    ),
    "another column of the key": (
        {},
        {"field_mapping": {"k2": "k", "k": "unused"}},
        {"k": [1], "k2": [2], "event_timestamp": [LONG_AGO], "v": [1]},
        [None, 1],
    ),
    "a created timestamp": (
        {},
        {"created_timestamp_column": "cr"},
        {
            "k": [1, 1],
            "event_timestamp": [LONG_AGO] * 2,
            "cr": [LONG_AGO + HOUR, LONG_AGO],
            "v": [1, 2],
        },
        [1, None],
    ),
    "no created timestamp any more": (
        {"created_timestamp_column": "cr"},
        {},
        {"k": [1, 1], "event_timestamp": [LONG_AGO] * 2, "cr": [LONG_AGO, LONG_AGO - HOUR],
         "v": [1, 2]},
        [2, None],
    ),
    "a time that is later": (
        {},
        {"timestamp_field": "ts2"},
        {"k": [1, 1], "event_timestamp": [LONG_AGO, LONG_AGO + HOUR],
         "ts2": [LONG_AGO + 2 * HOUR, LONG_AGO], "v": [1, 2]},
        [1, None],
    ),
    "a time that is earlier": (
        {"timestamp_field": "ts2"},
        {},
        {"k": [1, 1], "event_timestamp": [LONG_AGO - HOUR, LONG_AGO - 2 * HOUR],
         "ts2": [LONG_AGO, LONG_AGO + HOUR], "v": [1, 2]},
        [1, None],
    ),
    "a longer ttl": (
        {"ttl": timedelta(days=1)},
        {"ttl": timedelta(days=60)},
        {"k": [1], "event_timestamp": [LONG_AGO], "v": [1]},
        [1, None],
    ),
    "no ttl any more": (
        {"ttl": timedelta(days=1)},
        {},
        {"k": [1], "event_timestamp": [LONG_AGO], "v": [1]},
        [1, None],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after", "content", "expected"), CHANGES.values(), ids=CHANGES)
def test_a_view_that_reads_something_else_is_loaded_again(
    open_store, tmp_path: Path, before, after, content, expected
) -> None:
    """feast-dev/feast#2795: earlier loads do not count for what the view is now."""
    pd.DataFrame(content).to_parquet(tmp_path / "x.parquet")
    store = open_store()
    store.apply(_view_of(**before))
    store.materialize_incremental()

    [backfill] = store.review(store.plan(_view_of(**after))).backfills
    assert (backfill.view, backfill.rows) == ("v", len(content["k"]))
    store.apply(_view_of(**after))
    store.materialize_incremental()
    online = store.get_online_features(["v"], [{"k": 1}, {"k": 2}]).to_dict()["v"]
    asked = pd.DataFrame({"k": [1, 2], "event_timestamp": NOON})
    history = store.get_historical_features(asked, ["v"]).to_arrow()["v"].to_pylist()
    assert online == history == expected


def _view_of(ttl: timedelta | None = None, path: str = "x.parquet", **source: Any) -> list[Any]:
    key = Entity(name="k", value_type=Int64)
    schema = [Field(name="v", dtype=Int64)]
    read = FileSource(name="x", path=path, **source)
    return [key, FeatureView(name="v", entities=[key], ttl=ttl, schema=schema, source=read)]


def test_a_shorter_ttl_needs_no_backfill(open_store, tmp_path: Path) -> None:
    pd.DataFrame({"k": [1], "event_timestamp": [LONG_AGO], "v": [1]}).to_parquet(
        tmp_path / "x.parquet"
    )
    store = open_store()
    store.apply(_view_of(ttl=timedelta(days=60)))
    store.materialize_incremental()

    assert store.review(store.plan(_view_of(ttl=timedelta(days=1)))).backfills == ()


def test_a_refused_plan_leaves_online_rows_alone(open_store) -> None:
    """The name was once an on-demand view's; a team that registers it again is refused."""
    platform = open_store()
    key = Entity(name="k", value_type=Int64)
    push = PushSource(name="p")
    v = Field(name="v", dtype=Int64)
    base = FeatureView(name="base", entities=[key], source=push, schema=[v])
    computed = OnDemandFeatureView(
        name="hot", sources=["base:v"], mode="sql", schema=[v], expressions={"v": "v + 1"}
    )
    platform.apply([key, base, computed])
    platform.apply([], objects_to_delete=[computed])
    platform.apply([FeatureView(name="hot", entities=[key], source=push, schema=[v])])
    platform.write_to_online_store("hot", _one(v=42))

    with refused(("collision", "on-demand view 'hot'"), ("collision", "on-demand view 'hot'")):
        open_store("risk").apply([computed])
    assert platform.get_online_features(["hot:v"], [{"k": 1}]).to_dict()["v"] == [42]


def test_a_view_that_returns_starts_without_rows_and_keeps_what_is_written(open_store) -> None:
    first, second = open_store(), open_store()
    key = Entity(name="k", value_type=Int64)
    v = Field(name="v", dtype=Int64)
    view = FeatureView(name="hot", entities=[key], source=PushSource(name="p"), schema=[v])
    first.apply([key, view])
    table = table_for(first, "hot")
    first.write_to_online_store("hot", _one(v=1))
    first.apply([], objects_to_delete=[view])
    first.online.write(table, _rows_of(table, v=7))  # a writer that was late

    planned = second.plan([view])
    first.apply([view])
    assert first.get_online_features(["hot"], [{"k": 1}]).to_dict()["v"] == [None]
    first.write_to_online_store("hot", _one(v=2))
    second.commit(planned)  # another job of the owner, which found the name free
    assert first.get_online_features(["hot"], [{"k": 1}]).to_dict()["v"] == [2]


def _one(**values: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"k": [1], "event_timestamp": [NOON], **{n: [v] for n, v in values.items()}}
    )


def _rows_of(table: Table, **values: int) -> list[pa.RecordBatch]:
    schema = pa.schema([
        ("k", pa.int64()), ("event_timestamp", TIMESTAMP), ("created_timestamp", TIMESTAMP),
        *table.features,
    ])  # fmt: skip
    return [pa.RecordBatch.from_pylist([{"k": 1, "event_timestamp": NOON, **values}], schema)]


def test_an_on_demand_view_that_cannot_be_resolved_stops_no_rows(
    platform: FeatureStore, open_store, driver_view, caplog: pytest.LogCaptureFixture
) -> None:
    """A team's view reads a feature that the platform removed by an override."""
    team = open_store("risk")
    computed = OnDemandFeatureView(
        name="risk_double",
        sources=["driver_stats:trips"],
        schema=[Field(name="double", dtype=Int64)],
        mode="sql",
        expressions={"double": "trips * 2"},
        write_to_online_store=True,
    )
    team.apply([computed])
    rest = tuple(field for field in driver_view.fields if field.name != "trips")
    platform.apply([driver_view.model_copy(update={"fields": rest})], override="gone")
    frame = pd.DataFrame({"driver_id": [1], "event_timestamp": [NOON], "rate": [0.5]})

    assert platform.materialize(NOON - 3 * HOUR, NOON) == {"driver_stats": 2}
    assert platform.write_to_online_store("driver_stats", frame) == 1
    assert platform.expire_online_store() == {"driver_stats": 0}
    assert platform.delete_from_online_store(
        "driver_stats", frame[["driver_id", "event_timestamp"]]
    )
    assert "risk_double" in caplog.text
    assert "'risk'" in caplog.text


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"field_mapping": {"v2": "v", "v": "unused"}}),
        ({}, {"path": "y.parquet"}),
        ({"ttl": timedelta(days=60)}, {"ttl": timedelta(days=1)}),
    ],
    ids=["mapping", "path", "ttl"],
)
def test_a_view_that_is_restored_is_loaded_again(open_store, tmp_path: Path, first, second) -> None:
    """What was loaded in between replaced its rows, or they expired."""
    rows = {"k": [1], "event_timestamp": [LONG_AGO], "v": [1], "v2": [100]}
    pd.DataFrame(rows).to_parquet(tmp_path / "x.parquet")
    pd.DataFrame({**rows, "v": [7]}).to_parquet(tmp_path / "y.parquet")
    store = open_store()
    commit = store.apply(_view_of(**first))
    store.materialize_incremental()
    store.apply(_view_of(**second))
    store.materialize_incremental()
    store.expire_online_store()

    store.restore(commit.version)
    store.materialize_incremental()
    assert store.get_online_features(["v"], [{"k": 1}]).to_dict()["v"] == [1]


def test_expired_rows_are_loaded_again_under_a_longer_ttl(open_store, tmp_path: Path) -> None:
    rows = {"k": [1], "event_timestamp": [LONG_AGO], "v": [1]}
    pd.DataFrame(rows).to_parquet(tmp_path / "x.parquet")
    store = open_store()
    store.apply(_view_of(ttl=timedelta(days=60)))
    store.materialize_incremental()
    store.apply(_view_of(ttl=timedelta(days=1)))
    assert store.expire_online_store() == {"v": 1}
    store.apply(_view_of(ttl=timedelta(days=60)))
    store.materialize_incremental()

    assert store.get_online_features(["v"], [{"k": 1}]).to_dict()["v"] == [1]


def test_a_ttl_beyond_all_times_expires_nothing(open_store) -> None:
    store = open_store()
    store.apply(_view_of(ttl=timedelta(days=999_999_999)))
    assert store.expire_online_store() == {"v": 0}


def test_pushed_rows_stay_when_the_source_gets_a_history(open_store, tmp_path: Path) -> None:
    history = FileSource(
        name="x", path="x.parquet", timestamp_field="at", field_mapping={"user": "k"}
    )
    pd.DataFrame({"user": [2], "at": [NOON - HOUR], "v": [2]}).to_parquet(tmp_path / "x.parquet")
    store = open_store()
    key = Entity(name="k", value_type=Int64)
    schema = [Field(name="v", dtype=Int64)]

    def view(source: PushSource) -> FeatureView:
        return FeatureView(name="v", entities=[key], schema=schema, source=source)

    store.apply([key, view(PushSource(name="p"))])
    store.push("p", _one(v=7))
    store.apply([view(PushSource(name="p", batch_source=history))])
    store.materialize_incremental()

    asked = [{"k": 1}, {"k": 2}]
    assert store.get_online_features(["v"], asked).to_dict()["v"] == [7, 2]


def test_a_view_whose_source_is_gone_stops_no_other_view(
    platform: FeatureStore, driver_view, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that skips the rules can leave such a view behind."""
    gone = FileSource(name="gone", path="driver.parquet")
    broken = driver_view.model_copy(update={"name": "a_broken", "source": "gone"})
    platform.apply([gone, broken])
    with monkeypatch.context() as patch:
        patch.setattr("feature_platform.registry.registry.check", lambda _: ())
        patch.setattr("feature_platform.services.applying.check", lambda _: ())
        platform.apply([], objects_to_delete=[gone])

    for load in (
        lambda: platform.materialize(NOON - 3 * HOUR, NOON),
        platform.materialize_incremental,
        platform.expire_online_store,
    ):
        with raises(NotFoundError, "'gone'"):
            load()
    answer = platform.get_online_features(["driver_stats:trips"], [{"driver_id": 1}]).to_dict()
    assert answer["trips"] == [11]


def loaded_store(folder: Path) -> FeatureStore:
    config = RepoConfig(project="p", team="platform", registry="r.db")
    return FeatureStore(folder, config=config, clock=lambda: NOON)


def view_of(source: Any, key: Any = Int64, dtype: Any = Int64, name: str = "v") -> list[Any]:
    entity = Entity(name="k", value_type=key)
    return [entity, FeatureView(
        name=name, entities=[entity], schema=[Field(name="x", dtype=dtype)], source=source
    )]  # fmt: skip


def test_rows_that_move_to_other_keys_are_loaded_again(tmp_path: Path) -> None:
    """Their windows are those of another table; pushed rows have the names of the view."""
    pd.DataFrame({"k": [1], "at": [NOON - 900 * HOUR], "x": [5]}).to_parquet(tmp_path / "r.parquet")
    store = loaded_store(tmp_path)
    source = FileSource(name="s", path="r.parquet", timestamp_field="at")
    pushed = PushSource(name="push", batch_source=source)
    for objects in (view_of(source), view_of(source, key=Int32), view_of(pushed, key=Int32)):
        store.apply(objects)
        assert store.materialize_incremental() == {"v": 1}
        assert store.get_online_features(["v"], {"k": [1]}).to_dict()["x"] == [5]


@pytest.mark.parametrize("moment", [253_402_300_800_000_000, -62_135_596_800_000_001])
def test_times_that_no_store_gives_back_are_not_loaded(tmp_path: Path, moment: int) -> None:
    times = pa.array([moment], pa.timestamp("us", "UTC"))
    at = pa.array([NOON - HOUR], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"k": [1], "event_timestamp": at, "x": times}), tmp_path / "t.parquet")
    store = loaded_store(tmp_path)
    store.apply(view_of(FileSource(name="s", path="t.parquet"), dtype=UnixTimestamp))
    with raises(SourceError, "x", "9999"):
        store.materialize(NOON - 2 * HOUR, NOON)
    assert store.online_windows("v") == []
    with raises(SourceError, "x", "9999"):
        store.get_historical_features({"k": [1], "event_timestamp": [NOON]}, ["v"]).to_arrow()


def test_a_view_that_its_file_cannot_hold_stops_no_other(tmp_path: Path) -> None:
    at = (NOON - HOUR).isoformat()
    (tmp_path / "m.csv").write_text(f"k,event_timestamp,x\n1,{at},a\n")
    (tmp_path / "g.csv").write_text(f"k,event_timestamp,x\n1,{at},5\n")
    store = loaded_store(tmp_path)
    store.apply([
        *view_of(FileSource(name="m", path="m.csv"), dtype=Map, name="maps"),
        *view_of(FileSource(name="long", path="x" * 300), name="long")[1:],
        *view_of(FileSource(name="g", path="g.csv"))[1:],
    ])  # fmt: skip
    with raises(FeaturePlatformError, "Parquet", "long", "v"):
        store.materialize(NOON - 2 * HOUR, NOON)
    assert store.get_online_features(["v"], {"k": [1]}).to_dict()["x"] == [5]


def test_integers_that_floats_cannot_hold_are_refused(tmp_path: Path) -> None:
    store = loaded_store(tmp_path)
    store.apply(view_of(FileSource(name="s", path="i.parquet"), dtype=Float64))
    asked = {"k": [1], "event_timestamp": [NOON]}
    for number, fits in ((2**53, True), (-(2**53), True), (2**53 + 1, False), (-(2**63), False)):
        pd.DataFrame({"k": [1], "event_timestamp": [NOON], "x": [number]}).to_parquet(
            tmp_path / "i.parquet"
        )
        if fits:
            [value] = store.get_historical_features(asked, ["v"]).to_arrow()["x"].to_pylist()
            assert value == number
        else:
            with raises(SchemaError, "x", number):
                store.get_historical_features(asked, ["v"]).to_arrow()


def test_rows_for_a_delta_table_are_of_its_types_and_days(tmp_path: Path) -> None:
    at = pa.array([NOON - HOUR], pa.timestamp("us", "UTC"))
    first = {"k": [1], "event_timestamp": at, "x": [1.5], "day": ["2025-12-31"]}
    write_deltalake(tmp_path / "days", pa.table(first), partition_by=["day"])
    source = FileSource(name="s", path="days", file_format="delta", date_partition_column="day")
    store = loaded_store(tmp_path)
    store.apply(view_of(source, dtype=Float64))
    store.write_to_offline_store("v", {"k": [2], "event_timestamp": [NOON - HOUR], "x": [0.1]})
    asked = {"k": [1, 2], "event_timestamp": [NOON] * 2}
    answer = store.get_historical_features(asked, ["v"]).to_arrow()
    assert answer["x"].to_pylist() == [1.5, 0.1]

    narrow = {"k": [1], "event_timestamp": at, "x": pa.array([1.5], pa.float32())}
    dates = {"k": [1], "event_timestamp": at.cast(pa.date32()), "x": [1.5]}
    for name, rows_ in (("narrow", narrow), ("dates", dates)):
        write_deltalake(tmp_path / name, pa.table(rows_))
        store.apply(view_of(FileSource(name=name, path=name, file_format="delta"), dtype=Float64))
        with raises(RequestError, name, "float" if name == "narrow" else "date32"):
            store.write_to_offline_store("v", {**asked, "x": [0.1, 2.5]})
