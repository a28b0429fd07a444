"""Plans: the changes of a commit, computed before anything is written."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from feature_platform.definitions import (
    Definition,
    Dependency,
    attributes,
    kinds,
    read_stored,
    with_related,
)
from feature_platform.errors import DefinitionError
from feature_platform.governance.plan_text import plan_text
from feature_platform.project import Key, ProjectSnapshot, Registered, subject


class Change(BaseModel):
    """One object before and after, as canonical JSON; `None` if it does not exist."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    name: str
    before: str | None = None
    after: str | None = None

    @property
    def action(self) -> Literal["create", "update", "delete"]:
        if self.before is None:
            return "create"
        return "delete" if self.after is None else "update"

    @property
    def subject(self) -> str:
        return subject(self.kind, self.name)

    def differences(self) -> list[tuple[str, object, object]]:
        """Return (attribute, before, after) for each difference."""
        before, after = attributes(self.before), attributes(self.after)
        names = sorted(before.keys() | after.keys())
        return [(n, before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n)]


class Plan(BaseModel):
    """The differences between an owner's definitions and the registry.

    Project and owner apply to all changes, so a plan cannot contain objects of several owners.

    Attributes:
        version: Registry version that the plan was computed from.
        changes: Changes, in the order entities, sources, views, services.
        full_sync: Whether the plan deletes the objects that the owner no longer defines.
        mass_delete: Whether a full sync may delete many objects.
        override: The platform's reason for breaking contracts; empty without an override.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str
    owner: str
    version: Annotated[int, Field(ge=0, lt=2**62)]
    changes: tuple[Change, ...]
    full_sync: bool = False
    mass_delete: bool = False
    override: str = ""
    # By stored content, so that rules see what is stored whatever the plan was copied from.
    _parsed: dict[str, Definition] = PrivateAttr(default_factory=dict)

    def __str__(self) -> str:
        return plan_text(self)

    def __repr__(self) -> str:
        return f"Plan of {self.owner!r} for project {self.project!r}:\n{self}"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and dict(self) == dict(other)

    __hash__ = BaseModel.__hash__

    def definition(self, change: Change) -> Definition:
        """Return the new definition, or the previous one of a deleted object."""
        return self._read(change, change.after or change.before or "")

    def previous(self, change: Change) -> Definition | None:
        """Return the previous definition; `None` if the object is new."""
        return self._read(change, change.before) if change.before else None

    def keep_parsed(self, parsed: Mapping[str, Definition]) -> None:
        """Cache validated definitions by their canonical JSON, which saves parsing it."""
        self._parsed.update(parsed)

    def _read(self, change: Change, body: str) -> Definition:
        parsed = self._parsed
        definition = parsed.get(body)
        if definition is None:
            definition = parsed[body] = read_stored(change.kind, change.name, body)
        return definition

    def key(self, change: Change) -> Key:
        return Key(self.project, change.kind, change.name)

    def entries(self, version: int = 0) -> Iterator[tuple[Key, Registered | None]]:
        """Yield each changed key and its new object; `None` if it is deleted."""
        parsed = self._parsed
        for change in self.changes:
            key, body = self.key(change), change.after
            if body is None:
                yield key, None
            else:
                yield key, Registered(key, self.owner, body, version, parsed=parsed.get(body))

    def __bool__(self) -> bool:
        return bool(self.changes)


def plan(
    project: ProjectSnapshot,
    *,
    owner: str,
    desired: Iterable[Definition],
    delete: Iterable[Definition] = (),
    partial: bool = True,
    mass_delete: bool = False,
    override: str = "",
) -> Plan:
    """Compare an owner's definitions with the registry. Nothing is written or checked.

    Args:
        project: The project to compare with.
        owner: `platform`, or the team that owns the definitions.
        desired: Definitions to register.
        delete: Definitions to delete.
        partial: `True` creates and updates the listed definitions. `False` is a full sync, which
            also deletes the owner's objects that are not listed.
        mass_delete: Allow a full sync to delete many objects.
        override: The platform's reason for breaking contracts, for the record.

    Returns:
        The plan; without changes if the registry is up to date. See `rules.check`.

    Raises:
        DefinitionError: Two different definitions share a kind and a name.
    """
    by_key = _by_key(project.name, desired)
    deleted = {Key(project.name, d.kind, d.name) for d in delete}
    if conflicts := deleted & by_key.keys():
        names = ", ".join(map(str, conflicts))
        raise DefinitionError(f"{names} is listed both to apply and to delete. Remove it from one.")
    if not partial:
        # Kinds that only a newer release knows are its to delete.
        owned = {key for key in project.owned_by(owner) if key.kind in kinds()}
        deleted |= owned - by_key.keys()
    changes, parsed = [], {}
    for key in sorted(by_key.keys() | deleted, key=_order):
        entry = project.snapshot.entries.get(key)
        before = entry.body if entry else None
        after = by_key[key].to_json() if key in by_key else None
        if before == after and (entry is None or entry.owner == owner):
            continue
        if entry and key in by_key and by_key[key].is_unnamed:
            _check_meant(project, by_key[key], entry, by_key)
        changes.append(Change(kind=key.kind, name=key.name, before=before, after=after))
        if after is not None and by_key[key].is_validated:
            parsed[after] = by_key[key]
    made = Plan(
        project=project.name,
        owner=owner,
        version=project.version,
        changes=tuple(changes),
        full_sync=not partial,
        mass_delete=mass_delete,
        override=override,
    )
    made.keep_parsed(parsed)
    return made


def _check_meant(
    project: ProjectSnapshot,
    definition: Definition,
    entry: Registered,
    desired: Mapping[Key, Definition],
) -> None:
    """Refuse a source whose derived name would redirect objects that are not applied with it.

    Raises:
        DefinitionError: It would.
    """
    dependency = Dependency(entry.key.namespace, entry.key.name)
    readers = [
        other.key
        for other in project.entries()
        if other.key not in desired and dependency in set(other.definition.dependencies())
    ]
    if readers:
        raise DefinitionError(
            f"{definition} has no name of its own, and another {definition} is registered, which "
            f"{readers[0].subject} reads. Pass name= to one of them."
        )


def _by_key(project: str, desired: Iterable[Definition]) -> dict[Key, Definition]:
    definitions = list({id(d): d for d in desired}.values())
    counts = Counter((d.kind, d.name) for d in definitions)
    if duplicates := sorted(f"{kind} {name!r}" for (kind, name), n in counts.items() if n > 1):
        names = ", ".join(duplicates)
        raise DefinitionError(f"Defined more than once: {names}. Rename one of them.")
    return {Key(project, d.kind, d.name): d for d in with_related(definitions)}


def plans_between(before: ProjectSnapshot, after: ProjectSnapshot) -> list[Plan]:
    """Return the differences between two states of a project as one plan per owner.

    With the current state as `before` and an earlier one as `after`, the plans restore the latter.
    """
    changes: dict[str, list[Change]] = {}
    old, new = (
        {e.key: e for e in project.entries() if e.key.kind in kinds()}
        for project in (before, after)
    )
    for key in sorted(old.keys() | new.keys(), key=_order):
        a, b = old.get(key), new.get(key)
        if (a and (a.owner, a.body)) == (b and (b.owner, b.body)):
            continue
        change = Change(kind=key.kind, name=key.name, before=a and a.body, after=b and b.body)
        changes.setdefault((b or a or old[key]).owner, []).append(change)
    return [
        Plan(project=before.name, owner=owner, version=before.version, changes=tuple(items))
        for owner, items in sorted(changes.items())
    ]


def _order(key: Key) -> tuple[int, str]:
    return kinds().index(key.kind), key.name
