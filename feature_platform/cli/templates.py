"""Templates of `feature-platform init`."""

from pathlib import Path

from feature_platform.definitions import is_name
from feature_platform.errors import ConfigError

_CONFIG = """\
# One project is one feature store. Every repo that shares it names the same registry.
project: {project}
{team}registry: {registry}
online_store:
  type: sqlite
  path: {online}
offline_store:
  type: duckdb
  root: {root}  # what relative paths of file sources start from
"""

_PLATFORM = {
    "entities.py": '''\
"""What features describe."""

from feature_platform import Entity
from feature_platform.types import Int64

driver = Entity(name="driver", join_keys=["driver_id"], value_type=Int64)
''',
    "data_sources.py": '''\
"""Where rows come from."""

from feature_platform import FileSource

driver_stats_source = FileSource(
    name="driver_stats_source",
    path="data/driver_stats.parquet",
    timestamp_field="event_timestamp",
    created_timestamp_column="created",
)
''',
    "feature_views.py": '''\
"""Features, shared with every team."""

from datetime import timedelta

from data_sources import driver_stats_source
from entities import driver

from feature_platform import FeatureView, Field
from feature_platform.types import Float32, Int64

driver_stats = FeatureView(
    name="driver_stats",
    entities=[driver],
    ttl=timedelta(days=1),
    schema=[
        Field(name="trips_today", dtype=Int64),
        Field(name="conv_rate", dtype=Float32),
    ],
    source=driver_stats_source,
)
''',
    "definitions.py": '''\
"""The Dagster code location: `dagster dev -f definitions.py`."""

from pathlib import Path

from feature_platform.dagster import platform_definitions

defs = platform_definitions(Path(__file__).parent)
''',
}

_TEAM = {
    "on_demand_views.py": '''\
"""Features computed when they are asked for, on views that the platform team owns."""

from feature_platform import Field, OnDemandFeatureView, RequestSource
from feature_platform.types import Float32, Int64


@OnDemandFeatureView(
    sources=[
        "driver_stats:trips_today",
        RequestSource(schema=[Field(name="trips_planned", dtype=Int64)]),
    ],
    schema=[Field(name="{team}_load", dtype=Float32)],
)
def {team}_workload(inputs):
    """Share of a long day that today's trips make up."""
    if inputs["trips_today"] is None:
        return {{"{team}_load": None}}
    return {{"{team}_load": (inputs["trips_today"] + inputs["trips_planned"]) / 40}}
''',
    "feature_services.py": '''\
"""What each model version reads."""

from feature_platform import FeatureService

model_v1 = FeatureService(
    name="{team}_model_v1",
    features=["driver_stats", "{team}_workload"],
)
''',
    "definitions.py": '''\
"""The Dagster code location: `dagster dev -f definitions.py`."""

from pathlib import Path

from feature_platform.dagster import team_definitions

defs = team_definitions(Path(__file__).parent)
''',
}


def write_repo(folder: Path, *, project: str, team: str | None = None) -> list[Path]:
    """Write a new repo and return its files.

    A team's repo shares the registry and stores of a platform repo beside it, named `platform`.

    Raises:
        ConfigError: The folder is not empty; nothing is overwritten.
    """
    for what, name in (("project", project), ("team", team)):
        if name is not None and not is_name(name):
            raise ConfigError(f"{what} {name!r} is invalid; use letters, digits and underscores.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty. Choose a new folder; nothing was written.")
    shared = "../platform/" if team else ""
    config = _CONFIG.format(
        project=project,
        team=f"team: {team}\n" if team else "",
        registry=f"{shared}data/registry.db",
        online=f"{shared}data/online.db",
        root="../platform" if team else ".",
    )
    files = {name: text.format(team=team) for name, text in _TEAM.items()} if team else _PLATFORM
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in {"feature_store.yaml": config, **files}.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
