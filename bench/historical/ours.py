"""One cell of ours: a training set through the feature store, as users ask for it."""

import sys
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from bench.historical.cell import measured
from bench.historical.data import FEATURES
from feature_platform import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feature_platform.types import Float64, Int64


def main() -> None:
    """Run `spine ttl memory_limit history…`."""
    spine, ttl, memory, *paths = sys.argv[1:]
    folder = Path(spine).parent
    settings = {"type": "duckdb"}
    if memory != "-":
        settings |= {"memory_limit": memory, "temp_directory": str(folder / "spill")}
    registry = folder / "registry.db"
    registry.unlink(missing_ok=True)
    config = RepoConfig(project="bench", registry=str(registry), offline_store=settings)
    store = FeatureStore(folder, config=config)
    key = Entity(name="key", value_type=Int64)
    views = [
        FeatureView(
            name=f"v{number}",
            entities=[key],
            ttl=timedelta(seconds=int(ttl)),
            source=FileSource(name=f"s{number}", path=path, created_timestamp_column="created"),
            schema=[Field(name=f"f{n}", dtype=Float64) for n in range(FEATURES)],
        )
        for number, path in enumerate(paths)
    ]
    store.apply([key, *views])
    rows = parquet.read_table(spine)
    names = [view.name for view in views]

    def ask() -> pa.Table:
        job = store.get_historical_features(rows, names, full_feature_names=True)
        return job.to_arrow()

    measured(ask, skip=rows.num_columns)


if __name__ == "__main__":
    main()
