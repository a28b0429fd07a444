"""The sensor that keeps a repo's objects registered, in dependency order."""

from collections.abc import Sequence
from hashlib import sha256

import dagster as dg

from feature_platform.dagster.resources import FeatureStoreResource
from feature_platform.errors import Problem
from feature_platform.governance import Plan
from feature_platform.repo import Repo

TARGET_TAG = "feature_platform/target_state"
_INTERVAL_SECONDS = 10
_MAX_FAILURES = 3
_UNFINISHED = [
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
    """Build the sensor that applies a repo once its plan breaks no rule.

    Every tick compares what the repo defines with what is registered, so no event can be missed
    and commits made with the command line count as well. It waits while something that is
    referred to is not registered, while the plan breaks a rule, and while a run is under way; the
    skip reason says which. A state that failed three times is retried when something changes.
    """
    definitions = repo.definitions

    @dg.sensor(
        name=f"reconcile_{repo.config.team}",
        job_name=job_name,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=status,
        description="Applies this repo once its dependencies are registered.",
    )
    def reconcile(
        context: dg.SensorEvaluationContext, feature_store: FeatureStoreResource
    ) -> dg.RunRequest | dg.SkipReason:
        with feature_store.open() as store:
            plan = store.plan(definitions, partial=False)
            if not plan:
                return dg.SkipReason(f"In sync with registry version {plan.version}.")
            if problems := store.review(plan, costs=False).problems:
                return dg.SkipReason(waiting_for(problems))
        return _request(context.instance, job_name, _target_state(plan))

    return reconcile


def waiting_for(problems: Sequence[Problem]) -> str:
    """Return why a plan cannot be applied yet; `None` if it can."""
    missing = dict.fromkeys(p.missing for p in problems if p.missing)
    broken = [str(problem) for problem in problems if not problem.missing]
    if broken:
        return f"The plan breaks rules: {' '.join(broken)}"
    return f"Waiting for unregistered dependencies: {', '.join(map(str, missing))}."


def _target_state(plan: Plan) -> str:
    """Return an id of the state that the plan leads to."""
    return sha256(plan.model_dump_json(exclude={"version"}).encode()).hexdigest()[:16]


def _request(instance: dg.DagsterInstance, job: str, target: str) -> dg.RunRequest | dg.SkipReason:
    running = instance.get_runs(dg.RunsFilter(job_name=job, statuses=_UNFINISHED), limit=1)
    if running:
        return dg.SkipReason(f"Run {running[0].run_id} is still running.")
    runs = instance.get_runs(dg.RunsFilter(job_name=job, tags={TARGET_TAG: target}))
    failures = 0
    while failures < len(runs) and runs[failures].status == dg.DagsterRunStatus.FAILURE:
        failures += 1
    if failures >= _MAX_FAILURES:
        return dg.SkipReason(
            f"{failures} runs for this state failed, most recently {runs[0].run_id}. The "
            "sensor retries when the repo or the registry changes. Launch the job to retry now."
        )
    key = f"{target}-{len(runs) + 1}"
    return dg.RunRequest(run_key=key, tags={TARGET_TAG: target})
