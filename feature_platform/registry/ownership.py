"""Who may change what: an object's owner, and whom the owner offered it to."""

from collections.abc import Mapping

from feature_platform.definitions import Transfer
from feature_platform.registry.plan import Change, Plan
from feature_platform.registry.snapshot import Key, Registered


def may_take(
    plan: Plan, change: Change, entry: Registered, entries: Mapping[Key, Registered]
) -> bool:
    """Say whether a plan's owner may change an object: it is its own, or was offered to it.

    Args:
        plan: The plan.
        change: Its change of the object.
        entry: The object as registered.
        entries: All registered objects, before the plan.
    """
    if entry.owner == plan.owner:
        return True
    return change.after is not None and any(
        key.kind == Transfer.kind
        and key.project == plan.project
        and offer.owner == entry.owner
        and isinstance(offer.definition, Transfer)
        and offer.definition.to == plan.owner
        and f"{change.kind}/{change.name}" in offer.definition.objects
        for key, offer in entries.items()
    )
