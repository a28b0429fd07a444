"""Feast: `get_online_features`, as its users call it."""

import sys
import tempfile
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
warnings.simplefilter("ignore")

import pandas as pd  # noqa: E402
from feast import (  # noqa: E402
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    RepoConfig,
    RequestSource,
)
from feast.on_demand_feature_view import on_demand_feature_view  # noqa: E402
from feast.types import Float64  # noqa: E402
from feast.value_type import ValueType  # noqa: E402

from bench.online.cell import (  # noqa: E402
    FEATURES,
    KEYS,
    OUTPUTS,
    VIEWS,
    WIDE,
    measured,
    report,
    value,
)


def main() -> None:
    """Run `sqlite` or `redis address`."""
    _, *address = sys.argv[1:]
    folder = tempfile.mkdtemp()
    online = (
        {"type": "redis", "connection_string": address[0]}
        if address
        else {"type": "sqlite", "path": f"{folder}/online.db"}
    )
    config = RepoConfig(
        project="feast",
        provider="local",
        registry=f"{folder}/registry.db",
        offline_store={"type": "duckdb"},
        online_store=online,
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    now = datetime.now(UTC)
    names = [f"f{n}" for n in range(FEATURES)]
    key = Entity(name="key", join_keys=["key"], value_type=ValueType.INT64)
    views, frames = [], []
    for view in range(max(VIEWS)):
        path = f"{folder}/v{view}.parquet"
        rows = {name: [value(k, view, n) for k in range(KEYS)] for n, name in enumerate(names)}
        frame = pd.DataFrame({"key": range(KEYS), "event_timestamp": now, **rows})
        frame.to_parquet(path)
        frames.append(frame)
        batch = FileSource(name=f"b{view}", path=path, timestamp_field="event_timestamp")
        views.append(
            FeatureView(
                name=f"v{view}",
                entities=[key],
                ttl=timedelta(days=365),
                source=PushSource(name=f"s{view}", batch_source=batch),
                schema=[Field(name=name, dtype=Float64) for name in names],
            )
        )
    request = RequestSource(name="request", schema=[Field(name="extra", dtype=Float64)])

    @on_demand_feature_view(
        sources=[views[0], request], schema=[Field(name="ratio", dtype=Float64)], mode="python"
    )
    def computed(inputs):  # noqa: ANN001, ANN202
        pairs = zip(inputs["f0"], inputs["f1"], inputs["extra"], strict=True)
        return {"ratio": [None if a is None else (a + b) / extra for a, b, extra in pairs]}

    path = f"{folder}/wide.parquet"
    rows = {f"w{n}": [value(k, max(VIEWS), n) for k in range(KEYS)] for n in range(WIDE)}
    wide_frame = pd.DataFrame({"key": range(KEYS), "event_timestamp": now, **rows})
    wide_frame.to_parquet(path)
    batch = FileSource(name="wide_batch", path=path, timestamp_field="event_timestamp")
    wide = FeatureView(
        name="wide",
        entities=[key],
        ttl=timedelta(days=365),
        source=PushSource(name="wide_source", batch_source=batch),
        schema=[Field(name=f"w{n}", dtype=Float64) for n in range(WIDE)],
    )

    @on_demand_feature_view(
        sources=[wide],
        schema=[Field(name=f"row{n}", dtype=Float64) for n in range(OUTPUTS)],
        mode="python",
    )
    def by_python(inputs):  # noqa: ANN001, ANN202
        from bench.online.cell import OUTPUTS, WIDE  # Feast runs the text of the function alone

        return {
            f"row{n}": [None if v is None else v * 2 + n for v in inputs[f"w{n % WIDE}"]]
            for n in range(OUTPUTS)
        }

    @on_demand_feature_view(
        sources=[wide],
        schema=[Field(name=f"pandas{n}", dtype=Float64) for n in range(OUTPUTS)],
        mode="pandas",
    )
    def by_pandas(frame):  # noqa: ANN001, ANN202
        import numpy as np
        import pandas as pd

        from bench.online.cell import OUTPUTS, WIDE

        inputs = frame[[f"w{n}" for n in range(WIDE)]].to_numpy(dtype=float)
        doubled = np.tile(inputs * 2, OUTPUTS // WIDE) + np.arange(OUTPUTS)
        return pd.DataFrame(doubled, columns=[f"pandas{n}" for n in range(OUTPUTS)])

    services = [FeatureService(name=f"views{n}", features=views[:n]) for n in VIEWS]
    with_one = FeatureService(name="computing", features=[views[0], computed])
    services += [
        FeatureService(name="python", features=[by_python]),
        FeatureService(name="pandas", features=[by_pandas]),
    ]
    store.apply([key, *views, wide, computed, by_python, by_pandas, *services, with_one])
    store.write_to_online_store("wide", wide_frame)
    for view, frame in enumerate(frames):
        store.write_to_online_store(f"v{view}", frame)

    def ask(service, more, *, full=False):  # noqa: ANN001, ANN202
        service = store.get_feature_service(service)

        def call(keys):  # noqa: ANN001, ANN202
            rows = [{"key": key, **more} for key in keys]
            answer = store.get_online_features(service, rows, full_feature_names=full).to_dict()
            return [column for name, column in answer.items() if name not in ("key", "extra")]

        return call

    found = {str(n): measured(ask(f"views{n}", {}, full=True)) for n in VIEWS}
    found["on demand"] = measured(ask("computing", {"extra": 2.0}))
    found["pandas"] = measured(ask("pandas", {}))
    found["row"] = found["sql"] = measured(ask("python", {}))  # it has no expressions
    report(found)


if __name__ == "__main__":
    main()
