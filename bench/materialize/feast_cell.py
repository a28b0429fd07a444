"""Feast: `materialize`, as its users call it."""

import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
warnings.simplefilter("ignore")

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig  # noqa: E402
from feast.types import Float64  # noqa: E402
from feast.value_type import ValueType  # noqa: E402

from bench.materialize.cell import END, FEATURES, NEXT, START, asked, measured  # noqa: E402


def main() -> None:
    """Run `history keys folder sqlite` or `… redis address`."""
    history, keys, folder, _, *address = sys.argv[1:]
    online = (
        {"type": "redis", "connection_string": address[0]}
        if address
        else {"type": "sqlite", "path": f"{folder}/online.db"}
    )
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=f"{folder}/feast.db",
        offline_store={"type": "duckdb"},
        online_store=online,
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    key = Entity(name="key", join_keys=["key"], value_type=ValueType.INT64)
    source = FileSource(
        path=history, timestamp_field="event_timestamp", created_timestamp_column="created"
    )
    view = FeatureView(
        name="v0",
        entities=[key],
        source=source,
        schema=[Field(name=f"f{n}", dtype=Float64) for n in range(FEATURES)],
    )
    store.apply([key, view])
    times = (datetime.fromisoformat(at).replace(tzinfo=UTC) for at in (START, END, NEXT))
    start, end, following = times

    def look():  # noqa: ANN202
        rows = [{"key": k} for k in asked(int(keys))]
        features = [f"v0:f{n}" for n in range(FEATURES)]
        columns = store.get_online_features(features, rows).to_dict()
        return sum(v or 0 for n in range(FEATURES) for v in columns[f"f{n}"])

    import feast.infra.offline_stores.duckdb  # noqa: F401 - imports are not counted
    import ibis  # noqa: F401

    measured(
        lambda: store.materialize(start, end),
        look,
        lambda: store.materialize_incremental(following),
    )


if __name__ == "__main__":
    main()
