"""Commits: numbered, chained by hash, one canonical form."""

import json
from datetime import UTC, datetime
from hashlib import sha256

from pydantic import BaseModel, ConfigDict, ValidationError

from feature_platform.errors import CorruptLogError
from feature_platform.registry.plan import Plan
from feature_platform.registry.snapshot import Cursor, Snapshot

FORMAT = 1


class Commit(BaseModel):
    """A plan that was accepted: who changed what, when and why.

    Attributes:
        format: Version of this form.
        required_features: Abilities a reader must have; an unknown one is refused.
        log_id: Identity of the log, chosen by its first commit.
        version: Position in the log, from 1 without gaps.
        commit_id: Identity of the change, the same over all attempts to write it.
        parent_id: `commit_id` of the commit before; empty for the first.
        parent_sha256: Hash of the commit before.
        at: When it was written, UTC; later than its parent's even if a clock went back.
        principal: Who wrote it.
        client: Which program wrote it.
        message: Why.
        plan: What changed.
        state: Digest of all objects afterwards.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    required_features: tuple[str, ...] = ()
    log_id: str
    version: int
    commit_id: str
    parent_id: str
    parent_sha256: str
    at: datetime
    principal: str
    client: str
    message: str = ""
    plan: Plan
    state: str

    def to_bytes(self) -> bytes:
        """Return the stored form: canonical JSON, and a line with its hash.

        The next commit names the hash of the whole.
        """
        content = self.model_dump(mode="json")
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        body = text.encode()
        return body + b"\n" + sha256(body).hexdigest().encode()

    def summary(self) -> str:
        """Describe the changes in a few words, such as `+2 ~1 feature_view`."""
        counts: dict[tuple[str, str], int] = {}
        signs = {"create": "+", "update": "~", "delete": "-"}
        for change in self.plan.changes:
            place = (change.kind, signs[change.action])
            counts[place] = counts.get(place, 0) + 1
        return ", ".join(f"{sign}{n} {kind}" for (kind, sign), n in counts.items())


def replay(snapshot: Snapshot, records: list[bytes]) -> Snapshot:
    """Apply commits to a snapshot, verifying each.

    Raises:
        CorruptLogError: A commit is not the successor of the one before; nothing after the last
            good version is read.
    """
    for record in records:
        commit = read_commit(record, after=snapshot.version)
        expected = (snapshot.version + 1, snapshot.cursor.commit_id, snapshot.sha256)
        if (commit.version, commit.parent_id, commit.parent_sha256) != expected or (
            snapshot.version and commit.log_id != snapshot.cursor.log_id
        ):
            raise CorruptLogError(
                f"Registry commit {commit.version} does not follow commit {snapshot.version}: the "
                "log was altered or swapped. Restore it from a backup."
            )
        changed = snapshot.with_entries(commit.plan.entries(commit.version))
        if commit.state != f"{changed.digest:064x}":
            raise CorruptLogError(
                f"Registry commit {commit.version} does not lead to the state it names: the log "
                "was altered. Restore it from a backup."
            )
        snapshot = Snapshot(
            cursor=Cursor(commit.log_id, commit.version, commit.commit_id),
            sha256=sha256(record).hexdigest(),
            at=commit.at,
            entries=changed.entries,
            digest=changed.digest,
        )
    return snapshot


def read_commit(record: bytes, *, after: int) -> Commit:
    """Read one stored commit.

    Raises:
        CorruptLogError: It is not a commit, or a newer release wrote it.
    """
    body, _, seal = record.rpartition(b"\n")
    if sha256(body).hexdigest().encode() != seal:
        raise CorruptLogError(
            f"The registry's commit after version {after} was altered: it does not match its hash."
        )
    try:
        commit = Commit.model_validate_json(body)
    except ValidationError as error:
        raise CorruptLogError(
            f"The registry's commit after version {after} cannot be read: {error.error_count()} "
            "errors. A newer release wrote it."
        ) from error
    if commit.format > FORMAT or commit.required_features:
        raise CorruptLogError(
            f"Registry commit {commit.version} needs a newer release of feature-platform "
            f"(format {commit.format}, features {list(commit.required_features)})."
        )
    return commit


def utc_now() -> datetime:
    """Return the present, UTC."""
    return datetime.now(UTC)
