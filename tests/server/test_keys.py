"""API keys and tokens: what they allow, how they are kept, and how long they last."""

import json
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
import urllib3
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from server.conftest import YAML, Served
from tests_support import raises

from feature_platform.cli import main
from feature_platform.errors import NotFoundError, RequestError
from feature_platform.server.authentication import Rates
from feature_platform.server.keys import SCOPES, KeyStore

POOL = urllib3.PoolManager(retries=False)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONLINE = {"features": "forecast", "entities": {"city": [1]}}
PLAN: dict[str, Any] = {"plan": {}, "commit_id": "0" * 32}
# Path → scope that it needs.
NEEDS = {
    "/v1/online-features": "features:read",
    "/get-online-features": "features:read",
    "/v1/materialize": "features:write",
    "/push": "features:write",
    "/write-to-online-store": "features:write",
    "/materialize": "features:write",
    "/materialize-incremental": "features:write",
    "/v1/registry/commits": "registry:apply",
}


def post(served: Served, path: str, content: Any, key: str, **headers: str) -> Any:
    headers = {"Authorization": f"Bearer {key}", **headers} if key else headers
    return POOL.request("POST", served.url + path, body=json.dumps(content), headers=headers)


def get(served: Served, path: str, key: str, **headers: str) -> Any:
    headers = {"Authorization": f"Bearer {key}", **headers}
    return POOL.request("GET", served.url + path, headers=headers)


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys.db")


def test_keys_are_kept_as_hashes(keys: KeyStore) -> None:
    key, text = keys.create("risk", ["prod"], ["features:read"], description="service", now=NOW)
    content = keys.path.read_bytes()
    assert text.split("_", 2)[2].encode() not in content
    assert keys.find(text) == key
    assert keys.list() == [key]
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    other = keys.create("risk", ["prod"], ["features:read"])[1]
    secret = other.split("_", 2)[2]
    wrong = [
        "", "fp_", text[:-1], f"{text}x", text.upper(), text.replace("_", "-"), "fp__", "fp_a_b",
        f"fp_{key.id}_{secret}", f"x{text}", f"fp_{key.id}' OR '1'='1_x",
    ]  # fmt: skip
    assert [keys.find(each) for each in wrong] == [None] * len(wrong)


def test_keys_end(keys: KeyStore) -> None:
    end = NOW + timedelta(days=1)
    key, text = keys.create("risk", ["prod"], ["admin"], expires=end, now=NOW)
    assert key.is_valid(end - timedelta(microseconds=1))
    assert not key.is_valid(end)
    rotated, second = keys.rotate(key.id, now=NOW)
    assert (rotated.owner, rotated.projects, rotated.scopes) == ("risk", ("prod",), ("admin",))
    assert second != text
    assert keys.revoke(key.id, now=NOW).revoked == NOW
    assert keys.revoke(key.id, now=end).revoked == NOW  # the first time counts
    found = keys.find(text)
    assert found is not None
    assert not found.is_valid(NOW)
    with raises(NotFoundError, key.id):
        keys.rotate(key.id)
    with raises(NotFoundError, "nothing"):
        keys.revoke("nothing")


@pytest.mark.parametrize(
    ("owner", "projects", "scopes", "expires", "name"),
    [
        ("not a name", ["p"], ["admin"], None, "not a name"),
        ("risk", ["a/b"], ["admin"], None, "a/b"),
        ("risk", [], ["admin"], None, "project"),
        ("risk", ["p"], [], None, "scope"),
        ("risk", ["p"], ["root"], None, "root"),
        ("risk", ["p"], ["admin"], NOW - timedelta(days=1), "2025-12-31"),
    ],
)
def test_keys_that_make_no_sense(keys, owner, projects, scopes, expires, name) -> None:
    with raises(RequestError, name):
        keys.create(owner, projects, scopes, expires=expires, now=NOW)


def test_each_path_needs_its_scope(served: Served) -> None:
    for path, needed in NEEDS.items():
        for scope in (*SCOPES, ""):
            key = served.key("risk", "prod", *([scope] if scope else ["registry:read"]))
            status = post(served, path, PLAN, key).status
            assert (status == 403) == (scope not in {needed, "admin"}), (path, scope, status)
    for name in ("commits", "last", "checkpoint", "time"):
        for scope in SCOPES:
            status = get(served, f"/v1/registry/{name}", served.key("risk", "prod", scope)).status
            assert (status == 403) == (scope not in {"registry:read", "admin"})


def test_a_key_of_none_may_only_read(served: Served) -> None:
    key = served.key("none", "prod", *SCOPES)
    assert post(served, "/v1/online-features", ONLINE, key).status == 200
    for path, scope in NEEDS.items():
        if scope != "features:read":
            assert post(served, path, PLAN, key).status == 403, path


def test_a_key_acts_in_its_projects_only(served: Served) -> None:
    key = served.key("platform", "dev")
    other = {"X-Feature-Project": "prod"}
    assert post(served, "/v1/online-features", ONLINE, key, **other).status == 403
    assert get(served, "/v1/registry/last", key, **other).status == 403
    assert get(served, "/v1/caller", key, **other).status == 403
    several = served.keys.create("platform", ["prod", "dev"], ["features:read"])[1]
    assert post(served, "/v1/online-features", ONLINE, several).status == 400
    assert post(served, "/v1/online-features", ONLINE, several, **other).status == 200
    strange = {"X-Feature-Project": "../prod"}
    assert post(served, "/v1/online-features", ONLINE, several, **strange).status == 400


def test_revoked_and_expired_keys_are_noticed(served: Served) -> None:
    key, text = served.keys.create("platform", ["prod"], ["features:read"])
    assert post(served, "/v1/online-features", ONLINE, text).status == 200
    served.keys.revoke(key.id)
    started = time.monotonic()
    while post(served, "/v1/online-features", ONLINE, text).status == 200:
        assert time.monotonic() - started < 5
        time.sleep(0.02)
    _, text = served.keys.create("platform", ["prod"], ["features:read"])
    with sqlite3.connect(served.keys.path) as connection:
        connection.execute("UPDATE keys SET expires = '2020-01-01T00:00:00+00:00'")
    assert post(served, "/v1/online-features", ONLINE, text).status == 401


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic Zm86YmFy",
        "Bearer fp_x_y",
        "bearer  x",
        "ApiKey fp_1_2",
        "\t",
    ],
)
def test_requests_without_a_valid_key(served: Served, header: str) -> None:
    response = POOL.request(
        "POST", f"{served.url}/v1/online-features", body=json.dumps(ONLINE),
        headers={"Authorization": header} if header else {},
    )  # fmt: skip
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_rates_per_key() -> None:
    rates = Rates(5)
    assert [rates.allow("a") for _ in range(7)] == [True] * 5 + [False] * 2
    assert rates.allow("b")
    assert all(Rates(0).allow("a") for _ in range(1000))


def test_too_many_requests_are_answered_with_429(folder: Path, prod: Any, start: Any) -> None:
    text = YAML.replace("max_body_mb: 1", "max_body_mb: 1, requests_per_second: 2")
    (folder / "feature_store.yaml").write_text(text)
    served = start(folder)
    key = served.key()
    answers = [post(served, "/v1/online-features", ONLINE, key) for _ in range(8)]
    assert {answer.status for answer in answers} == {200, 429}
    assert {a.headers["Retry-After"] for a in answers if a.status == 429} == {"1"}


def test_keys_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text(YAML)

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, ["-C", str(tmp_path), "keys", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    made = run(
        "create", "--owner", "risk", "--project", "prod", "--scope", "features:read",
        "--expires", "2099-01-01", "--description", "model server",
    )  # fmt: skip
    text = made.split()[-1]
    [key] = KeyStore(tmp_path / "keys.db").list()
    assert KeyStore(tmp_path / "keys.db").find(text) == key
    listed = run("list")
    assert key.id in listed
    assert "until 2099-01-01" in listed
    assert text not in listed + run("list", "--json")
    rotated = json.loads(run("rotate", key.id, "--json"))
    assert rotated["key"].startswith("fp_")
    run("revoke", key.id)
    assert "revoked" in run("list")
    assert "nothing" in run("revoke", "nothing", code=1)
    assert "scope" in run("create", "--owner", "a", "--project", "p", code=2)
    (tmp_path / "feature_store.yaml").write_text("project: p\n")
    assert "keys" in run("list", code=1)


class Issuer:
    """An identity provider on this machine."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        issuer = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = issuer.page(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *_: Any) -> None:
                """Be quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def page(self, path: str) -> Any:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}
        algorithm = jwt.algorithms.RSAAlgorithm
        public = json.loads(algorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": "one", "alg": "RS256", "use": "sig"}]}

    def token(self, key: Any = None, algorithm: str = "RS256", **changes: Any) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.url, "aud": "features", "sub": "alice", "exp": now + 60, "iat": now,
            "team": "risk", "projects": ["prod"], "scope": "features:read other",
        }  # fmt: skip
        claims = {name: v for name, v in {**claims, **changes}.items() if v is not None}
        return jwt.encode(claims, key or self.key, algorithm=algorithm, headers={"kid": "one"})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()


def test_tokens_of_an_identity_provider(folder, prod, start, issuer: Issuer) -> None:
    text = YAML.replace(
        "server: {", f"server: {{oidc: {{issuer: '{issuer.url}', audience: features}}, "
    )
    (folder / "feature_store.yaml").write_text(text)
    served = start(folder)

    def status(token: str, path: str = "/v1/online-features") -> int:
        return int(post(served, path, ONLINE, token).status)

    assert status(issuer.token()) == 200
    assert status(served.key()) == 200  # keys are still accepted
    assert status(issuer.token(), "/v1/materialize") == 403
    assert json.loads(get(served, "/v1/caller", issuer.token()).data) == {
        "owner": "risk", "project": "prod", "scopes": ["features:read"],
    }  # fmt: skip
    now = int(time.time())
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for token in (
        issuer.token(exp=now - 60), issuer.token(nbf=now + 600), issuer.token(aud="others"),
        issuer.token(iss="http://evil.example"), issuer.token(key=stranger),
        issuer.token(exp=None), issuer.token(aud=None),
        issuer.token(key="s" * 64, algorithm="HS256"),
        jwt.encode({"team": "risk"}, None, algorithm="none"), issuer.token()[:-4], "a.b.c",
    ):  # fmt: skip
        assert status(token) == 401
    for token in (issuer.token(team=None), issuer.token(team="a b"), issuer.token(projects=None)):
        assert status(token) == 403
    assert status(issuer.token(projects=["dev"], scope=None)) == 403
