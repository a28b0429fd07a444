"""Assets that load views into the online store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, TypeAlias

import dagster as dg

from feature_platform.dagster import beta
from feature_platform.dagster.apply import retried
from feature_platform.dagster.metadata import statistics_metadata
from feature_platform.dagster.repo_context import RepoContext
from feature_platform.definitions import FeatureView, View
from feature_platform.errors import ConfigError, RequestError, did_you_mean
from feature_platform.project import PLATFORM
from feature_platform.services.loading import DEFAULT_LOOKBACK
from feature_platform.store import FeatureStore

Partitions: TypeAlias = dg.TimeWindowPartitionsDefinition | None
HOURLY = "0 * * * *"
_STATISTICS = "statistics"
_CONFIG = {
    _STATISTICS: dg.Field(
        bool,
        default_value=False,
        description="Describe the features of the loaded rows: a table and plots.",
    )
}


@dataclass(frozen=True)
class OnlineLoads:
    """How views are loaded into the online store.

    Attributes:
        partitions: Windows of event time that a run loads, such as
            `dg.DailyPartitionsDefinition("2024-01-01")`, or view → windows, and `*` → those of all
            others. Views without windows load what is new.
        schedule: When views without windows are loaded, as cron.
        lookback: How far these go back for rows that arrive late.
        max_concurrent: How many views a run loads at once.
    """

    partitions: Partitions | Mapping[str, Partitions] = None
    schedule: str = HOURLY
    lookback: timedelta = DEFAULT_LOOKBACK
    max_concurrent: int = 4

    @property
    def usual(self) -> Partitions:
        """The windows of views that are not named."""
        listed = self.partitions
        return listed.get("*") if isinstance(listed, Mapping) else listed

    def of(self, view: str) -> Partitions:
        """Return the windows of a view."""
        listed = self.partitions
        return listed.get(view, self.usual) if isinstance(listed, Mapping) else listed

    def check(self, views: Sequence[View]) -> None:
        """Refuse what no view can be loaded with.

        Raises:
            ConfigError: The partitions are no time windows, or of no view.
        """
        names = [view.name for view in views]
        listed = self.partitions if isinstance(self.partitions, Mapping) else {"": self.partitions}
        for name, partitions in listed.items():
            if name not in {"", "*", *names}:
                hint = did_you_mean(name, names)
                raise ConfigError(f"online_partitions: no view {name!r} is loaded online.{hint}")
            if not isinstance(partitions, (dg.TimeWindowPartitionsDefinition, type(None))):
                raise ConfigError(
                    f"online_partitions: {type(partitions).__name__} has no time windows. Use "
                    "dg.DailyPartitionsDefinition or another one of time windows."
                )


def online_definitions(target: RepoContext, loads: OnlineLoads) -> dg.Definitions:
    """Build an asset per online table with history, and a job and a schedule per cadence.

    A schedule runs at the end of every window; for views without windows, when `loads` says. It is
    stopped until someone starts it. A backfill over many windows is one run. The online store's
    ledger is the truth.
    """
    views = target.loaded_views
    loads.check(views)
    by_cadence: dict[Partitions, list[dg.AssetsDefinition]] = {}
    with beta.accepted():
        for view in views:
            asset = _online_asset(target, view, loads)
            by_cadence.setdefault(loads.of(view.name), []).append(asset)
    definitions = dg.Definitions()
    names = _job_names(target, list(by_cadence), loads.usual)
    for partitions, assets in by_cadence.items():
        job = dg.define_asset_job(
            names[partitions],
            dg.AssetSelection.assets(*assets),
            description="Load views into the online store.",
            executor_def=dg.multiprocess_executor.configured(
                {"max_concurrent": loads.max_concurrent}
            ),
        )
        schedule = (
            dg.ScheduleDefinition(job=job, cron_schedule=loads.schedule)
            if partitions is None
            else dg.build_schedule_from_partitioned_job(job)
        )
        part = dg.Definitions(assets=assets, jobs=[job], schedules=[schedule])
        definitions = dg.Definitions.merge(definitions, part)
    return definitions


def _job_names(
    target: RepoContext, cadences: Sequence[Partitions], usual: Partitions
) -> dict[Partitions, str]:
    """Return `materialize_<project>_online`, and a suffix for each cadence but the usual one.

    A name does not change when a cadence is added: Dagster knows by it which schedules are on.
    """
    owner = [] if target.name == PLATFORM else [target.name]
    base = "_".join(["materialize", target.project, *owner, "online"])
    names: dict[Partitions, str] = {}
    for cadence in cadences:
        if cadence == usual:
            names[cadence] = base
            continue
        kind = cadence.schedule_type.name.lower() if cadence and cadence.schedule_type else ""
        suffix = kind or ("incremental" if cadence is None else "windows")
        taken = [name for name in names.values() if name.startswith(f"{base}_{suffix}")]
        names[cadence] = f"{base}_{suffix}" + (f"_{len(taken) + 1}" if taken else "")
    return names


def _online_asset(target: RepoContext, view: View, loads: OnlineLoads) -> dg.AssetsDefinition:
    partitions = loads.of(view.name)
    spec = target.translator.get_online_spec(view, target.repo).replace_attributes(
        partitions_def=partitions, freshness_policy=_freshness(view, partitions, loads)
    )

    @dg.multi_asset(
        name=spec.key.to_python_identifier(),
        specs=[spec],
        backfill_policy=dg.BackfillPolicy.single_run() if partitions else None,
        pool=target.pool,
        config_schema=_CONFIG if isinstance(view, FeatureView) else None,
    )
    def load(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        config = context.op_execution_context.op_config or {}
        started = perf_counter()
        with retried(context), target.open() as store:
            metadata = _registered(context, target, store, view)
            if partitions:
                metadata |= _load_windows(context, store, view)
            else:
                counts = store.materialize_incremental(
                    feature_views=[view.name], lookback=loads.lookback
                )
                metadata["dagster/row_count"] = counts[view.name]
            metadata |= _ledger(store, view)
            if config.get(_STATISTICS):
                metadata |= _statistics(context, store, view)
        metadata["seconds"] = round(perf_counter() - started, 3)
        return dg.MaterializeResult(metadata=metadata)

    return load


def _load_windows(
    context: dg.AssetExecutionContext, store: FeatureStore, view: View
) -> dict[str, Any]:
    """Load the windows of the run's partitions, whose ends are the next ones' starts."""
    window = context.partition_time_window
    counts = store.materialize(window.start, window.end, [view.name], include_end=False)
    partitions = len(context.partition_keys)
    # A row is loaded once per run, however many of its windows have one for the key.
    name = "dagster/row_count" if partitions == 1 else "rows_of_run"
    return {
        name: counts[view.name],
        "window": f"{window.start.isoformat()} / {window.end.isoformat()}",
        "partitions_of_run": partitions,
    }


def _statistics(
    context: dg.AssetExecutionContext, store: FeatureStore, view: View
) -> dict[str, Any]:
    """Describe the rows of the windows that were loaded; without windows, those within the ttl."""
    start, end = None, None
    if context.has_partition_key or context.has_partition_key_range:
        window = context.partition_time_window
        start, end = window.start, window.end - timedelta(microseconds=1)
    elif isinstance(view, FeatureView) and view.ttl:
        start = datetime.now(UTC) - view.ttl
    return statistics_metadata(store.get_statistics(view.name, start, end))


def _registered(
    context: dg.AssetExecutionContext, target: RepoContext, store: FeatureStore, view: View
) -> dict[str, Any]:
    """Return what is loaded: the registered view, even if the code defines another one by now.

    Raises:
        RequestError: Another owner has registered the name.
    """
    project = store.load_project()
    if not target.owns(project, view):
        raise RequestError(
            f"{view} is not loaded from here: the name is registered by another owner than "
            f"{target.owner!r}. Rename the view."
        )
    registered = project.view(view.reference())
    if registered != view:
        context.log.warning(
            "%s is registered differently from this code; the registered one is loaded. Apply the "
            "repo to change that.",
            view,
        )
    store_type = store.config.online_store.type if store.config.online_store else "none"
    return {
        "registry_version": project.version,
        "definition": "as in this code" if registered == view else "differs from this code",
        "online_store": store_type,
    }


def _ledger(store: FeatureStore, view: View) -> dict[str, Any]:
    windows = store.online_windows(view.name)
    if not windows:
        return {}
    behind = datetime.now(UTC) - windows[-1].end
    return {
        "loaded_until": windows[-1].end.isoformat(),
        "lag_seconds": max(round(behind.total_seconds()), 0),
    }


def _freshness(view: View, partitions: Partitions, loads: OnlineLoads) -> Any:
    """Return how old a table may get: its ttl, or three times its cadence; none without either."""
    if partitions is not None and partitions.end is not None:
        return None
    ttl = view.ttl if isinstance(view, FeatureView) else None
    period = _period(partitions, loads)
    fail = max(filter(None, [ttl, period and 3 * period]), default=None)
    if fail is None or fail < timedelta(minutes=1):
        return None
    warn = period and 2 * period
    return dg.FreshnessPolicy.time_window(fail, warn if warn and warn < fail else None)


def _period(partitions: Partitions, loads: OnlineLoads) -> timedelta | None:
    if partitions is not None:
        window = partitions.get_first_partition_window()
        return window.end - window.start if window else None
    return timedelta(hours=1) if loads.schedule == HOURLY else None
