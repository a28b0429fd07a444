"""Feast's feature server over the same rows in Redis."""

import sys
import tempfile
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
warnings.simplefilter("ignore")

import pandas as pd  # noqa: E402
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig  # noqa: E402
from feast.feature_server import start_server  # noqa: E402
from feast.types import Float64  # noqa: E402
from feast.value_type import ValueType  # noqa: E402

from bench.server.load import FEATURES, KEYS, value  # noqa: E402


def main() -> None:
    """Run `address port`."""
    folder = tempfile.mkdtemp()
    config = RepoConfig(
        project="feast", provider="local", registry=f"{folder}/registry.db",
        offline_store={"type": "duckdb"},
        online_store={"type": "redis", "connection_string": sys.argv[1]},
        entity_key_serialization_version=3,
    )  # fmt: skip
    store = FeatureStore(config=config)
    rows = {f"f{n}": [value(key, n) for key in range(KEYS)] for n in range(FEATURES)}
    frame = pd.DataFrame({"key": range(KEYS), "event_timestamp": datetime.now(UTC), **rows})
    frame.to_parquet(f"{folder}/v0.parquet")
    key = Entity(name="key", join_keys=["key"], value_type=ValueType.INT64)
    view = FeatureView(
        name="v0", entities=[key], ttl=timedelta(days=365),
        source=FileSource(path=f"{folder}/v0.parquet", timestamp_field="event_timestamp"),
        schema=[Field(name=f"f{n}", dtype=Float64) for n in range(FEATURES)],
    )  # fmt: skip
    store.apply([key, view])
    store.write_to_online_store("v0", frame)
    start_server(
        store, host="127.0.0.1", port=int(sys.argv[2]), no_access_log=True, workers=1,
        worker_connections=1000, max_requests=0, max_requests_jitter=0, keep_alive_timeout=30,
        registry_ttl_sec=3600, tls_key_path="", tls_cert_path="", metrics=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
