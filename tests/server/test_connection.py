"""Connections to a server: keys and where they come from, certificates, handles over HTTP."""

import json
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pytest
from moto import mock_aws
from server import certificates
from server.conftest import Served
from tests_support import NOON, raises

import feature_platform
from feature_platform.errors import AccessError, ConfigError
from feature_platform.handles.connection import _address

TRIPS = pd.DataFrame({"trip": [1, 2], "at": [NOON, NOON], "where": [1, 2], "late": [0, 1]})


def connect(served: Served, **options: Any) -> Any:
    return feature_platform.connection(host="http://127.0.0.1", port=served.port, **options)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "PORT", "PROJECT", "API_KEY", "API_KEY_FILE", "SECRET", "REPO"):
        monkeypatch.delenv(f"FEATURE_PLATFORM_{name}", raising=False)


def test_handles_over_http(served: Served) -> None:
    with connect(served, project="dev", api_key_value=served.key(project="dev")) as dev:
        with raises(AccessError, "prod"):
            dev.get_feature_store("prod")
        with connect(served, api_key_value=served.key()) as prod:
            assert prod.get_feature_store().name == "prod"  # the only project of the key
            prod._store.sharing.share("dev")
        dev._store.sharing.accept("prod")
        weather = dev.get_feature_store("prod").get_feature_group("weather", 1)
        trips = dev.get_feature_store().get_or_create_feature_group(
            "trips", 1, primary_key=["trip"], event_time="at"
        )
        trips.insert(TRIPS)
        query = trips.select_all().join(
            weather.select(["temp"]), left_on=["where"], right_on=["city"]
        )
        assert query.read().sort_values("trip")["temp"].tolist() == [2, 2**53 + 1]
        view = dev.get_feature_store().create_feature_view("v", query, 1, labels=["late"])
        assert view.get_feature_vector({"trip": 2, "where": 2})[-1] == 2**53 + 1
        assert "remote" not in query.explain() or "prod" in query.explain()


def test_keys_come_from_values_files_and_the_environment(served, tmp_path, monkeypatch) -> None:
    file = tmp_path / "featurestore.key"
    file.write_text(served.key() + "\n\n")
    assert connect(served, api_key_file=str(file)).project == "prod"
    monkeypatch.setenv("FEATURE_PLATFORM_API_KEY", served.key(project="dev"))
    assert connect(served).project == "dev"
    assert connect(served, api_key_value=served.key()).project == "prod"  # arguments win
    monkeypatch.setenv("FEATURE_PLATFORM_HOST", "http://127.0.0.1")
    monkeypatch.setenv("FEATURE_PLATFORM_PORT", str(served.port))
    assert feature_platform.connection().project == "dev"
    monkeypatch.setenv("FEATURE_PLATFORM_PORT", "1")
    assert connect(served).project == "dev"  # arguments win
    for wrong in ("http", "-1", ""):
        monkeypatch.setenv("FEATURE_PLATFORM_PORT", wrong)
        with raises(ConfigError, "FEATURE_PLATFORM_PORT"):
            feature_platform.connection()
    with raises(AccessError, "valid"):
        connect(served, api_key_value="fp_0123456789ab_wrong")
    with raises(ConfigError, "missing"):
        connect(served, api_key_file=str(tmp_path / "missing"))
    with raises(ConfigError, "vault"):
        connect(served, secrets_store="vault")


def test_a_host_may_be_a_url(served: Served) -> None:
    for host in (served.url, f"{served.url}/"):
        connection = feature_platform.connection(host=host, api_key_value=served.key())
        assert connection.project == "prod"
    with raises(ConfigError, f"127.0.0.1:{served.port}", "TLS", "http://"):
        feature_platform.connection("127.0.0.1", served.port, api_key_value=served.key())


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("features.example.com", "https://features.example.com:443"),
        ("https://features.example.com:8443", "https://features.example.com:8443"),
        ("http://localhost", "http://localhost:443"),
        ("::1", "https://[::1]:443"),
        ("http://[::1]:6566/", "http://[::1]:6566"),
    ],
)
def test_addresses_of_hosts(host: str, address: str) -> None:
    assert _address(host, 443) == address


@pytest.fixture
def role(monkeypatch: pytest.MonkeyPatch) -> Any:
    """AWS in memory, and this process in the role `trainer`."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    with mock_aws():
        arn = "arn:aws:iam::123456789012:role/trainer"
        iam = boto3.client("iam")
        iam.create_role(RoleName="trainer", AssumeRolePolicyDocument="{}")
        sts = boto3.client("sts")
        session = sts.assume_role(RoleArn=arn, RoleSessionName="session")
        credentials = session["Credentials"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", credentials["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", credentials["SecretAccessKey"])
        monkeypatch.setenv("AWS_SESSION_TOKEN", credentials["SessionToken"])
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        yield


def test_keys_come_from_aws(served, role, monkeypatch) -> None:
    boto3.client("secretsmanager").create_secret(
        Name="hopsworks/role/trainer", SecretString=json.dumps({"api-key": served.key()})
    )
    assert connect(served, secrets_store="secretsmanager").project == "prod"
    boto3.client("ssm").put_parameter(
        Name="/hopsworks/role/trainer/type/api-key",
        Value=served.key(project="dev"),
        Type="SecureString",
    )
    assert connect(served).project == "dev"  # the default
    boto3.client("ssm", region_name="us-west-2").put_parameter(
        Name="/ours", Value=served.key(), Type="SecureString"
    )
    monkeypatch.setenv("FEATURE_PLATFORM_SECRET", "/ours")
    assert connect(served, region_name="us-west-2").project == "prod"
    with raises(ConfigError, "parameterstore"):
        connect(served)
    with raises(ConfigError, "api_key_file"):
        connect(served, secrets_store="local")


def test_certificates_are_verified(folder: Path, prod: Any, start: Any, tmp_path: Path) -> None:
    authority, certificate, key = certificates.make(tmp_path, "localhost", "127.0.0.1")
    served = start(folder, ssl_certfile=str(certificate), ssl_keyfile=str(key))
    options: dict[str, Any] = {"port": served.port, "api_key_value": served.key()}
    with raises(ConfigError, "trust_store_path"):
        feature_platform.connection("localhost", **options)
    trusted = feature_platform.connection("localhost", trust_store_path=str(authority), **options)
    assert trusted.get_feature_store().get_feature_groups()[0].name == "weather"
    with raises(ConfigError, "PEM"):
        feature_platform.connection("localhost", trust_store_path=str(key), **options)
    (tmp_path / "other").mkdir()
    _, certificate, key = certificates.make(tmp_path / "other", "elsewhere.example")
    named = start(folder, ssl_certfile=str(certificate), ssl_keyfile=str(key))
    options["port"] = named.port
    options["trust_store_path"] = str(tmp_path / "other" / "ca.pem")
    with raises(ConfigError, "localhost"):
        feature_platform.connection("localhost", **options)
    assert feature_platform.connection("localhost", hostname_verification=False, **options)


def test_two_connections_share_nothing(served: Served) -> None:
    prod = connect(served, api_key_value=served.key())
    dev = connect(served, api_key_value=served.key(project="dev"))
    assert (prod.project, dev.project) == ("prod", "dev")
    prod.close()
    assert dev.get_feature_store().name == "dev"
    prod.connect()
    assert prod.get_feature_store().name == "prod"
    assert "fp_" not in repr(prod)
    assert "fp_" not in repr(vars(prod)["_store"].config)
