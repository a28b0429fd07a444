"""The sensor that makes Dagster's partitions say what the online store's ledger says."""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from feature_platform.dagster.apply import applied_cursor
from feature_platform.dagster.online import OnlineLoads, Partitions
from feature_platform.dagster.repo_context import RepoContext
from feature_platform.definitions import View
from feature_platform.errors import FeaturePlatformError, NotFoundError
from feature_platform.online import Window
from feature_platform.services.reconciling import replaced

_INTERVAL_SECONDS = 30
_PAGE = 1000


def ledger_sensor(target: RepoContext, loads: OnlineLoads) -> dg.SensorDefinition:
    """Build the sensor that mirrors the ledger of loaded windows.

    Windows that were loaded elsewhere become materialized partitions. Where a table was emptied,
    because its view was deleted and created again or its rows changed their meaning, tables and
    partitions that were materialized are no longer: what has to be loaded again is not green.
    """
    views = [(view, loads.of(view.name)) for view in target.loaded_views]

    @dg.sensor(
        name=f"mirror_ledger_{target.name}",
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Shows as partitions what the online store has loaded.",
    )
    def mirror(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        events: list[dg.AssetMaterialization] = []
        problems = []
        with target.open() as store:
            project = store.load_project()
            cursor = project.snapshot.cursor
            applied = applied_cursor(context.instance, target)
            if reason := replaced(cursor, applied) if applied else "":
                return dg.SkipReason(reason)  # it says nothing of what is loaded
            for view, partitions in views:
                try:
                    if not target.owns(project, view):
                        problems.append(f"{view} is registered by another owner.")
                        continue
                    windows = store.online_windows(view.name)
                except NotFoundError:  # it is not registered, so it has no rows
                    windows = []
                except FeaturePlatformError as error:
                    problems.append(f"{view}: {error}")
                    continue
                events += _differences(context.instance, target, view, partitions, windows)
        if events:
            return dg.SensorResult(asset_events=events)
        return dg.SkipReason(" ".join(problems) or "Partitions and ledger agree.")

    return mirror


def _differences(
    instance: dg.DagsterInstance,
    target: RepoContext,
    view: View,
    partitions: Partitions,
    windows: Sequence[Window],
) -> list[dg.AssetMaterialization]:
    """Return the materializations that Dagster lacks, after it forgot those that do not hold."""
    key = target.online_key(view.name)
    if partitions is None:
        if not windows and instance.get_latest_materialization_event(key):
            instance.wipe_assets([key])
        return []
    loaded = {name for window in windows for name in _covered(partitions, window)}
    shown = instance.get_materialized_partitions(key)
    untold = {name for name in shown - loaded if not _has_ended(partitions, name)}
    holds = loaded | untold
    former: dict[str, dg.AssetMaterialization] = {}
    if shown - holds:  # Dagster cannot forget single partitions
        former = _newest(instance, key, shown & holds)
        instance.wipe_assets([key])
        shown = set()
    elsewhere = {"loaded_by": "another client"}
    return [
        former.get(name) or dg.AssetMaterialization(key, partition=name, metadata=elsewhere)
        for name in sorted(holds - shown)
    ]


def _newest(
    instance: dg.DagsterInstance, key: dg.AssetKey, names: set[str]
) -> dict[str, dg.AssetMaterialization]:
    """Return partition → its newest materialization, with its rows, seconds and window."""
    newest: dict[str, dg.AssetMaterialization] = {}
    cursor = None
    while True:
        page = instance.fetch_materializations(key, limit=_PAGE, cursor=cursor)
        for record in page.records:
            event = record.asset_materialization
            if event and event.partition in names:
                newest.setdefault(event.partition, event)
        if not page.has_more:
            return newest
        cursor = page.cursor


def _has_ended(partitions: dg.TimeWindowPartitionsDefinition, name: str) -> bool:
    """Return whether a partition can be loaded as a whole; also if it has become none of these."""
    try:
        window = partitions.time_window_for_partition_key(name)
    except ValueError:  # the windows were other ones when it was loaded
        return True
    return window.start >= partitions.start and window.end <= datetime.now(UTC)


def _covered(partitions: dg.TimeWindowPartitionsDefinition, window: Window) -> list[str]:
    """Return the partitions that a loaded window covers as a whole."""
    start = max(window.start, partitions.start)
    end = min(window.end, partitions.end or window.end)
    span = dg.TimeWindow(start, end)
    return [
        name
        for name in partitions.get_partition_keys_in_time_window(span)
        if start <= (part := partitions.time_window_for_partition_key(name)).start
        and part.end <= end
    ]
