"""Saved plans: reviewed today, applied tomorrow, if nothing they depend on has changed."""

import json
from hashlib import sha256
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from feature_platform.definitions import Policy
from feature_platform.errors import CorruptLogError, RequestError
from feature_platform.governance import Plan
from feature_platform.project import Cursor, Key, Project, Snapshot, upstream
from feature_platform.registry.commit import FORMAT
from feature_platform.registry.serialization import decode_record, encode_record


class SavedPlan(BaseModel):
    """A plan, its point in history, and what it depends on.

    Attributes:
        format: Version of this form.
        base: Its point in history.
        reads: Object that the plan depends on without changing it → hash of its content; an object
            that did not exist has the hash of nothing.
        plan: The plan.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Annotated[int, Field(le=FORMAT)] = FORMAT
    base: Cursor
    reads: dict[Annotated[str, Field(pattern=r"^\w+/\w+/\w+$")], str]
    plan: Plan

    @classmethod
    def of(cls, plan: Plan, snapshot: Snapshot) -> Self:
        """Return a plan with its dependencies.

        Args:
            plan: The plan.
            snapshot: The registry at its version.
        """
        project = Project(snapshot, plan.project)
        changed = {plan.key(change) for change in plan.changes}
        keys = {Key(plan.project, Policy.kind, "policy")}
        for change in plan.changes:
            keys.update(upstream(project, plan.definition(change)))
        reads = {str(key): _hash(snapshot, key) for key in sorted(keys - changed)}
        return cls(base=snapshot.cursor, reads=reads, plan=plan)

    def moved(self, head: Snapshot) -> set[Key]:
        """Return the dependencies of the plan that have changed."""
        keys = {name: Key(*name.split("/", 2)) for name in self.reads}
        return {key for name, key in keys.items() if _hash(head, key) != self.reads[name]}

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        return encode_record(self.model_dump(mode="json"))

    @classmethod
    def read(cls, stored: bytes, where: str) -> Self:
        """Read a file's content.

        Raises:
            RequestError: It is not a saved plan, or was altered.
        """
        try:
            return cls.model_validate_json(decode_record(stored.rstrip(b"\n"), where))
        except (CorruptLogError, ValidationError) as error:
            raise RequestError(
                f"{where} was not written by `plan --out`, or was altered. Plan again."
            ) from error


def _hash(snapshot: Snapshot, key: Key) -> str:
    entry = snapshot.entries.get(key)
    content = [entry.owner, entry.body] if entry else None
    return sha256(json.dumps(content).encode()).hexdigest()
