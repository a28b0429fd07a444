"""Checks of registered objects: rules, drift and deprecations, on who is at fault alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from feature_platform.dagster.metadata import problem_table
from feature_platform.dagster.repo_context import RepoContext
from feature_platform.errors import Problem
from feature_platform.services.auditing import AuditFinding

RULES = "registry_rules"
DEPRECATIONS = "reads_nothing_deprecated"
AUDIT = "audit"
POOL = "online_store_pool"

_AT_FAULT = "at_fault"
_MOST_LISTED = 10
_MEANINGS = {
    RULES: "The last plan broke no rule of the registry, and what is registered breaks none.",
    DEPRECATIONS: "Nothing that this object reads is deprecated.",
    AUDIT: "Everything that is registered keeps the rules, and is what the repo defines.",
    POOL: "Dagster limits how many steps load into the online store at a time.",
}
_ERROR, _WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def object_checks(target: RepoContext) -> list[dg.AssetChecksDefinition]:
    """Build the checks of single objects; their apply step and the audit sensor report them too.

    An object gets an evaluation when it is at fault and when it has recovered, not in every run.
    Executing the checks by hand evaluates all of them, without applying anything.
    """
    specs = [check_spec(RULES, key) for key in target.objects]
    specs += [
        check_spec(DEPRECATIONS, key)
        for key, definition in target.objects.items()
        if definition.references
    ]
    if not specs:
        return []

    @dg.multi_asset_check(
        name=f"audit_{target.project}_{target.owner}", specs=specs, can_subset=True
    )
    def check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with target.open() as store:
            findings = store.audit(list(target.objects.values()))
        faults = _by_check(target, findings)
        for key in context.selected_asset_check_keys:
            yield _result(key, faults.get(key, []))

    return [check]


def check_spec(name: str, asset: dg.AssetKey, *, blocking: bool = False) -> dg.AssetCheckSpec:
    """Return the spec of one of our checks, with what it means."""
    return dg.AssetCheckSpec(name, asset=asset, blocking=blocking, description=_MEANINGS[name])


def is_refused(target: RepoContext, instance: dg.DagsterInstance) -> bool:
    """Return whether the newest plan that Dagster knows of broke rules."""
    newest = _newest(target, instance, RULES)
    return newest is not None and not newest.passed


def rules_result(target: RepoContext, problems: Sequence[Problem]) -> dg.AssetCheckResult:
    """Return whether a plan broke rules, for the registration asset."""
    table = problem_table(problems) if problems else {}
    return dg.AssetCheckResult(
        asset_key=target.registration.key,
        check_name=RULES,
        passed=not problems,
        description=_joined(problems),
        metadata=table | _at_fault(_by_check(target, problems)),
    )


def audit_result(target: RepoContext, findings: Sequence[AuditFinding]) -> dg.AssetCheckResult:
    """Return whether what is registered is in order, for the registration asset."""
    return dg.AssetCheckResult(
        asset_key=target.registration.key,
        check_name=AUDIT,
        passed=not findings,
        severity=_severity(findings),
        description=_joined(findings),
        metadata=(_finding_table(findings) if findings else {})
        | _at_fault(_by_check(target, findings)),
    )


def pool_result(target: RepoContext, instance: dg.DagsterInstance) -> dg.AssetCheckResult:
    """Return whether the pool of the loads has a limit, for the registration asset."""
    storage = instance.event_log_storage
    limits = {pool.name: pool.limit for pool in storage.get_pool_limits()}
    limit = limits.get(target.pool, storage.get_pool_config().default_pool_limit)
    remedy = (
        f"The pool {target.pool} limits nothing: loads of any number of runs write to the online "
        "store at a time. Set a limit for it under Deployment > Concurrency, or "
        "`concurrency: {pools: {default_limit: 4}}` in dagster.yaml."
    )
    return dg.AssetCheckResult(
        asset_key=target.registration.key,
        check_name=POOL,
        passed=limit is not None,
        severity=_WARN,
        description=remedy if limit is None else None,
        metadata={"pool": target.pool} | ({} if limit is None else {"limit": limit}),
    )


def refusals(target: RepoContext, problems: Sequence[Problem]) -> list[dg.AssetCheckEvaluation]:
    """Return evaluations of the objects because of which a plan was refused."""
    return [evaluation(_result(key, m)) for key, m in _by_check(target, problems).items()]


def changed_faults(
    target: RepoContext,
    instance: dg.DagsterInstance,
    faults: Sequence[Problem | AuditFinding],
    *,
    since: Sequence[str] = (AUDIT,),
) -> list[dg.AssetCheckEvaluation]:
    """Return evaluations of the objects that are newly at fault, and of those that have recovered.

    Args:
        target: The repo.
        instance: Remembers who was at fault.
        faults: Who is at fault.
        since: The checks of the registration that say who was.
    """
    current = _by_check(target, faults)
    previous = {key: m for check in since for key, m in _previous(target, instance, check).items()}
    return [
        evaluation(_result(key, current.get(key, [])))
        for key in {**previous, **current}
        if current.get(key) != previous.get(key)
    ]


def evaluation(result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """Return a result as an event that belongs to no step."""
    if result.asset_key is None or result.check_name is None:
        raise ValueError("a result outside of a step names its check")
    return dg.AssetCheckEvaluation(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
    )


def _by_check(
    target: RepoContext, faults: Iterable[Problem | AuditFinding]
) -> dict[dg.AssetCheckKey, list[str]]:
    """Return check of an object → what is wrong."""
    by_subject = {str(d): key for key, d in target.objects.items()}
    messages: dict[dg.AssetCheckKey, list[str]] = {}
    for fault in faults:
        subject = fault.subject if isinstance(fault, Problem) else fault.key.subject
        check = DEPRECATIONS if isinstance(fault, AuditFinding) and fault.is_warning else RULES
        if subject in by_subject:
            key = dg.AssetCheckKey(by_subject[subject], check)
            messages.setdefault(key, []).append(fault.message)
    return messages


def _result(key: dg.AssetCheckKey, messages: Sequence[str]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=not messages,
        severity=_WARN if key.name == DEPRECATIONS else _ERROR,
        description=" ".join(messages) or None,
    )


def _severity(findings: Iterable[AuditFinding]) -> dg.AssetCheckSeverity:
    return _ERROR if any(not finding.is_warning for finding in findings) else _WARN


def _joined(faults: Sequence[object]) -> str | None:
    listed = [str(fault) for fault in faults[:_MOST_LISTED]]
    more = len(faults) - len(listed)
    return " ".join([*listed, f"And {more} more."] if more else listed) or None


def _finding_table(findings: Iterable[AuditFinding]) -> dict[str, dg.MetadataValue]:
    records = [
        dg.TableRecord({"rule": f.rule, "object": f.key.subject, "problem": f.message})
        for f in findings
    ]
    return {"problems": dg.MetadataValue.table(records)}


def _at_fault(messages: Mapping[dg.AssetCheckKey, list[str]]) -> dict[str, dg.MetadataValue]:
    """Return who is at fault, for the next look."""
    listed = [[*key.asset_key.path, key.name, m] for key, m in messages.items()]
    return {_AT_FAULT: dg.MetadataValue.json(listed)} if listed else {}


def _previous(
    target: RepoContext, instance: dg.DagsterInstance, check: str
) -> dict[dg.AssetCheckKey, list[str]]:
    """Return which checks of objects failed when a check of the registration was last evaluated."""
    newest = _newest(target, instance, check)
    value = newest.metadata.get(_AT_FAULT) if newest else None
    listed: Any = value.value if value else []
    return {dg.AssetCheckKey(dg.AssetKey(path), name): m for *path, name, m in listed}


def _newest(
    target: RepoContext, instance: dg.DagsterInstance, check: str
) -> dg.AssetCheckEvaluation | None:
    key = dg.AssetCheckKey(target.registration.key, check)
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=20)
    done = (r.evaluation for r in records if isinstance(r.evaluation, dg.AssetCheckEvaluation))
    return next(done, None)  # runs that have not evaluated the check have records as well
