"""Rules of names: prefixes, reserved names, and names that cannot be told apart."""

from collections.abc import Iterator
from datetime import timedelta

from feature_platform.definitions import Policy
from feature_platform.errors import Problem
from feature_platform.registry.plan import Change
from feature_platform.registry.proposal import Proposal, problem_of
from feature_platform.registry.snapshot import PLATFORM, VIEW_KINDS, Key, Removed

_NAME_KEPT = timedelta(days=30)


def names(proposal: Proposal) -> Iterator[Problem]:
    """Names carry their team's prefix, and take nobody else's."""
    policy = proposal.after.policy(proposal.plan.project)
    owner = proposal.plan.owner
    own = policy.prefixes.get(owner, ())
    for change, _ in proposal.changed():
        if change.kind == Policy.kind or change.before is not None:
            continue
        folded = change.name.casefold()
        if owner != PLATFORM and folded in {name.casefold() for name in policy.reserved}:
            yield problem_of("naming", change, "the platform's policy reserves this name.")
        if own and not change.name.startswith(own):
            prefixes = " or ".join(map(repr, own))
            yield problem_of("naming", change, f"names of team {owner!r} start with {prefixes}.")
        if not own and owner != PLATFORM and policy.teams_need_prefix:
            yield problem_of(
                "naming", change, f"team {owner!r} has no prefix; the platform's policy sets them."
            )
        reserved = {p.casefold(): team for team, ps in policy.prefixes.items() for p in ps}
        matching = [prefix for prefix in reserved if folded.startswith(prefix)]
        team = reserved[max(matching, key=len)] if matching else owner
        if team != owner and (not own or change.name.startswith(own)):
            yield problem_of("naming", change, f"this prefix is reserved for team {team!r}.")


def collisions(proposal: Proposal) -> Iterator[Problem]:
    """Two names that differ in case only, or two views of one name, cannot be told apart."""
    created = {proposal.plan.key(change): change for change, _ in proposal.changed()}
    taken: dict[tuple[str, str], Key] = {}
    for key in proposal.after.entries:
        if key.project == proposal.plan.project and key not in created:
            taken[_place(key)] = key
    for key, change in sorted(created.items()):
        other = taken.setdefault(_place(key), key)
        if other != key:
            holder = proposal.after.entries[other].owner
            yield problem_of(
                "collision",
                change,
                f"the name is taken by {other.kind.replace('_', ' ')} {other.name!r} of "
                f"{holder!r}; choose another.",
            )
    yield from _too_soon(proposal, created)


def _too_soon(proposal: Proposal, created: dict[Key, Change]) -> Iterator[Problem]:
    """Who deleted an object keeps its name for a while: its readers must not get another's."""
    resting: dict[tuple[str, str], Removed] = {}
    for key, removed in proposal.before.removed.items():
        others = key.project == proposal.plan.project and removed.owner != proposal.plan.owner
        if others and proposal.now < removed.at + _NAME_KEPT:
            resting[_place(key)] = removed
    for key, change in created.items():
        held = resting.get(_place(key)) if change.before is None else None
        if held:
            free = held.at + _NAME_KEPT
            message = f"the name was of {held.owner!r} and is free again on {free:%F}."
            yield problem_of("collision", change, message)


def _place(key: Key) -> tuple[str, str]:
    return "view" if key.kind in VIEW_KINDS else key.kind, key.name.casefold()
