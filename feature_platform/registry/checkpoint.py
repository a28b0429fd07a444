"""Checkpoints: a cache of snapshots, used only if the log has their commit and digest."""

from hashlib import sha256
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from feature_platform.errors import CorruptLogError
from feature_platform.project.snapshot import Cursor, Key, Registered, Removed, Snapshot
from feature_platform.registry.commit import FORMAT, read_commit
from feature_platform.registry.serialization import decode_record, encode_record

_COMMITS = 50
_OBJECTS_PER_STEP = 500


class Checkpoint(BaseModel):
    """The stored form of a snapshot."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Annotated[int, Field(le=FORMAT)] = FORMAT
    cursor: Cursor
    sha256: str
    at: AwareDatetime
    entries: list[tuple[Key, str, str, int, int]]
    removed: list[tuple[Key, str, AwareDatetime]]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Self:
        entries, removed = sorted(snapshot.entries.items()), sorted(snapshot.removed.items())
        return cls(
            cursor=snapshot.cursor,
            sha256=snapshot.sha256,
            at=snapshot.at,
            entries=[(key, e.owner, e.body, e.version, e.generation) for key, e in entries],
            removed=[(key, record.owner, record.at) for key, record in removed],
        )

    def to_bytes(self) -> bytes:
        return encode_record(self.model_dump(mode="json"))

    @classmethod
    def read(cls, stored: bytes) -> Self | None:
        """Read a stored checkpoint; `None` if it is damaged or a newer release wrote it."""
        try:
            return cls.model_validate_json(decode_record(stored, "The checkpoint"))
        except (CorruptLogError, ValidationError):
            return None

    def snapshot(self, record: bytes) -> Snapshot | None:
        """Return the snapshot; `None` if it does not match the log's record of its version."""
        entries = {fields[0]: Registered(*fields) for fields in self.entries}
        removed = {fields[0]: Removed(*fields) for fields in self.removed}
        digest = sum(entry.digest() for entry in entries.values())
        digest = (digest + sum(record.digest() for record in removed.values())) % 2**256
        try:
            commit = read_commit(record, after=self.cursor.version - 1)
        except CorruptLogError:
            return None
        expected = (commit.cursor, sha256(record).hexdigest(), commit.at, commit.state)
        if expected != (self.cursor, self.sha256, self.at, f"{digest:064x}"):
            return None
        return Snapshot(self.cursor, self.sha256, self.at, entries, removed, digest)


def is_due(version: int, objects: int) -> bool:
    """Return whether to store a checkpoint: every 50 commits, less often in large registries."""
    return version % (_COMMITS * (1 + objects // _OBJECTS_PER_STEP)) == 0
