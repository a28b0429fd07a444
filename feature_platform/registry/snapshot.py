"""The registry at one version, in memory: what everything that reads works from."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import Annotated, NamedTuple, Self, TypeAlias, TypeVar

import pydantic

from feature_platform.definitions import (
    Definition,
    FeatureView,
    OnDemandFeatureView,
    Policy,
    View,
    from_json,
)
from feature_platform.errors import (
    CorruptLogError,
    NotFoundError,
    RequestError,
    did_you_mean,
)
from feature_platform.registry.canonical import check_strict

D = TypeVar("D", bound=Definition)

PLATFORM = "platform"
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
VIEW_KINDS = (FeatureView.kind, OnDemandFeatureView.kind)
_WORD = re.compile(r'"(\w+)"')


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
        key: Where it lives.
        owner: `platform` or the team that registered it.
        body: Canonical JSON of the definition.
        version: Registry version that last changed it.
    """

    key: Key
    owner: str
    body: str
    version: int = 0

    @cached_property
    def definition(self) -> Definition:
        """The definition, parsed when first asked for.

        Raises:
            CorruptLogError: The stored text is not a definition of this kind and name.
        """
        what = f"Registered object {self.key}"
        check_strict(self.body, what)
        try:
            found = from_json(self.body)
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise CorruptLogError(f"{what} is not a definition: {reason}") from error
        if (found.kind, found.name) != self.key[1:]:
            raise CorruptLogError(f"{what} is stored as {found}.")
        return found

    def digest(self) -> int:
        """Hash the object as a number; the sum of several does not depend on any order."""
        return _number(*self.key, self.owner, self.body)


@dataclass(frozen=True)
class Removed:
    """What is remembered of a deleted object: nobody else takes its name at once.

    Attributes:
        key: Where it lived.
        owner: Who deleted it.
        at: When, UTC.
    """

    key: Key
    owner: str
    at: datetime

    def digest(self) -> int:
        """Hash the memory as a number, as `Registered.digest` does."""
        return _number(*self.key, self.owner, "removed", self.at.isoformat())


class Cursor(NamedTuple):
    """A point of a log's history. A bare number would not notice a restored or swapped log."""

    log_id: str
    version: Annotated[int, pydantic.Field(ge=0, lt=2**62)]
    commit_id: str

    def __str__(self) -> str:
        return f"{self.log_id}:{self.version}:{self.commit_id}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read what `str(cursor)` wrote; an empty text is the beginning.

        Raises:
            RequestError: The text is no cursor.
        """
        if not text:
            return NOWHERE
        if not (parts := _CURSOR.fullmatch(text)):
            raise RequestError(f"{text!r} is not a registry cursor (log:version:commit).")
        return cls(parts[1], int(parts[2]), parts[3])


NOWHERE = Cursor("", 0, "")
_CURSOR = re.compile(r"([0-9a-f]{32}):([0-9]{1,18}):([0-9a-f]{32})")


Changed: TypeAlias = Iterable[tuple[Key, Registered | None]]
"""What changed places hold afterwards."""


@dataclass(frozen=True)
class Snapshot:
    """All objects of all projects at one registry version.

    Attributes:
        cursor: The point of history it shows.
        sha256: Hash of the newest commit; the next one names it as its parent.
        at: When the newest commit was written, UTC.
        entries: The objects.
        removed: What was deleted and not registered again.
        digest: Sum of the hashes of both, which every commit states and every reader checks.
    """

    cursor: Cursor = NOWHERE
    sha256: str = ""
    at: datetime = _BEGINNING
    entries: Mapping[Key, Registered] = field(default_factory=dict)
    removed: Mapping[Key, Removed] = field(default_factory=dict)
    digest: int = 0

    @property
    def version(self) -> int:
        """Number of the newest commit; 0 for an empty registry."""
        return self.cursor.version

    @cached_property
    def mentions(self) -> Mapping[str, Sequence[Key]]:
        """Word → the objects whose definitions hold it as a JSON string.

        Names are such strings, so an object that is not listed for a name does not refer to it.
        """
        found: dict[str, list[Key]] = {}
        for key, entry in self.entries.items():
            for word in set(_WORD.findall(entry.body)):
                found.setdefault(word, []).append(key)
        return found

    @cached_property
    def _by_kind(self) -> Mapping[tuple[str, str], Sequence[Key]]:
        found: dict[tuple[str, str], list[Key]] = {}
        for key in sorted(self.entries):
            found.setdefault(key[:2], []).append(key)
        return found

    def of(self, kind: type[D], project: str) -> Iterator[tuple[D, Registered]]:
        """Yield a project's objects of one kind, in name order."""
        for key in self._by_kind.get((project, kind.kind), ()):
            entry = self.entries[key]
            if isinstance(entry.definition, kind):
                yield entry.definition, entry

    def names(self, project: str, *kinds: str) -> list[str]:
        """Return the names of a project's objects of some kinds, sorted."""
        keys = (key for kind in kinds for key in self._by_kind.get((project, kind), ()))
        return sorted(key.name for key in keys)

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
            raise NotFoundError(self._not_found(kind.kind, name, project, known))
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
        known = self.names(project, *VIEW_KINDS)
        raise NotFoundError(self._not_found("view", name, project, known))

    def policy(self, project: str) -> Policy:
        """Return the project's policy; the free one if the platform has set none."""
        entry = self.find(project, Policy.kind, "policy")
        return entry.definition if entry and isinstance(entry.definition, Policy) else Policy()

    def owned_by(self, project: str, owner: str) -> dict[Key, Registered]:
        """Return what one owner has registered in a project."""
        return {k: e for k, e in self.entries.items() if k.project == project and e.owner == owner}

    def with_entries(self, changed: Changed, at: datetime) -> Self:
        """Return a copy with some objects set, or removed where `None` is given, at a time."""
        state = State(self)
        state.change(changed, at)
        return replace(self, entries=state.entries, removed=state.removed, digest=state.digest)

    def _not_found(self, kind: str, name: str, project: str, known: Iterable[str]) -> str:
        kinds = VIEW_KINDS if kind == "view" else (kind,)
        message = not_found(kind, name, project, known)
        for removed in (self.removed.get(Key(project, k, name)) for k in kinds):
            if removed is not None:
                return f"{message} {removed.owner!r} removed it on {removed.at:%F}."
        others = [k.kind for k in self.entries if (k.project, k.name) == (project, name)]
        if others and not set(others) & set(kinds):
            what, is_ = (text.replace("_", " ") for text in (kind, others[0]))
            return f"Project {project!r} has no {what} {name!r}; its {name!r} is of kind {is_}."
        return message


class State:
    """A snapshot's objects while commits are applied to them, without a copy for each."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.entries = dict(snapshot.entries)
        self.removed = dict(snapshot.removed)
        self.digest = snapshot.digest

    def change(self, changed: Changed, at: datetime) -> None:
        """Set objects, or remove them where `None` is given."""
        for key, entry in changed:
            gone: Registered | Removed | None = self.removed.pop(key, None)
            self.digest -= gone.digest() if gone else 0
            if (gone := self.entries.pop(key, None)) is not None:
                self.digest -= gone.digest()
            if entry is not None:
                self.entries[key] = entry
                self.digest += entry.digest()
            elif gone is not None:
                self.removed[key] = Removed(key, gone.owner, at)
                self.digest += self.removed[key].digest()
        self.digest %= 2**256


def _number(*parts: str) -> int:
    return int.from_bytes(sha256("\0".join(parts).encode()).digest())


def not_found(kind: str, name: str, project: str, known: Iterable[str]) -> str:
    """Say that a project lacks an object, with the nearest name it has."""
    what = kind.replace("_", " ")
    return f"Project {project!r} has no {what} {name!r}.{did_you_mean(name, known)}"
