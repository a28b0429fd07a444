"""Every code block of the sharing and connection documents, with only the import changed."""

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import boto3
import pandas as pd
import pytest
from moto import mock_aws
from server import certificates
from server.conftest import Served
from tests_support import NOON, SEEDS

import feature_platform
from feature_platform import FeatureStore

[SHARING] = SEEDS.glob("000_*.txt")
[CONNECTION] = SEEDS.glob("001_*.txt")
HOST, PORT = "ec2-13-53-124-128.eu-north-1.compute.amazonaws.com", 443
PROJECT = "demo_fs_admin000"
# What is no Python of ours: listed, so that a document that changes is noticed.
NOT_RUN = {"import com.logicalclocks.hsfs._"}


def blocks(document: Path) -> list[str]:
    """Return the code blocks of a document, without their indentation."""
    pattern = r"^( *)```(?:python|scala)?[^\n]*\n(.*?)^\1```"
    text = document.read_text("utf-8")
    matches = re.finditer(pattern, text, re.MULTILINE | re.DOTALL)
    return [dedent(match[2]).strip() for match in matches]


def ours(code: str) -> str:
    """Change the import, and nothing else."""
    return re.sub(
        r"^import (hsfs|hsml)$", r"import feature_platform as \1", code, flags=re.MULTILINE
    )


def run(code: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    names = {} if names is None else names
    exec(compile(ours(code), "document", "exec"), names)  # noqa: S102 - the documents' own code
    return names


ALL = blocks(CONNECTION)


def test_the_blocks_are_all_here() -> None:
    assert len(blocks(SHARING)) == 3
    assert len(ALL) == 14
    assert [b for b in ALL if b.splitlines()[0] in NOT_RUN] == [
        b for b in ALL if "HopsworksConnection" in b
    ]


@pytest.fixture
def projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folders of two projects of one registry: one has shared with the other."""
    shared, mine = tmp_path / "name_of_shared_feature_store", tmp_path / "mine"
    for folder in (shared, mine):
        folder.mkdir()
        (folder / "feature_store.yaml").write_text(
            f"project: {folder.name}\nteam: platform\nregistry: ../registry.db\n"
            "online_store: {type: sqlite, path: online.db}\n"
        )
    with (mine / "feature_store.yaml").open("a") as file:
        file.write(f"projects: {{{shared.name}: {{path: ../{shared.name}}}}}\n")
    monkeypatch.chdir(mine)
    for name in ("HOST", "PORT", "PROJECT", "API_KEY", "API_KEY_FILE", "REPO", "SECRET"):
        monkeypatch.delenv(f"FEATURE_PLATFORM_{name}", raising=False)
    return shared, mine


def test_sharing_from_the_first_step_to_the_join(projects: tuple[Path, Path]) -> None:
    shared, mine = projects
    with contextlib.chdir(shared), feature_platform.connection() as connection:
        group = connection.get_feature_store().create_feature_group(
            "shared_fg_name", 1, primary_key=["id"], event_time="at"
        )
        group.insert(pd.DataFrame({"id": [1, 2], "at": [NOON, NOON], "x": [10, 20]}))
        # Steps 1 and 2: share, with access rights. Step 3: accept, and see the list.
        FeatureStore(".").sharing.share("mine", access="read")
    store = FeatureStore(mine)
    store.sharing.accept("name_of_shared_feature_store")
    [listed] = store.sharing.list()
    assert (listed.owner, listed.access, listed.state.value) == (
        "name_of_shared_feature_store", "read", "accepted",
    )  # fmt: skip
    with feature_platform.connection() as connection:
        own = connection.get_feature_store().create_feature_group(
            "feature_group_name", 1, primary_key=["id"], event_time="at"
        )
        own.insert(pd.DataFrame({"id": [1, 3], "at": [NOON, NOON], "y": [7, 8]}))
    names: dict[str, Any] = {}
    for block in blocks(SHARING):
        run(block, names)
    frame = names["query"].read().sort_values("id")
    assert frame[["id", "x"]].values.tolist() == [[1, 10], [2, 20]]
    assert frame["y"].tolist()[0] == 7
    assert pd.isna(frame["y"].tolist()[1])
    assert "point-in-time" in names["query"].explain()


def test_connecting_from_within(projects: tuple[Path, Path]) -> None:
    for block in ALL:
        if "conn = " in block and "host" not in block and "my_instance" not in block:
            names = run(block)
            assert names["conn"].project == "mine"
            if "fs" in names:
                assert names["fs"].name == "mine"


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server with TLS that the documents' host names lead to."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "feature_store.yaml").write_text(
        f"project: {PROJECT}\nteam: platform\nregistry: registry.db\nserver: {{keys: keys.db}}\n"
    )
    authority, certificate, key = certificates.make(tmp_path, HOST, "my_instance")
    served = Served(folder, ssl_certfile=str(certificate), ssl_keyfile=str(key))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host in {HOST, "my_instance"} and port == PORT:
            host, port = "127.0.0.1", served.port
        return real(host, port, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.chdir(tmp_path)
    yield served
    served.stop()


def test_connecting_from_outside(instance: Served, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "featurestore.key").write_text(instance.key(project=PROJECT))
    literal = re.search(r'"(PFcy\S+)"\s*"(\S+)"', CONNECTION.read_text("utf-8"))
    assert literal
    real = instance.application._authenticator._keys.find
    key = instance.keys.create("platform", [PROJECT], ["registry:read"])[0]

    def find(text: str) -> Any:
        return key if text == literal[1] + literal[2] else real(text)

    monkeypatch.setattr(instance.application._authenticator._keys, "find", find)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    ran = 0
    with mock_aws():
        arn = "arn:aws:iam::123456789012:role/sagemaker"
        boto3.client("iam").create_role(RoleName="sagemaker", AssumeRolePolicyDocument="{}")
        sts = boto3.client("sts")
        session = sts.assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", session["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", session["SecretAccessKey"])
        monkeypatch.setenv("AWS_SESSION_TOKEN", session["SessionToken"])
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        boto3.client("secretsmanager").create_secret(
            Name="hopsworks/role/sagemaker",
            SecretString=json.dumps({"api-key": instance.key(project=PROJECT)}),
        )
        for block in ALL:
            if HOST in block:
                names = run(block)
                assert names["fs"].name == PROJECT
                ran += 1
    assert ran == 5


def test_the_positional_example(instance: Served, tmp_path: Path) -> None:
    """It has a parenthesis too many, which is the document's."""
    store = instance.application._store
    assert store.project == PROJECT
    (tmp_path / "featurestore.key").write_text(instance.key(project=PROJECT))
    [block] = [b for b in ALL if "my_instance" in b]
    code = block.replace("# Disable for self-signed certificates\n)", "")
    code = code.replace("'my_project'", repr(PROJECT))
    code = re.sub(r"\)\s*#[^\n]*\n\)", ")", code)
    names = run(code)
    assert names["fs"].name == PROJECT


def test_signature_and_methods() -> None:
    """The signature of the document, argument by argument, and the methods it lists."""
    import inspect

    [listed] = [b for b in ALL if b.startswith("hsml.connection.Connection(")]
    pairs = re.findall(r"^ *(\w+)=(.+),$", listed, flags=re.MULTILINE)
    parameters = inspect.signature(feature_platform.Connection).parameters
    assert [(name, repr(p.default).replace("'", '"')) for name, p in parameters.items()] == pairs
    for block in ALL:
        if method := re.fullmatch(r"Connection\.(\w+)\(\)", block):
            assert callable(getattr(feature_platform.Connection, method[1]))
