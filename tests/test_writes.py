"""Rows that are written directly: checked, pushed to every view, corrected and deleted."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests_support import HOUR, NOON, raises

from feature_platform import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushMode,
    PushSource,
    RepoConfig,
    StreamFeatureView,
)
from feature_platform.errors import DefinitionError, NotFoundError, RequestError, SchemaError
from feature_platform.types import Float32, Int64, UnixTimestamp

ITEM = Entity(name="item", join_keys=["item_id"], value_type=Int64)


def trips(store: FeatureStore, *drivers: int) -> list[int | None]:
    rows = [{"driver_id": driver} for driver in drivers]
    return store.get_online_features(["driver_stats:trips"], rows).to_dict()["trips"]


def rows(*triples: tuple[int, object, int], rate: float = 0.5) -> pd.DataFrame:
    ids, times, counts = zip(*triples, strict=True)
    return pd.DataFrame({"driver_id": ids, "event_timestamp": times, "trips": counts, "rate": rate})


def test_rows_can_be_written_directly_from_any_frame(platform: FeatureStore) -> None:
    frame = rows((1, NOON, 1), (2, NOON, 2))
    for df in (frame, pa.Table.from_pandas(frame), pl.from_pandas(frame)):
        assert platform.write_to_online_store("driver_stats", df) == 2

    assert trips(platform, 1, 2) == [1, 2]


@pytest.mark.parametrize("column", ["event_timestamp", "at", None])
def test_keys_are_deleted_as_of_their_time_or_as_of_now(tmp_path: Path, column) -> None:
    """The time may have the name of the source's column."""
    config = RepoConfig(project="p", team="platform", registry="registry.db")
    store = FeatureStore(tmp_path, config=config, clock=lambda: NOON)
    source = FileSource(name="history", path="history", timestamp_field="at")
    view = FeatureView(
        name="items", entities=[ITEM], schema=[Field(name="sold", dtype=Int64)], source=source
    )
    store.apply([view])
    at = NOON - HOUR
    store.write_to_online_store("items", pd.DataFrame({"item_id": [1], "at": [at], "sold": [5]}))
    keys = pd.DataFrame({"item_id": [1]} | ({column: [at - HOUR]} if column else {}))
    assert store.delete_from_online_store("items", keys) == 1
    answer = store.get_online_features(["items"], {"item_id": [1]}).to_dict()
    assert answer["sold"] == [None if column is None else 5]


@pytest.mark.parametrize("where", ["online", "offline", "push"])
def test_unknown_columns_are_ignored_if_one_says_so(tmp_path: Path, where: str) -> None:
    config = RepoConfig(project="p", team="platform", registry="registry.db")
    store = FeatureStore(tmp_path, config=config)
    history = FileSource(name="history", path="history")
    (tmp_path / "history").mkdir()
    now = datetime.now(UTC)
    frame = pd.DataFrame({"item_id": [1], "event_timestamp": [now], "sold": [5]})
    frame.to_parquet(tmp_path / "history" / "a.parquet")
    view = FeatureView(
        name="items", entities=[ITEM], schema=[Field(name="sold", dtype=Int64)],
        source=PushSource(name="sales", batch_source=history),
    )  # fmt: skip
    store.apply([view])
    extra = frame.assign(sold=7, event_timestamp=now + HOUR, junk="x", item="y")

    def write(**options: bool) -> None:
        if where == "push":
            store.push("sales", extra, **options)
        else:
            getattr(store, f"write_to_{where}_store")("items", extra, **options)

    with raises(SchemaError, "'junk'", "ignore_unknown"):
        write()
    write(ignore_unknown=True)
    if where == "offline":
        assert store.get_statistics("items")["sold"].max == 7
    else:
        answer = store.get_online_features(["items"], {"item_id": [1]}).to_dict()
        assert answer["sold"] == [7]
    with raises(SchemaError, "'sold'"):
        extra = extra.drop(columns="sold")
        write(ignore_unknown=True)


def test_naive_times_are_utc(platform: FeatureStore) -> None:
    platform.write_to_online_store("driver_stats", rows((1, NOON.replace(tzinfo=None), 5)))

    answer = platform.get_online_features(["driver_stats:trips"], [{"driver_id": 1}])
    assert answer.to_dict(include_event_timestamps=True)["trips__ts"] == [NOON.timestamp()]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda df: df.drop(columns="driver_id"), ["'driver_id'"]),
        (lambda df: df.rename(columns={"trips": "tripz"}), ["'trips'", "'tripz'"]),
        (lambda df: df.assign(extra=1), ["'extra'"]),
        (lambda df: df.assign(event_timestamp=pd.NaT), ["'event_timestamp'", "null"]),
        (lambda df: df.assign(trips=1.5), ["'trips'", "row 0", "1.5", "int64"]),
        (lambda df: df.assign(trips="many"), ["'trips'", "row 0", "'many'", "int64"]),
        (
            lambda df: df.assign(driver_id=[[1]]),
            ["'driver_id'", "row 0", "[1]", "list", "int64"],
        ),
    ],
)
def test_wrong_rows_are_refused_and_nothing_is_written(platform, change, names) -> None:
    with raises(SchemaError, "'driver_stats'", *names):
        platform.write_to_online_store("driver_stats", change(rows((1, NOON, 1))))

    assert trips(platform, 1) == [None]


def test_a_frame_that_is_none_is_refused(platform: FeatureStore) -> None:
    with raises(RequestError, "df", "pandas", "polars", "list of dicts"):
        platform.write_to_online_store("driver_stats", [1])


def test_push_feeds_every_view_of_its_source(platform: FeatureStore, driver) -> None:
    batch = FileSource(name="rides", path="rides.parquet", field_mapping={"drv": "driver_id"})
    push = PushSource(name="rides_push", batch_source=batch)
    schema = [Field(name="speed", dtype=Float32)]
    views = [
        FeatureView(name="ride", entities=[driver], source=push, schema=schema),
        StreamFeatureView(name="live_ride", entities=[driver], source=push, schema=schema),
    ]
    platform.apply([push, *views])

    df = pd.DataFrame({"drv": [1], "event_timestamp": [NOON], "speed": [2.5]})
    assert platform.push("rides_push", df) == 2
    answer = platform.get_online_features(
        ["ride", "live_ride"], [{"driver_id": 1}], full_feature_names=True
    )
    assert answer.to_dict()["ride__speed"] == answer.to_dict()["live_ride__speed"] == [2.5]
    with raises(NotFoundError, "'ridez_push'", "'rides_push'"):
        platform.push("ridez_push", df)


@pytest.mark.parametrize(
    "change",
    [
        lambda df: df.assign(event_timestamp=1767268800),
        lambda df: df.assign(trips=NOON),
        lambda df: df.assign(trips="7"),
        lambda df: df.assign(trips=True),
        lambda df: df.assign(driver_id="1"),
        lambda df: df.assign(rate=1e300),
    ],
)
def test_values_are_not_reinterpreted(platform: FeatureStore, change) -> None:
    with pytest.raises(SchemaError):
        platform.write_to_online_store("driver_stats", change(rows((1, NOON, 1))))


@pytest.fixture
def items(open_store, tmp_path: Path) -> FeatureStore:
    """A store with an entity, a folder of rows, and a clock that has passed what is pushed."""
    (tmp_path / "history").mkdir()
    store: FeatureStore = open_store(clock=lambda: NOON + HOUR)
    store.apply([ITEM, FileSource(name="history", path="history")])
    return store


def pushed(name: str, feature: str, source: str, batch: Any = None, **options) -> FeatureView:
    push = PushSource(name=source, batch_source=batch)
    schema = [Field(name=feature, dtype=Int64)]
    return FeatureView(name=name, entities=[ITEM], schema=schema, source=push, **options)


def item(store: FeatureStore, feature: str) -> int | None:
    answer = store.get_online_features([feature], [{"item_id": 1}]).to_dict()
    return answer[feature.partition(":")[2]][0]


@pytest.fixture
def corrected(items: FeatureStore, tmp_path: Path) -> FeatureStore:
    """A view whose source says when rows were created, with one row loaded."""
    row = {"item_id": [1], "event_timestamp": [NOON - HOUR], "created": [NOON], "x": [10]}
    pd.DataFrame(row).to_parquet(tmp_path / "history" / "a.parquet")
    dated = FileSource(name="dated", path="history", created_timestamp_column="created")
    items.apply([dated, pushed("v", "x", "ps", "dated")])
    items.materialize(NOON - 3 * HOUR, NOON)
    return items


def test_a_correction_without_a_created_time_wins_on_both_sides(corrected: FeatureStore) -> None:
    rows = pd.DataFrame({"item_id": [1], "event_timestamp": [NOON - HOUR], "x": [99]})
    corrected.push("ps", rows, to=PushMode.ONLINE_AND_OFFLINE)

    assert item(corrected, "v:x") == 99
    assert corrected.verify_parity(["v"], pd.DataFrame({"item_id": [1]})).mismatches == 0


@pytest.mark.parametrize("dated", [True, False], ids=["created times", "none"])
def test_a_deletion_at_the_rows_own_time_stays(corrected: FeatureStore, dated: bool) -> None:
    if not dated:
        corrected.apply([pushed("v", "x", "ps2", "history")])
        corrected.materialize(NOON - 3 * HOUR, NOON)
    row = pd.DataFrame({"item_id": [1], "event_timestamp": [NOON - HOUR]})

    assert corrected.delete_from_online_store("v", row) == 1
    assert item(corrected, "v:x") is None
    corrected.materialize(NOON - 3 * HOUR, NOON)
    assert item(corrected, "v:x") is None


def test_one_push_feeds_views_of_different_columns(items: FeatureStore, tmp_path: Path) -> None:
    items.apply([pushed("v1", "a", "ps", "history"), pushed("v2", "b", "ps", "history")])
    frame = pd.DataFrame({"item_id": [1], "event_timestamp": [NOON], "a": [1], "b": [2]})
    assert items.push("ps", frame, to=PushMode.ONLINE_AND_OFFLINE) == 2

    assert (item(items, "v1:a"), item(items, "v2:b")) == (1, 2)
    [file] = (tmp_path / "history").rglob("*.parquet")
    assert pd.read_parquet(file)[["a", "b"]].to_numpy().tolist() == [[1, 2]]
    with raises(SchemaError, "'v1'", "'c'"):
        items.push("ps", frame.assign(c=1))
    with raises(SchemaError, "'v2'", "'b'"):
        items.push("ps", frame.drop(columns="b"))
    with raises(NotFoundError, "'history'"):
        items.push("history", frame)


@pytest.mark.parametrize(
    ("key", "names"),
    [
        (1.5, ["1.5"]),
        ([1], ["[1]"]),
        ({"a": 1}, ["{'a': 1}"]),
        ("x" * 2000, ["2,005", "1,024"]),  # bytes, and how many there may be
        (np.uint64(2**63), [str(2**63)]),
    ],
    ids=["float", "list", "dict", "long", "wide"],
)
def test_keys_without_a_declared_type_are_checked_when_written(open_store, key, names) -> None:
    free = Entity(name="free", join_keys=["free_id"])
    schema, source = [Field(name="a", dtype=Int64)], PushSource(name="ps")
    store = open_store()
    store.apply([free, FeatureView(name="v", entities=[free], schema=schema, source=source)])

    with raises(SchemaError, "'v'", *names):
        store.push("ps", pa.table({"free_id": [key], "event_timestamp": [NOON], "a": [1]}))


def test_views_that_are_only_pushed_to_expire_too(items: FeatureStore, open_store: Any) -> None:
    items.apply([pushed("v", "a", "ps", ttl=timedelta(days=1))])
    items.push("ps", pd.DataFrame({"item_id": [1], "event_timestamp": [NOON], "a": [1]}))

    later = open_store(clock=lambda: NOON + timedelta(days=3))
    assert later.expire_online_store() == {"v": 1}


@pytest.mark.parametrize(
    ("act", "error", "names"),
    [
        (
            lambda store: store.write_to_online_store(None, pd.DataFrame()),
            RequestError,
            ["feature_views", "[None]"],
        ),
        (lambda store: store.push(None, pd.DataFrame()), NotFoundError, ["'shop'", "None"]),
        (
            lambda store: store.materialize(NOON - HOUR, NOON, 5),
            RequestError,
            ["feature_views", "5"],
        ),
        (
            lambda store: store.materialize_incremental(NOON, lookback=5),
            RequestError,
            ["lookback", "5", "timedelta"],
        ),
    ],
    ids=["write", "push", "materialize", "incremental"],
)
def test_odd_arguments_get_errors_of_ours(platform: FeatureStore, act, error, names) -> None:
    with raises(error, *names):
        act(platform)


@pytest.mark.parametrize("given", ["source", "both", "store"])
@pytest.mark.parametrize(
    ("field", "time"), [("ts", "event_timestamp"), ("cr", "created_timestamp")]
)
def test_a_feature_may_be_the_time_of_its_source(
    open_store, tmp_path: Path, field: str, time: str, given: str
) -> None:
    (tmp_path / "x").mkdir()
    at = NOON - HOUR
    frame = pd.DataFrame({"k": [1], "ts": [at], "cr": [at], "v": [1]})
    frame.to_parquet(tmp_path / "x" / "a.parquet")
    store: FeatureStore = open_store()
    key = Entity(name="k", value_type=Int64)
    source = FileSource(name="x", path="x", timestamp_field="ts", created_timestamp_column="cr")
    schema = [Field(name="v", dtype=Int64), Field(name=field, dtype=UnixTimestamp)]
    store.apply([key, FeatureView(name="t", entities=[key], schema=schema, source=source)])

    rows = {
        "source": frame,
        "both": frame.assign(**{time: at}),
        "store": frame.rename(columns={field: time}),
    }[given]
    assert store.write_to_online_store("t", rows) == 1
    assert store.get_online_features(["t"], [{"k": 1}]).to_dict()[field] == [at]
    store.write_to_offline_store("t", rows)
    with raises(SchemaError, f"'{field}'", f"'{time}'"):
        store.write_to_online_store("t", frame.assign(**{time: NOON}))


def test_the_event_time_is_not_its_own_created_timestamp() -> None:
    with raises(DefinitionError, "created_timestamp_column", "'ts'"):
        FileSource(name="x", path="x", timestamp_field="ts", created_timestamp_column="ts")


@pytest.mark.parametrize("first", [0, 1])
def test_a_date_beside_times_cuts_none_of_them(platform: FeatureStore, first: int) -> None:
    """Arrow would make dates of all of them, and a row of noon would count from midnight."""
    times: list[Any] = [NOON.date(), NOON]
    times = [times[first], times[1 - first]]
    columns = {"driver_id": [1, 2], "event_timestamp": times, "trips": [1, 2], "rate": [0.5, 0.5]}
    listed = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for frame in (columns, listed, pd.DataFrame(columns)):
        with raises(RequestError, "event_timestamp", "mixed"):
            platform.write_to_online_store("driver_stats", frame)
        with raises(RequestError, "event_timestamp", "mixed"):
            platform.get_historical_features(frame, ["driver_stats"], full_feature_names=True)
