"""Stand-ins for registered objects that cannot be read."""

import json
from typing import Any, ClassVar, Literal

from feature_platform.definitions.base import Definition
from feature_platform.definitions.kinds import from_json
from feature_platform.definitions.strict_json import check_strict


class Unreadable(Definition):
    """An object whose stored content is not a definition that this release can read.

    It names nothing, so it stops neither its readers' owners nor anyone else; what needs the object
    itself raises an error.

    Attributes:
        reason: Why it cannot be read.
    """

    kind: ClassVar[str] = "unreadable"

    type: Literal["unreadable"] = "unreadable"
    reason: str

    @property
    def fault(self) -> str:
        return f"its content cannot be read: {self.reason}."


def read_stored(kind: str, name: str, body: str) -> Definition:
    """Return the definition that the registry stores for an object, or its stand-in."""
    try:
        check_strict(body)
        definition = from_json(body)
    except ValueError as error:
        reason = str(error).splitlines()[0].rstrip(".:")
    else:
        if (definition.kind, definition.name) == (kind, name):
            return definition
        reason = f"it contains {definition}"
    return Unreadable(name=name, reason=reason)


def attributes(body: str | None) -> dict[str, Any]:
    """Return the attributes of stored content, for display; of content that is not JSON, the text.

    Nothing has no attributes.
    """
    try:
        content = json.loads(body or "{}")
    except (ValueError, RecursionError):
        content = None
    return content if isinstance(content, dict) else {"content": body}
