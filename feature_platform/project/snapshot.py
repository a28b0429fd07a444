"""Snapshots: the registry at one version, in memory."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Final, NamedTuple, Self, TypeAlias

import pydantic

from feature_platform.definitions import (
    Acceptance,
    Definition,
    Policy,
    Share,
    kinds_in,
    label_of,
    namespace_of,
    read_stored,
)
from feature_platform.display import html_table
from feature_platform.errors import RequestError

PLATFORM: Final = "platform"
"""The owner of the objects that the platform team registers."""
PLATFORM_KINDS: Final = frozenset({Acceptance.kind, Policy.kind, Share.kind})
"""Kinds that no other owner may have, whatever the policy says."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORD = re.compile(r'"([\w -]+)"')


class Key(NamedTuple):
    """The key of an object, written `project/kind/name`."""

    project: str
    kind: str
    name: str

    def __str__(self) -> str:
        return "/".join(self)

    @property
    def namespace(self) -> str:
        return namespace_of(self.kind)

    @property
    def subject(self) -> str:
        return subject(self.kind, self.name)


def subject(kind: str, name: str) -> str:
    """Return kind and name for messages, such as `feature view 'hourly_weather'`."""
    return f"{label_of(kind)} {name!r}"


@dataclass(frozen=True)
class Registered:
    """A registered object.

    Attributes:
        key: Its key.
        owner: `platform` or the team that registered it.
        body: Canonical JSON of the definition.
        version: Registry version of the last change.
        generation: Version at which a deleted name was registered again; 0 if it never was.
        parsed: The parsed definition, if available.
    """

    key: Key
    owner: str
    body: str
    version: int = 0
    generation: int = 0
    parsed: Definition | None = field(default=None, repr=False, compare=False)

    @cached_property
    def definition(self) -> Definition:
        """The definition, parsed on first use; a stand-in with a `fault` if it cannot be read."""
        return self.parsed or read_stored(self.key.kind, self.key.name, self.body)

    def digest(self) -> int:
        """Return a hash as a number; sums of hashes do not depend on order."""
        return _number(*self.key, self.owner, self.body)


@dataclass(frozen=True)
class Removed:
    """The record of a deleted object, which reserves its name; `at` is the time of deletion."""

    key: Key
    owner: str
    at: datetime

    def digest(self) -> int:
        """Return a hash as a number, like `Registered.digest`."""
        return _number(*self.key, self.owner, "removed", self.at.isoformat())


class Cursor(NamedTuple):
    """A point of a log's history. Unlike a version, it detects restored or replaced logs."""

    log_id: str
    version: Annotated[int, pydantic.Field(ge=0, lt=2**62)]
    commit_id: str

    def __str__(self) -> str:
        return f"{self.log_id}:{self.version}:{self.commit_id}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Parse `str(cursor)`; an empty text is the beginning of the log.

        Raises:
            RequestError: The text is not a cursor.
        """
        if not text or text == str(BEGINNING):
            return BEGINNING
        if not (parts := _CURSOR.fullmatch(text)):
            raise RequestError(f"{text!r} is not a registry cursor (log:version:commit).")
        return cls(parts[1], int(parts[2]), parts[3])


BEGINNING = Cursor("", 0, "")
_CURSOR = re.compile(r"([0-9a-f]{32}):([0-9]{1,18}):([0-9a-f]{32})")


Changed: TypeAlias = Iterable[tuple[Key, Registered | None]]
"""Changed keys with their new objects; `None` for deleted ones."""


@dataclass(frozen=True)
class Snapshot:
    """All objects of all projects at one registry version.

    Attributes:
        cursor: The point of history.
        sha256: Hash of the newest commit, which the next commit contains.
        at: Time of the newest commit, UTC.
        entries: The objects.
        removed: Deleted objects that were not registered again.
        digest: Sum of the hashes of both; commits contain it and readers verify it.
    """

    cursor: Cursor = BEGINNING
    sha256: str = ""
    at: datetime = _EPOCH
    entries: Mapping[Key, Registered] = field(default_factory=dict)
    removed: Mapping[Key, Removed] = field(default_factory=dict)
    digest: int = 0

    def __repr__(self) -> str:
        projects = sorted({key.project for key in self.entries})
        return f"Snapshot(version={self.version}, objects={len(self.entries)}, projects={projects})"

    def _repr_html_(self) -> str:
        counts = Counter(
            (key.project, entry.owner, label_of(key.kind)) for key, entry in self.entries.items()
        )
        rows = [(*group, count) for group, count in sorted(counts.items())]
        table = html_table(["project", "owner", "kind", "objects"], rows, most=len(rows))
        return f"<p>Registry at version {self.version}</p>{table}"

    @property
    def version(self) -> int:
        """Version of the newest commit; 0 for an empty registry."""
        return self.cursor.version

    @cached_property
    def mentions(self) -> Mapping[str, Sequence[Key]]:
        """Word → objects whose definitions contain it as a JSON string, as they do dependencies."""
        mentions: dict[str, list[Key]] = {}
        for key, entry in self.entries.items():
            for word in set(_WORD.findall(entry.body)):
                mentions.setdefault(word, []).append(key)
        return mentions

    @cached_property
    def by_kind(self) -> Mapping[tuple[str, str], Sequence[Key]]:
        """(project, kind) → keys, in name order."""
        keys: dict[tuple[str, str], list[Key]] = {}
        for key in sorted(self.entries):
            keys.setdefault(key[:2], []).append(key)
        return keys

    def with_entries(self, changed: Changed, at: datetime) -> Self:
        """Return a copy with objects set, or removed for `None`, at the given time."""
        state = State(self)
        state.change(changed, at)
        return replace(self, entries=state.entries, removed=state.removed, digest=state.digest)


class State:
    """A mutable copy of a snapshot's objects, to apply many commits."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.entries = dict(snapshot.entries)
        self.removed = dict(snapshot.removed)
        self.digest = snapshot.digest
        self.at = snapshot.at

    def change(self, changed: Changed, at: datetime) -> None:
        """Set objects, or remove them for `None`."""
        if at < self.at:
            self._set_clock_back(at)
        self.at = at
        for key, entry in changed:
            returns = self.removed and self._was_removed(key)
            removed, previous = self.removed.pop(key, None), self.entries.pop(key, None)
            for old in (removed, previous):
                self.digest -= old.digest() if old is not None else 0
            if entry is not None:
                generation = previous.generation if previous else entry.version if returns else 0
                if generation:
                    entry = replace(entry, generation=generation)  # noqa: PLW2901
                self.entries[key] = entry
                self.digest += entry.digest()
            elif previous is not None:
                self.removed[key] = Removed(key, previous.owner, at)
                self.digest += self.removed[key].digest()
        self.digest %= 2**256

    def _set_clock_back(self, at: datetime) -> None:
        """Date deletions back that a clock dated into the future, or their names stay reserved."""
        for key, removed in self.removed.items():
            if removed.at > at:
                self.digest -= removed.digest()
                self.removed[key] = replace(removed, at=at)
                self.digest += self.removed[key].digest()

    def _was_removed(self, key: Key) -> bool:
        kinds = kinds_in(key.namespace)
        return any(Key(key.project, kind, key.name) in self.removed for kind in kinds)


def _number(*parts: str) -> int:
    return int.from_bytes(sha256("\0".join(parts).encode()).digest())
