"""The sensor that keeps a repo's objects registered, in the right order and without help."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

import dagster as dg

from feature_platform.dagster.resources import FeatureStoreResource
from feature_platform.errors import Problem
from feature_platform.registry import Plan, Proposal, check
from feature_platform.repo import Repo

WANTED_TAG = "feature_platform/wanted"
_INTERVAL_SECONDS = 10
_MAX_FAILURES = 3
_IN_FLIGHT = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def reconcile_sensor(
    repo: Repo,
    job_name: str,
    status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
) -> dg.SensorDefinition:
    """Build the sensor that applies a repo when, and only when, the registry would accept it.

    Every tick compares what the repo defines with what is registered, so no event can be missed
    and commits made with the command line count as well. It waits while something that is
    referred to is not registered, while the plan breaks a rule, and while a run is under way; the
    skip reason says which. A state that failed three times is not tried again until something
    changes.
    """
    definitions = repo.definitions

    @dg.sensor(
        name=f"reconcile_{repo.config.team}",
        job_name=job_name,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=status,
        description="Applies this repo as soon as what it refers to is registered.",
    )
    def reconcile(
        context: dg.SensorEvaluationContext, feature_store: FeatureStoreResource
    ) -> dg.RunRequest | dg.SkipReason:
        store = feature_store.open()
        snapshot = store.snapshot()
        plan = store.plan(definitions, partial=False)
        if not plan:
            return dg.SkipReason(f"In sync with registry version {snapshot.version}.")
        if problems := check(Proposal.of(plan, snapshot, datetime.now(UTC))):
            return dg.SkipReason(waiting_for(problems))
        return _request(context.instance, job_name, _wanted(plan))

    return reconcile


def waiting_for(problems: Sequence[Problem]) -> str:
    """Say what has to happen before a plan can be applied."""
    missing = dict.fromkeys(p.missing for p in problems if p.missing)
    broken = [str(problem) for problem in problems if not problem.missing]
    if broken:
        return f"The registry refuses this repo: {' '.join(broken)}"
    return f"Waiting for the registration of {', '.join(map(str, missing))}."


def _wanted(plan: Plan) -> str:
    """Name the state that the plan leads to."""
    return sha256(plan.model_dump_json(exclude={"version"}).encode()).hexdigest()[:16]


def _request(instance: dg.DagsterInstance, job: str, wanted: str) -> dg.RunRequest | dg.SkipReason:
    flying = instance.get_runs(dg.RunsFilter(job_name=job, statuses=_IN_FLIGHT), limit=1)
    if flying:
        return dg.SkipReason(f"Run {flying[0].run_id} is under way.")
    runs = instance.get_runs(dg.RunsFilter(job_name=job, tags={WANTED_TAG: wanted}))
    failures = 0
    while failures < len(runs) and runs[failures].status == dg.DagsterRunStatus.FAILURE:
        failures += 1
    if failures >= _MAX_FAILURES:
        return dg.SkipReason(
            f"{failures} runs for this state failed, the last one {runs[0].run_id}. It is not "
            "tried again until the repo or the registry changes, or somebody launches the job."
        )
    key = f"{wanted}-{len(runs) + 1}"
    return dg.RunRequest(run_key=key, tags={WANTED_TAG: wanted})
