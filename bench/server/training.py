"""Training sets over HTTP beside the same ones in this process: 1M rows of history, 10k asked."""

import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median

import pyarrow as pa
from pyarrow import parquet

from bench.historical.data import FEATURES, HOURLY, TTL_SECONDS, history, spine
from bench.server.serving import serving
from feature_platform import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feature_platform.server.keys import KeyStore
from feature_platform.types import Float64, Int64

HISTORY, ASKED = 1_000_000, 10_000
GOAL = 1.3
ROUNDS = 7


def measure() -> dict[str, float]:
    """Return the wall seconds of a training set in this process and over HTTP."""
    folder = Path(tempfile.mkdtemp())
    source = FileSource(
        name="history",
        path=str(history(folder, HISTORY, 0, HOURLY)),
        created_timestamp_column="created",
    )
    (folder / "feature_store.yaml").write_text(
        "project: shop\nteam: platform\nregistry: registry.db\nserver: {keys: keys.db}\n"
    )
    key = Entity(name="key", value_type=Int64)
    view = FeatureView(
        name="v0",
        entities=[key],
        ttl=timedelta(seconds=TTL_SECONDS),
        source=source,
        schema=[Field(name=f"f{n}", dtype=Float64) for n in range(FEATURES)],
    )
    local = FeatureStore(folder)
    local.apply([key, view])
    rows = parquet.read_table(spine(folder, ASKED, HISTORY, HOURLY))
    scopes = ["registry:read", "features:read"]
    _, secret = KeyStore(folder / "keys.db").create("platform", ["shop"], scopes)
    with serving(folder) as (port, _):
        config = RepoConfig(
            project="shop",
            team="platform",
            registry=f"http://127.0.0.1:{port}/shop",
            connection={"api_key": secret},
            online_store={"type": "remote"},
            offline_store={"type": "remote"},
        )
        remote = FeatureStore(Path(tempfile.mkdtemp()), config=config)

        def ask(store: FeatureStore) -> Callable[[], pa.Table]:
            return lambda: store.get_historical_features(rows, ["v0"]).to_arrow()

        asks = {"local": ask(local), "http": ask(remote)}
        first, second = (each().sort_by("id") for each in asks.values())
        if not first.equals(second):
            raise RuntimeError("the training sets differ")
        # In turns, so that what else this machine does meets both.
        seconds: dict[str, list[float]] = {name: [] for name in asks}
        for _ in range(ROUNDS):
            for name, call in asks.items():
                begun = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - begun)
    return {name: median(times) for name, times in seconds.items()}


if __name__ == "__main__":
    print(measure())
