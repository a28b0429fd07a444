"""Commits: numbered, hash-chained records of plans, verified on every read."""

from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from feature_platform.definitions import is_identifier, is_name
from feature_platform.errors import CorruptLogError
from feature_platform.governance import Plan
from feature_platform.governance.ownership import may_change
from feature_platform.project import Cursor, Snapshot
from feature_platform.project.snapshot import State
from feature_platform.registry.serialization import decode_record, encode_record
from feature_platform.types.times import MAX_AHEAD

FORMAT = 1
MAX_BYTES = 32 * 2**20
_IDENTITY = r"^[0-9a-f]{32}$"

LAST_VERSION = 2**62


class Commit(BaseModel):
    """The record of an accepted plan.

    Attributes:
        format: Version of the record format.
        required_features: Features that a reader must support; unknown ones are refused.
        log_id: Id of the log, created with its first commit.
        version: Position in the log, from 1 without gaps.
        commit_id: Id of the change, the same for all attempts to write it.
        parent_id: `commit_id` of the previous commit; empty for the first.
        parent_sha256: Hash of the previous commit.
        at: Time of the commit, UTC. It is later than its parent's, unless that was in the future.
        principal: Owner who wrote it.
        client: Program that wrote it.
        message: Reason for the change.
        plan: The changes.
        waived: Contracts that the platform overrode; `plan.override` contains the reason.
        state: Digest of all objects after the commit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    required_features: tuple[str, ...] = ()
    log_id: Annotated[str, Field(pattern=_IDENTITY)]
    version: Annotated[int, Field(ge=1, lt=LAST_VERSION)]
    commit_id: Annotated[str, Field(pattern=_IDENTITY)]
    parent_id: str
    parent_sha256: str
    at: AwareDatetime
    principal: str
    client: str
    message: str = ""
    plan: Plan
    waived: tuple[str, ...] = ()
    state: str

    def __repr__(self) -> str:
        return f"Commit of version {self.version} by {self.principal!r}: {self.summary()}"

    def to_bytes(self) -> bytes:
        """Return the stored form; the next commit contains its hash."""
        return encode_record(self.model_dump(mode="json"))

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.log_id, self.version, self.commit_id)

    def summary(self) -> str:
        """Return counts of changes, such as `+2 feature_view, ~1 entity`."""
        counts: dict[tuple[str, str], int] = {}
        signs = {"create": "+", "update": "~", "delete": "-"}
        for change in self.plan.changes:
            group = (change.kind, signs[change.action])
            counts[group] = counts.get(group, 0) + 1
        return ", ".join(f"{sign}{n} {kind}" for (kind, sign), n in counts.items())


def replay(snapshot: Snapshot, records: Iterable[bytes]) -> Snapshot:
    """Verify commits and apply them to a snapshot; without commits, return the same snapshot.

    Raises:
        CorruptLogError: A commit is not a valid successor of the previous one.
    """
    records = list(records)
    if not records:
        return snapshot
    state = State(snapshot)
    head, sha = snapshot.cursor, snapshot.sha256
    for record in records:
        commit = read_commit(record, after=head.version)
        expected = (head.version + 1, head.commit_id, sha)
        if (commit.version, commit.parent_id, commit.parent_sha256) != expected or (
            head.version and commit.log_id != head.log_id
        ):
            raise broken_after(head.version, "is not its successor")
        if commit.at <= state.at and state.at - commit.at <= MAX_AHEAD:
            raise broken_after(head.version, "is not later")
        _audit(commit, state, head.version)
        state.change(commit.plan.entries(commit.version), commit.at)
        if commit.state != f"{state.digest:064x}":
            raise broken_after(head.version, "does not match its digest of all objects")
        head, sha = commit.cursor, sha256(record).hexdigest()
    return replace(
        snapshot,
        cursor=head,
        sha256=sha,
        at=state.at,
        entries=state.entries,
        removed=state.removed,
        digest=state.digest,
    )


def read_commit(record: bytes, *, after: int) -> Commit:
    """Read a stored commit.

    Raises:
        CorruptLogError: The record is not a valid commit, or a newer release wrote it.
    """
    try:
        body = decode_record(record, f"The registry's commit after version {after}")
    except CorruptLogError as error:
        raise CorruptLogError(f"{error} {_next_step(after)}") from error
    try:
        commit = Commit.model_validate_json(body)
    except ValidationError as error:
        detail = error.errors()[0]
        reason = f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
        raise CorruptLogError(
            f"The registry's commit after version {after} cannot be read ({reason}). Upgrade: a "
            f"newer release may have written it. {_next_step(after)}"
        ) from error
    if commit.format > FORMAT or commit.required_features:
        raise CorruptLogError(
            f"Registry commit {commit.version} requires a newer release (format {commit.format}, "
            f"features {list(commit.required_features)}). Upgrade feature-platform."
        )
    return commit


def _audit(commit: Commit, state: State, after: int) -> None:
    """Refuse commits that no correct writer produces."""
    if commit.principal != commit.plan.owner:
        raise broken_after(after, f"by {commit.principal!r} is for {commit.plan.owner!r}")
    if not is_identifier(commit.plan.project) or not is_identifier(commit.plan.owner):
        raise broken_after(after, "has an invalid project or owner")
    for change in commit.plan.changes:  # a newer release may know other kinds
        if not is_identifier(change.kind) or not is_name(change.name):
            raise broken_after(after, f"has an invalid change of {change.kind!r} {change.name!r}")
        key = commit.plan.key(change)
        entry = state.entries.get(key)
        if (entry.body if entry else None) != change.before:
            raise broken_after(after, f"replaces a {change.subject} that did not exist")
        if entry and not may_change(commit.plan, change, entry, state.entries):
            raise broken_after(after, f"by {commit.plan.owner!r} changes {key} of {entry.owner!r}")


def broken_after(version: int, problem: str) -> CorruptLogError:
    message = f"The registry's log was altered or replaced: the commit after version {version}"
    return CorruptLogError(f"{message} {problem}. {_next_step(version)}")


def _next_step(version: int) -> str:
    return f"Run `feature-platform fsck`; registry_version={version} reads the intact part."
