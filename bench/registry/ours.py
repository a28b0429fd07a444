"""One cell of the table, in a process of its own: our registry, n views."""

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from feature_platform import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feature_platform.types import Float32, Int64

WRITERS, EACH, REFRESHES = 8, 10, 20


def objects(count: int, changed: int | None = None, first: int = 0) -> list[Any]:
    """Return n views, each with an entity and a source of its own."""
    found: list[Any] = []
    for n in range(first, first + count):
        entity = Entity(name=f"entity_{n}", join_keys=[f"key_{n}"], value_type=Int64)
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


def store(folder: str, registry: str) -> FeatureStore:
    return FeatureStore(folder, config=RepoConfig(project="bench", registry=registry))


def cpu(action: Callable[[], object]) -> float:
    """Return the cpu seconds of this process."""
    started = time.process_time()
    action()
    return time.process_time() - started


def measure(registry: str, count: int) -> dict[str, float]:
    """Apply, apply again, change one, open, list the views, and see another process's commits."""
    with tempfile.TemporaryDirectory() as folder:
        store(folder, registry).list_entities()  # what is imported when first used
        first, same, one = objects(count), objects(count), objects(count, changed=count // 2)
        cells = {"apply": cpu(lambda: store(folder, registry).apply(first))}
        cells["nothing changed"] = cpu(lambda: store(folder, registry).apply(same))
        cells["one changed"] = cpu(lambda: store(folder, registry).apply(one))
        reader = store(folder, registry)
        cells["open"] = cpu(reader.snapshot)
        cells["list"] = cpu(reader.list_feature_views)
        spent = 0.0
        for n in range(REFRESHES):
            store(folder, registry).apply([Entity(name=f"foreign_{n}")])
            spent += cpu(reader.snapshot)
        cells["refresh"] = spent / REFRESHES
        return cells


def _write(folder: str, registry: str, writer: int, barrier: Any, cpus: Any) -> None:
    mine = store(folder, registry)
    made = objects(EACH, first=1000 * (writer + 1))
    barrier.wait()

    def apply() -> None:
        for n in range(EACH):
            mine.apply(made[3 * n : 3 * n + 3])

    cpus.put(cpu(apply))


def contend(registry: str) -> dict[str, float]:
    """Let 8 processes apply 10 views each, one by one, beside one that is there."""
    with tempfile.TemporaryDirectory() as folder:
        store(folder, registry).apply(objects(1))
        context = multiprocessing.get_context("spawn")
        barrier, cpus = context.Barrier(WRITERS), context.SimpleQueue()
        processes = [
            context.Process(target=_write, args=(folder, registry, w, barrier, cpus))
            for w in range(WRITERS)
        ]
        for process in processes:
            process.start()
        spent = sum(cpus.get() for _ in processes)
        for process in processes:
            process.join()
        kept = len(store(folder, registry).list_feature_views())
        return {"cpu": spent, "kept": kept}


if __name__ == "__main__":
    kind, what = sys.argv[1], sys.argv[2]
    place = {"sqlite": "registry.db", "files": "registry/"}[kind]
    result = contend(place) if what == "contend" else measure(place, int(what))
    print(json.dumps(result))
