"""Hostile requests: nothing gets through, nothing breaks, nothing is told."""

import json
import random
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import urllib3
from server.conftest import Served
from tests_support import NOON, raises

from feature_platform import Entity, FeatureStore
from feature_platform.errors import RequestError
from feature_platform.governance import plan
from feature_platform.services import remote

POOL = urllib3.PoolManager(retries=False)
CHECKOUT = Path(__file__).parents[2]
SECRETS = (
    "Traceback", ".py", "sqlite3", "hash", "fp_",
    str(CHECKOUT), tempfile.gettempdir(),
)  # fmt: skip
PATHS = (
    "/get-online-features", "/push", "/write-to-online-store", "/materialize",
    "/materialize-incremental", "/v1/online-features", "/v1/training-set", "/v1/write-online",
    "/v1/write-offline", "/v1/delete-online", "/v1/push", "/v1/materialize",
    "/v1/materialize-incremental", "/v1/registry/commits",
)  # fmt: skip
ARROW = "application/vnd.apache.arrow.stream"


def send(
    served: Served, path: str, body: Any, key: str, method: str = "POST", **headers: str
) -> Any:
    headers = {"Authorization": f"Bearer {key}", **headers}
    return POOL.request(method, served.url + path, body=body, headers=headers, timeout=20)


def check(response: Any, served: Served) -> None:
    """A refusal is a 4xx with JSON that has no inside of the server."""
    assert 400 <= response.status < 500, (response.status, response.data[:300])
    content = json.loads(response.data)
    assert set(content) >= {"error", "message"}
    text = response.data.decode().replace("Bearer fp_...", "")
    assert not [secret for secret in SECRETS if secret in text], text
    assert str(served.folder) not in text


def deep(depth: int) -> bytes:
    return b'{"features":' + b"[" * depth + b"]" * depth + b"}"


def bodies() -> list[bytes]:
    """Return bodies that are no requests."""
    junk: list[Any] = [
        None, True, 0, -1, 1e308, "", "x", [], {}, [1], {"features": None}, {"entities": 1},
        {"features": "forecast"}, {"features": "forecast", "entities": {}},
        {"features": "forecast", "entities": {"city": "1"}},
        {"features": "forecast", "entities": {"city": []}},
        {"features": "forecast", "entities": {"city": [None]}},
        {"features": "forecast", "entities": {"city": [{"a": 1}]}},
        {"features": "forecast", "entities": {"city": [1, 2], "x": [1]}},
        {"features": "forecast", "entities": {"city": [2**80]}},
        {"features": [], "entities": {"city": [1]}},
        {"features": [1], "entities": {"city": [1]}},
        {"features": [{}], "entities": {"city": [1]}},
        {"features": [{"view": "../x"}], "entities": {"city": [1]}},
        {"features": [{"view": "weather", "evil": 1}], "entities": {"city": [1]}},
        {"features": ["weather:temp'; DROP TABLE x"], "entities": {"city": [1]}},
        {"features": ["a/b/c:d"], "entities": {"city": [1]}},
        {"features": ["x" * 10_000], "entities": {"city": [1]}},
        {"feature_service": 1, "entities": {"city": [1]}},
        {"feature_service": "nope", "entities": {"city": [1]}},
        {"feature_service": "forecast", "features": ["weather"], "entities": {"city": [1]}},
        {"push_source_name": "push"}, {"push_source_name": "push", "df": 1},
        {"push_source_name": "push", "df": {"city": 1}},
        {"push_source_name": "push", "df": {"city": [1], "temp": [1, 2]}},
        {"push_source_name": "push", "df": {"city": ["x"]}, "to": "everywhere"},
        {"push_source_name": "nope", "df": {"city": [1]}},
        {"push_source_name": {"a": 1}, "df": {}},
        {"feature_view_name": "weather", "df": {"city": [1], "event_timestamp": ["never"]}},
        {"feature_view_name": "weather", "df": {"city": [1], "event_timestamp": [1e300]}},
        {"feature_view_name": "weather", "df": {"city": [1], "event_timestamp": [True]}},
        {"feature_view_name": "nope", "df": {}},
        {"start_ts": "yesterday", "end_ts": "now"}, {"start_ts": 1, "end_ts": 2},
        {"start": "2026-01-02", "end": "2026-01-01"}, {"start": [], "end": {}},
        {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z", "views": "weather"},
        {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z", "views": ["nope"]},
        {"end": "2026-01-02T00:00:00Z", "lookback_seconds": "x"},
        {"end": "2026-01-02T00:00:00Z", "lookback_seconds": 1e300},
        {"plan": {}}, {"plan": []}, {"plan": {"project": "prod"}}, {"saved": {}},
        {"plan": {"project": "prod", "owner": "platform", "version": 0, "changes": []},
         "commit_id": "../../etc"},
        {"plan": {"project": "prod", "owner": "platform", "version": 0, "changes": []},
         "commit_id": "0" * 32, "message": "x" * 100_000},
    ]  # fmt: skip
    texts = [json.dumps(each).encode() for each in junk]
    texts += [b"", b"\x00", b"{", b'{"a":', b"\xff\xfe", b"NaN", b'{"a": NaN}', b"[" * 100_000]
    texts += [deep(10), deep(100_000), b'{"features": "forecast", "features": "x"}']
    texts += [b'{"__proto__": {"x": 1}}', b"<?xml version='1.0'?>", b"a=1&b=2"]
    return texts


def arrows() -> list[bytes]:
    """Return Arrow bodies that are no requests."""
    table = pa.table({"city": [1]})
    whole = remote.packed(table, {"features": "forecast", "name": "weather", "to": "ONLINE"})
    contents: list[Any] = [
        {}, {"features": None}, {"features": "nope"}, {"name": 1}, {"name": "../../x"},
        {"name": "weather", "to": "x"}, {"features": "forecast", "as_of": "never"},
        {"features": "forecast", "start": "x"}, {"features": "forecast", "start": 1},
    ]  # fmt: skip
    made = [remote.packed(table, content) for content in contents]
    made += [whole[:n] for n in (1, 8, len(whole) // 2, len(whole) - 9)]
    chance = random.Random(1)
    for _ in range(20):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        made.append(bytes(damaged))
    wrong = pa.table({"city": ["x"], "event_timestamp": ["y"]})
    made.append(remote.packed(wrong, {"features": "forecast", "name": "weather", "to": "ONLINE"}))
    return made


def test_bodies_that_are_no_requests(served: Served) -> None:
    key, count = served.key("platform", "prod", "admin"), 0
    allowed = {"/v1/online-features", "/materialize-incremental", "/v1/materialize-incremental"}
    for path in PATHS:
        for body in bodies():
            response = send(served, path, body, key)
            count += 1
            if response.status == 200:  # an empty object is a request of an increment
                assert path in allowed or b'"changes": []' in body, (path, body)
                continue
            if response.status != 204:
                check(response, served)
    for path in PATHS:
        for body in arrows():
            headers = {"Content-Type": ARROW}
            response = send(served, path, body, key, **headers)
            count += 1
            if response.status not in {200, 204}:
                check(response, served)
    assert count > 500


def test_forged_owners(served: Served, prod: FeatureStore, tmp_path: Path) -> None:
    before = prod.snapshot().version
    evil = Entity(name="evil", join_keys=["x"])
    risk = served.key("risk")
    for owner, project in (("platform", "prod"), ("risk", "dev"), ("growth", "prod"), ("", "")):
        made = plan(prod.load_project(), owner="platform", desired=[evil])
        forged = {**made.model_dump(mode="json"), "owner": owner, "project": project}
        body = json.dumps({"plan": forged, "commit_id": "0" * 32}).encode()
        for headers in ({}, {"X-Feature-Owner": "platform", "X-Forwarded-User": "platform"}):
            response = send(served, "/v1/registry/commits", body, risk, **headers)
            assert response.status == 422
            check(response, served)
    made = plan(prod.load_project(), owner="risk", desired=[evil])
    body = json.dumps({"plan": made.model_dump(mode="json"), "commit_id": "1" * 32}).encode()
    assert send(served, "/v1/registry/commits", body, risk).status == 422  # teams own no entities
    assert prod.snapshot().version == before


def test_a_replayed_commit_changes_nothing(served: Served, prod: FeatureStore) -> None:
    made = plan(prod.load_project(), owner="platform", desired=[Entity(name="e", join_keys=["x"])])
    body = json.dumps({"plan": made.model_dump(mode="json"), "commit_id": "2" * 32}).encode()
    key = served.key()
    answers = [send(served, "/v1/registry/commits", body, key) for _ in range(5)]
    assert {answer.status for answer in answers} == {200}
    assert len({answer.data for answer in answers}) == 1
    assert len(prod.registry.history(name="e")) == 1


def test_methods_and_paths_that_do_not_exist(served: Served) -> None:
    key = served.key("platform", "prod", "admin")
    for path in (
        "/", "/v1", "/v1/registry/../../etc/passwd", "/v1/registry/%2e%2e/keys", "//health",
        "/v1/registry/commits%00", "/keys.db", "/feature_store.yaml", "/docs", "/openapi.json",
        "/read-document", "/static/../keys.db", "/v1/registry/" + "x" * 5000,
    ):  # fmt: skip
        for method in ("GET", "POST"):
            assert send(served, path, b"", key, method).status in {404, 405}, path
    for method in ("PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "OPTIONS"):
        assert send(served, "/push", b"", key, method).status in {400, 404, 405, 501}
    for query in ("after=-1", "after=x", "limit=1e9", "after=99999999999999999999999", "after="):
        response = send(served, f"/v1/registry/commits?{query}", None, key, "GET")
        check(response, served)


def raw(served: Served, content: bytes, wait: float = 3.0) -> bytes:
    """Send bytes as they are, and return what comes back."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=wait) as connection:
        connection.sendall(content)
        parts = []
        try:
            while part := connection.recv(65536):
                parts.append(part)
        except (TimeoutError, ConnectionError):
            pass
        return b"".join(parts)


def test_smuggled_and_broken_headers(served: Served, prod: FeatureStore) -> None:
    key = served.key("none", "prod", "features:read").encode()
    head = b"POST /v1/registry/commits HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key
    smuggled = b"0\r\n\r\nPOST /push HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    requests = [
        head + b"\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + smuggled,
        head + b"\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\n{}",
        head + b"\r\nTransfer-Encoding: chunked, identity\r\n\r\n" + smuggled,
        head + b"\r\nContent-Length: -1\r\n\r\n{}",
        head + b"\r\nContent-Length: 1e3\r\n\r\n{}",
        head + b"\r\nX-Feature-Project: prod\r\nX-Feature-Project: dev"
        b"\r\nContent-Length: 2\r\n\r\n{}",
        head + b"\r\nAuthorization: Bearer x\r\nContent-Length: 2\r\n\r\n{}",
        head + b"\nContent-Length: 2\n\n{}",
        b"GET /v1/registry/last HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 1000, b"\x00" * 1000,
    ]  # fmt: skip
    before = prod.snapshot().version
    for request in requests:
        answer = raw(served, request, wait=1.0)
        assert b"HTTP/1.1 200" not in answer, request[:80]
        assert b"Traceback" not in answer
    assert prod.snapshot().version == before
    assert send(served, "/health", None, "", "GET").status == 200


def test_large_and_slow_bodies(served: Served) -> None:
    key = served.key()
    large = b"x" * ((1 << 20) + 1)
    response = send(served, "/v1/online-features", large, key)
    assert response.status == 413
    check(response, served)
    chunked = POOL.request(
        "POST", f"{served.url}/v1/online-features", body=(b"x" * 65536 for _ in range(20)),
        headers={"Authorization": f"Bearer {key}", "Transfer-Encoding": "chunked"},
    )  # fmt: skip
    assert chunked.status == 413
    head = (
        f"POST /v1/online-features HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        "Content-Length: 100\r\n\r\n{"
    )
    started = time.monotonic()
    answer = raw(served, head.encode(), wait=10)
    assert b"408" in answer.partition(b"\r\n")[0]
    assert time.monotonic() - started < 8
    # Clients that send slowly do not keep the others from being answered.
    connections = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(50)]
    for connection in connections:
        connection.sendall(head.encode())
    body = json.dumps({"features": "forecast", "entities": {"city": [1]}})
    assert send(served, "/v1/online-features", body, key).status == 200
    for connection in connections:
        connection.close()


def test_overload_is_answered_at_once(folder: Path, prod: Any, start: Any) -> None:
    text = (folder / "feature_store.yaml").read_text()
    text = text.replace("max_body_mb: 1", "max_body_mb: 1, max_concurrent: 4, threads: 2")
    (folder / "feature_store.yaml").write_text(text)
    served = start(folder)
    entered, leave = threading.Semaphore(0), threading.Event()

    def slow(*_: Any, **__: Any) -> Any:
        entered.release()
        leave.wait(20)
        raise ValueError("a secret inside: fp_123")

    key = served.key()
    store = served.application._store_of("prod", _principal(served))
    store.get_online_features = slow
    body = json.dumps({"features": "forecast", "entities": {"city": [1]}})
    answers: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(send(served, "/v1/online-features", body, key))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    entered.acquire()
    entered.acquire()
    while served.application._gate._active < 4:
        time.sleep(0.01)
    refused = send(served, "/v1/online-features", body, key)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert send(served, "/health/live", None, "", "GET").status == 200
    leave.set()
    for thread in threads:
        thread.join(20)
    assert [answer.status for answer in answers] == [500] * 4
    for answer in answers:  # what failed is in the log, under the id of the request
        assert b"secret" not in answer.data
        assert answer.headers["X-Request-Id"].encode() in answer.data


def _principal(served: Served) -> Any:
    from feature_platform.server.authentication import principal_of

    return principal_of(served.keys.list()[0])


@pytest.mark.parametrize("path", ["/v1/online-features", "/v1/training-set", "/v1/write-online"])
def test_names_of_files_are_no_names_of_views(served: Served, path: str) -> None:
    """A client names what is registered; where it is read from, the server decides."""
    key = served.key("platform", "prod", "admin")
    for name in ("weather/a.parquet", "/etc/passwd", "s3://bucket/x", "read_csv('/etc/passwd')"):
        content = {"features": [name], "name": name, "full_feature_names": True}
        rows = pa.table({"city": [1], "event_timestamp": [NOON]})
        body = remote.packed(rows, content)
        check(send(served, path, body, key, **{"Content-Type": ARROW}), served)


def test_secrets_are_in_no_log(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    key = served.key()
    body = json.dumps({"features": "forecast", "entities": {"city": [4711]}})
    assert send(served, "/v1/online-features?token=hidden", body, key).status == 200
    send(served, "/v1/online-features", body, key + "x")
    assert "'path': '/v1/online-features'" in caplog.text
    for secret in (key, key.split("_", 2)[2], "hidden", "4711"):
        assert secret not in caplog.text
    page = send(served, "/metrics", None, "", "GET").data.decode()
    assert (
        'feature_platform_requests_total{endpoint="/v1/online-features",status="200"} 1.0' in page
    )
    assert key not in page


def test_bodies_without_a_key_are_not_read(served: Served) -> None:
    head = b"POST /v1/online-features HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{"
    started = time.monotonic()
    connections = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(300)]
    for connection in connections:
        connection.sendall(head)
        connection.settimeout(10)
    assert b"401" in connections[-1].recv(100)
    body = json.dumps({"features": "forecast", "entities": {"city": [1]}})
    assert send(served, "/v1/online-features", body, served.key()).status == 200
    assert time.monotonic() - started < 10
    for connection in connections:
        connection.close()


def test_streams_that_are_larger_than_they_look(served: Served) -> None:
    key = served.key()
    content = {"features": "forecast"}
    nulls = pa.table({"city": pa.nulls(50_000_000)})
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([5_000], pa.int32()), pa.array([1]))
    sink = pa.BufferOutputStream()
    schema = pa.schema([("city", pa.int64())], {remote.REQUEST: json.dumps(content).encode()})
    zeros = pa.RecordBatch.from_arrays([pa.array([0] * 1_000_000, pa.int64())], schema=schema)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        writer.write_batch(zeros)
    for body in (
        remote.packed(nulls, content), remote.packed(pa.table({"city": runs}), content),
        bytes(sink.getvalue()),
        remote.packed(pa.table({"city": list(range(10_001))}), content),
    ):  # fmt: skip
        started = time.monotonic()
        response = send(served, "/v1/online-features", body, key, **{"Content-Type": ARROW})
        assert response.status == 400
        check(response, served)
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("codec", [None, "zstd", "lz4"])
def test_compression_is_seen_in_the_heads_of_messages(codec: str | None) -> None:
    """Not in the data: numbers may look like the beginning of a compressed buffer."""
    begins = [b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"]
    numbers = pa.array([8, *(int.from_bytes(begin, "little") for begin in begins)] * 100)
    texts = pa.array(["a" * 1000, "b", "c"] * 100)
    for rows in ({"x": numbers}, {"x": texts}, {"x": texts.dictionary_encode()}):
        table = pa.table(rows).replace_schema_metadata({remote.REQUEST: b"{}"})
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression=codec)
        with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
            writer.write_table(table)
        if codec is None:
            assert remote.unpacked(bytes(sink.getvalue()))[0].equals(table)
        else:
            with raises(RequestError, "Compressed"):
                remote.unpacked(bytes(sink.getvalue()))


def test_the_id_of_anothers_commit_gives_nothing(served: Served, prod: FeatureStore) -> None:
    commit = prod.apply([Entity(name="e", join_keys=["x"])])
    assert commit is not None
    made = plan(prod.load_project(), owner="risk", desired=[])
    forged = {**made.model_dump(mode="json"), "version": 0}
    forged["changes"] = [{"kind": "feature_service", "name": "s", "before": None, "after": "{}"}]
    body = json.dumps({"plan": forged, "commit_id": commit.commit_id}).encode()
    response = send(served, "/v1/registry/commits", body, served.key("risk"))
    assert response.status == 409
    check(response, served)
