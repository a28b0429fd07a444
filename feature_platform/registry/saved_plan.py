"""Saved plans: reviewed now and applied later, if their dependencies have not changed."""

import json
from hashlib import sha256
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from feature_platform.definitions import Policy
from feature_platform.errors import CorruptLogError, RequestError
from feature_platform.governance import Plan
from feature_platform.project import Cursor, Key, ProjectSnapshot, Snapshot, upstream
from feature_platform.registry.commit import FORMAT
from feature_platform.registry.serialization import decode_record, encode_record


class SavedPlan(BaseModel):
    """A plan with its point of history and hashes of its dependencies.

    Attributes:
        format: Version of the format.
        base: The point of history that the plan was computed from.
        reads: Dependency that the plan does not change → hash; also of objects that do not exist.
        plan: The plan.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Annotated[int, Field(le=FORMAT)] = FORMAT
    base: Cursor
    reads: dict[Annotated[str, Field(pattern=r"^\w+/\w+/[\w -]+$")], str]
    plan: Plan

    @classmethod
    def of(cls, plan: Plan, snapshot: Snapshot) -> Self:
        """Return a saved plan, for the snapshot that the plan was computed from."""
        project = ProjectSnapshot(snapshot, plan.project)
        changed = {plan.key(change) for change in plan.changes}
        keys = {Key(plan.project, Policy.kind, "policy")}
        for change in plan.changes:
            keys.update(upstream(project, plan.definition(change)))
        reads = {str(key): _hash(snapshot, key) for key in sorted(keys - changed)}
        return cls(base=snapshot.cursor, reads=reads, plan=plan)

    def moved(self, head: Snapshot) -> set[Key]:
        """Return the dependencies that have changed since."""
        keys = {name: Key(*name.split("/", 2)) for name in self.reads}
        return {key for name, key in keys.items() if _hash(head, key) != self.reads[name]}

    def to_bytes(self) -> bytes:
        return encode_record(self.model_dump(mode="json"))

    def digest(self) -> str:
        """Return a hash of the file: what was reviewed is what has this digest.

        The checksum in the file only detects damage; whoever can write the file can renew it.
        """
        return sha256(self.to_bytes()).hexdigest()[:16]

    @classmethod
    def read(cls, stored: bytes, label: str) -> Self:
        """Read the content of a plan file; messages contain the label.

        Raises:
            RequestError: The file is not a saved plan, or was altered.
        """
        try:
            return cls.model_validate_json(decode_record(stored.rstrip(b"\n"), label))
        except (CorruptLogError, ValidationError) as error:
            raise RequestError(
                f"{label} is not a file of `plan --out`, or was altered; make it again."
            ) from error


def _hash(snapshot: Snapshot, key: Key) -> str:
    entry = snapshot.entries.get(key)
    content = [entry.owner, entry.body] if entry else None
    return sha256(json.dumps(content).encode()).hexdigest()
