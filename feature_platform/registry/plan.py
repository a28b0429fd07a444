"""What a commit would change, worked out before anything is written."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

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

    @classmethod
    def to(cls, definition: Definition, before: str | None) -> Self:
        """Return the change that registers a definition."""
        name, after = definition.name, definition.to_json()
        change = cls(kind=definition.kind, name=name, before=before, after=after)
        change.__dict__["definition"] = definition  # what would be parsed again
        change.__dict__["trusted"] = True
        return change

    @property
    def action(self) -> Literal["create", "update", "delete"]:
        """What happens to the object."""
        if self.before is None:
            return "create"
        return "delete" if self.after is None else "update"

    @property
    def subject(self) -> str:
        """The object in words, such as `feature view 'hourly_weather'`."""
        return f"{self.kind.replace('_', ' ')} {self.name!r}"

    @property
    def is_trusted(self) -> bool:
        """Whether the content was made from a definition, not read from somewhere."""
        return "trusted" in self.__dict__

    @cached_property
    def definition(self) -> Definition:
        """The object as it will be, or as it was if it is deleted."""
        return from_json(self.after or self.before or "")

    @cached_property
    def previous(self) -> Definition | None:
        """The object as it was; `None` if it is new."""
        return from_json(self.before) if self.before else None

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
        full_sync: Whether it removes what the owner no longer defines.
        mass_delete: Whether a full sync may remove much at once.
        override: Why the platform breaks what others rely on; empty if it does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str
    owner: str
    version: Annotated[int, Field(ge=0, lt=2**62)]
    changes: tuple[Change, ...]
    full_sync: bool = False
    mass_delete: bool = False
    override: str = ""

    def key(self, change: Change) -> Key:
        """Return where a changed object lives."""
        return Key(self.project, change.kind, change.name)

    def entries(self, version: int = 0) -> Iterator[tuple[Key, Registered | None]]:
        """Yield what each changed place holds afterwards."""
        for change in self.changes:
            key, entry = self.key(change), None
            if change.after is not None:
                entry = Registered(key, self.owner, change.after, version)
                if change.is_trusted:
                    entry.__dict__["definition"] = change.definition  # what would be parsed again
            yield key, entry

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
    mass_delete: bool = False,
    override: str = "",
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
        mass_delete: Let a full sync delete much at once.
        override: Why the platform breaks what others rely on, for the record.

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
    changes = []
    for key in sorted(wanted.keys() | gone, key=_order):
        entry = snapshot.entries.get(key)
        before = entry.body if entry else None
        after = wanted[key].to_json() if key in wanted else None
        if before == after and (entry is None or entry.owner == owner):
            continue
        if key in wanted:
            changes.append(Change.to(wanted[key], before))
        else:
            changes.append(Change(kind=key.kind, name=key.name, before=before))
    return Plan(
        project=project,
        owner=owner,
        version=snapshot.version,
        changes=tuple(changes),
        full_sync=not partial,
        mass_delete=mass_delete,
        override=override,
    )


def _by_key(project: str, desired: Iterable[Definition]) -> dict[Key, Definition]:
    listed = list({id(d): d for d in desired}.values())
    counts = Counter((d.kind, d.name) for d in listed)
    if twice := sorted(f"{kind} {name!r}" for (kind, name), n in counts.items() if n > 1):
        raise DefinitionError(f"Defined more than once: {', '.join(twice)}. Rename one of them.")
    return {Key(project, d.kind, d.name): d for d in with_related(listed)}


def differences(before: Snapshot, after: Snapshot, project: str) -> list[Plan]:
    """Return what differs between two states of a project, as one plan per owner.

    The plan of an owner, made from the present and an earlier state, restores what it had.
    """
    changes: dict[str, list[Change]] = {}
    for key in sorted(before.entries.keys() | after.entries.keys(), key=_order):
        old, new = before.entries.get(key), after.entries.get(key)
        same = (old and (old.owner, old.body)) == (new and (new.owner, new.body))
        owner = (new or old or before.entries[key]).owner
        if key.project == project and not same:
            bodies = {"before": old and old.body, "after": new and new.body}
            changes.setdefault(owner, []).append(Change(kind=key.kind, name=key.name, **bodies))
    return [
        Plan(project=project, owner=owner, version=before.version, changes=tuple(found))
        for owner, found in sorted(changes.items())
    ]


def _order(key: Key) -> tuple[int, str]:
    return KINDS.index(key.kind), key.name
