"""Loads that are killed at every step, that overlap and that race: a rerun converges.

D6 to D10 of the failure table: late rows, a mark that runs ahead of its data, backfills, two loads
at once, and older rows that come later.
"""

import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests_support import HOUR, NOON

from feature_platform import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    RepoConfig,
)
from feature_platform.online import OnlineStore, Window
from feature_platform.services.loading import online_tables
from feature_platform.types import Int64

KEYS = 25
WINDOW = (NOON - 5 * HOUR, NOON)
STEPS = ("_save_layout", "_put", "record")


class Killed(BaseException):
    """What no code can take for an error."""


def twice(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"double": None if inputs["value"] is None else 2 * inputs["value"]}


@pytest.fixture
def shop(online_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Open the store, anew each time as a new process would; batches are small."""
    monkeypatch.setattr("feature_platform.offline.duckdb.session._BATCH_ROWS", 10)
    write_history(tmp_path, hours=range(5))

    def open_() -> FeatureStore:
        config = RepoConfig(
            project="shop", registry="registry.db", online_store=dict(online_settings)
        )
        opened = FeatureStore(tmp_path, config=config, clock=lambda: NOON)
        opened.stores.loader.remember([stored])  # its function is here, not in the repo
        return opened

    view = FeatureView(
        name="v",
        entities=[Entity(name="id", value_type=Int64)],
        schema=[Field(name="value", dtype=Int64)],
        source=FileSource(name="s", path="history"),
    )
    stored = OnDemandFeatureView(
        name="doubled",
        sources=["v"],
        schema=[Field(name="double", dtype=Int64)],
        udf=twice,
        write_to_online_store=True,
    )
    open_().apply([Entity(name="id", value_type=Int64), view, stored])
    return open_


def write_history(folder: Path, hours: Any, name: str = "first") -> None:
    rows = [(key, NOON - (5 - hour) * HOUR, 100 * hour + key) for key in range(KEYS)
            for hour in hours]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["id", "event_timestamp", "value"])
    (folder / "history").mkdir(exist_ok=True)
    frame.to_parquet(folder / "history" / f"{name}.parquet")


def served(store: FeatureStore) -> list[tuple[int | None, int | None]]:
    rows = {"id": list(range(KEYS))}
    answer = store.get_online_features(["v", "doubled"], rows).to_dict()
    return list(zip(answer["value"], answer["double"], strict=True))


def newest(hour: int) -> list[tuple[int, int]]:
    return [(100 * hour + key, 2 * (100 * hour + key)) for key in range(KEYS)]


def windows(store: FeatureStore) -> list[Window]:
    [table] = online_tables(store.load_project(), ["v"])
    return store.online.windows(table)


def killed_at(store: OnlineStore, number: int, *, after: bool) -> list[str]:
    """Kill the process, so to speak, at its nth step; return the steps that were begun."""
    begun: list[str] = []

    def failing(name: str, step: Any) -> Any:
        def run(*arguments: Any) -> Any:
            begun.append(name)
            if len(begun) == number and not after:
                raise Killed
            result = step(*arguments)
            if len(begun) == number:
                raise Killed
            return result

        return run

    for name in STEPS:
        setattr(store, name, failing(name, getattr(store, name)))
    return begun


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_load_killed_at_any_step_claims_nothing_and_a_rerun_converges(shop, after) -> None:
    for number in range(1, 100):
        store = shop()
        store.online.drop(online_tables(store.load_project(), ["v"])[0])
        begun = killed_at(store.online, number, after=after)
        try:
            store.materialize(*WINDOW)
        except Killed:
            finished = after and begun[-1] == "record"
            fresh = shop()
            assert windows(fresh) == ([Window(*WINDOW)] if finished else [])
            # Whatever is there is right, and answers stored beside rows never run ahead of them.
            right = newest(4)
            for held, wanted in zip(served(fresh), right, strict=True):
                assert held in (wanted, (None, None))
            assert fresh.materialize(*WINDOW) == {"v": KEYS}
            assert served(fresh) == right
            assert windows(fresh) == [Window(*WINDOW)]
            fresh.online.close()
        else:
            break
        finally:
            store.online.close()
    assert begun.count("_put") >= 3
    assert begun[-1] == "record"
    assert number > 5


def test_rows_that_come_late_are_loaded_by_the_next_increment(shop, tmp_path: Path) -> None:
    store = shop()
    store.materialize(*WINDOW)
    late = pd.DataFrame({"id": [1], "event_timestamp": [NOON - HOUR / 2], "value": [-1]})
    late.to_parquet(tmp_path / "history" / "late.parquet")
    older = pd.DataFrame({"id": [2], "event_timestamp": [NOON - 2 * HOUR], "value": [-2]})
    older.to_parquet(tmp_path / "history" / "older.parquet")

    store.materialize_incremental(NOON)
    assert served(store)[1:3] == [(-1, -2), newest(4)[2]]


def test_a_backfill_that_races_increments_leaves_the_newest(shop, tmp_path: Path) -> None:
    loads = [(NOON - n * HOUR, NOON - (n - 1) * HOUR) for n in range(1, 6)] * 2
    random.Random(7).shuffle(loads)
    stores = [shop() for _ in loads]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(s.materialize, *load) for s, load in zip(stores, loads, strict=True)]
        stores.append(shop())
        jobs.append(pool.submit(stores[-1].materialize_incremental, NOON))
        for job in jobs:
            job.result()

    assert served(stores[0]) == newest(4)
    assert windows(stores[0])[-1].end == NOON
    for store in stores:
        store.online.close()


PROGRAM = """
import sys
from datetime import datetime
from feature_platform import FeatureStore
import feature_platform.offline.duckdb.session as session
session._BATCH_ROWS = 500
start, end = map(datetime.fromisoformat, sys.argv[2:])
print("ready", flush=True)
FeatureStore(sys.argv[1]).materialize(start, end)
"""


def test_a_process_that_is_really_killed_leaves_what_a_rerun_completes(tmp_path: Path) -> None:
    rows = 40_000
    frame = pd.DataFrame({"id": range(rows), "event_timestamp": NOON - HOUR, "value": range(rows)})
    frame.to_parquet(tmp_path / "history.parquet")
    (tmp_path / "feature_store.yaml").write_text("project: shop\n")
    store = FeatureStore(tmp_path, clock=lambda: NOON)
    view = FeatureView(
        name="v",
        entities=[Entity(name="id", value_type=Int64)],
        schema=[Field(name="value", dtype=Int64)],
        source=FileSource(name="s", path="history.parquet"),
    )
    store.apply([Entity(name="id", value_type=Int64), view])
    asked = list(range(0, rows, 10))
    arguments = [str(tmp_path), *(at.isoformat() for at in WINDOW)]
    partial = 0
    for wait in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3):
        store.online.drop(online_tables(store.load_project(), ["v"])[0])
        command = [sys.executable, "-c", PROGRAM, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            time.sleep(wait)
            process.kill()
        held = store.get_online_features("v", {"id": asked}).to_dict()["value"]
        assert all(value in (None, key) for key, value in zip(asked, held, strict=True))
        partial += not windows(store)
        assert not windows(store) or None not in held
    assert partial
    store.materialize(*WINDOW)
    assert store.get_online_features("v", {"id": asked}).to_dict()["value"] == asked
