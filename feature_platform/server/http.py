"""What all endpoints share: bodies with limits, errors as JSON, metrics, logs."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from anyio import CapacityLimiter, to_thread
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from feature_platform.errors import (
    AccessError,
    BusyError,
    ConfigError,
    ConflictError,
    DefinitionError,
    FeaturePlatformError,
    NotFoundError,
    OverloadError,
    PartialWriteError,
    RefusedError,
    RequestError,
    SchemaError,
    SourceError,
    StoreError,
    TransformationError,
    abbreviate,
)
from feature_platform.server.authentication import DeniedError
from feature_platform.server_client import JSON, REQUEST_HEADER, REQUEST_ID_LENGTH
from feature_platform.wire import error_content

_log = logging.getLogger("feature_platform.server")
_REQUEST_HEADER: Final = REQUEST_HEADER.lower().encode()
_MOST_IN_LINE: Final = 200  # characters of a path in a log line
_WITH_INSIDES: Final = (StoreError, SourceError, TransformationError)
_WITHOUT_INSIDES: Final = (BusyError, OverloadError, PartialWriteError)
_STATUS: Final[tuple[tuple[type[FeaturePlatformError], int], ...]] = (
    (AccessError, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (RefusedError, 422),
    (RequestError, 400),
    (SourceError, 502),
    (SchemaError, 400),
    (DefinitionError, 400),
    (ConfigError, 501),
    (BusyError, 503),
    (StoreError, 502),
    (OverloadError, 503),
    (TransformationError, 424),
)

Handler = Callable[[Request, bytes], Response]
Admit = Callable[[Request], Awaitable[None]]


class Metrics:
    """Prometheus metrics of one worker."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "feature_platform_requests", "Answered requests", ["endpoint", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "feature_platform_request_seconds", "Time to answer", ["endpoint"],
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30),
            registry=self.registry,
        )  # fmt: skip
        self.active = Gauge(
            "feature_platform_active_requests", "Requests at work", registry=self.registry
        )

        self._cells: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """Count an answer."""
        cells = self._cells.get((endpoint, status))
        if cells is None:
            counter = self.requests.labels(endpoint, str(status))
            cells = self._cells[endpoint, status] = counter, self.seconds.labels(endpoint)
        cells[0].inc()
        cells[1].observe(seconds)

    def page(self) -> Response:
        """Return the metrics as Prometheus reads them."""
        return Response(generate_latest(self.registry), media_type="text/plain; version=0.0.4")


class Gate:
    """Admits requests: reads their bodies, runs them in threads, answers errors.

    Args:
        max_body: Largest body, bytes.
        max_seconds: Longest time until a body has come.
        max_concurrent: Most requests at work; more are answered with 503.
        threads: Threads that run them.
    """

    def __init__(
        self, *, max_body: int, max_seconds: float, max_concurrent: int, threads: int
    ) -> None:
        self._max_body = max_body
        self._max_seconds = max_seconds
        self._max_concurrent = max_concurrent
        self._limiter = CapacityLimiter(threads)
        self._active = 0
        self.metrics = Metrics()

    def endpoint(self, name: str, handler: Handler, admit: Admit | None = None) -> "Endpoint":
        """Return an endpoint that runs a handler in a thread.

        Args:
            name: Its path, for metrics.
            handler: Answers a request and its body.
            admit: Decides by the head of a request, before anything of its body is read, and
                before it counts as one at work.
        """
        return Endpoint(self, name, handler, admit)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Count a request as one at work.

        Raises:
            BusyError: There are as many as there may be.
        """
        if self._active >= self._max_concurrent:
            raise BusyError(
                f"The server is at its limit of {self._max_concurrent} concurrent requests. "
                "Retry later."
            )
        self._active += 1
        self.metrics.active.set(self._active)
        try:
            yield
        finally:
            self._active -= 1
            self.metrics.active.set(self._active)

    async def run(self, handler: Handler, request: Request) -> Response:
        """Read the body and run the handler."""
        body = await self._body(request)
        return await to_thread.run_sync(handler, request, body, limiter=self._limiter)

    async def _body(self, request: Request) -> bytes:
        if request.method != "POST":
            return b""
        length = request.headers.get("content-length", "")
        if length and (not length.isdecimal() or int(length) > self._max_body):
            raise DeniedError(413, self._too_large())
        parts, size = [], 0
        try:
            async with asyncio.timeout(self._max_seconds):
                async for part in request.stream():
                    size += len(part)
                    if size > self._max_body:
                        raise DeniedError(413, self._too_large())
                    parts.append(part)
        except TimeoutError:
            raise DeniedError(
                408,
                f"The request body did not arrive within {self._max_seconds:.0f} seconds. Send it "
                "in parts, or raise server.max_seconds.",
            ) from None
        return b"".join(parts)

    def _too_large(self) -> str:
        return (
            f"The request body exceeds the maximum of {self._max_body:,} bytes. Send it in parts, "
            "or raise server.max_body_mb."
        )


@dataclass(frozen=True)
class Endpoint:
    """A path of the server, as an ASGI application; see `Gate.endpoint`."""

    gate: Gate
    name: str
    handler: Handler
    admit: Admit | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; it is at work until the answer has been sent."""
        started = time.perf_counter()
        request = Request(scope, receive)
        request.state.id = request_id = os.urandom(REQUEST_ID_LENGTH // 2).hex()
        with ExitStack() as slot:
            response = await self._answer(request, slot)
            elapsed = time.perf_counter() - started
            self.gate.metrics.answered(self.name, response.status_code, elapsed)
            # The last header: a client sees by it that the head came to its end.
            response.raw_headers.append((_REQUEST_HEADER, request_id.encode()))
            if _log.isEnabledFor(logging.INFO):
                _log.info(_line(request, response.status_code, elapsed))
            await response(scope, receive, send)

    async def _answer(self, request: Request, slot: ExitStack) -> Response:
        try:
            if self.admit is not None:
                await self.admit(request)
            slot.enter_context(self.gate.slot())
            return await self.gate.run(self.handler, request)
        except DeniedError as error:
            return denied(error)
        except FeaturePlatformError as error:
            return failed(error, request.state.id)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception:  # noqa: BLE001 - whatever it is, its text stays here
            _log.exception("request %s failed", request.state.id)
            message = f"The request failed; see request {request.state.id} in the server's log."
            return problem(500, {"error": "StoreError", "message": message})


def _line(request: Request, status: int, seconds: float) -> dict[str, Any]:
    """Return what the log has of a request: never a header, a body or a query."""
    state = request.state
    return {
        "id": state.id,
        "method": request.method,
        "path": request.scope["path"][:_MOST_IN_LINE],
        "status": status,
        "ms": round(seconds * 1000, 3),
        "key": getattr(state, "principal", ""),
        "project": getattr(state, "project", ""),
    }


class JsonLines(logging.Formatter):
    """Formats every record as a JSON object in one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        content: dict[str, Any] = {"time": at, "level": record.levelname}
        if isinstance(record.msg, dict):
            content |= record.msg
        else:
            content |= {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(content, enc_hook=str).decode()


async def unrouted(request: Request, error: Exception) -> Response:
    """Answer a request to a path, or with a method, that there is not."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    request.state.id = os.urandom(REQUEST_ID_LENGTH // 2).hex()
    path = abbreviate(request.scope["path"])
    message = f"There is no path {path}."
    if status == 405:  # noqa: PLR2004
        message = f"{path} does not accept {request.method}."
    response = problem(status, {"error": "NotFoundError", "message": message})
    if isinstance(error, HTTPException):
        response.headers.update(error.headers or {})
    response.headers[REQUEST_HEADER] = request.state.id
    _log.info(_line(request, status, 0.0))
    return response


def answered(content: Any, status: int = 200) -> Response:
    """Return JSON."""
    return Response(msgspec.json.encode(content, enc_hook=str), status, media_type=JSON)


def problem(status: int, content: Any, *, retry_after: int = 0) -> Response:
    """Return an error as JSON."""
    response = answered(content, status)
    if retry_after:
        response.headers["Retry-After"] = str(retry_after)
    return response


def denied(error: DeniedError) -> Response:
    """Return the answer to a request that is not allowed."""
    names = {400: "RequestError", 401: "AccessError", 403: "AccessError", 413: "RequestError"}
    names |= {408: "RequestError", 415: "RequestError", 429: "BusyError", 503: "BusyError"}
    content = {"error": names.get(error.status, "RequestError"), "message": error.message}
    response = problem(error.status, content, retry_after=int(error.status in {429, 503}))
    if error.status == 401:  # noqa: PLR2004
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def failed(error: FeaturePlatformError, request_id: str = "") -> Response:
    """Return the answer to a request that failed for a reason that users are told.

    What stores, sources and functions say has paths and addresses of the server, and values that
    the caller may not read: it goes into the log.
    """
    if isinstance(error, _WITH_INSIDES) and not isinstance(error, _WITHOUT_INSIDES):
        _log.error("request %s: %s", request_id, error)
        error = _without_insides(error, f"see request {request_id} in the server's log.")
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    return problem(status, error_content(error), retry_after=int(status == 503))  # noqa: PLR2004


def _without_insides(error: FeaturePlatformError, remedy: str) -> FeaturePlatformError:
    if isinstance(error, TransformationError):
        is_public = error.public == str(error)
        return error if is_public else TransformationError(f"{error.public}; {remedy}")
    if isinstance(error, SourceError):
        return SourceError(f"A source does not match its declared schema; {remedy}")
    return StoreError(f"A store of the server failed; {remedy}")


def parsed(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body.

    Raises:
        RequestError: It is none.
    """
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"The body is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise RequestError("The body must be a JSON object.")
    return content
