"""Apply a repo in one step and one commit, and emit only what changed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import dagster as dg

from feature_platform.dagster.checks import (
    AUDIT,
    POOL,
    RULES,
    audit_result,
    changed_faults,
    check_spec,
    pool_result,
    refusals,
    rules_result,
)
from feature_platform.dagster.metadata import change_metadata, commit_metadata, problem_table
from feature_platform.dagster.repo_context import RepoContext
from feature_platform.definitions import Definition
from feature_platform.errors import ConflictError, FeaturePlatformError, Problem, RefusedError
from feature_platform.governance import Plan
from feature_platform.project import Cursor, ProjectSnapshot
from feature_platform.registry import Commit
from feature_platform.services.auditing import AuditFinding
from feature_platform.services.reconciling import Verdict, replaced
from feature_platform.store import FeatureStore

STATE_TAG = "feature_platform/state"
"""Tag of a run that a sensor asked for: what it is to apply, as `RepoContext.state` gives it."""

RUN_MESSAGE = "Dagster run "
"""Start of the message of a commit; the id of the run that made it follows."""

_DATA_VERSION = "dagster/data_version"
_STATE = "state"
_MAX_RETRIES = 3
_FIRST_PAUSE_SECONDS = 10

Events: TypeAlias = Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]
Objects: TypeAlias = Mapping[dg.AssetKey, Definition]


def apply_assets(target: RepoContext) -> dg.AssetsDefinition:
    """Build the step that registers the definitions of a repo.

    Selecting all its assets, or the registration alone, is a full sync of the owner's objects;
    selecting some applies those. Ownership, references and contracts are checked before anything
    is written: a refused plan is a failed blocking check, nothing is committed and nothing
    downstream runs. Selecting checks alone evaluates them and applies nothing.
    """
    objects, registration = target.objects, target.registration

    @dg.multi_asset(
        name=f"register_{target.project}_{target.owner}",
        specs=[*target.specs, registration],
        check_specs=[
            check_spec(RULES, registration.key, blocking=True),
            check_spec(AUDIT, registration.key),
            *([check_spec(POOL, registration.key)] if target.loaded_views else []),
        ],
        can_subset=True,
    )
    def register(context: dg.AssetExecutionContext) -> Events:
        selected = {k: d for k, d in objects.items() if k in context.selected_asset_keys}
        with retried(context, ConflictError), target.open() as store:
            registration_run = _Registration(target, context, store, selected or objects)
            if context.selected_asset_keys:
                yield from registration_run.events()
            else:
                yield from registration_run.evaluations()

    return register


@contextmanager
def retried(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext,
    *others: type[FeaturePlatformError],
) -> Iterator[None]:
    """Retry a step after errors that may pass by themselves, and after no others.

    Args:
        context: The step.
        others: Errors that this step can solve by running again.
    """
    try:
        yield
    except FeaturePlatformError as error:
        if not error.retryable and not isinstance(error, others):
            raise dg.Failure(f"{type(error).__name__}: {error}", allow_retries=False) from error
        pause = _FIRST_PAUSE_SECONDS * 2**context.op_execution_context.retry_number
        raise dg.RetryRequested(max_retries=_MAX_RETRIES, seconds_to_wait=pause) from error


class _Registration:
    """One run of the step that registers objects."""

    def __init__(
        self,
        target: RepoContext,
        context: dg.AssetExecutionContext,
        store: FeatureStore,
        objects: Objects,
    ) -> None:
        self._target = target
        self._context = context
        self._store = store
        self._objects = objects
        chosen = context.selected_asset_keys
        is_whole = len(objects) == len(target.objects) and target.registration.key in chosen
        self._partial = bool(chosen) and not is_whole

    def events(self) -> Events:
        if reason := self._obstacle():
            self._context.log.warning("Nothing was applied: %s", reason)
            yield from self._checks()
            return
        plan = self._store.plan(list(self._objects.values()), partial=self._partial)
        if problems := self._store.review(plan, costs=False).problems:
            self._report(refusals(self._target, problems))
            if RULES in self._selected_checks():
                yield rules_result(self._target, problems)
            refused = RefusedError(plan.owner, plan.project, problems)
            raise dg.Failure(str(refused), metadata=problem_table(problems), allow_retries=False)
        run = f"{RUN_MESSAGE}{self._context.run_id}"
        commit = self._store.commit(plan, client="dagster", message=run)
        project = self._store.load_project()
        version = commit.version if commit else project.version
        summary = f"Applied version {version}: {commit.summary()}." if commit else "No changes."
        self._context.log.info(summary)
        self._report_deletions(plan, commit)
        yield from self._materializations(plan, commit, project)
        yield from self._checks()

    def evaluations(self) -> Iterator[dg.AssetCheckResult]:
        """Evaluate the selected checks, without applying anything."""
        plan = self._store.plan(list(self._objects.values()), partial=False)
        yield from self._checks(self._store.review(plan, costs=False).problems)

    def _obstacle(self) -> str:
        """Return why a run that a sensor asked for applies nothing any more."""
        state = self._context.run.tags.get(STATE_TAG)
        if state is None or self._partial:
            return ""
        if self._target.state != state:
            return (
                "the files define something else than they did when the sensor asked for this "
                "run. Reload the code location."
            )
        applied = applied_cursor(self._context.instance, self._target)
        assessment = self._store.assess(list(self._objects.values()), applied=applied)
        passing = {Verdict.READY, Verdict.IN_SYNC, Verdict.WAITING, Verdict.REFUSED}
        return "" if assessment.verdict in passing else assessment.reason

    def _report(self, events: Sequence[dg.AssetCheckEvaluation | dg.AssetObservation]) -> None:
        for event in events:
            self._context.instance.report_runless_asset_event(event)

    def _report_deletions(self, plan: Plan, commit: Commit | None) -> None:
        deleted = [change for change in plan.changes if change.after is None and commit]
        for change in deleted:
            self._context.log_event(
                dg.AssetObservation(
                    self._target.key(change.kind, change.name),
                    description=f"Deleted in version {commit.version}." if commit else None,
                    metadata=change_metadata(change),
                )
            )

    def _materializations(
        self, plan: Plan, commit: Commit | None, project: ProjectSnapshot
    ) -> Iterator[dg.MaterializeResult[None]]:
        changes = {(change.kind, change.name): change for change in plan.changes}
        unseen = set(self._objects if self._partial else self._unseen())
        stale = [
            key
            for key, definition in self._objects.items()
            if key in unseen or (definition.kind, definition.name) in changes
        ]
        for key in stale:
            definition = self._objects[key]
            change = changes.get((definition.kind, definition.name))
            yield dg.MaterializeResult(
                asset_key=key,
                metadata=change_metadata(change)
                | commit_metadata(commit, project.snapshot.cursor)
                | self._target.lineage(project, definition),
                data_version=dg.DataVersion(definition.digest()),
            )
        registration = self._target.registration.key
        cursor = project.snapshot.cursor
        applied = applied_cursor(self._context.instance, self._target)
        is_news = commit or stale or (applied and replaced(cursor, applied))
        if registration in self._context.selected_asset_keys and is_news:
            metadata = commit_metadata(commit, cursor, plan)
            if not self._partial:
                metadata[_STATE] = self._target.state
            yield dg.MaterializeResult(asset_key=registration, metadata=metadata)

    def _unseen(self) -> list[dg.AssetKey]:
        """Return the assets whose newest state Dagster has not seen.

        The registration is emitted last: if it was for this state, all objects were before it.
        """
        last = _last_registration(self._context.instance, self._target).get(_STATE)
        if last and last.value == self._target.state:
            return []
        seen = self._context.instance.get_latest_materialization_events(list(self._objects))
        unseen = []
        for key, definition in self._objects.items():
            event = seen.get(key)
            materialization = event.asset_materialization if event else None
            tags = (materialization.tags if materialization else None) or {}
            if tags.get(_DATA_VERSION) != definition.digest():
                unseen.append(key)
        return unseen

    def _checks(self, problems: Sequence[Problem] = ()) -> Iterator[dg.AssetCheckResult]:
        selected = self._selected_checks()
        if not selected:
            return
        findings = self._store.audit(list(self._target.objects.values()))
        since = (RULES, AUDIT)
        faults: list[Problem | AuditFinding] = [*findings, *problems]
        self._report(changed_faults(self._target, self._context.instance, faults, since=since))
        if RULES in selected:
            yield rules_result(self._target, problems)
        if AUDIT in selected:
            yield audit_result(self._target, findings)
        if POOL in selected:
            yield pool_result(self._target, self._context.instance)

    def _selected_checks(self) -> set[str]:
        return {key.name for key in self._context.selected_asset_check_keys}


def applied_cursor(instance: dg.DagsterInstance, target: RepoContext) -> Cursor | None:
    """Return the registry's cursor when the repo was last applied by Dagster."""
    value = _last_registration(instance, target).get("cursor")
    return Cursor.parse(str(value.value)) if value else None


def _last_registration(
    instance: dg.DagsterInstance, target: RepoContext
) -> Mapping[str, dg.MetadataValue]:
    """Return the metadata of the newest event of the registration."""
    event = instance.get_latest_materialization_event(target.registration.key)
    materialization = event.asset_materialization if event else None
    return materialization.metadata if materialization else {}
