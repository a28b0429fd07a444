"""What a commit would change, worked out before anything is written."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict

from feature_platform.definitions import KINDS, Definition, from_json, with_related
from feature_platform.errors import DefinitionError
from feature_platform.registry.snapshot import Key, Registered, Snapshot


class Change(BaseModel):
    """One object before and after, as canonical JSON; `None` where it does not exist."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    name: str
    before: str | None = None
    after: str | None = None

    @property
    def action(self) -> Literal["create", "update", "delete"]:
        """What happens to the object."""
        if self.before is None:
            return "create"
        return "delete" if self.after is None else "update"

    @cached_property
    def definition(self) -> Definition:
        """The object as it will be, or as it was if it is deleted."""
        return from_json(self.after or self.before or "")

    def differences(self) -> list[tuple[str, object, object]]:
        """Return (attribute, before, after) for every attribute that differs."""
        before = json.loads(self.before) if self.before else {}
        after = json.loads(self.after) if self.after else {}
        names = sorted(before.keys() | after.keys())
        return [(n, before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n)]


class Plan(BaseModel):
    """The difference between what one owner wants and what is registered: plain data.

    A change has no project and no owner of its own, so a plan cannot name what others own.

    Attributes:
        version: Registry version it was made from.
        changes: What it would do, in the order entities, sources, views, services.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str
    owner: str
    version: int
    changes: tuple[Change, ...]

    def entries(self, version: int = 0) -> Iterator[tuple[Key, Registered | None]]:
        """Yield what each changed place holds afterwards."""
        for change in self.changes:
            key = Key(self.project, change.kind, change.name)
            yield key, (change.after and Registered(self.owner, change.after, version)) or None

    def __bool__(self) -> bool:
        return bool(self.changes)


def plan(
    snapshot: Snapshot,
    *,
    project: str,
    owner: str,
    desired: Iterable[Definition],
    delete: Iterable[Definition] = (),
    partial: bool = True,
) -> Plan:
    """Compare what an owner wants with the registry.

    Args:
        snapshot: The registry to compare with.
        project: Project of the objects.
        owner: `platform`, or the team whose objects these are.
        desired: What the owner wants registered.
        delete: What the owner wants removed.
        partial: `True` adds and updates what is listed. `False` is a full sync of the owner's
            own objects: those that are not listed are deleted, and nobody else's.

    Returns:
        The changes; none if the registry already agrees. Making a plan writes nothing and
        checks nothing: `rules.check` does.

    Raises:
        DefinitionError: Two different definitions share a kind and a name.
    """
    wanted = _by_key(project, desired)
    gone = {Key(project, d.kind, d.name) for d in delete}
    if both := gone & wanted.keys():
        raise DefinitionError(f"{', '.join(map(str, both))} is both listed and to be deleted.")
    if not partial:
        gone |= snapshot.owned_by(project, owner).keys() - wanted.keys()
    after = {key: d.to_json() for key, d in wanted.items()} | dict.fromkeys(gone)
    changes = []
    for key in sorted(after, key=lambda k: (KINDS.index(k.kind), k.name)):
        entry = snapshot.entries.get(key)
        before = entry.body if entry else None
        if before != after[key] or (entry and entry.owner != owner):
            change = Change(kind=key.kind, name=key.name, before=before, after=after[key])
            changes.append(change)
    return Plan(project=project, owner=owner, version=snapshot.version, changes=tuple(changes))


def _by_key(project: str, desired: Iterable[Definition]) -> dict[Key, Definition]:
    listed = list({id(d): d for d in desired}.values())
    counts = Counter((d.kind, d.name) for d in listed)
    if twice := sorted(f"{kind} {name!r}" for (kind, name), n in counts.items() if n > 1):
        raise DefinitionError(f"Defined more than once: {', '.join(twice)}. Rename one of them.")
    return {Key(project, d.kind, d.name): d for d in with_related(listed)}
