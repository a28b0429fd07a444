"""The registry at one version, in memory: what everything that reads works from."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple, Self, TypeVar

from feature_platform.definitions import (
    Definition,
    FeatureView,
    OnDemandFeatureView,
    Policy,
    View,
    from_json,
)
from feature_platform.errors import NotFoundError, did_you_mean

D = TypeVar("D", bound=Definition)

PLATFORM = "platform"
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
VIEW_KINDS = (FeatureView.kind, OnDemandFeatureView.kind)


class Key(NamedTuple):
    """Where an object lives, written `project/kind/name`."""

    project: str
    kind: str
    name: str

    def __str__(self) -> str:
        return "/".join(self)


@dataclass(frozen=True)
class Registered:
    """One registered object.

    Attributes:
        owner: `platform` or the team that registered it.
        body: Canonical JSON of the definition.
        version: Registry version that last changed it.
    """

    owner: str
    body: str
    version: int = 0

    @cached_property
    def definition(self) -> Definition:
        """The definition, parsed when first asked for."""
        return from_json(self.body)


class Cursor(NamedTuple):
    """A point of a log's history. A bare number would not notice a restored or swapped log."""

    log_id: str
    version: int
    commit_id: str


NOWHERE = Cursor("", 0, "")


@dataclass(frozen=True)
class Snapshot:
    """All objects of all projects at one registry version.

    Attributes:
        cursor: The point of history it shows.
        sha256: Hash of the newest commit; the next one names it as its parent.
        at: When the newest commit was written, UTC.
        entries: The objects.
        digest: Sum of the objects' hashes, which every commit states and every reader checks.
    """

    cursor: Cursor = NOWHERE
    sha256: str = ""
    at: datetime = _BEGINNING
    entries: Mapping[Key, Registered] = field(default_factory=dict)
    digest: int = 0

    @property
    def version(self) -> int:
        """Number of the newest commit; 0 for an empty registry."""
        return self.cursor.version

    def of(self, kind: type[D], project: str) -> Iterator[tuple[D, Registered]]:
        """Yield a project's objects of one kind, in name order."""
        for key in sorted(self.entries):
            if key.project == project and key.kind == kind.kind:
                entry = self.entries[key]
                if isinstance(entry.definition, kind):
                    yield entry.definition, entry

    def names(self, project: str, *kinds: str) -> list[str]:
        """Return the names of a project's objects of some kinds, sorted."""
        return sorted(k.name for k in self.entries if k.project == project and k.kind in kinds)

    def find(self, project: str, kind: str, name: str) -> Registered | None:
        """Return one object, or `None`."""
        return self.entries.get(Key(project, kind, name))

    def get(self, kind: type[D], project: str, name: str) -> D:
        """Return one definition.

        Raises:
            NotFoundError: The project has no such object; the message names the nearest.
        """
        entry = self.find(project, kind.kind, name)
        if entry is None or not isinstance(entry.definition, kind):
            known = [definition.name for definition, _ in self.of(kind, project)]
            raise NotFoundError(not_found(kind.kind, name, project, known))
        return entry.definition

    def view(self, project: str, name: str) -> View:
        """Return a feature view or an on-demand feature view.

        Raises:
            NotFoundError: The project has no view of that name.
        """
        for kind in VIEW_KINDS:
            entry = self.find(project, kind, name)
            if entry is not None and isinstance(entry.definition, View):
                return entry.definition
        raise NotFoundError(not_found("view", name, project, self.names(project, *VIEW_KINDS)))

    def policy(self, project: str) -> Policy:
        """Return the project's policy; the free one if the platform has set none."""
        entry = self.find(project, Policy.kind, "policy")
        return entry.definition if entry and isinstance(entry.definition, Policy) else Policy()

    def owned_by(self, project: str, owner: str) -> dict[Key, Registered]:
        """Return what one owner has registered in a project."""
        return {k: e for k, e in self.entries.items() if k.project == project and e.owner == owner}

    def with_entries(self, changed: Iterable[tuple[Key, Registered | None]]) -> Self:
        """Return a copy with some objects set, or removed where `None` is given."""
        entries = dict(self.entries)
        digest = self.digest
        for key, entry in changed:
            if (old := entries.pop(key, None)) is not None:
                digest -= entry_digest(key, old)
            if entry is not None:
                entries[key] = entry
                digest += entry_digest(key, entry)
        return replace(self, entries=entries, digest=digest % 2**256)


def entry_digest(key: Key, entry: Registered) -> int:
    """Hash one object as a number; their sum does not depend on any order."""
    text = "\0".join((*key, entry.owner, entry.body))
    return int.from_bytes(sha256(text.encode()).digest())


def not_found(kind: str, name: str, project: str, known: Iterable[str]) -> str:
    """Say that a project lacks an object, with the nearest name it has."""
    what = kind.replace("_", " ")
    return f"Project {project!r} has no {what} {name!r}.{did_you_mean(name, known)}"
