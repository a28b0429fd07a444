"""What hostile testers found on the online side; each was a wrong answer or a loss once."""

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests_support import HOUR, NOON

from feature_platform import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    PushMode,
    PushSource,
    RequestSource,
)
from feature_platform.errors import (
    ConfigError,
    FeaturePlatformError,
    NotFoundError,
    RefusedError,
    RequestError,
    SchemaError,
    TransformationError,
)
from feature_platform.types import Array, Float32, Float64, Int64, String

ITEM = Entity(name="item", join_keys=["item_id"], value_type=Int64)


def pushed(name: str, *fields: Field, source: str = "", **options: Any) -> FeatureView:
    push = PushSource(name=source or f"{name}_source", batch_source=options.pop("batch", None))
    return FeatureView(name=name, entities=[ITEM], schema=fields, source=push, **options)


def one(store: FeatureStore, feature: str, **row: Any) -> Any:
    answer = store.get_online_features([feature], [{"item_id": 1, **row}])
    return answer.to_dict()[feature.partition(":")[2]][0]


def test_stored_answers_of_another_schema_are_computed_again(platform: FeatureStore) -> None:
    def both(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"a": inputs["trips"], "b": inputs["trips"]}

    def view(*fields: Field) -> OnDemandFeatureView:
        return OnDemandFeatureView(
            name="od", sources=["driver_stats:trips"], schema=fields, udf=both,
            write_to_online_store=True,
        )  # fmt: skip

    platform.apply([view(Field(name="a", dtype=Int64))])
    platform.materialize(NOON - 3 * HOUR, NOON)
    for fields in (
        [Field(name="a", dtype=Int64), Field(name="b", dtype=Int64)],
        [Field(name="a", dtype=Float64)],
    ):
        platform.apply([view(*fields)], partial=True)
        answer = platform.get_online_features(["od"], [{"driver_id": 1}]).to_dict()
        assert [answer[f.name] for f in fields] == [[11]] * len(fields)


@pytest.fixture
def corrected(open_store, tmp_path: Path) -> FeatureStore:
    """A view whose source says when rows were created, with one row loaded."""
    (tmp_path / "history").mkdir()
    row = {"item_id": [1], "event_timestamp": [NOON - HOUR], "created": [NOON], "x": [10]}
    pd.DataFrame(row).to_parquet(tmp_path / "history" / "a.parquet")
    store = open_store(clock=lambda: NOON + HOUR)
    batch = FileSource(name="history", path="history", created_timestamp_column="created")
    store.apply(
        [ITEM, batch, pushed("v", Field(name="x", dtype=Int64), source="ps", batch="history")]
    )
    store.materialize(NOON - 3 * HOUR, NOON)
    return store


def test_a_correction_without_a_created_time_wins_on_both_sides(corrected: FeatureStore) -> None:
    rows = pd.DataFrame({"item_id": [1], "event_timestamp": [NOON - HOUR], "x": [99]})
    corrected.push("ps", rows, to=PushMode.ONLINE_AND_OFFLINE)

    assert one(corrected, "v:x") == 99
    assert corrected.verify_parity(["v"], pd.DataFrame({"item_id": [1]})).mismatches == 0


@pytest.mark.parametrize("source", ["ps", "plain"])
def test_a_deletion_at_the_rows_own_time_stays(corrected: FeatureStore, source, tmp_path) -> None:
    if source == "plain":  # without a created timestamp
        batch = FileSource(name="bare", path="history")
        corrected.apply(
            [batch, pushed("v", Field(name="x", dtype=Int64), source="ps2", batch="bare")]
        )
        corrected.materialize(NOON - 3 * HOUR, NOON)
    gone = pd.DataFrame({"item_id": [1], "event_timestamp": [NOON - HOUR]})
    assert corrected.delete_from_online_store("v", gone) == 1
    assert one(corrected, "v:x") is None
    corrected.materialize(NOON - 3 * HOUR, NOON)
    assert one(corrected, "v:x") is None


@pytest.mark.parametrize("mode", ["row", "python"])
def test_functions_cannot_change_other_values(open_store, mode: str) -> None:
    def spoil(inputs: dict[str, Any]) -> dict[str, Any]:
        if mode == "row":
            inputs["many"].clear()
            return {"n": 0}
        for values in inputs["many"]:
            values.clear()
        return {"n": [0] * len(inputs["many"])}

    def count(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"size": len(inputs["many"])}

    store = open_store()
    store.apply([ITEM, pushed("v", Field(name="many", dtype=Array(Int64)))])
    store.apply(
        [
            OnDemandFeatureView(
                name="spoiling", sources=["v"], schema=[Field(name="n", dtype=Int64)], udf=spoil,
                mode=mode,
            ),
            OnDemandFeatureView(
                name="counting", sources=["v"], schema=[Field(name="size", dtype=Int64)], udf=count
            ),
        ]
    )  # fmt: skip
    store.push("v_source", pd.DataFrame(
        {"item_id": [1], "event_timestamp": [NOON], "many": [[3, 1, 2]]}))  # fmt: skip

    answer = store.get_online_features(["spoiling", "v", "counting"], [{"item_id": 1}]).to_dict()
    assert (answer["many"], answer["size"]) == ([[3, 1, 2]], [3])


def extra(dtype: Any, function: Any) -> OnDemandFeatureView:
    return OnDemandFeatureView(
        name="od",
        sources=[RequestSource(schema=[Field(name="x", dtype=dtype)]), "driver_stats:trips"],
        schema=[Field(name="y", dtype=Float32)],
        udf=function,
    )


def test_what_overflows_is_refused_on_both_sides(platform: FeatureStore) -> None:
    platform.apply([extra(Float32, lambda i: {"y": i["x"]})])
    asked = pa.table({"driver_id": [1], "event_timestamp": [NOON], "x": [1e39]})
    with pytest.raises(RequestError, match="'x' is not float"):
        platform.get_online_features(["od"], [{"driver_id": 1, "x": 1e39}])
    with pytest.raises(RequestError, match="'x' is not float"):
        platform.get_historical_features(asked, ["od"]).to_arrow()
    platform.apply([extra(Float64, lambda i: {"y": 1e300})])
    with pytest.raises(TransformationError, match="too large"):
        platform.get_online_features(["od"], [{"driver_id": 1, "x": 1.0}])


def test_nan_in_a_request_is_the_same_on_both_sides(platform: FeatureStore) -> None:
    platform.apply([extra(Float64, lambda i: {"y": 1.0 if i["x"] is None else 2.0})])
    rows = pa.table({"driver_id": [1], "x": [math.nan]})

    assert platform.get_online_features(["od"], rows).to_dict()["y"] == [2.0]
    assert platform.verify_parity(["od"], rows).features == {"y": 0}


def test_inputs_that_sql_cannot_tell_apart_are_refused(open_store) -> None:
    store = open_store()
    views = [
        pushed("v1", Field(name="Trips", dtype=Int64)),
        pushed("v2", Field(name="trips", dtype=Int64)),
    ]
    store.apply([ITEM, *views])
    view = OnDemandFeatureView(
        name="od", sources=["v1", "v2"], mode="sql", schema=[Field(name="y", dtype=Int64)],
        expressions={"y": "trips + 0"},
    )  # fmt: skip
    with pytest.raises(RefusedError, match="inputs Trips, trips differ in case only"):
        store.apply([view])


def test_a_list_that_changes_after_use_changes_no_later_answer(open_store) -> None:
    store = open_store()
    v1, v2 = pushed("v1", Field(name="a", dtype=Int64)), pushed("v2", Field(name="b", dtype=Int64))
    store.apply([ITEM, v1, v2])
    features = [v1[["a"]]]
    store.get_online_features(features, [{"item_id": 1}])
    identity = id(features[0])
    features.clear()
    others = [v2[["b"]] for _ in range(5000)]

    assert identity not in map(id, others)  # it is held, so nobody else can have it
    assert "b" in store.get_online_features([others[0]], [{"item_id": 1}]).to_dict()


def test_keys_of_two_types_cannot_share_a_column(open_store, driver) -> None:
    account = Entity(name="account", join_keys=["account_id"], value_type=String)
    store = open_store()
    v = pushed("v", Field(name="a", dtype=Int64))
    w = FeatureView(
        name="w", entities=[account], schema=[Field(name="b", dtype=Int64)],
        source=PushSource(name="w_source"),
    )  # fmt: skip
    store.apply([ITEM, account, v, w])
    features = [v.with_join_key_map({"item_id": "id"}), w.with_join_key_map({"account_id": "id"})]
    with pytest.raises(RequestError, match="'id' is a key of type int64 .* of type string for 'w'"):
        store.get_online_features(features, [{"id": 1}])


def test_one_push_feeds_views_of_different_columns(open_store, tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    store = open_store()
    batch = FileSource(name="history", path="history")
    views = [
        pushed("v1", Field(name="a", dtype=Int64), source="ps", batch="history"),
        pushed("v2", Field(name="b", dtype=Int64), source="ps", batch="history"),
    ]
    store.apply([ITEM, batch, *views])
    rows = pd.DataFrame({"item_id": [1], "event_timestamp": [NOON], "a": [1], "b": [2]})
    assert store.push("ps", rows, to=PushMode.ONLINE_AND_OFFLINE) == 2

    assert (one(store, "v1:a"), one(store, "v2:b")) == (1, 2)
    [file] = (tmp_path / "history").rglob("*.parquet")
    assert pd.read_parquet(file)[["a", "b"]].to_numpy().tolist() == [[1, 2]]
    with pytest.raises(SchemaError, match="no column 'c'"):
        store.push("ps", rows.assign(c=1))
    with pytest.raises(SchemaError, match="view 'v2' lack the column 'b'"):
        store.push("ps", rows.drop(columns="b"))
    with pytest.raises(NotFoundError, match="push source 'history'"):
        store.push("history", rows)


def test_a_view_that_is_not_served_online_is_not_asked_online(open_store) -> None:
    store = open_store()
    store.apply([ITEM, pushed("v", Field(name="a", dtype=Int64), online=False)])
    with pytest.raises(RequestError, match="'v' is not served online: it says online=False"):
        store.get_online_features(["v"], [{"item_id": 1}])


@pytest.mark.parametrize("key", [1.5, [1], {"a": 1}, "x" * 2000, np.uint64(2**63)])
def test_keys_without_a_declared_type_are_checked_when_written(open_store, key: Any) -> None:
    store = open_store()
    free = Entity(name="free", join_keys=["free_id"])
    view = FeatureView(
        name="v", entities=[free], schema=[Field(name="a", dtype=Int64)],
        source=PushSource(name="ps"),
    )  # fmt: skip
    store.apply([free, view])
    rows = pa.table({"free_id": [key], "event_timestamp": [NOON], "a": [1]})
    with pytest.raises(SchemaError, match="key"):
        store.push("ps", rows)


@pytest.mark.parametrize(
    "text",
    [
        'online_store: {type: postgres, password: "hunter2',
        "online_store: {type: postgres, password: hun:ter2: x}",
        "online_store: {type: postgres, password: @hunter2}",
        'online_store: "redis://:hunter2@h"',
        "online_store: {type: redis, connection_string: 'redis://:hunt/er2@host'}",
        "online_store: {type: redis, connection_string: 'h:1,password=hunt,er2'}",
        "online_store: {type: redis, connection_string: 'http://:hunter2@h'}",
        "online_store: {type: redis, connection_string: 'redis://:hunter2@h?foo=1'}",
        "online_store: {type: redis, connection_string: 'redis://:hunter2@h:notaport'}",
    ],
)
def test_settings_that_cannot_be_read_are_not_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "feature_store.yaml").write_text(f"project: p\n{text}\n")

    def ask() -> None:
        store = FeatureStore(tmp_path)
        store.apply([ITEM, pushed("v", Field(name="a", dtype=Int64))])
        one(store, "v:a")

    with pytest.raises(ConfigError) as caught:
        ask()
    for part in ("hunter2", "hun:ter2", "hunt", "er2"):
        assert part not in str(caught.value)


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "ask",
    [
        lambda s: s.get_online_features(["driver_stats"], pd.Series([1])),
        lambda s: s.get_online_features(["driver_stats"], pa.table([[1], [2]], ["driver_id"] * 2)),
        lambda s: s.write_to_online_store(None, pd.DataFrame()),
        lambda s: s.push(None, pd.DataFrame()),
        lambda s: s.materialize(NOON - HOUR, NOON, 5),
        lambda s: s.materialize_incremental(NOON, lookback=5),
        lambda s: s.get_online_features(LOOP, [{"driver_id": 1}]),
    ],
)
def test_odd_arguments_get_errors_of_ours(platform: FeatureStore, ask: Any) -> None:
    with pytest.raises(FeaturePlatformError):
        ask(platform)


def test_times_that_no_key_needs_do_not_matter(platform: FeatureStore) -> None:
    platform.materialize(NOON - 3 * HOUR, NOON)
    far = pa.array([2**62], pa.int64()).cast(pa.timestamp("us"))
    rows = pa.table({"driver_id": [1], "far": far})
    assert platform.get_online_features(["driver_stats:trips"], rows).to_dict()["trips"] == [11]


def test_deleted_on_demand_views_leave_nothing(platform: FeatureStore) -> None:
    view = OnDemandFeatureView(
        name="od", sources=["driver_stats:trips"], schema=[Field(name="y", dtype=Int64)],
        udf=lambda i: {"y": i["trips"]}, write_to_online_store=True,
    )  # fmt: skip
    platform.apply([view])
    platform.materialize(NOON - 3 * HOUR, NOON)

    def rows() -> int:
        import sqlite3

        with sqlite3.connect(platform.repo.path / "online.db") as db:
            [[count]] = db.execute("select count(*) from online_rows where view like 'shop.od.%'")
        db.close()
        return count

    assert rows() == 2
    platform.apply([], objects_to_delete=[view])
    assert rows() == 0


def test_views_that_are_only_pushed_to_expire_too(open_store) -> None:
    store = open_store(clock=lambda: NOON + timedelta(days=3))
    store.apply([ITEM, pushed("v", Field(name="a", dtype=Int64), ttl=timedelta(days=1))])
    store.push("v_source", pd.DataFrame({"item_id": [1], "event_timestamp": [NOON], "a": [1]}))
    assert store.expire_online_store() == {"v": 1}


def test_an_unfinished_view_of_a_repo_is_not_applied(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text("project: p\n")
    (tmp_path / "on_demand_views.py").write_text(
        "from feature_platform import *\nfrom feature_platform import Field, OnDemandFeatureView\n"
        "from feature_platform.types import Int64\n"
        "fields = [Field(name='y', dtype=Int64)]\n"
        "v = OnDemandFeatureView(name='v', sources=['a:b'], schema=fields)\n"
    )
    with pytest.raises(FeaturePlatformError, match="'v' has no function"):
        FeatureStore(tmp_path).plan()
