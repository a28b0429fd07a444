"""Count how often each public call of a feature store reads the registry's log.

Prints JSON. The store has two feature views that one push source feeds, a batch view, two
on-demand views, one of which is precomputed, and a service. Every call is made on a store that has
read the registry before, which is how processes that run on meet it.
"""

import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from feature_platform import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    PushSource,
    RepoConfig,
)
from feature_platform.registry import MemoryLog, Registry
from feature_platform.types import Int64

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ROWS = pa.table({"k": [1], "event_timestamp": [NOW - timedelta(hours=1)], "x": [1]})


class CountedLog(MemoryLog):
    """Counts reads."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def read(self, after: int, limit: int | None = None) -> list[bytes]:
        self.reads += 1
        return super().read(after, limit)


def definitions() -> list[object]:
    entity = Entity(name="e", join_keys=["k"], value_type=Int64)
    schema = [Field(name="x", dtype=Int64)]
    history = FileSource(name="history", path="history")
    pushed = PushSource(name="pushed", batch_source=history)
    views = [
        FeatureView(name=name, entities=[entity], schema=schema, source=source)
        for name, source in (("batch", history), ("live1", pushed), ("live2", pushed))
    ]
    derived = [
        OnDemandFeatureView(
            name=f"sql{n}", mode="sql", sources=["live1"],
            schema=[Field(name=f"y{n}", dtype=Int64)], expressions={f"y{n}": "x + 1"},
            write_to_online_store=bool(n),
        )
        for n in range(2)
    ]  # fmt: skip
    service = FeatureService(name="s", features=["batch"])
    return [entity, history, pushed, *views, *derived, service]


def counts() -> dict[str, int]:
    """Return call → how often it read the log."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "history").mkdir()
        parquet.write_table(ROWS, Path(folder) / "history" / "first.parquet")
        log = CountedLog()
        config = RepoConfig(project="p", team="platform", registry="unused.db")
        store = FeatureStore(
            folder, config=config, registry=Registry(log, now=lambda: NOW), clock=lambda: NOW
        )
        store.apply(definitions())
        return {name: count(log, call) for name, call in calls(store).items()}


def count(log: CountedLog, call: Callable[[], object]) -> int:
    before = log.reads
    call()
    return log.reads - before


def calls(store: FeatureStore) -> dict[str, Callable[[], object]]:
    entities = ROWS.select(["k", "event_timestamp"])
    features = ["batch:x", "sql0", "sql1"]
    new = FeatureService(name="new", features=["batch"])
    rows = [{"k": 1}]
    hour = timedelta(hours=1)
    cursor = store.snapshot().cursor
    return {
        "plan": lambda: store.plan([new]),
        "plan and review": lambda: store.review(store.plan([new])),
        "assess": lambda: store.assess(definitions()),
        "audit": lambda: store.audit(definitions()),
        "watch": lambda: store.watch(cursor),
        "apply": lambda: store.apply([new]),
        "apply nothing new": lambda: store.apply([new]),
        "list_feature_views": store.list_feature_views,
        "list_all_feature_views": store.list_all_feature_views,
        "get_feature_view": lambda: store.get_feature_view("batch"),
        "materialize": lambda: store.materialize(NOW - 2 * hour, NOW),
        "materialize_incremental": store.materialize_incremental,
        "online_windows": lambda: store.online_windows("batch"),
        "get_online_features": lambda: store.get_online_features(features, rows),
        "get_historical_features": lambda: store.get_historical_features(entities, features),
        "push": lambda: store.push("pushed", ROWS),
        "write_to_online_store": lambda: store.write_to_online_store("live1", ROWS),
        "write_to_offline_store": lambda: store.write_to_offline_store("batch", ROWS),
        "delete_from_online_store": lambda: store.delete_from_online_store("live1", entities),
        "expire_online_store": store.expire_online_store,
        "check": lambda: store.check(["batch"]),
        "get_statistics": lambda: store.get_statistics("batch"),
        "verify_parity": lambda: store.verify_parity(features, ROWS.select(["k"])),
        "get_source_schema": lambda: store.get_source_schema("history"),
        "delete_feature_service": lambda: store.delete_feature_service("new"),
        "delete_feature_view": lambda: store.delete_feature_view("sql0"),
        "restore": lambda: store.restore(1),
        "teardown": store.teardown,
    }


if __name__ == "__main__":
    print(json.dumps(counts()))
