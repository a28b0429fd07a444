"""Ours: `get_online_features`, as users call it."""

import sys
import tempfile
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from bench.online.cell import (
    FEATURES,
    KEYS,
    MODES,
    OUTPUTS,
    VIEWS,
    WIDE,
    measured,
    report,
    value,
)
from feature_platform import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    OnDemandFeatureView,
    PushSource,
    RepoConfig,
    RequestSource,
)
from feature_platform.types import Float64, Int64


def ratio(inputs):  # noqa: ANN001, ANN201
    first, extra = inputs["f0"], inputs["extra"]
    return {"ratio": None if first is None else (first + inputs["f1"]) / extra}


def by_row(inputs):  # noqa: ANN001, ANN201
    values = [inputs[f"w{n}"] for n in range(WIDE)]
    return {
        f"row{n}": None if (v := values[n % WIDE]) is None else v * 2 + n for n in range(OUTPUTS)
    }


def by_frame(frame):  # noqa: ANN001, ANN201
    doubled = np.tile(frame.to_numpy(dtype=float) * 2, OUTPUTS // WIDE) + np.arange(OUTPUTS)
    return pd.DataFrame(doubled, columns=[f"pandas{n}" for n in range(OUTPUTS)])


def computing(mode: str) -> OnDemandFeatureView:
    """Return a view of 50 inputs and 100 outputs in one of the modes."""
    expressions = {f"sql{n}": f"w{n % WIDE} * 2 + {n}" for n in range(OUTPUTS)}
    code = {
        "row": {"udf": by_row},
        "pandas": {"udf": by_frame},
        "sql": {"expressions": expressions},
    }
    schema = [Field(name=f"{mode}{n}", dtype=Float64) for n in range(OUTPUTS)]
    return OnDemandFeatureView(
        name=f"by_{mode}", sources=["wide"], schema=schema, mode=mode, **code[mode]
    )


def main() -> None:
    """Run `sqlite` or `redis address`."""
    kind, *address = sys.argv[1:]
    folder = tempfile.mkdtemp()
    settings = {"type": kind} | ({"connection_string": address[0]} if address else {})
    config = RepoConfig(project="ours", registry=f"{folder}/registry.db", online_store=settings)
    store = FeatureStore(folder, config=config)
    key = Entity(name="key", value_type=Int64)
    views = [
        FeatureView(
            name=f"v{view}",
            entities=[key],
            source=PushSource(name=f"s{view}"),
            schema=[Field(name=f"f{n}", dtype=Float64) for n in range(FEATURES)],
        )
        for view in range(max(VIEWS))
    ]
    computed = OnDemandFeatureView(
        name="computed",
        sources=["v0:f0", "v0:f1", RequestSource(schema=[Field(name="extra", dtype=Float64)])],
        schema=[Field(name="ratio", dtype=Float64)],
        udf=ratio,
    )
    services = [FeatureService(name=f"views{n}", features=views[:n]) for n in VIEWS]
    with_one = FeatureService(name="computing", features=[views[0], computed])
    wide = FeatureView(
        name="wide",
        entities=[key],
        source=PushSource(name="wide_source"),
        schema=[Field(name=f"w{n}", dtype=Float64) for n in range(WIDE)],
    )
    modes = [computing(mode) for mode in MODES]
    services += [FeatureService(name=mode, features=[f"by_{mode}"]) for mode in MODES]
    store.apply([key, *views, wide, computed, *modes, *services, with_one])
    now = datetime.now(UTC)
    for view in range(max(VIEWS)):
        rows = {f"f{n}": [value(key, view, n) for key in range(KEYS)] for n in range(FEATURES)}
        frame = pd.DataFrame({"key": range(KEYS), "event_timestamp": now, **rows})
        store.write_to_online_store(f"v{view}", frame)
    rows = {f"w{n}": [value(key, max(VIEWS), n) for key in range(KEYS)] for n in range(WIDE)}
    frame = pd.DataFrame({"key": range(KEYS), "event_timestamp": now, **rows})
    store.write_to_online_store("wide", frame)

    def ask(service: str, more: dict[str, float], *, full: bool = False):  # noqa: ANN202
        def call(keys: list[int]) -> list[list[float | None]]:
            rows = [{"key": key, **more} for key in keys]
            answer = store.get_online_features(service, rows, full_feature_names=full).to_dict()
            del answer["key"]
            return list(answer.values())

        return call

    found = {str(n): measured(ask(f"views{n}", {}, full=True)) for n in VIEWS}
    found["on demand"] = measured(ask("computing", {"extra": 2.0}))
    found |= {mode: measured(ask(mode, {})) for mode in MODES}
    report(found)


if __name__ == "__main__":
    main()
