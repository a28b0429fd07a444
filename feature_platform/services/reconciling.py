"""Reconcile: does the registry hold what an owner's repo defines, and may it be applied."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from feature_platform.definitions import Definition, kinds, with_related
from feature_platform.errors import FeaturePlatformError, Problem, check_type
from feature_platform.governance import Plan
from feature_platform.project import Cursor, Key, ProjectSnapshot
from feature_platform.registry import Commit
from feature_platform.services.applying import PlanOptions, plan, review
from feature_platform.services.key_types import with_key_types
from feature_platform.services.stores import Call, Defined


class Verdict(StrEnum):
    """What has to happen for the registry to be as the repo defines it."""

    IN_SYNC = "in sync"
    READY = "ready"
    WAITING = "waiting"
    REFUSED = "refused"
    SUPERSEDED = "superseded"
    REPLACED = "replaced"


@dataclass(frozen=True)
class Assessment:
    """The verdict on a repo, at one registry version.

    Attributes:
        verdict: `READY` if applying the repo would succeed. `WAITING` for dependencies that are
            not registered, `REFUSED` by rules. `SUPERSEDED` if the owner registered this state
            before and has since replaced it from elsewhere. `REPLACED` if the registry is not the
            one that was applied to before.
        reason: Description of the verdict, with the remedy.
        state: Id of what the repo defines; see `state_of`.
        cursor: The newest commit.
        plan: What would change; `None` if it was not computed.
        problems: Broken rules.
    """

    verdict: Verdict
    reason: str
    state: str
    cursor: Cursor
    plan: Plan | None = None
    problems: tuple[Problem, ...] = ()


def state_of(definitions: Iterable[Definition]) -> str:
    """Return an id of the content of definitions, whatever their order."""
    digests = sorted(f"{d.kind}/{d.name}/{d.digest()}" for d in with_related(definitions))
    return sha256("\n".join(digests).encode()).hexdigest()[:16]


def assess(call: Call, defined: Defined = None, *, applied: Cursor | None = None) -> Assessment:
    """Compare what a repo defines with the registry; nothing is written.

    Args:
        call: The call.
        defined: Everything that the repo defines.
        applied: The registry's cursor when the repo was last applied from here, to notice that the
            registry was moved, replaced or restored.
    """
    if applied is not None:
        check_type(applied, Cursor, "applied")
    planned, problems = None, tuple[Problem, ...]()
    definitions = call.defined(defined)
    answer = _without_plan(call, definitions, applied)
    if answer is None:
        try:
            planned = plan(call, definitions, options=PlanOptions(partial=False))
        except FeaturePlatformError as error:
            answer = Verdict.REFUSED, str(error)
        else:
            # Most ticks change nothing, and a review reads every object of the owner.
            problems = review(call, planned, costs=False).problems if planned else ()
            answer = _of_plan(call, definitions, planned, problems)
    cursor = call.project.snapshot.cursor
    return Assessment(*answer, state_of(definitions), cursor, planned, problems)


def _without_plan(
    call: Call, definitions: Sequence[Definition], applied: Cursor | None
) -> tuple[Verdict, str] | None:
    owner = call.stores.settings.team
    if applied is not None and (reason := replaced(call.project.snapshot.cursor, applied)):
        return Verdict.REPLACED, reason
    if definitions:
        return None
    count = len(call.project.owned_by(owner))
    if not count:
        return Verdict.IN_SYNC, f"The repo of {owner!r} defines nothing."
    reason = (
        f"The repo of {owner!r} defines nothing, but {count} of its objects are registered. If "
        "they are to be deleted, run `feature-platform teardown`."
    )
    return Verdict.REFUSED, reason


def _of_plan(
    call: Call, definitions: Sequence[Definition], planned: Plan, problems: Sequence[Problem]
) -> tuple[Verdict, str]:
    if not planned:
        return Verdict.IN_SYNC, f"In sync with registry version {planned.version}."
    if broken := [str(problem) for problem in problems if not problem.missing]:
        return Verdict.REFUSED, f"The plan breaks rules: {' '.join(broken)}"
    if missing := dict.fromkeys(p.missing for p in problems if p.missing):
        return Verdict.WAITING, f"Waiting for unregistered dependencies: {', '.join(missing)}."
    if commit := superseding(call, definitions):
        return Verdict.SUPERSEDED, _superseded(call.stores.settings.team, commit)
    return Verdict.READY, f"{len(planned.changes)} changes can be applied."


def replaced(cursor: Cursor, applied: Cursor) -> str:
    """Return why a registry is not the one that was applied to; empty if it is."""
    if cursor.log_id == applied.log_id and cursor.version >= applied.version:
        return ""
    if not cursor.version:
        condition = "is empty"
    elif cursor.log_id != applied.log_id:
        condition = f"is another one, at version {cursor.version}"
    else:
        condition = f"went back to version {cursor.version}"
    return (
        f"The registry {condition}, but version {applied.version} of it was applied to before. "
        "Check the registry setting, or restore the registry. To start over with this one, launch "
        "the apply job by hand."
    )


def superseding(call: Call, definitions: Iterable[Definition]) -> Commit | None:
    """Return the owner's commit that replaced the state of its repo by another one.

    A deployment with older code, or one whose owner restored an earlier version, must not undo
    what was registered later. `None` if this state of the repo was never registered.
    """
    owner, project = call.stores.settings.team, call.project
    typed = with_key_types(call, list(definitions))
    desired = {Key(project.name, d.kind, d.name): d.to_json() for d in typed}
    bodies = _owned_bodies(project, owner)
    commits = call.stores.registry.history(project=project.name, owner=owner)
    for commit in reversed(commits):
        for change in commit.plan.changes:
            key = commit.plan.key(change)
            if change.before is None:
                bodies.pop(key, None)
            else:
                bodies[key] = change.before
        if bodies == desired:
            return commit
    return None


def _owned_bodies(project: ProjectSnapshot, owner: str) -> dict[Key, str]:
    return {k: e.body for k, e in project.owned_by(owner).items() if k.kind in kinds()}


def _superseded(owner: str, commit: Commit) -> str:
    message = f" ({commit.message!r})" if commit.message else ""
    return (
        f"This state was registered before, and {owner!r} replaced it with version "
        f"{commit.version} on {commit.at:%F %T}Z from {commit.client!r}{message}. Update the code "
        "of this location, or launch the apply job by hand to go back to it."
    )
