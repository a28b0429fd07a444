"""Repos as Dagster definitions."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import dagster as dg

from feature_platform.dagster.apply import apply_assets
from feature_platform.dagster.checks import object_checks
from feature_platform.dagster.expectations import row_checks
from feature_platform.dagster.ledger import ledger_sensor
from feature_platform.dagster.online import HOURLY, OnlineLoads, Partitions, online_definitions
from feature_platform.dagster.reconcile import reconcile_sensor
from feature_platform.dagster.repo_context import RepoContext
from feature_platform.dagster.resources import FeatureStoreResource
from feature_platform.dagster.streams import stream_sensor, streamed_views
from feature_platform.dagster.translator import FeatureStoreTranslator
from feature_platform.dagster.watch import watch_sensor
from feature_platform.errors import ConfigError
from feature_platform.project import PLATFORM
from feature_platform.services.loading import DEFAULT_LOOKBACK

_RUNNING = dg.DefaultSensorStatus.RUNNING
_STOPPED = dg.DefaultSensorStatus.STOPPED


def platform_definitions(
    repo: str | Path | FeatureStoreResource,
    *,
    online_partitions: Partitions | Mapping[str, Partitions] = None,
    online_schedule: str = HOURLY,
    lookback: timedelta = DEFAULT_LOOKBACK,
    max_concurrent: int = 4,
    sensor_status: dg.DefaultSensorStatus = _STOPPED,
    translator: FeatureStoreTranslator | None = None,
    name: str = "",
) -> dg.Definitions:
    """Turn the platform team's repo into Dagster definitions.

    Entities, sources and feature views become assets that one step registers, with a job
    `apply_platform` for all of them. Every view served online gets an asset that loads it; a
    schedule loads all views of a cadence together.

    Args:
        repo: The repo folder, or a resource that opens it with clients of its own.
        online_partitions: Windows of event time that a run of an online asset loads, such as
            `dg.DailyPartitionsDefinition("2024-01-01")`, for all views or by view. Without it, a
            run loads what is new.
        online_schedule: When views without windows are loaded, as cron.
        lookback: How far their loads go back for rows that arrive late.
        max_concurrent: How many views a run loads at once.
        sensor_status: `RUNNING` for a sensor that applies the repo as a team's does. The platform
            applies by hand unless told otherwise.
        translator: Changes keys, groups, owners, tags and automation of the assets.
        name: Suffix of the names of jobs, sensors and schedules, for locations with the platforms
            of several projects; `platform` by default.

    Raises:
        ConfigError: The repo cannot be loaded, or is a team's.
    """
    target = RepoContext.of(repo, translator, name)
    if target.owner != PLATFORM:
        raise ConfigError(
            f"{target.repo.path} is the repo of team {target.owner!r}: use team_definitions."
        )
    loads = OnlineLoads(online_partitions, online_schedule, lookback, max_concurrent)
    return _definitions(target, loads, sensor_status)


def team_definitions(
    repo: str | Path | FeatureStoreResource,
    *,
    online_partitions: Partitions | Mapping[str, Partitions] = None,
    online_schedule: str = HOURLY,
    lookback: timedelta = DEFAULT_LOOKBACK,
    sensor_status: dg.DefaultSensorStatus = _RUNNING,
    translator: FeatureStoreTranslator | None = None,
    name: str = "",
) -> dg.Definitions:
    """Turn a team's repo into Dagster definitions.

    On-demand views and feature services become assets downstream of the views they name, wherever
    those live, with a job `apply_<team>` for all of them. A sensor launches it as soon as what
    they refer to is registered. On-demand views that are precomputed get assets that load them.

    Args:
        repo: The repo folder, or a resource that opens it with clients of its own.
        online_partitions: As for `platform_definitions`, for precomputed on-demand views.
        online_schedule: When those without windows are loaded, as cron.
        lookback: How far their loads go back for rows that arrive late.
        sensor_status: Whether the sensor runs from the start, as it does unless told otherwise. In
            branch deployments it never does.
        translator: Changes keys, groups, owners, tags and automation of the assets.
        name: Suffix of the names of jobs, sensors and schedules; the team by default.

    Raises:
        ConfigError: The repo cannot be loaded, or names no team.
    """
    target = RepoContext.of(repo, translator, name)
    if target.owner == PLATFORM:
        raise ConfigError(
            f"{target.repo.path} is the platform's repo: use platform_definitions, or set `team:` "
            "in its feature_store.yaml."
        )
    loads = OnlineLoads(online_partitions, online_schedule, lookback)
    return _definitions(target, loads, sensor_status)


def _definitions(
    target: RepoContext, loads: OnlineLoads, status: dg.DefaultSensorStatus
) -> dg.Definitions:
    register = apply_assets(target)
    checks = [*object_checks(target), *row_checks(target, loads)]
    own_checks = register.check_keys
    selection = dg.AssetSelection.assets(register).without_checks()
    job = dg.define_asset_job(
        target.apply_job,
        selection | dg.AssetSelection.checks(*own_checks),
        description="Register all definitions of the repo, and remove deleted ones.",
        tags=target.tags,
        # One step after the other: starting a process for each would take longer than they do.
        executor_def=dg.in_process_executor,
    )
    online = online_definitions(target, loads)
    sensors = [reconcile_sensor(target, status), watch_sensor(target)]
    if online.assets:
        sensors.append(ledger_sensor(target, loads))
    if streams := streamed_views(target):
        sensors.append(stream_sensor(target, streams))
    return dg.Definitions.merge(
        dg.Definitions(assets=[register], asset_checks=checks, jobs=[job], sensors=sensors),
        online,
    )
