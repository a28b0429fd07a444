"""`make bench`: what the package costs beside the raw engines, on generated data.

Prints cpu seconds of this process (best of three), ours and the limit: the same work with DuckDB
or SQLite alone, without checks, names or statuses.
"""

import sqlite3
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from feature_platform import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    RepoConfig,
)
from feature_platform.types import Float64, Int64

START = datetime(2026, 1, 1, tzinfo=UTC)
HISTORY_ROWS, SPINE_ROWS, KEYS, FEATURES = 1_000_000, 10_000, 10_000, 10
SIZES = (1, 100)
REPEATS = 3


def main() -> None:
    """Measure and print."""
    table = Table("what", "ours, cpu s", "limit, cpu s", "ratio", box=None)
    with tempfile.TemporaryDirectory() as folder:
        for name, ours, limit in measure(Path(folder)):
            ratio = f"{ours / limit:.1f}" if limit else ""
            table.add_row(name, f"{ours:.4f}", f"{limit:.4f}" if limit else "", ratio)
    Console().print(table)


def measure(folder: Path) -> list[tuple[str, float, float]]:
    """Return (what, ours, limit) for each line."""
    rng = np.random.default_rng(1)
    history = pd.DataFrame(
        {"key": rng.integers(0, KEYS, HISTORY_ROWS), "event_timestamp": times(rng, HISTORY_ROWS)}
    )
    features = [f"f{n}" for n in range(FEATURES)]
    for name in features:
        history[name] = rng.random(HISTORY_ROWS)
    history.to_parquet(folder / "history.parquet")
    spine = pd.DataFrame(
        {"key": rng.integers(0, KEYS, SPINE_ROWS), "event_timestamp": times(rng, SPINE_ROWS)}
    )
    view = FeatureView(
        name="view",
        entities=[Entity(name="key", value_type=Int64)],
        ttl=timedelta(days=1),
        source=FileSource(path="history.parquet"),
        schema=[Field(name=name, dtype=Float64) for name in features],
    )
    settings = {"project": "bench", "registry": "registry.db"}
    online = {"type": "sqlite", "path": "online.db"}
    config = RepoConfig(**settings, online_store=online)
    store = FeatureStore(folder, config=config, clock=lambda: START + timedelta(days=10))
    store.apply([Entity(name="key", value_type=Int64), view])
    lines = [registry(folder)]
    lines.append(
        (
            f"point-in-time join, {HISTORY_ROWS:,} by {SPINE_ROWS:,}",
            best(lambda: store.get_historical_features(spine, ["view"]).to_arrow()),
            best(lambda: raw_join(folder / "history.parquet", spine, features)),
        )
    )
    end = START + timedelta(days=10)
    lines.append(
        (
            f"materialize {HISTORY_ROWS:,} rows of {KEYS:,} keys",
            best(lambda: store.materialize(START, end)),
            best(lambda: raw_latest(folder / "history.parquet", features)),
        )
    )
    for size in SIZES:
        rows = [{"key": int(key)} for key in rng.integers(0, KEYS, size)]
        ours = best(lambda rows=rows: store.get_online_features(["view"], rows).to_dict(), 50)
        limit = best(lambda rows=rows: raw_read(folder / "online.db", rows), 50)
        lines.append((f"online read, {size} keys", ours, limit))
    return lines


def registry(folder: Path) -> tuple[str, float, float]:
    """Apply 1,000 services in one commit."""
    config = RepoConfig(project="bench", registry="services.db")
    fields = [Field(name="x", dtype=Int64)]
    base = FeatureView(name="view", source=FileSource(path="x.parquet"), schema=fields)
    services = [FeatureService(name=f"s{n}", features=["view:x"]) for n in range(1000)]
    started = time.process_time()
    FeatureStore(folder, config=config).apply([base, *services])
    return "apply 1,000 services", time.process_time() - started, 0.0


def raw_join(path: Path, spine: pd.DataFrame, features: list[str]) -> object:
    """Join with a plain ASOF: no ties, no order, no checks."""
    columns = ", ".join(f"h.{name}" for name in features)
    with duckdb.connect() as db:
        db.register("spine", spine)
        return db.sql(
            f"SELECT s.*, {columns} FROM spine s ASOF LEFT JOIN '{path}' h "
            "ON s.key = h.key AND s.event_timestamp >= h.event_timestamp"
        ).to_arrow_table()


def raw_latest(path: Path, features: list[str]) -> object:
    """Find the newest row per key and write it with one statement."""
    newest = ", ".join(f"arg_max({name}, event_timestamp)" for name in features)
    with duckdb.connect() as db:
        rows = db.sql(f"SELECT key, {newest} FROM '{path}' GROUP BY key").fetchall()
    with sqlite3.connect(":memory:") as target:
        target.execute(f"create table t (key integer primary key, {', '.join(features)})")
        marks = ", ".join("?" * (len(features) + 1))
        target.executemany(f"insert into t values ({marks})", rows)
    return rows


def raw_read(path: Path, rows: list[dict[str, int]]) -> object:
    """Read the stored bytes of as many rows, undecoded."""
    with sqlite3.connect(path) as db:
        return db.execute("select body from online_rows limit ?", (len(rows),)).fetchall()


def times(rng: np.random.Generator, count: int) -> pd.Series:
    """Return random times within ten days."""
    seconds = pd.Series(rng.integers(0, 864_000, count))
    moments = pd.Timestamp(START) + pd.to_timedelta(seconds, unit="s")
    return moments.astype("datetime64[us, UTC]")


def best(action: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the least cpu seconds of several runs."""
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        action()
        seconds.append(time.process_time() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
