"""One cell of the taxi workload: trips joined to two zone aggregates, ours or raw."""

import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
from pyarrow import parquet

from bench.historical.cell import measured
from feature_platform import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feature_platform.types import Float64, Int64

VALUES = 5


def main() -> None:
    """Run `ours|raw trips pickup dropoff`."""
    system, trips, pickup, dropoff = sys.argv[1:]
    rows = parquet.read_table(trips)
    ask = (ours if system == "ours" else raw)(rows, Path(trips).parent, pickup, dropoff)
    measured(ask, skip=rows.num_columns)


def ours(rows: pa.Table, folder: Path, pickup: str, dropoff: str):  # noqa: ANN201
    """Return the question, asked through the feature store."""
    registry = folder / "taxi.db"
    registry.unlink(missing_ok=True)
    store = FeatureStore(folder, config=RepoConfig(project="taxi", registry=str(registry)))
    zone = Entity(name="zone", value_type=Int64)
    views = [
        FeatureView(
            name=name,
            entities=[zone],
            ttl=timedelta(hours=1),
            source=FileSource(name=f"{name}_source", path=path),
            schema=[Field(name=f"{name}{n}", dtype=Float64) for n in range(VALUES)],
        )
        for name, path in (("pickup", pickup), ("dropoff", dropoff))
    ]
    store.apply([zone, *views])
    asked = [view.with_join_key_map({"zone": f"{view.name}_zone"}) for view in views]
    return lambda: store.get_historical_features(rows, asked).to_arrow()


def raw(rows: pa.Table, _: Path, pickup: str, dropoff: str):  # noqa: ANN201
    """Return the question as the plainest SQL: two ASOF joins, no ties, no checks, no order."""
    columns = [f"p.pickup{n}" for n in range(VALUES)] + [f"d.dropoff{n}" for n in range(VALUES)]
    sql = f"""SELECT t.*, {", ".join(columns)} FROM t
        ASOF LEFT JOIN '{pickup}' p
            ON t.pickup_zone = p.zone AND t.event_timestamp >= p.event_timestamp
        ASOF LEFT JOIN '{dropoff}' d
            ON t.dropoff_zone = d.zone AND t.event_timestamp >= d.event_timestamp"""

    def ask() -> pa.Table:
        db = duckdb.connect()
        db.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        db.register("t", rows)
        return db.sql(sql).to_arrow_table()

    return ask


if __name__ == "__main__":
    main()
