"""Traces of requests, sent to an OpenTelemetry collector if the settings name one."""

from typing import TYPE_CHECKING, Any, Final

from starlette.middleware import Middleware

from feature_platform.errors import missing_extra

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ATTRIBUTES: Final = {"id": "request_id", "principal": "key_id", "project": "project"}
"""Parts of a request's state, and what they are called in a span and in a log line."""


class Tracing:
    """Sends a span for each request; a span of the caller (`traceparent`) is its parent.

    Args:
        collector: URL that takes OTLP over HTTP, such as `http://localhost:4318/v1/traces`. Its
            headers, the sampler and more resource attributes come from OpenTelemetry's
            environment variables, such as `OTEL_EXPORTER_OTLP_HEADERS`.

    Raises:
        ConfigError: OpenTelemetry is not installed.
    """

    def __init__(self, collector: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
            from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ModuleNotFoundError as error:
            raise missing_extra("server: traces", "traces") from error
        service = Resource.create({SERVICE_NAME: "feature-platform"})
        self._provider = TracerProvider(resource=service.merge(OTELResourceDetector().detect()))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(collector)))
        self.middleware = [
            Middleware(
                OpenTelemetryMiddleware,
                tracer_provider=self._provider,
                exclude_spans=["receive", "send"],
            ),
            Middleware(_Described),
        ]

    def close(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()


class _Described:
    """Adds to a span what the line in the log has, too."""

    def __init__(self, application: "ASGIApp") -> None:
        self._application = application

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        from opentelemetry.trace import get_current_span

        span = get_current_span()

        async def describe(message: "Message") -> None:
            if message["type"] == "http.response.start":  # the last part of the answer ends it
                state: dict[str, Any] = scope.get("state", {})
                for name, attribute in _ATTRIBUTES.items():
                    if value := state.get(name):
                        span.set_attribute(f"feature_platform.{attribute}", str(value))
            await send(message)

        await self._application(scope, receive, describe)
