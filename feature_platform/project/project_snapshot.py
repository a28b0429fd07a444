"""One project of a registry snapshot."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from feature_platform.definitions import (
    Definition,
    Dependency,
    Policy,
    View,
    ViewReference,
    kinds_in,
    label_of,
)
from feature_platform.errors import (
    AccessError,
    CorruptLogError,
    NotFoundError,
    abbreviate,
    article,
    did_you_mean,
)
from feature_platform.project.access import READER, Caller, Decision, decide
from feature_platform.project.snapshot import PLATFORM, Key, Registered, Snapshot

D = TypeVar("D", bound=Definition)


@dataclass(frozen=True)
class ProjectSnapshot:
    """The objects of one project at one registry version; immutable, without I/O.

    Attributes:
        snapshot: The registry, with all projects.
        name: The project's name.
        now: Time of the call, which decides whether shares of other projects have expired; without
            it, those with an end have.
        memo: Cache for values computed from the snapshot.
    """

    snapshot: Snapshot
    name: str
    now: datetime | None = None
    memo: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def version(self) -> int:
        return self.snapshot.version

    def find(self, namespace: str, name: str) -> Registered | None:
        """Return an object by namespace and name, or `None`.

        Raises:
            NotFoundError: The name is not text.
        """
        if not isinstance(name, str):
            message = f"Project {self.name!r} has no object {abbreviate(name)}: a name is text."
            raise NotFoundError(message)
        for kind in kinds_in(namespace):
            if (entry := self.snapshot.entries.get(Key(self.name, kind, name))) is not None:
                return entry
        return None

    def find_dependency(self, dependency: Dependency) -> Registered | None:
        """Return a dependency of a definition of this project, or `None`."""
        return self.at(dependency.project).find(dependency.namespace, dependency.name)

    def look_up(self, kind: type[D], name: str) -> D | None:
        """Return a definition by kind and name, or `None`."""
        entry = self.find(kind.namespace or kind.kind, name)
        return entry.definition if entry and isinstance(entry.definition, kind) else None

    def find_view(self, reference: ViewReference) -> View | None:
        return self.at(reference.project).look_up(View, reference.view)

    def at(self, project: str | None) -> "ProjectSnapshot":
        """Return a project of the same snapshot; this project for an empty name."""
        return self if project in {None, "", self.name} else replace(self, name=str(project))

    def may_read_object(self, key: Key) -> Decision:
        """Decide whether this project may read an object of any project; see `access.decide`."""
        return decide(self.snapshot, "read", key, Caller(self.name, READER), self.now)

    def may_read(self, reference: ViewReference) -> Decision:
        """Decide whether this project may read a referenced view."""
        home = reference.project or self.name
        return self.may_read_object(Key(home, View.namespace, reference.view))

    def check_may_read(self, reference: ViewReference) -> Decision:
        """Return the decision to read a view.

        Raises:
            AccessError: It may not be read.
        """
        decision = self.may_read(reference)
        if not decision.allowed:
            reason = decision.reason
            raise AccessError(f"View {str(reference)!r} cannot be read: {reason}.")
        return decision

    def get(self, kind: type[D], name: str) -> D:
        """Return a definition by kind and name.

        Raises:
            NotFoundError: The object does not exist; the message suggests a similar name.
        """
        definition = self.look_up(kind, name)
        if definition is None:
            _check_readable(self.find(kind.namespace or kind.kind, name))
            names = [other.name for other, _ in self.of(kind)]
            raise NotFoundError(self.not_found(kind.kind, name, names))
        return definition

    def view(self, reference: ViewReference) -> View:
        """Return a referenced view.

        Raises:
            NotFoundError: The view does not exist.
        """
        view = self.find_view(reference)
        if view is None:
            home = self.at(reference.project)
            _check_readable(home.find(View.namespace, reference.view))
            names = home.names(View.namespace)
            raise NotFoundError(home.not_found("view", reference.view, names))
        return view

    def of(self, kind: type[D]) -> Iterator[tuple[D, Registered]]:
        """Yield the objects of a kind, in name order."""
        for key in self.snapshot.by_kind.get((self.name, kind.kind), ()):
            entry = self.snapshot.entries[key]
            if isinstance(entry.definition, kind):
                yield entry.definition, entry

    def names(self, *namespaces: str) -> list[str]:
        """Return the names in the given namespaces, sorted."""
        kinds = (kind for namespace in namespaces for kind in kinds_in(namespace))
        keys = (key for kind in kinds for key in self.snapshot.by_kind.get((self.name, kind), ()))
        return sorted(key.name for key in keys)

    def entries(self) -> Iterator[Registered]:
        """Yield all objects of the project, sorted by kind and name."""
        for key, entry in sorted(self.snapshot.entries.items()):
            if key.project == self.name:
                yield entry

    def owned_by(self, owner: str) -> dict[Key, Registered]:
        entries = self.snapshot.entries.items()
        return {k: e for k, e in entries if k.project == self.name and e.owner == owner}

    @property
    def policy(self) -> Policy:
        """The project's policy; a permissive default if the platform has registered none.

        Raises:
            CorruptLogError: It cannot be read.
        """
        entry = self.find(Policy.kind, "policy")
        if entry is None or entry.owner != PLATFORM:  # a team's could only be a forged commit's
            return Policy()
        _check_readable(entry)
        return self.look_up(Policy, "policy") or Policy()

    def not_found(self, kind: str, name: str, names: list[str]) -> str:
        """Return a message that an object of a kind (or a `view`) does not exist, with a hint."""
        kinds = kinds_in(View.namespace) if kind == "view" else (kind,)
        label = label_of(kind)
        for removed in (self.snapshot.removed.get(Key(self.name, k, name)) for k in kinds):
            if removed is not None:
                return (
                    f"Project {self.name!r} has no {label} {name!r}: {removed.owner!r} deleted it "
                    f"on {removed.at:%F}."
                )
        others = [k.kind for k in self.snapshot.entries if (k.project, k.name) == (self.name, name)]
        if others and not set(others) & set(kinds):
            other = label_of(others[0])
            return f"Project {self.name!r} has no {label} {name!r}; {name!r} is {article(other)}."
        return f"Project {self.name!r} has no {label} {name!r}.{did_you_mean(name, names)}"


def _check_readable(entry: Registered | None) -> None:
    if entry is not None and entry.definition.fault:
        raise CorruptLogError(
            f"{entry.key.subject}: {entry.definition.fault} Upgrade, in case a newer release wrote "
            f"it; otherwise {entry.owner!r} can apply it again or delete it."
        )
