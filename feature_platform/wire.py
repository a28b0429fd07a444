"""Errors as JSON, between server and client."""

from typing import Any

from feature_platform import errors
from feature_platform.errors import FeaturePlatformError, PartialWriteError, Problem, RefusedError

_TEXT = "message"


def error_content(error: FeaturePlatformError) -> dict[str, Any]:
    """Return an error as JSON: its type, its text, and the data it carries."""
    content: dict[str, Any] = {"error": type(error).__name__, _TEXT: str(error)}
    if isinstance(error, RefusedError):
        names = ("rule", "subject", "message", "missing")
        content["problems"] = [{n: getattr(p, n) for n in names} for p in error.problems]
        content["owner"], content["project"] = error.owner, error.project
    if isinstance(error, PartialWriteError):
        content |= {"written": error.written, "failed": error.failed, "reason": error.reason}
    return content


def error_of(content: Any) -> FeaturePlatformError | None:
    """Return the error that `error_content` described; `None` if it is not one."""
    if not isinstance(content, dict) or not isinstance(content.get(_TEXT), str):
        return None
    kind = getattr(errors, str(content.get("error")), None)
    if not isinstance(kind, type) or not issubclass(kind, FeaturePlatformError):
        return None
    try:
        if kind is RefusedError:
            problems = [Problem(**problem) for problem in content["problems"]]
            return RefusedError(content["owner"], content["project"], problems)
        if kind is PartialWriteError:
            written, failed = (tuple(map(str, content[name])) for name in ("written", "failed"))
            return PartialWriteError(written=written, failed=failed, reason=str(content["reason"]))
    except (KeyError, TypeError):
        return None
    return kind(content[_TEXT])
