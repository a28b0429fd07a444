"""The rules of a federated registry: pure functions from a plan's context to problems."""

from collections.abc import Iterator
from datetime import timedelta

from feature_platform.definitions import (
    Acceptance,
    Definition,
    Share,
    Transfer,
    View,
    is_name,
    kinds,
    label_of,
)
from feature_platform.errors import Problem
from feature_platform.governance.contracts import Contracts, Effect
from feature_platform.governance.names import collisions, names, owners
from feature_platform.governance.ownership import may_change, offers_to
from feature_platform.governance.plan import Change, Plan
from feature_platform.governance.plan_context import PlanContext, problem_of
from feature_platform.project import PLATFORM, Key, ProjectSnapshot, broken_references
from feature_platform.project.interface import ViewName
from feature_platform.types.times import later

# A full sync may delete three objects, or more if they are at most 20 and at most 30 percent.
_MAX_DELETIONS, _MIN_LARGE_DELETION, _MAX_SHARE = 20, 4, 0.3


def check(context: PlanContext) -> tuple[Problem, ...]:
    """Return all problems with a plan, in its order; empty if it may be committed."""
    if form_problems := tuple(_form(context.plan)):
        return form_problems
    rules = (
        _override,
        _ownership,
        _kinds,
        names,
        owners,
        collisions,
        _quota,
        _references,
        _contracts,
        _notice,
        _cycles,
        _brake,
    )
    problems = [problem for rule in rules for problem in rule(context)]
    # If the owner may not change an object at all, other problems with it are noise.
    foreign = {p.subject: p for p in reversed(problems) if p.rule in {"ownership", "kind"}}
    return tuple(dict.fromkeys(foreign.get(p.subject, p) for p in problems))


def waived(context: PlanContext) -> tuple[str, ...]:
    """Return the contracts that the platform overrides with a plan, for the record."""
    if not context.plan.override:
        return ()
    return tuple(
        f"{effect.change.subject}: {effect} ({effect.message})"
        for effect in Contracts(context).effects()
        if effect.breaks and not effect.excuse and _is_overridden(context.plan, effect)
    )


def _form(plan: Plan) -> Iterator[Problem]:
    seen = set()
    for change in plan.changes:
        item = (change.kind, change.name)
        problem = ""
        if change.kind not in kinds() or not is_name(change.name):
            problem = "the kind or the name is not valid."
        elif item in seen:
            problem = "the plan changes it twice."
        elif change.before is None and change.after is None:
            problem = "the change is empty."
        elif change.after is not None:
            problem = _content_problem(plan, change)
        seen.add(item)
        if problem:
            yield problem_of("form", change, problem)


def _content_problem(plan: Plan, change: Change) -> str:
    definition = plan.definition(change)
    if definition.fault:
        return definition.fault
    return "" if definition.to_json() == change.after else "the content is not canonical."


def _override(context: PlanContext) -> Iterator[Problem]:
    if context.plan.override and context.plan.owner != PLATFORM:
        yield Problem("override", "the plan", "only the platform team may override contracts.")


def _ownership(context: PlanContext) -> Iterator[Problem]:
    for change in context.plan.changes:
        entry = context.before.snapshot.entries.get(context.plan.key(change))
        entries = context.before.snapshot.entries
        if entry is None or may_change(context.plan, change, entry, entries):
            continue
        verb = {"create": "create", "update": "change", "delete": "delete"}[change.action]
        message = f"belongs to {entry.owner!r}; {context.plan.owner!r} cannot {verb} it."
        remedy = _advice(context, change, entry.owner)
        yield problem_of("ownership", change, f"{message} {remedy}")


def _advice(context: PlanContext, change: Change, owner: str) -> str:
    owned = context.before.owned_by(context.plan.owner).values()
    transfers = (e.definition for e in owned if e.key.kind == Transfer.kind)
    if any(offers_to(transfer, owner, change) for transfer in transfers):
        return f"{owner!r} accepted its transfer. Remove it and the transfer from this repo."
    return f"Refer to it by name, or request the change from {owner!r}."


def _kinds(context: PlanContext) -> Iterator[Problem]:
    if context.plan.owner == PLATFORM:
        return
    kinds = context.before.policy.team_kinds
    for change, _ in context.changed:
        if change.kind not in (*kinds, Transfer.kind):
            allowed = " and ".join(f"{label_of(kind)}s" for kind in kinds)
            message = f"only the platform may register this kind. Teams may register {allowed}."
            yield problem_of("kind", change, message)


def _quota(context: PlanContext) -> Iterator[Problem]:
    limit = context.after.policy.max_objects
    owner = context.plan.owner
    previous = len(context.before.owned_by(owner))
    count = len(context.after.owned_by(owner))
    if owner != PLATFORM and limit is not None and count > max(limit, previous):
        message = f"{owner!r} would have {count} objects; the policy's maximum is {limit}."
        yield Problem("quota", "the plan", message)


def _references(context: PlanContext) -> Iterator[Problem]:
    for change, definition in context.changed:
        for broken in broken_references(context.after, definition):
            yield problem_of("reference", change, broken.message, broken.missing or None)
        if isinstance(definition, Transfer):
            yield from _transfer(context, change, definition)
        if isinstance(definition, (Acceptance, Share)) and definition.name == context.plan.project:
            message = "a project needs no share of its own views. Name another project."
            yield problem_of("reference", change, message)


def _transfer(context: PlanContext, change: Change, transfer: Transfer) -> Iterator[Problem]:
    if transfer.to == context.plan.owner:
        message = f"{transfer.to!r} already owns the objects. Offer them to another owner."
        yield problem_of("reference", change, message)
    for name in transfer.objects:
        kind, _, object_name = name.partition("/")
        entry = context.after.snapshot.entries.get(Key(context.plan.project, kind, object_name))
        if entry is None or entry.owner != context.plan.owner:
            message = f"{context.plan.owner!r} does not own {name}, so it cannot transfer it."
            yield problem_of("reference", change, message)


def _contracts(context: PlanContext) -> Iterator[Problem]:
    violations: dict[Change, list[Effect]] = {}
    for effect in Contracts(context).effects():
        if effect.breaks and not effect.excuse and not _is_overridden(context.plan, effect):
            violations.setdefault(effect.change, []).append(effect)
    for change, effects in violations.items():
        losses: dict[str, list[str]] = {}
        for effect in effects:
            losses.setdefault(str(effect), []).append(effect.message)
        listed = "; ".join(f"{reader} ({', '.join(lost)})" for reader, lost in losses.items())
        readers = f"{len(losses)} reader{'s' if len(losses) > 1 else ''}"
        message = f"the {change.action} would break {readers}: {listed}."
        yield problem_of("contract", change, f"{message} {_remedy(context, change)}")


def _remedy(context: PlanContext, change: Change) -> str:
    previous = context.plan.previous(change)
    deprecation = previous.deprecated if previous else None
    date = deprecation.remove_after if deprecation else None
    wait = f"wait until after {date}" if date else "deprecate it and wait"
    options = ["Keep it compatible", wait, "migrate the readers first"]
    if context.plan.owner == PLATFORM:
        options.append("override (--override)")
    return f"{', '.join(options[:-1])}, or {options[-1]}."


def _is_overridden(plan: Plan, effect: Effect) -> bool:
    is_own = (effect.reader.project, effect.owner) == (plan.project, plan.owner)
    return bool(plan.override) and not is_own


def _notice(context: PlanContext) -> Iterator[Problem]:
    days = context.after.policy.notice_days
    earliest = later(context.now, timedelta(days=days)).date()
    for change in context.plan.changes:
        if change.before is None or change.after is None or context.plan.override:
            continue
        previous = context.plan.previous(change)
        before = previous.deprecations() if previous else {}
        for name, deprecation in context.plan.definition(change).deprecations().items():
            announced = name in before and before[name].remove_after <= deprecation.remove_after
            if not announced and deprecation.remove_after < earliest:
                label = f"feature {name!r}: " if name else ""
                message = (
                    f"{label}remove_after must be {earliest} or later; the policy requires {days} "
                    "days of notice."
                )
                yield problem_of("notice", change, message)


def _cycles(context: PlanContext) -> Iterator[Problem]:
    for change, definition in context.changed:
        if path := _cycle(context, definition):
            yield problem_of("cycle", change, f"it depends on itself: {' → '.join(path)}.")


def _cycle(context: PlanContext, start: Definition) -> list[str]:
    """Return the names on the shortest cycle through an object; empty if there is none."""
    project = context.after
    first = (project.name, start.name)
    path_to: dict[ViewName, list[str]] = {first: [start.name]}
    pending: list[tuple[ProjectSnapshot, Definition]] = [(project, start)]
    while pending:
        reader, view = pending.pop(0)
        for ref in view.references:
            name = (ref.project or reader.name, ref.view)
            path = path_to[reader.name, view.name]
            if name == first and start.namespace == View.namespace:
                return [*path, start.name]
            upstream = reader.find_view(ref)
            if upstream is not None and name not in path_to:
                path_to[name] = [*path, "/".join(name) if name[0] != project.name else ref.view]
                pending.append((reader.at(ref.project), upstream))
    return []


def _brake(context: PlanContext) -> Iterator[Problem]:
    """Refuse large deletions by a full sync, which are usually accidents."""
    plan = context.plan
    count = sum(change.after is None for change in plan.changes)
    owned = len(context.before.owned_by(plan.owner))
    is_large = count >= _MIN_LARGE_DELETION and count > _MAX_SHARE * owned
    if plan.full_sync and not plan.mass_delete and (count > _MAX_DELETIONS or is_large):
        message = f"it would delete {count} of the {owned} objects of {plan.owner!r}."
        remedy = "To allow this, pass --allow-mass-delete or mass_delete=True."
        yield Problem("brake", "the plan", f"{message} {remedy}")
