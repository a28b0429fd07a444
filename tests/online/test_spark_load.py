"""A view that is loaded from Spark is written by Spark's workers, not through this process."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests_support import HOUR, NOON, raises

from feature_platform import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    RepoConfig,
    SparkSource,
)
from feature_platform.errors import StoreError
from feature_platform.online.settings import RedisSettings
from feature_platform.services.loading import online_tables
from feature_platform.types import Array, Int64, UnixTimestamp

pytestmark = pytest.mark.xdist_group("spark")


@pytest.fixture
def store(spark: Any, redis_server: str, tmp_path: Path) -> FeatureStore:
    rows = {
        "id": [n % 500 for n in range(2000)],
        "event_timestamp": [NOON - (4 - n // 500) * HOUR for n in range(2000)],
        "value": [2**53 + n for n in range(2000)],
        "when": [NOON - n * HOUR for n in range(2000)],
        "many": [[n, n + 1] for n in range(2000)],
    }
    frame = pd.DataFrame(rows).sample(frac=1, random_state=1)
    frame.to_parquet(tmp_path / "rows.parquet", coerce_timestamps="us")
    config = RepoConfig(
        project="spark",
        registry="registry.db",
        offline_store={"type": "spark"},
        online_store={"type": "redis", "connection_string": redis_server},
    )
    opened = FeatureStore(tmp_path, config=config, clock=lambda: NOON)
    schema = [
        Field(name="value", dtype=Int64),
        Field(name="when", dtype=UnixTimestamp),
        Field(name="many", dtype=Array(Int64)),
    ]
    view = FeatureView(
        name="wide",
        entities=[Entity(name="id", value_type=Int64)],
        schema=schema,
        source=SparkSource(name="rows", path="rows.parquet"),
    )
    opened.apply([Entity(name="id", value_type=Int64), view])
    yield opened
    opened.online.drop(online_tables(opened.load_project(), ["wide"])[0])
    opened.online.close()


def test_the_workers_write_what_this_process_would(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feature_platform.offline.spark.session import SparkQuerySession

    def nothing_comes_here(*_: object) -> None:
        raise AssertionError("rows were collected")

    monkeypatch.setattr(SparkQuerySession, "reader", nothing_comes_here)
    assert store.materialize(NOON - 5 * HOUR, NOON) == {"wide": 500}

    answer = store.get_online_features("wide", {"id": [0, 1, 499, 500]}).to_dict()
    assert answer["value"] == [2**53 + 1500, 2**53 + 1501, 2**53 + 1999, None]
    assert answer["when"][:3] == [NOON - n * HOUR for n in (1500, 1501, 1999)]
    assert answer["many"] == [[1500, 1501], [1501, 1502], [1999, 2000], None]
    [window] = store.online.windows(online_tables(store.load_project(), ["wide"])[0])
    assert (window.start, window.end) == (NOON - 5 * HOUR, NOON)


def test_workers_that_fail_claim_nothing(store: FeatureStore) -> None:
    online = store.online
    unreachable = RedisSettings(connection_string="127.0.0.1:1,password=hunter2")
    store.stores.settings = store.config.model_copy(update={"online_store": unreachable})
    with raises(StoreError, "127.0.0.1:1") as caught:
        store.materialize(NOON - 5 * HOUR, NOON)

    assert "hunter2" not in str(caught.value)
    assert online.windows(online_tables(store.load_project(), ["wide"])[0]) == []
