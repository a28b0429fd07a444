"""Ownership: the owner of an object and the recipient of a transfer may change it.

The platform may also change what only the platform may have, if somebody else forged a commit.
"""

from collections.abc import Mapping

from feature_platform.definitions import Transfer
from feature_platform.governance.plan import Change, Plan
from feature_platform.project import PLATFORM, PLATFORM_KINDS, Key, Registered


def may_change(
    plan: Plan, change: Change, entry: Registered, entries: Mapping[Key, Registered]
) -> bool:
    """Return whether a plan's owner owns an object (`entry`) or received it by a transfer."""
    if entry.owner == plan.owner:
        return True
    if plan.owner == PLATFORM and change.kind in PLATFORM_KINDS:
        return True
    if change.after is None:
        return False
    offers = (
        offer.definition
        for key, offer in entries.items()
        if key[:2] == (plan.project, Transfer.kind) and offer.owner == entry.owner
    )
    return any(offers_to(offer, plan.owner, change) for offer in offers)


def offers_to(definition: object, owner: str, change: Change) -> bool:
    return (
        isinstance(definition, Transfer)
        and definition.to == owner
        and f"{change.kind}/{change.name}" in definition.objects
    )
