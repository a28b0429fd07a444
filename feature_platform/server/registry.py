"""The registry's endpoints: the log is read, plans are sent, and the server writes."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from feature_platform.errors import Problem, RefusedError, RequestError
from feature_platform.governance import Plan
from feature_platform.registry import LAST, SavedPlan
from feature_platform.registry.logs.server import MOST_AT_ONCE, framed
from feature_platform.server.http import answered, parsed
from feature_platform.store import FeatureStore

_log = logging.getLogger("feature_platform.server")
_OCTETS = "application/octet-stream"
_MOST_TEXT = 2000
_HEX = frozenset("0123456789abcdef")

Verb = Callable[[FeatureStore, Request, bytes], Response]


def commit(store: FeatureStore, request: Request, body: bytes) -> Response:
    """Check a plan, and write it in the name of the caller.

    Raises:
        RefusedError: The plan is of another owner or project, or breaks rules.
        RequestError: It is no plan.
    """
    content = parsed(body)
    plan = _plan(content)
    changes = plan.plan if isinstance(plan, SavedPlan) else plan
    if (changes.owner, changes.project) != (store.owner, store.project):
        message = (
            f"the key acts for {store.owner!r} in project {store.project!r}, and this is a "
            f"plan of {changes.owner!r} for {changes.project!r}."
        )
        problem = Problem("ownership", "the plan", message)
        raise RefusedError(changes.owner, changes.project, [problem])
    client, message = (_text(content, name) for name in ("client", "message"))
    commit_id = _text(content, "commit_id")
    if len(commit_id) != 32 or not set(commit_id) <= _HEX:  # noqa: PLR2004
        raise RequestError("commit_id must be 32 hexadecimal digits.")
    key = getattr(request.state, "principal", "")
    written = store.commit(
        plan, message=message, client=f"{client} (key {key})", commit_id=commit_id
    )
    if written is None:
        return Response(status_code=204)
    _log.info("commit %d by key %s: %s", written.version, key, written.summary())
    return Response(written.to_bytes(), media_type=_OCTETS)


def _plan(content: dict[str, Any]) -> Plan | SavedPlan:
    try:
        if "saved" in content:
            return SavedPlan.model_validate(content["saved"])
        return Plan.model_validate(content.get("plan"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        location = ".".join(map(str, first["loc"]))
        raise RequestError(f"The plan cannot be read: {location}: {first['msg']}.") from None


def _text(content: dict[str, Any], name: str) -> str:
    value = content.get(name, "")
    if not isinstance(value, str) or len(value) > _MOST_TEXT:
        raise RequestError(f"{name} must be a text of at most {_MOST_TEXT:,} characters.")
    return value


def _commits(store: FeatureStore, request: Request, _: bytes) -> Response:
    after, limit = _number(request, "after", 0), _number(request, "limit", MOST_AT_ONCE)
    records = store.registry.log.read(after, min(limit, MOST_AT_ONCE))
    return Response(framed(records), media_type=_OCTETS)


def _last(store: FeatureStore, request: Request, _: bytes) -> Response:
    return answered(store.registry.log.last(_number(request, "after", 0)))


def _checkpoint(store: FeatureStore, request: Request, _: bytes) -> Response:
    stored = store.registry.log.checkpoint(_number(request, "upto", LAST))
    return Response(stored or b"", 200 if stored else 204, media_type=_OCTETS)


def _time(store: FeatureStore, _: Request, __: bytes) -> Response:
    return answered(store.registry.log.time().isoformat())


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isdecimal() or len(text) > len(str(LAST)) or int(text) > LAST:
        raise RequestError(f"{name}={text[:20]!r} is not a number from 0 to {LAST}.")
    return int(text)


READS: Final[Mapping[str, Verb]] = {
    "commits": _commits,
    "last": _last,
    "checkpoint": _checkpoint,
    "time": _time,
}
"""Name → what is read of the log."""
