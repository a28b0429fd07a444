"""One cell of Feast, with its DuckDB store, in an environment of its own."""

import sys
import tempfile
import warnings
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
warnings.simplefilter("ignore")

import pandas as pd  # noqa: E402
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig  # noqa: E402
from feast.types import Float64  # noqa: E402
from feast.value_type import ValueType  # noqa: E402

from bench.historical.cell import measured  # noqa: E402

FEATURES = 10


def main() -> None:
    """Run `spine ttl history…`."""
    spine, ttl, *paths = sys.argv[1:]
    folder = tempfile.mkdtemp()
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=f"{folder}/registry.db",
        offline_store={"type": "duckdb"},
        online_store={"type": "sqlite", "path": f"{folder}/online.db"},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    key = Entity(name="key", join_keys=["key"], value_type=ValueType.INT64)
    views = [
        FeatureView(
            name=f"v{number}",
            entities=[key],
            ttl=timedelta(seconds=int(ttl)),
            source=FileSource(
                path=path, timestamp_field="event_timestamp", created_timestamp_column="created"
            ),
            schema=[Field(name=f"f{n}", dtype=Float64) for n in range(FEATURES)],
        )
        for number, path in enumerate(paths)
    ]
    store.apply([key, *views])
    rows = pd.read_parquet(spine)
    features = [f"v{v}:f{n}" for v in range(len(paths)) for n in range(FEATURES)]

    def ask():  # noqa: ANN202
        job = store.get_historical_features(rows, features, full_feature_names=True)
        return job.to_arrow()

    measured(ask, skip=len(rows.columns))


if __name__ == "__main__":
    main()
