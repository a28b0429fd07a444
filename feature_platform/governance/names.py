"""Rules for names: prefixes, reserved names and collisions."""

from collections.abc import Iterator
from datetime import timedelta

from feature_platform.definitions import Acceptance, Policy, Project, Share, separators_folded
from feature_platform.errors import Problem
from feature_platform.governance.plan import Change
from feature_platform.governance.plan_context import PlanContext, problem_of
from feature_platform.project import PLATFORM, Key
from feature_platform.project.snapshot import Removed
from feature_platform.types.times import later

_NAMED_AFTER = {Policy.kind, Share.kind, Acceptance.kind, Project.kind}
"""Kinds whose names are not chosen: `policy`, or a project."""
_RESERVED_FOR = timedelta(days=30)


def names(context: PlanContext) -> Iterator[Problem]:
    policy = context.after.policy
    owner = context.plan.owner
    prefixes = tuple(map(separators_folded, policy.prefixes.get(owner, ())))
    reserved = {_folded(p): team for team, ps in policy.prefixes.items() for p in ps}
    for change, _ in context.changed:
        if change.kind == Project.kind and change.name != context.plan.project:
            message = f"the project is {context.plan.project!r}. Give it this name."
            yield problem_of("naming", change, message)
        if change.kind in _NAMED_AFTER or change.before is not None:
            continue
        folded = _folded(change.name)
        has_prefix = separators_folded(change.name).startswith(prefixes)
        if owner != PLATFORM and folded in set(map(_folded, policy.reserved)):
            yield problem_of("naming", change, "the policy reserves this name. Choose another.")
        if prefixes and not has_prefix:
            listed = " or ".join(map(repr, policy.prefixes[owner]))
            yield problem_of("naming", change, f"names of team {owner!r} must start with {listed}.")
        if not prefixes and owner != PLATFORM and policy.teams_need_prefix:
            message = f"the policy has no prefix for team {owner!r}. Ask the platform team for one."
            yield problem_of("naming", change, message)
        matching = [prefix for prefix in reserved if folded.startswith(prefix)]
        team = reserved[max(matching, key=len)] if matching else owner
        if team != owner and (not prefixes or has_prefix):
            yield problem_of("naming", change, f"this prefix is reserved for team {team!r}.")


def owners(context: PlanContext) -> Iterator[Problem]:
    """Refuse new owners whose names look like another's, such as `Platform` or `risk_`."""
    owner = context.plan.owner
    registered = {entry.owner for entry in context.before.entries()} | {PLATFORM}
    if owner in registered:
        return
    for other in sorted(registered):
        if _look(other) == _look(owner):
            message = f"the name of its owner looks like that of {other!r}. Correct `team:`."
            yield Problem("naming", "the plan", message)


def _look(name: str) -> str:
    return name.casefold().replace("_", "").translate(str.maketrans("1i0", "llo"))


def collisions(context: PlanContext) -> Iterator[Problem]:
    """Refuse names that differ in case or separators only, and reserved names of deleted ones."""
    created = {context.plan.key(change): change for change, _ in context.changed}
    taken: dict[tuple[str, str], Key] = {}
    for key in context.after.snapshot.entries:
        if key.project == context.plan.project and key not in created:
            taken[_place(key)] = key
    for key, change in sorted(created.items()):
        other = taken.setdefault(_place(key), key)
        if other != key:
            owner = context.after.snapshot.entries[other].owner
            message = f"the name is taken by {other.subject} of {owner!r}. Choose another."
            yield problem_of("collision", change, message)
    yield from _reserved_names(context, created)


def _reserved_names(context: PlanContext, created: dict[Key, Change]) -> Iterator[Problem]:
    """Reserve deleted names, so that readers never silently get another owner's object."""
    reserved: dict[tuple[str, str], Removed] = {}
    for key, removed in context.before.snapshot.removed.items():
        foreign = key.project == context.plan.project and removed.owner != context.plan.owner
        if foreign and context.now - removed.at < _RESERVED_FOR:
            reserved[_place(key)] = removed
    for key, change in created.items():
        previous = reserved.get(_place(key)) if change.before is None else None
        is_overridden = context.plan.override and context.plan.owner == PLATFORM
        if previous and not is_overridden:
            end = later(min(previous.at, context.now), _RESERVED_FOR)
            message = f"the name belonged to {previous.owner!r} and is reserved until {end:%F}."
            yield problem_of("collision", change, message)


def _place(key: Key) -> tuple[str, str]:
    return key.namespace, _folded(key.name)


def _folded(name: str) -> str:
    return separators_folded(name).casefold()
