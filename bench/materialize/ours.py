"""Ours: `materialize`, as users call it."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from bench.materialize.cell import END, FEATURES, NEXT, START, asked, measured
from feature_platform import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feature_platform.types import Float64, Int64


def main() -> None:
    """Run `history keys folder sqlite` or `… redis address`."""
    history, keys, folder, kind, *address = sys.argv[1:]
    settings = {"type": kind} | ({"connection_string": address[0]} if address else {})
    registry = str(Path(folder) / "registry.db")
    config = RepoConfig(project="bench", registry=registry, online_store=settings)
    store = FeatureStore(folder, config=config)
    key = Entity(name="key", value_type=Int64)
    view = FeatureView(
        name="v0",
        entities=[key],
        source=FileSource(name="s0", path=history, created_timestamp_column="created"),
        schema=[Field(name=f"f{n}", dtype=Float64) for n in range(FEATURES)],
    )
    store.apply([key, view])
    times = (datetime.fromisoformat(at).replace(tzinfo=UTC) for at in (START, END, NEXT))
    start, end, following = times

    def look() -> float:
        rows = {"key": asked(int(keys))}
        columns = store.get_online_features("v0", rows).to_dict()
        return sum(v or 0 for n in range(FEATURES) for v in columns[f"f{n}"])

    store.offline  # noqa: B018 - imports are not counted
    measured(
        lambda: store.materialize(start, end),
        look,
        lambda: store.materialize_incremental(following),
    )


if __name__ == "__main__":
    main()
