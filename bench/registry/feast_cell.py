"""The same cells for Feast, in its own environment; nothing of ours is imported."""

import json
import multiprocessing
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType  # noqa: E402
from feast.types import Float32, Int64  # noqa: E402

WRITERS, EACH, REFRESHES = 8, 10, 3


def objects(count: int, changed: int | None = None, first: int = 0) -> list[Any]:
    """Return n views, each with an entity and a source of its own."""
    found: list[Any] = []
    for n in range(first, first + count):
        entity = Entity(name=f"entity_{n}", join_keys=[f"key_{n}"], value_type=ValueType.INT64)
        source = FileSource(name=f"source_{n}", path=f"{n}.parquet", timestamp_field="at")
        view = FeatureView(
            name=f"view_{n}",
            entities=[entity],
            source=source,
            ttl=timedelta(days=1),
            schema=[Field(name="a", dtype=Int64), Field(name="b", dtype=Float32)],
            description="changed" if n == changed else "",
        )
        found += [entity, source, view]
    return found


def prepare(folder: str, kind: str) -> None:
    path = f"sqlite:///{folder}/registry.db" if kind == "sqlite" else f"{folder}/registry.pb"
    registry = {"registry_type": "sql" if kind == "sqlite" else "file", "path": path}
    settings = {"project": "bench", "provider": "local", "online_store": None}
    content = {**settings, "registry": registry, "entity_key_serialization_version": 3}
    (Path(folder) / "feature_store.yaml").write_text(json.dumps(content))  # JSON is YAML


def cpu(action: Callable[[], object]) -> float:
    """Return the cpu seconds of this process."""
    started = time.process_time()
    action()
    return time.process_time() - started


def measure(kind: str, count: int) -> dict[str, float]:
    """Apply, apply again, change one, open, list the views, and see another process's commits."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder, kind)
        first, same, one = objects(count), objects(count), objects(count, changed=count // 2)
        warm = FeatureStore(folder)
        warm.list_entities()
        cells = {"apply": cpu(lambda: FeatureStore(folder).apply(first))}
        cells["nothing changed"] = cpu(lambda: FeatureStore(folder).apply(same))
        cells["one changed"] = cpu(lambda: FeatureStore(folder).apply(one))

        def read() -> FeatureStore:
            store = FeatureStore(folder)
            store.refresh_registry()
            return store

        readers: list[FeatureStore] = []
        cells["open"] = cpu(lambda: readers.append(read()))
        cells["list"] = cpu(readers[0].list_feature_views)
        spent = 0.0
        for n in range(REFRESHES):
            foreign = Entity(name=f"foreign_{n}", value_type=ValueType.INT64)
            FeatureStore(folder).apply([foreign])
            spent += cpu(readers[0].refresh_registry)
        cells["refresh"] = spent / REFRESHES
        return cells


def _write(folder: str, writer: int, barrier: Any, cpus: Any) -> None:
    mine = FeatureStore(folder)
    made = objects(EACH, first=1000 * (writer + 1))
    barrier.wait()

    def apply() -> None:
        for n in range(EACH):
            mine.apply(made[3 * n : 3 * n + 3])

    try:
        cpus.put((cpu(apply), ""))
    except Exception as error:  # noqa: BLE001 - whatever it says is the result
        cpus.put((0.0, type(error).__name__))


def contend(kind: str) -> dict[str, Any]:
    """Let 8 processes apply 10 views each, one by one, beside one that is there."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder, kind)
        FeatureStore(folder).apply(objects(1))
        context = multiprocessing.get_context("spawn")
        barrier, cpus = context.Barrier(WRITERS), context.SimpleQueue()
        processes = [
            context.Process(target=_write, args=(folder, w, barrier, cpus)) for w in range(WRITERS)
        ]
        for process in processes:
            process.start()
        results = [cpus.get() for _ in processes]
        for process in processes:
            process.join()
        try:
            kept = len(FeatureStore(folder).list_feature_views())
        except Exception:  # noqa: BLE001 - a registry that cannot be read keeps nothing
            kept = 0
        failed = sum(bool(error) for _, error in results)
        return {"cpu": sum(spent for spent, _ in results), "kept": kept, "failed": failed}


if __name__ == "__main__":
    chosen, what = sys.argv[1], sys.argv[2]
    result = contend(chosen) if what == "contend" else measure(chosen, int(what))
    print(json.dumps(result))
