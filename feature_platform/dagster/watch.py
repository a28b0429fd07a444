"""Sensors on commits to the registry: observations, audits, and users' own reactions."""

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import dagster as dg

from feature_platform.dagster.apply import RUN_MESSAGE, applied_cursor
from feature_platform.dagster.checks import (
    AUDIT,
    RULES,
    audit_result,
    changed_faults,
    evaluation,
    is_refused,
    rules_result,
)
from feature_platform.dagster.metadata import change_metadata, commit_metadata
from feature_platform.dagster.repo_context import RepoContext
from feature_platform.dagster.resources import FeatureStoreResource
from feature_platform.definitions import Definition
from feature_platform.errors import Problem, RequestError
from feature_platform.governance import Change
from feature_platform.project import Cursor
from feature_platform.registry import Commit
from feature_platform.services.reconciling import replaced
from feature_platform.services.watching import Interest, Watched
from feature_platform.store import FeatureStore

_INTERVAL_SECONDS = 15
_DAGSTER = "dagster"
_AWAY = "away"

Reaction: TypeAlias = (
    dg.RunRequest | dg.SkipReason | dg.SensorResult | Sequence[dg.RunRequest] | None
)


class RegistryChange(NamedTuple):
    """A commit, and those of its changes that a sensor asked for."""

    commit: Commit
    changes: tuple[Change, ...]

    @property
    def subjects(self) -> list[str]:
        """The changed objects, as `feature view 'hourly_weather'`."""
        return [change.subject for change in self.changes]


def watch_sensor(target: RepoContext) -> dg.SensorDefinition:
    """Build the sensor that shows in Dagster what happens to a repo's objects elsewhere.

    Each object of the owner that a commit from outside this Dagster touched gets an observation
    with version, author, message and difference; deletions too. After every commit, whoever made
    it, the audit looks whether what is registered keeps the rules and is what the repo defines: the
    registration asset and the objects at fault get evaluations of their checks. It applies
    nothing.
    """
    definitions = list(target.objects.values())

    @dg.sensor(
        name=f"watch_{target.name}",
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Observes commits made elsewhere, and audits what is registered.",
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        seen = _seen(context.cursor)
        with target.open() as store:
            cursor = store.snapshot().cursor
            applied = applied_cursor(context.instance, target)
            if applied and (reason := replaced(cursor, applied)):
                return _away(target, seen or {"cursor": str(applied)}, reason)
            if seen == {"cursor": str(cursor), "state": target.state}:
                return dg.SkipReason(f"Nothing new since version {cursor.version}.")
            # What happened before this sensor's first tick is history, not news.
            since = Cursor.parse(seen["cursor"]) if seen else cursor
            watched = store.watch(since, Interest(owners=[target.owner]))
            findings = store.audit(definitions)
            is_mended = is_refused(target, context.instance) and not _problems(store, definitions)
        checks = (RULES, AUDIT) if is_mended else (AUDIT,)
        events: list[Any] = list(changed_faults(target, context.instance, findings, since=checks))
        if is_mended:
            events.append(evaluation(rules_result(target, [])))
        if events or not seen or seen["state"] == _AWAY:
            events.append(evaluation(audit_result(target, findings)))
        events += _observations(target, context.instance, watched)
        new = {"cursor": str(watched.cursor), "state": target.state}
        nothing = None if events else f"Nothing to report of version {cursor.version}."
        return dg.SensorResult(asset_events=events, skip_reason=nothing, cursor=json.dumps(new))

    return watch


def _problems(store: FeatureStore, definitions: Sequence[Definition]) -> Sequence[Problem]:
    """Return the rules that applying the repo would break now."""
    return store.review(store.plan(definitions, partial=False), costs=False).problems


def _seen(text: str | None) -> dict[str, str]:
    """Return what the last tick saw; nothing if its cursor cannot be read."""
    try:
        seen = json.loads(text or "{}")
        Cursor.parse(seen["cursor"])
    except (ValueError, KeyError, TypeError, RequestError):
        return {}
    return dict(seen)


def _away(
    target: RepoContext, seen: dict[str, str], reason: str
) -> dg.SensorResult | dg.SkipReason:
    """Fail the audit of a registry that is not the one that was applied to, once."""
    if seen.get("state") == _AWAY:
        return dg.SkipReason(reason)
    failed = dg.AssetCheckResult(
        asset_key=target.registration.key, check_name=AUDIT, passed=False, description=reason
    )
    cursor = json.dumps({**seen, "state": _AWAY})
    return dg.SensorResult(asset_events=[evaluation(failed)], cursor=cursor)


def _is_of(instance: dg.DagsterInstance, commit: Commit) -> bool:
    """Return whether a run of this instance made a commit, and has reported it."""
    run = commit.message.removeprefix(RUN_MESSAGE)
    return commit.client == _DAGSTER and instance.has_run(run)


def _observations(
    target: RepoContext, instance: dg.DagsterInstance, watched: Watched
) -> list[dg.AssetObservation]:
    return [
        dg.AssetObservation(
            target.key(change.kind, change.name),
            description=f"{change.action.capitalize()}d in version {commit.version}.",
            metadata=change_metadata(change) | commit_metadata(commit, watched.cursor),
        )
        for commit, changes in watched.commits
        if not _is_of(instance, commit)
        for change in changes
    ]


def registry_sensor(
    repo: str | Path | FeatureStoreResource,
    *,
    kinds: Collection[str] = (),
    names: Collection[str] = (),
    owners: Collection[str] = (),
    reads: str = "",
    **options: Any,
) -> Callable[[Callable[..., Reaction]], dg.SensorDefinition]:
    """Return a decorator for a sensor that reacts to commits to the registry.

    The function gets the context and the commits since its last tick that concern it, a list of
    `RegistryChange`, and returns what a Dagster sensor returns. It is not called where there are
    none. Commits are seen once each; if it fails, they come again.

    Args:
        repo: The repo folder whose settings name registry and project, or a resource.
        kinds: Kinds of objects, such as `feature_view`; all by default.
        names: Names of objects.
        owners: Owners of the commits.
        reads: A feature service: only changes of what it reads, directly or not, count.
        options: As for `dg.sensor`, such as `job_name`.

    Example:
        >>> @registry_sensor("team_repos/risk", reads="risk_v1", job_name="train")  # doctest: +SKIP
        ... def retrain(context, changes):
        ...     return dg.RunRequest(run_key=changes[-1].commit.commit_id)
    """
    target = RepoContext.of(repo)
    interest = Interest(kinds, names, owners, reads)

    def decorate(function: Callable[..., Reaction]) -> dg.SensorDefinition:
        settings: dict[str, Any] = {"name": function.__name__, "description": function.__doc__}
        settings |= {"minimum_interval_seconds": _INTERVAL_SECONDS} | options

        @dg.sensor(**settings)
        def react(context: dg.SensorEvaluationContext) -> dg.SensorResult:
            with target.open() as store:
                watched = _since(store, context.cursor, interest)
            news = [RegistryChange(commit, changes) for commit, changes in watched.commits]
            cursor = str(watched.cursor)
            if watched.is_replaced:
                reason = "The registry was replaced or restored; what changed is not known."
                return dg.SensorResult(skip_reason=reason, cursor=cursor)
            if not news:
                reason = f"Nothing of interest up to version {watched.cursor.version}."
                return dg.SensorResult(skip_reason=reason, cursor=cursor)
            return _result(function(context, news), cursor)

        return react

    return decorate


def _since(store: FeatureStore, text: str | None, interest: Interest) -> Watched:
    """Watch since the cursor of the last tick; the first one starts with the newest commit."""
    since = store.snapshot().cursor
    with suppress(RequestError):  # of a cursor that somebody has edited
        since = Cursor.parse(text) if text else since
    return store.watch(since, interest)


def _result(reaction: Reaction, cursor: str) -> dg.SensorResult:
    if isinstance(reaction, dg.SensorResult):
        return reaction._replace(cursor=cursor)
    if isinstance(reaction, dg.SkipReason):
        return dg.SensorResult(skip_reason=reaction, cursor=cursor)
    requests = [reaction] if isinstance(reaction, dg.RunRequest) else list(reaction or ())
    return dg.SensorResult(run_requests=requests, cursor=cursor)
