"""Repos as Dagster definitions."""

from pathlib import Path
from typing import Any

import dagster as dg

from feature_platform.dagster.apply import apply_assets
from feature_platform.dagster.online import online_definitions
from feature_platform.dagster.reconcile import reconcile_sensor
from feature_platform.dagster.resources import FeatureStoreResource
from feature_platform.errors import ConfigError
from feature_platform.project import PLATFORM
from feature_platform.repo import Repo


def platform_definitions(
    repo_path: str | Path,
    *,
    online_partitions: dg.TimeWindowPartitionsDefinition | None = None,
    s3: Any = None,
) -> dg.Definitions:
    """Turn the platform team's repo into Dagster definitions.

    Entities, sources and feature views become assets that one step registers, with a job
    `apply_platform` for all of them. Every view served online gets an asset that loads it, and
    a schedule loads them together. The resource `feature_store` opens the repo.

    Args:
        repo_path: The repo folder.
        online_partitions: Windows of event time that a run of an online asset loads, such as
            `dg.DailyPartitionsDefinition("2024-01-01")`. Without it, a run loads what is new.
        s3: A `dagster_aws.s3.S3Resource` for a registry on S3.

    Raises:
        ConfigError: The repo cannot be loaded, or is a team's.
    """
    repo = Repo.load(repo_path)
    if repo.config.team != PLATFORM:
        raise ConfigError(
            f"{repo.path} is the repo of team {repo.config.team!r}: use team_definitions."
        )
    return dg.Definitions.merge(
        _apply_definitions(repo, s3), online_definitions(repo, online_partitions)
    )


def team_definitions(
    repo_path: str | Path,
    *,
    sensor_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
    s3: Any = None,
) -> dg.Definitions:
    """Turn a team's repo into Dagster definitions.

    On-demand views and feature services become assets downstream of the views they name, wherever
    those live, with a job `apply_<team>` for all of them. A sensor launches it as soon as what
    they refer to is registered. The resource `feature_store` opens the repo.

    Args:
        repo_path: The repo folder.
        sensor_status: Whether the sensor runs from the start, as it does unless told otherwise.
        s3: A `dagster_aws.s3.S3Resource` for a registry on S3.

    Raises:
        ConfigError: The repo cannot be loaded, or names no team.
    """
    repo = Repo.load(repo_path)
    if repo.config.team == PLATFORM:
        raise ConfigError(
            f"{repo.path} is the platform's repo: use platform_definitions, or set `team:` in its "
            "feature_store.yaml."
        )
    return _apply_definitions(repo, s3, sensor_status)


def _apply_definitions(
    repo: Repo, s3: Any, sensor_status: dg.DefaultSensorStatus | None = None
) -> dg.Definitions:
    register = apply_assets(repo)
    name = f"apply_{repo.config.team}"
    job = dg.define_asset_job(
        name,
        dg.AssetSelection.assets(register),
        description="Register all definitions of the repo, and remove deleted ones.",
    )
    sensors = [reconcile_sensor(repo, name, sensor_status)] if sensor_status else []
    resource = FeatureStoreResource(repo_path=str(repo.path), s3=s3)
    return dg.Definitions(
        assets=[register], jobs=[job], sensors=sensors, resources={"feature_store": resource}
    )
