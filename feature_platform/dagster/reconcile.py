"""The sensor that keeps a repo's objects registered, in dependency order."""

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from feature_platform.dagster.apply import STATE_TAG, applied_cursor
from feature_platform.dagster.repo_context import RepoContext
from feature_platform.services.reconciling import Assessment, Verdict

VERSION_TAG = "feature_platform/registry_version"
_INTERVAL_SECONDS = 10
_FIRST_PAUSE_SECONDS = 30
_LONGEST_PAUSE_SECONDS = 3600
_MOST_RUNS = 20
_MATERIALIZE = "__ASSET_JOB"
"""The job of assets that somebody materializes in the UI."""

_UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def reconcile_sensor(target: RepoContext, status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """Build the sensor that applies a repo once its plan breaks no rule.

    Every tick compares what the repo defines with what is registered, so no event can be missed
    and commits made elsewhere count as well. It asks for a run if the plan can be applied, and
    otherwise says why not: what is missing, which rule is broken, which run is under way, which
    commit of the owner replaced the state of this code. A run that failed is repeated after a
    pause that doubles up to an hour, or at once when the registry has changed.
    """
    definitions = list(target.objects.values())

    @dg.sensor(
        name=f"reconcile_{target.name}",
        job_name=target.apply_job,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=_stopped_on_branches(status),
        description="Applies this repo once its dependencies are registered.",
    )
    def reconcile(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        applied = applied_cursor(context.instance, target)
        with target.open() as store:
            # Once an hour it looks again whatever happened: rules depend on the date, too.
            seen = f"{store.snapshot().cursor} {target.state} {applied} {datetime.now(UTC):%F %H}"
            if context.cursor and context.cursor.partition("\n")[0] == seen:
                return dg.SkipReason(context.cursor.partition("\n")[2])
            assessment = store.assess(definitions, applied=applied)
        if assessment.verdict != Verdict.READY:
            context.update_cursor(f"{seen}\n{assessment.reason}")
            return dg.SkipReason(assessment.reason)
        return _request(context.instance, target, assessment)

    return reconcile


def _stopped_on_branches(status: dg.DefaultSensorStatus) -> dg.DefaultSensorStatus:
    """Return the status; a branch deployment must not apply unless someone says so."""
    on_branch = os.environ.get("DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT") == "1"
    return dg.DefaultSensorStatus.STOPPED if on_branch else status


def _request(
    instance: dg.DagsterInstance, target: RepoContext, assessment: Assessment
) -> dg.RunRequest | dg.SkipReason:
    if run_id := _under_way(instance, target):
        return dg.SkipReason(f"Run {run_id} is still running.")
    tags = {STATE_TAG: assessment.state, VERSION_TAG: str(assessment.cursor.version)}
    filters = dg.RunsFilter(tags={**target.tags, STATE_TAG: assessment.state})
    records = instance.get_run_records(filters, limit=_MOST_RUNS)
    if reason := _pause(records, tags[VERSION_TAG], time.time()):
        return dg.SkipReason(reason)
    # Each run has a key that no other one has had, however many there were; the daemon starts none
    # for a key that it knows.
    newest = records[0].dagster_run.run_id if records else 0
    key = f"{assessment.state}-{assessment.cursor.version}-{newest}"
    return dg.RunRequest(run_key=key, tags=tags)


def _under_way(instance: dg.DagsterInstance, target: RepoContext) -> str:
    """Return an unfinished run that registers objects of this repo."""
    jobs = instance.get_runs(
        dg.RunsFilter(tags=target.tags, statuses=_UNFINISHED, job_name=target.apply_job), limit=1
    )
    if jobs:
        return str(jobs[0].run_id)
    assets = {*target.objects, target.registration.key}
    by_hand = instance.get_runs(dg.RunsFilter(job_name=_MATERIALIZE, statuses=_UNFINISHED))
    return next((run.run_id for run in by_hand if assets & (run.asset_selection or set())), "")


def _pause(records: Sequence[dg.RunRecord], version: str, now: float) -> str:
    """Return why no other run is asked for now; empty if one is.

    Args:
        records: Runs for the same state, the newest first.
        version: The registry's version.
        now: Seconds since 1970.
    """
    if not records:
        return ""
    newest = records[0].dagster_run
    failures = 0
    while failures < len(records) and records[failures].dagster_run.is_failure:
        failures += 1
    pause = _FIRST_PAUSE_SECONDS * 2 ** (failures - 1) if failures else _LONGEST_PAUSE_SECONDS
    ended = records[0].end_time or records[0].update_timestamp.timestamp()
    again = ended + min(pause, _LONGEST_PAUSE_SECONDS)
    if newest.tags.get(VERSION_TAG) != version or now >= again:
        return ""
    if failures:
        reason = f"{failures} runs for this state have failed, most recently {newest.run_id}."
        remedy = f"Launch {newest.job_name} to retry now"
    elif newest.status == dg.DagsterRunStatus.CANCELED:
        reason = f"Run {newest.run_id} was cancelled."
        remedy = f"Launch {newest.job_name} to go on now"
    else:
        reason = f"Run {newest.run_id} succeeded without registering this state."
        remedy = "If the files have changed since this code location was loaded, reload it"
    when = datetime.fromtimestamp(again, UTC)
    return f"{reason} It is tried again at {when:%F %T}Z, or when the registry changes. {remedy}."
