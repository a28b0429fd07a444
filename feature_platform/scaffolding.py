"""Repo folders with an example, for `feature-platform init` and `dg scaffold`."""

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from feature_platform.config import RepoConfig
from feature_platform.definitions import is_identifier
from feature_platform.errors import ConfigError
from feature_platform.project import PLATFORM
from feature_platform.project.access import READER

_CONFIG = """\
# A project is one feature store. All repos that share it name the same registry.
project: {project}
{team}registry: {registry}
online_store:
  type: sqlite
  path: {online}
offline_store:
  type: duckdb
  root: {root}  # relative paths of file sources start here
"""

_WORKSPACE = """\
load_from:
  - python_file: definitions.py
"""
_ENTRY_POINTS = {"definitions.py", "workspace.yaml"}

_PLATFORM = {
    "entities.py": '''\
"""Entities: what features describe."""

from feature_platform import Entity
from feature_platform.types import Int64

driver = Entity(name="driver", join_keys=["driver_id"], value_type=Int64)
''',
    "data_sources.py": '''\
"""Data sources."""

from feature_platform import FileSource, PushSource

driver_stats_source = FileSource(
    name="driver_stats_source",
    path="data/driver_stats",  # a folder of Parquet files
    timestamp_field="event_timestamp",
    created_timestamp_column="created",
)

# Applications send rows to it while they happen; the history comes from the files.
driver_stats_push = PushSource(name="driver_stats_push", batch_source=driver_stats_source)
''',
    "feature_views.py": '''\
"""Features, shared with every team."""

from datetime import timedelta

from feature_platform import FeatureView, Field
from feature_platform.types import Float64, Int64

from data_sources import driver_stats_push
from entities import driver

driver_stats = FeatureView(
    name="driver_stats",
    entities=[driver],
    ttl=timedelta(days=1),
    schema=[
        Field(name="trips_today", dtype=Int64),
        Field(name="conv_rate", dtype=Float64),
    ],
    source=driver_stats_push,
)
''',
    "definitions.py": '''\
"""The Dagster code location: `dagster dev -f definitions.py`."""

from pathlib import Path

from feature_platform.dagster import platform_definitions

defs = platform_definitions(Path(__file__).parent)
''',
    "workspace.yaml": _WORKSPACE,
    "workflow.py": '''\
"""A training set and online features. Run it after `apply` and `materialize-incremental`."""

from datetime import UTC, datetime
from pathlib import Path

from feature_platform import FeatureStore

store = FeatureStore(Path(__file__).parent)
now = datetime.now(UTC)
trips = [{"driver_id": driver, "event_timestamp": now} for driver in (1, 2, 3)]

print("A training set: each row has what was known at its time.")
print(store.get_historical_features(trips, ["driver_stats"]).to_df())

print("Online: the newest values.")
print(store.get_online_features(["driver_stats"], {"driver_id": [1, 2, 3]}).to_df())
''',
}

_TEAM = {
    "on_demand_views.py": '''\
"""Features computed at request time, on views of the platform team."""

from typing import Any

from feature_platform import Field, OnDemandFeatureView, RequestSource
from feature_platform.types import Float64, Int64


@OnDemandFeatureView(
    sources=[
        "driver_stats:trips_today",
        RequestSource(schema=[Field(name="trips_planned", dtype=Int64)]),
    ],
    schema=[Field(name="{team}_load", dtype=Float64)],
)
def {team}_workload(inputs: dict[str, Any]) -> dict[str, Any]:
    """Today's trips, as a share of 40."""
    if inputs["trips_today"] is None:
        return {{"{team}_load": None}}
    return {{"{team}_load": (inputs["trips_today"] + inputs["trips_planned"]) / 40}}
''',
    "feature_services.py": '''\
"""The features of each model version."""

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
    "workspace.yaml": _WORKSPACE,
    "workflow.py": '''\
"""A training set and online features of the model. Run it after `apply`."""

from datetime import UTC, datetime
from pathlib import Path

from feature_platform import FeatureStore

store = FeatureStore(Path(__file__).parent)
now = datetime.now(UTC)
trips = [
    {{"driver_id": driver, "event_timestamp": now, "trips_planned": 8}} for driver in (1, 2, 3)
]

print("A training set: each row has what was known at its time.")
print(store.get_historical_features(trips, "{team}_model_v1").to_df())

print("Online: the newest values.")
rows = [{{name: trip[name] for name in ("driver_id", "trips_planned")}} for trip in trips]
print(store.get_online_features("{team}_model_v1", rows).to_df())
''',
}


def write_platform_repo(folder: Path, *, project: str, entry_point: bool = True) -> list[Path]:
    """Write a platform repo with a day of example data, and return its files.

    Args:
        folder: The new folder.
        project: Name of the project.
        entry_point: Whether to write a Dagster code location, `definitions.py`, too.

    Raises:
        ConfigError: The folder is not empty; nothing is overwritten.
    """
    _check_new(folder, project=project)
    config = _CONFIG.format(
        project=_scalar(project),
        team="team: platform\n",
        registry="data/registry.db",
        online="data/online.db",
        root=".",
    )
    files = {"feature_store.yaml": config, **_PLATFORM}
    written = _write(folder, files if entry_point else _without_entry_point(files))
    return [*written, _write_rows(folder / "data" / "driver_stats" / "first.parquet")]


def write_team_repo(
    folder: Path,
    *,
    team: str,
    platform: Path,
    project: str | None = None,
    entry_point: bool = True,
) -> list[Path]:
    """Write a team's repo and return its files.

    Args:
        folder: The new folder.
        team: Name of the team.
        platform: Folder of the platform's repo, whose registry and stores the team shares.
        project: Name of the project; by default the platform's.
        entry_point: Whether to write a Dagster code location, `definitions.py`, too.

    Raises:
        ConfigError: The folder is not empty, or the platform's repo is missing.
    """
    try:
        config = RepoConfig.load(platform)
    except ConfigError as error:
        message = f"The platform's repo cannot be read; pass it with --platform. {error}"
        raise ConfigError(message) from error
    _check_new(folder, project=project or config.project, team=team)
    if team in {PLATFORM, READER}:
        remedy = "is the platform team. Omit --team." if team == PLATFORM else "is nobody's name."
        raise ConfigError(f"init --team: {team!r} {remedy}")
    shared = Path(os.path.relpath(platform.resolve(), folder.resolve())).as_posix()
    text = _CONFIG.format(
        project=_scalar(project or config.project),
        team=f"team: {_scalar(team)}\n",
        registry=f"{shared}/data/registry.db",
        online=f"{shared}/data/online.db",
        root=shared,
    )
    files = {name: content.format(team=team) for name, content in _TEAM.items()}
    files = {"feature_store.yaml": text, **files}
    return _write(folder, files if entry_point else _without_entry_point(files))


def _without_entry_point(files: Mapping[str, str]) -> Mapping[str, str]:
    return {name: text for name, text in files.items() if name not in _ENTRY_POINTS}


def project_of(folder: Path) -> str:
    """Return the name of a project after its folder, or after the one above `platform`."""
    path = folder.resolve()
    name = path.parent.name if path.name in {PLATFORM, f"{PLATFORM}_repo"} else path.name
    folded = "_".join(re.findall("[A-Za-z0-9]+", name)).lstrip("0123456789_")
    return folded if is_identifier(folded) else "my_project"


def _scalar(name: str) -> str:
    """Return a name as YAML reads it back: `on` and `null` in quotes."""
    return name if yaml.safe_load(name) == name else json.dumps(name)


def _check_new(folder: Path, **names: str) -> None:
    for label, name in names.items():
        if not is_identifier(name):
            raise ConfigError(f"{label} {name!r} is invalid; use letters, digits and underscores.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty. Choose a new folder; nothing was written.")


def _write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in files]


def _write_rows(path: Path) -> Path:
    """Write the last 24 hours of ten drivers."""
    import pyarrow as pa
    from pyarrow import parquet

    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = [
        {
            "driver_id": driver,
            "event_timestamp": end - timedelta(hours=hours),
            "created": end - timedelta(hours=hours) + timedelta(minutes=5),
            "trips_today": (driver * 7 + 24 - hours) % 30,
            "conv_rate": (driver * 13 + hours) % 100 / 100,
        }
        for hours in reversed(range(24))
        for driver in range(1, 11)
    ]
    path.parent.mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path
