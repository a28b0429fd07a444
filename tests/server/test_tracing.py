"""Traces of requests, read by a collector on this machine."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from server.conftest import YAML, Served
from server.test_keys import ONLINE, POOL, get, post
from tests_support import raises

from feature_platform import FeatureStore
from feature_platform.config import RepoConfig
from feature_platform.errors import ConfigError

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Collector:
    """Keeps the bodies that are posted to it."""

    def __init__(self) -> None:
        bodies: list[bytes] = []
        self.bodies = bodies

        class Posts(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Be quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Posts)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> list[Any]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


def test_each_request_is_a_span(
    folder: Path, prod: FeatureStore, start: Callable[..., Served], collector: Collector
) -> None:
    (folder / "feature_store.yaml").write_text(
        YAML.replace("server: {", f"server: {{traces: '{collector.url}', ")
    )
    served = start(folder)
    key, secret = served.keys.create("platform", ["prod"], ["features:read"])
    parent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    assert post(served, "/v1/online-features", ONLINE, secret, **parent).status == 200
    answer = get(served, "/v1/registry/last", secret)
    assert answer.status == 403
    assert POOL.request("POST", f"{served.url}/push", body="{}").status == 401
    served.stop()  # sends what has not been sent

    read, refused, stranger = collector.spans()
    assert (read.trace_id.hex(), read.parent_span_id.hex()) == (TRACE, PARENT)
    facts = [
        {a.key: a.value.string_value or a.value.int_value for a in span.attributes}
        for span in (read, refused, stranger)
    ]
    assert [f["http.status_code"] for f in facts] == [200, 403, 401]
    assert [f.get("feature_platform.key_id") for f in facts] == [key.id, key.id, None]
    assert [f.get("feature_platform.project") for f in facts] == ["prod", "prod", None]
    assert facts[1]["feature_platform.request_id"] == answer.headers["X-Request-Id"]
    assert secret.split("_", 2)[2].encode() not in b"".join(collector.bodies)


@pytest.mark.parametrize(
    "url", ["collector:4318", "ftp://a/b", "http://user:hunter2@host/v1/traces"]
)
def test_what_is_no_collector(url: str) -> None:
    with raises(ConfigError, "traces") as caught:
        RepoConfig(project="p", server={"traces": url})
    assert "hunter2" not in str(caught.value)
