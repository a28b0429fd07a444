"""The rules of a federated registry: functions of a plan and its context."""

from collections.abc import Iterator
from datetime import timedelta

from feature_platform.definitions import (
    Definition,
    Transfer,
    View,
    ViewReference,
    is_name,
    kinds,
)
from feature_platform.errors import Problem
from feature_platform.governance.contracts import Contracts, Effect
from feature_platform.governance.names import collisions, names
from feature_platform.governance.ownership import may_change, offers_to
from feature_platform.governance.plan import Change, Plan
from feature_platform.governance.plan_context import PlanContext, problem_of
from feature_platform.project import PLATFORM, Key, broken_references

# A full sync may delete up to 3 objects, or up to 20 and 30 percent of the owner's objects.
_MANY, _SEVERAL, _SHARE = 20, 4, 0.3


def check(context: PlanContext) -> tuple[Problem, ...]:
    """Return all problems of a plan, in its order; none if it may be committed."""
    if malformed := tuple(_form(context.plan)):
        return malformed
    rules = (
        _override,
        _ownership,
        _kinds,
        names,
        collisions,
        _quota,
        _references,
        _contracts,
        _notice,
        _cycles,
        _brake,
    )
    found = [problem for rule in rules for problem in rule(context)]
    # An owner who may not change an object needs no advice on its contents.
    foreign = {p.subject: p for p in reversed(found) if p.rule in {"ownership", "kind"}}
    return tuple(dict.fromkeys(foreign.get(p.subject, p) for p in found))


def waived(context: PlanContext) -> tuple[str, ...]:
    """Return the contracts that the platform overrides, for the record."""
    if not context.plan.override:
        return ()
    return tuple(
        f"{effect.change.subject}: {effect} ({effect.message})"
        for effect in Contracts(context).effects()
        if effect.breaks and not effect.excuse and _is_overridden(context.plan, effect)
    )


def _form(plan: Plan) -> Iterator[Problem]:
    """Changes are well-formed, canonical and unique."""
    seen = set()
    for change in plan.changes:
        place = (change.kind, change.name)
        problem = ""
        if change.kind not in kinds() or not is_name(change.name):
            problem = "the kind or the name is invalid."
        elif place in seen:
            problem = "the plan contains it twice."
        elif change.before is None and change.after is None:
            problem = "the change is empty."
        elif change.after is not None:
            problem = _content_problem(plan, change)
        seen.add(place)
        if problem:
            yield problem_of("form", change, problem)


def _content_problem(plan: Plan, change: Change) -> str:
    try:
        definition = plan.definition(change)
    except ValueError as error:
        return f"the content is not a definition: {str(error).splitlines()[0]}"
    if (definition.kind, definition.name) != (change.kind, change.name):
        return f"the content is the {definition}."
    return "" if definition.to_json() == change.after else "the content is not canonical."


def _override(context: PlanContext) -> Iterator[Problem]:
    if context.plan.override and context.plan.owner != PLATFORM:
        yield Problem("override", "the plan", "only the platform team can override contracts.")


def _ownership(context: PlanContext) -> Iterator[Problem]:
    for change in context.plan.changes:
        entry = context.before.snapshot.entries.get(context.plan.key(change))
        if entry is None or may_change(
            context.plan, change, entry, context.before.snapshot.entries
        ):
            continue
        verb = {"create": "create", "update": "change", "delete": "delete"}[change.action]
        yield problem_of(
            "ownership",
            change,
            f"belongs to {entry.owner!r}; {context.plan.owner!r} cannot {verb} it. "
            + _advice(context, change, entry.owner),
        )


def _advice(context: PlanContext, change: Change, owner: str) -> str:
    owned = context.before.owned_by(context.plan.owner).values()
    transfers = (e.definition for e in owned if e.key.kind == Transfer.kind)
    if any(offers_to(transfer, owner, change) for transfer in transfers):
        return f"{owner!r} took it over: delete it and the transfer from this repo."
    return f"Reference it by name, or ask {owner!r} to change it."


def _kinds(context: PlanContext) -> Iterator[Problem]:
    if context.plan.owner == PLATFORM:
        return
    kinds = context.before.policy.team_kinds
    for change, _ in context.changed:
        if change.kind not in (*kinds, Transfer.kind):
            allowed = " and ".join(f"{kind.replace('_', ' ')}s" for kind in kinds)
            yield problem_of(
                "kind",
                change,
                f"only the platform team registers objects of this kind; teams register {allowed}.",
            )


def _quota(context: PlanContext) -> Iterator[Problem]:
    limit = context.after.policy.max_objects
    owner = context.plan.owner
    previous = len(context.before.owned_by(owner))
    count = len(context.after.owned_by(owner))
    if owner != PLATFORM and limit is not None and count > max(limit, previous):
        message = f"{owner!r} would have {count} objects; the policy allows {limit}."
        yield Problem("quota", "the plan", message)


def _references(context: PlanContext) -> Iterator[Problem]:
    for change, definition in context.changed:
        for broken in broken_references(context.after, definition):
            yield problem_of("reference", change, broken.message, broken.missing or None)
        if isinstance(definition, Transfer):
            yield from _transferable(context, change, definition)


def _transferable(context: PlanContext, change: Change, transfer: Transfer) -> Iterator[Problem]:
    """Owners offer their own objects, to another owner."""
    if transfer.to == context.plan.owner:
        yield problem_of(
            "reference", change, f"it offers objects to their own owner {transfer.to!r}."
        )
    for name in transfer.objects:
        kind, _, object_name = name.partition("/")
        entry = context.after.snapshot.entries.get(Key(context.plan.project, kind, object_name))
        if entry is None or entry.owner != context.plan.owner:
            message = f"{context.plan.owner!r} does not own {name} and cannot offer it."
            yield problem_of("reference", change, message)


def _contracts(context: PlanContext) -> Iterator[Problem]:
    """Readers keep what they rely on."""
    broken: dict[Change, list[Effect]] = {}
    for effect in Contracts(context).effects():
        if effect.breaks and not effect.excuse and not _is_overridden(context.plan, effect):
            broken.setdefault(effect.change, []).append(effect)
    for change, effects in broken.items():
        listed = "; ".join(f"{effect} ({effect.message})" for effect in effects)
        count = len({effect.reader for effect in effects})
        yield problem_of(
            "contract",
            change,
            f"the {change.action} would break {count} reader{'s' if count > 1 else ''}: "
            f"{listed}. {_way_out(context, change)}",
        )


def _way_out(context: PlanContext, change: Change) -> str:
    previous = context.plan.previous(change)
    deprecation = previous.deprecated if previous else None
    wait = (
        f"wait until after {deprecation.remove_after}" if deprecation else "deprecate it and wait"
    )
    force = ", or override (--override)" if context.plan.owner == PLATFORM else ""
    return f"Keep it compatible, {wait}, or migrate the readers first{force}."


def _is_overridden(plan: Plan, effect: Effect) -> bool:
    return bool(plan.override) and effect.owner != plan.owner


def _notice(context: PlanContext) -> Iterator[Problem]:
    """Deprecations give readers the notice that the policy promises."""
    days = context.after.policy.notice_days
    earliest = context.now.date() + timedelta(days=days)
    for change in context.plan.changes:
        if change.before is None or change.after is None or context.plan.override:
            continue
        previous = context.plan.previous(change)
        before = previous.deprecations() if previous else {}
        for name, deprecation in context.plan.definition(change).deprecations().items():
            kept = name in before and before[name].remove_after <= deprecation.remove_after
            if not kept and deprecation.remove_after < earliest:
                what = f"feature {name!r} " if name else ""
                yield problem_of(
                    "notice",
                    change,
                    f"{what}needs {days} days of notice: use remove_after={earliest} or later.",
                )


def _cycles(context: PlanContext) -> Iterator[Problem]:
    for change, definition in context.changed:
        if path := _cycle(context, definition):
            yield problem_of("cycle", change, f"it reads itself: {' → '.join(path)}.")


def _cycle(context: PlanContext, start: Definition) -> list[str]:
    """Return the names on the shortest path from an object back to itself; empty without one."""
    path_to: dict[str, list[str]] = {start.name: [start.name]}
    pending: list[Definition] = [start]
    while pending:
        view = pending.pop(0)
        for ref in _own_references(context, view):
            if ref.view == start.name and start.namespace == View.namespace:
                return [*path_to[view.name], start.name]
            upstream = context.after.find_view(ref)
            if upstream is not None and ref.view not in path_to:
                path_to[ref.view] = [*path_to[view.name], ref.view]
                pending.append(upstream)
    return []


def _own_references(context: PlanContext, reader: Definition) -> list[ViewReference]:
    """Return the references of an object to views of the same project."""
    own = {None, context.plan.project}
    return [ref for ref in reader.references if ref.project in own]


def _brake(context: PlanContext) -> Iterator[Problem]:
    """A full sync that deletes many objects is probably an accident."""
    plan = context.plan
    gone = [change for change in plan.changes if change.after is None]
    owned = len(context.before.owned_by(plan.owner))
    many = len(gone) > _MANY or (len(gone) >= _SEVERAL and len(gone) > _SHARE * owned)
    if plan.full_sync and not plan.mass_delete and many:
        yield Problem(
            "brake",
            "the plan",
            f"it would delete {len(gone)} of the {owned} objects of {plan.owner!r}. To "
            "confirm, pass --allow-mass-delete or mass_delete=True.",
        )
