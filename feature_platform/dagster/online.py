"""Assets that load views into the online store."""

import warnings

import dagster as dg

from feature_platform.dagster.resources import FeatureStoreResource
from feature_platform.dagster.specs import online_key, view_key
from feature_platform.definitions import FeatureView, Source
from feature_platform.repo import Repo

_RETRIES = dg.RetryPolicy(
    max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)


def online_definitions(
    repo: Repo, partitions: dg.TimeWindowPartitionsDefinition | None
) -> dg.Definitions:
    """Build an asset per online table with history, and their schedule.

    The schedule runs at the end of every partition; without partitions, hourly. It is stopped
    until someone starts it.

    Args:
        repo: The platform's repo.
        partitions: Windows of event time that runs load; without any, a run loads what is new.
            A backfill over many partitions is one run. The online store's ledger is the truth.
    """
    pushed_only = {d.name for d in repo.definitions if isinstance(d, Source) and d.history is None}
    views = [v for v in repo.definitions if isinstance(v, FeatureView) and v.online]
    with warnings.catch_warnings():  # Dagster calls single-run backfills and pools beta.
        warnings.simplefilter("ignore", dg.BetaWarning)
        assets = [
            _online_asset(repo, view, partitions)
            for view in views
            if view.source not in pushed_only
        ]
    if not assets:
        return dg.Definitions()
    job = dg.define_asset_job(
        f"materialize_{repo.config.project}_online",
        dg.AssetSelection.assets(*assets),
        description="Load views into the online store.",
    )
    if partitions is None:
        schedule = dg.ScheduleDefinition(job=job, cron_schedule="0 * * * *")
        return dg.Definitions(assets=assets, jobs=[job], schedules=[schedule])
    by_partition = dg.build_schedule_from_partitioned_job(job)
    return dg.Definitions(assets=assets, jobs=[job], schedules=[by_partition])


def _online_asset(
    repo: Repo, view: FeatureView, partitions: dg.TimeWindowPartitionsDefinition | None
) -> dg.AssetsDefinition:
    project, owner = repo.config.project, repo.config.team

    @dg.asset(
        key=online_key(project, view.name),
        deps=[view_key(project, view.name)],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run() if partitions else None,
        group_name=owner,
        owners=[f"team:{owner}"],
        kinds={"online_table"},
        pool=f"{project}_online_store",
        retry_policy=_RETRIES,
        description=f"Newest values of {view.name}, served online.",
    )
    def load(
        context: dg.AssetExecutionContext, feature_store: FeatureStoreResource
    ) -> dg.MaterializeResult[None]:
        with feature_store.open() as store:
            if context.has_partition_key or context.has_partition_key_range:
                window = context.partition_time_window
                counts = store.materialize(window.start, window.end, [view.name])
            else:
                counts = store.materialize_incremental(feature_views=[view.name])
        return dg.MaterializeResult(
            metadata={"dagster/row_count": dg.MetadataValue.int(counts[view.name])}
        )

    return load
