"""Offline to online: closed windows, a ledger, late rows, and what a change leaves of them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests_support import HOUR, NOON, raises, table_for

from feature_platform import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
)
from feature_platform.errors import (
    ConfigError,
    RequestError,
    StoreError,
)
from feature_platform.online import Window
from feature_platform.types import Decimal, FeatureType, Float32, Float64, Int64

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
    platform.apply([changed(trips=Int64, rate=Float64)])
    assert windows(platform) == before  # widened

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
    with pytest.raises(StoreError):
        open_store().apply([driver_view])
    assert open_store().snapshot().version == 2

    (tmp_path / "online.db").rmdir()
    (tmp_path / "away").rename(tmp_path / "online.db")
    again = open_store()
    again.apply([driver_view])
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
