"""Commits: numbered, hash-chained, and verified when they are read."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from feature_platform.definitions import is_name, kinds
from feature_platform.errors import CorruptLogError
from feature_platform.governance import Plan
from feature_platform.governance.ownership import may_change
from feature_platform.project import Cursor, Snapshot
from feature_platform.project.snapshot import State
from feature_platform.registry.serialization import decode_record, encode_record

FORMAT = 1
MAX_BYTES = 32 * 2**20
_IDENTITY = r"^[0-9a-f]{32}$"

LAST_VERSION = 2**62


class Commit(BaseModel):
    """An accepted plan: who changed what, when and why.

    Attributes:
        format: Version of this form.
        required_features: Features that a reader must support.
        log_id: Identity of the log, chosen by its first commit.
        version: Position in the log, from 1 without gaps.
        commit_id: Identity of the change, the same in all attempts to write it.
        parent_id: `commit_id` of the commit before; empty for the first.
        parent_sha256: Hash of the commit before.
        at: When it was written, UTC; later than its parent's, whatever the clock.
        principal: Who wrote it.
        client: Which program wrote it.
        message: Why.
        plan: What changed.
        waived: Contracts that the platform overrode; `plan.override` has the reason.
        state: Digest of all objects afterwards.
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

    def to_bytes(self) -> bytes:
        """Return the stored form; the next commit names its hash."""
        return encode_record(self.model_dump(mode="json"))

    @property
    def cursor(self) -> Cursor:
        """Its point in history."""
        return Cursor(self.log_id, self.version, self.commit_id)

    def summary(self) -> str:
        """Summarize the changes, such as `+2 feature_view, ~1 entity`."""
        counts: dict[tuple[str, str], int] = {}
        signs = {"create": "+", "update": "~", "delete": "-"}
        for change in self.plan.changes:
            group = (change.kind, signs[change.action])
            counts[group] = counts.get(group, 0) + 1
        return ", ".join(f"{sign}{n} {kind}" for (kind, sign), n in counts.items())


def replay(snapshot: Snapshot, records: Iterable[bytes]) -> Snapshot:
    """Apply commits to a snapshot, verifying each; without commits it is the same snapshot.

    Raises:
        CorruptLogError: A commit is not a valid successor of the one before.
    """
    records = list(records)
    if not records:
        return snapshot
    state = State(snapshot)
    head, sha, at = snapshot.cursor, snapshot.sha256, snapshot.at
    for record in records:
        commit = read_commit(record, after=head.version)
        expected = (head.version + 1, head.commit_id, sha)
        if (commit.version, commit.parent_id, commit.parent_sha256) != expected or (
            head.version and commit.log_id != head.log_id
        ):
            raise broken_after(head.version, "does not follow it")
        if commit.at <= at:
            raise broken_after(head.version, "is not later")
        _audit(commit, state, head.version)
        state.change(commit.plan.entries(commit.version), commit.at)
        if commit.state != f"{state.digest:064x}":
            raise broken_after(head.version, "does not match its digest of the state")
        head, sha, at = commit.cursor, sha256(record).hexdigest(), commit.at
    return replace(
        snapshot,
        cursor=head,
        sha256=sha,
        at=at,
        entries=state.entries,
        removed=state.removed,
        digest=state.digest,
    )


def read_commit(record: bytes, *, after: int) -> Commit:
    """Read one stored commit.

    Raises:
        CorruptLogError: It is not a commit, or a newer release wrote it.
    """
    try:
        body = decode_record(record, f"The registry's commit after version {after}")
    except CorruptLogError as error:
        raise CorruptLogError(
            f"{error} Run `feature-platform fsck`; registry_version={after} reads the valid part."
        ) from error
    try:
        commit = Commit.model_validate_json(body)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise CorruptLogError(
            f"The registry's commit after version {after} cannot be read ({place}: "
            f"{error.errors()[0]['msg']}). A newer release or another program wrote it."
        ) from error
    if commit.format > FORMAT or commit.required_features:
        raise CorruptLogError(
            f"Registry commit {commit.version} needs a newer release of feature-platform "
            f"(format {commit.format}, features {list(commit.required_features)}). Upgrade."
        )
    return commit


def _audit(commit: Commit, state: State, after: int) -> None:
    """Refuse commits that no correct writer can have written."""
    if commit.principal != commit.plan.owner:
        raise broken_after(after, f"is by {commit.principal!r} for {commit.plan.owner!r}")
    if not is_name(commit.plan.project) or not is_name(commit.plan.owner):
        raise broken_after(after, "is for a project or an owner whose name is not valid")
    valid = kinds()
    for change in commit.plan.changes:
        if change.kind not in valid or not is_name(change.name):
            raise broken_after(after, f"has a change of {change.kind!r} {change.name!r}")
        key = commit.plan.key(change)
        entry = state.entries.get(key)
        if (entry.body if entry else None) != change.before:
            raise broken_after(after, f"replaces a {change.subject} that was not there")
        if entry and not may_change(commit.plan, change, entry, state.entries):
            raise broken_after(
                after, f"is by {commit.plan.owner!r} and changes {key} of {entry.owner!r}"
            )


def broken_after(version: int, how: str) -> CorruptLogError:
    """Return the error of a log that is valid up to a version."""
    return CorruptLogError(
        f"The registry's log is valid up to version {version}; the next commit {how}. The log was "
        "altered or swapped. Run `feature-platform fsck`; "
        f"registry_version={version} reads the valid part."
    )


def utc_now() -> datetime:
    """Return the current time, UTC."""
    return datetime.now(UTC)
