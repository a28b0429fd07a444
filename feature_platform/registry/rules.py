"""The rules of a federated registry: pure functions from (plan, snapshot) to problems."""

from collections.abc import Iterator
from datetime import timedelta

from feature_platform.definitions import (
    KINDS,
    Definition,
    Deprecation,
    OnDemandFeatureView,
    Transfer,
    View,
    is_name,
)
from feature_platform.errors import Problem
from feature_platform.registry.contracts import Contracts, Effect
from feature_platform.registry.naming import collisions, names
from feature_platform.registry.ownership import may_take
from feature_platform.registry.plan import Change, Plan
from feature_platform.registry.proposal import Proposal, problem_of
from feature_platform.registry.references import broken_references
from feature_platform.registry.snapshot import PLATFORM

# A full sync may delete up to 20 objects, and up to 30 percent of what there is; three always.
_MANY, _SEVERAL, _SHARE = 20, 4, 0.3


def check(proposal: Proposal) -> tuple[Problem, ...]:
    """Return everything that speaks against a plan.

    Returns:
        All problems at once, in the order of the plan; none if it may be committed.
    """
    if malformed := tuple(_form(proposal.plan)):
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
    found = [problem for rule in rules for problem in rule(proposal)]
    # Who may not touch an object needs no advice on its contents.
    foreign = {p.subject: p for p in reversed(found) if p.rule in {"ownership", "kind"}}
    return tuple(dict.fromkeys(foreign.get(p.subject, p) for p in found))


def waived(proposal: Proposal) -> tuple[str, ...]:
    """Return what a plan breaks because the platform overrides it, for the record."""
    if not proposal.plan.override:
        return ()
    return tuple(
        f"{effect.change.subject}: {effect} ({effect.message})"
        for effect in Contracts(proposal).effects()
        if effect.breaks and not effect.excuse and _is_overridden(proposal.plan, effect)
    )


def _form(plan: Plan) -> Iterator[Problem]:
    """A change holds what it says it holds, in the one canonical form, and once."""
    seen = set()
    for change in plan.changes:
        place = (change.kind, change.name)
        problem = ""
        if change.kind not in KINDS or not is_name(change.name):
            problem = "there is no such kind, or the name is not valid."
        elif place in seen:
            problem = "the plan changes it twice."
        elif change.before is None and change.after is None:
            problem = "the change is empty."
        elif change.after is not None and not change.is_trusted:
            problem = _content_problem(change)
        seen.add(place)
        if problem:
            yield problem_of("form", change, problem)


def _content_problem(change: Change) -> str:
    try:
        definition = change.definition
    except ValueError as error:
        return f"the content is not a definition: {str(error).splitlines()[0]}"
    if (definition.kind, definition.name) != (change.kind, change.name):
        return f"the content is {definition}."
    return "" if definition.to_json() == change.after else "the content is not canonical."


def _override(proposal: Proposal) -> Iterator[Problem]:
    if proposal.plan.override and proposal.plan.owner != PLATFORM:
        yield Problem("override", "the plan", "only the platform team overrides contracts.")


def _ownership(proposal: Proposal) -> Iterator[Problem]:
    for change in proposal.plan.changes:
        entry = proposal.before.entries.get(proposal.plan.key(change))
        if entry is None or may_take(proposal.plan, change, entry, proposal.before.entries):
            continue
        verb = {"create": "create", "update": "change", "delete": "delete"}[change.action]
        yield problem_of(
            "ownership",
            change,
            f"belongs to {entry.owner!r}; {proposal.plan.owner!r} cannot {verb} it. "
            + _advice(proposal, change, entry.owner),
        )


def _advice(proposal: Proposal, change: Change, owner: str) -> str:
    own = proposal.before.owned_by(proposal.plan.project, proposal.plan.owner).values()
    offers = [e.definition for e in own if e.key.kind == Transfer.kind]
    name = f"{change.kind}/{change.name}"
    if any(isinstance(o, Transfer) and o.to == owner and name in o.objects for o in offers):
        return f"{owner!r} took it over: remove it, and the transfer, from this repo."
    return f"Refer to it by name, or ask {owner!r} for the change."


def _kinds(proposal: Proposal) -> Iterator[Problem]:
    if proposal.plan.owner == PLATFORM:
        return
    kinds = proposal.before.policy(proposal.plan.project).team_kinds
    for change, _ in proposal.changed():
        if change.kind not in (*kinds, Transfer.kind):
            allowed = " and ".join(f"{kind.replace('_', ' ')}s" for kind in kinds)
            yield problem_of(
                "kind",
                change,
                f"only the platform team registers objects of this kind; teams register {allowed}.",
            )


def _quota(proposal: Proposal) -> Iterator[Problem]:
    limit = proposal.after.policy(proposal.plan.project).max_objects
    owner = proposal.plan.owner
    project = proposal.plan.project
    had = len(proposal.before.owned_by(project, owner))
    count = len(proposal.after.owned_by(project, owner))
    if owner != PLATFORM and limit is not None and count > max(limit, had):
        message = f"{owner!r} would have {count} objects; the policy allows {limit}."
        yield Problem("quota", "the plan", message)


def _references(proposal: Proposal) -> Iterator[Problem]:
    for change, definition in proposal.changed():
        for broken in broken_references(proposal.after, proposal.plan.project, definition):
            yield problem_of("reference", change, broken.message, broken.missing or None)
        if isinstance(definition, Transfer):
            yield from _transferable(proposal, change, definition)


def _transferable(proposal: Proposal, change: Change, transfer: Transfer) -> Iterator[Problem]:
    """Owners offer what is theirs, to somebody else."""
    if transfer.to == proposal.plan.owner:
        yield problem_of("reference", change, f"it offers objects to their owner {transfer.to!r}.")
    for name in transfer.objects:
        kind, _, object_name = name.partition("/")
        entry = proposal.after.find(proposal.plan.project, kind, object_name)
        if entry is None or entry.owner != proposal.plan.owner:
            message = f"{proposal.plan.owner!r} has not registered {name}, so it cannot offer it."
            yield problem_of("reference", change, message)


def _contracts(proposal: Proposal) -> Iterator[Problem]:
    """Nothing is left dangling, and what others use stays as they use it."""
    broken: dict[Change, list[Effect]] = {}
    for effect in Contracts(proposal).effects():
        if effect.breaks and not effect.excuse and not _is_overridden(proposal.plan, effect):
            broken.setdefault(effect.change, []).append(effect)
    for change, effects in broken.items():
        listed = "; ".join(f"{effect} ({effect.message})" for effect in effects)
        count = len({effect.reader for effect in effects})
        yield problem_of(
            "contract",
            change,
            f"the {change.action} would break {count} reader{'s' if count > 1 else ''}: "
            f"{listed}. {_way_out(proposal, change)}",
        )


def _way_out(proposal: Proposal, change: Change) -> str:
    notice = change.previous.deprecated if change.previous else None
    wait = f"wait until {notice.remove_after} has passed" if notice else "deprecate it and wait"
    force = ", or override (--override)" if proposal.plan.owner == PLATFORM else ""
    return f"Keep it compatible, {wait}, let the readers move away first{force}."


def _is_overridden(plan: Plan, effect: Effect) -> bool:
    return bool(plan.override) and effect.owner != plan.owner


def _notice(proposal: Proposal) -> Iterator[Problem]:
    """Readers get the time that the policy promises them."""
    days = proposal.after.policy(proposal.plan.project).notice_days
    earliest = proposal.now.date() + timedelta(days=days)
    for change in proposal.plan.changes:
        if change.before is None or change.after is None or proposal.plan.override:
            continue
        before = _deprecations(change.previous)
        for name, notice in _deprecations(change.definition).items():
            held = before.get(name)
            kept = held is not None and held.remove_after <= notice.remove_after
            if not kept and notice.remove_after < earliest:
                what = f"feature {name!r} " if name else ""
                yield problem_of(
                    "notice",
                    change,
                    f"{what}may be deprecated for {earliest} or later: readers get {days} days.",
                )


def _deprecations(definition: Definition | None) -> dict[str, Deprecation]:
    """Return the deprecation of an object, under no name, and those of its fields."""
    if definition is None:
        return {}
    found = {"": definition.deprecated}
    if isinstance(definition, View):
        found |= {f.name: f.deprecated for f in definition.fields}
    return {name: notice for name, notice in found.items() if notice is not None}


def _cycles(proposal: Proposal) -> Iterator[Problem]:
    for change, definition in proposal.changed():
        if isinstance(definition, OnDemandFeatureView) and (path := _circle(proposal, definition)):
            yield problem_of("cycle", change, f"it reads itself: {' → '.join(path)}.")


def _circle(proposal: Proposal, start: OnDemandFeatureView) -> list[str]:
    """Return the shortest way from a view back to itself."""
    reached_from: dict[str, str] = {}
    todo = [start]
    while todo:
        view = todo.pop(0)
        for ref in view.inputs:
            if ref.view == start.name:
                path = [start.name, view.name]
                while path[-1] != start.name:
                    path.append(reached_from[path[-1]])
                return path[::-1] if len(path) > 2 else [start.name, start.name]  # noqa: PLR2004
            upstream = proposal.view(ref.view)
            if isinstance(upstream, OnDemandFeatureView) and ref.view not in reached_from:
                reached_from[ref.view] = view.name
                todo.append(upstream)
    return []


def _brake(proposal: Proposal) -> Iterator[Problem]:
    """A full sync that deletes much is more often an accident than a wish."""
    plan = proposal.plan
    gone = [change for change in plan.changes if change.after is None]
    owned = len(proposal.before.owned_by(plan.project, plan.owner))
    many = len(gone) > _MANY or (len(gone) >= _SEVERAL and len(gone) > _SHARE * owned)
    if plan.full_sync and not plan.mass_delete and many:
        yield Problem(
            "brake",
            "the plan",
            f"it would delete {len(gone)} of the {owned} objects of {plan.owner!r}. If "
            "that is meant, allow it: --allow-mass-delete, or mass_delete=True.",
        )
