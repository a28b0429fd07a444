"""No secret is shown: every place of a secret, every failing operation, every form of output."""

import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from tests_support import HOUR, NOON

from feature_platform import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushMode,
    PushSource,
    RepoConfig,
    StreamSource,
)
from feature_platform.cli import main
from feature_platform.errors import DefinitionError
from feature_platform.types import Int64

CANARY = "Kanarienvogel4711"
NOBODY = "127.0.0.1:1"
"""No server answers here."""

LOCAL = {
    "project": "shop",
    "team": "platform",
    "registry": "registry.db",
    "online_store": {"type": "sqlite", "path": "online.db"},
}
REGISTRIES = {
    "a PostgreSQL registry": f"postgresql://writer:{CANARY}@{NOBODY}/registry",
    "a registry with options": f"postgresql://{NOBODY}/registry?user=w&password={CANARY}",
    "a registry whose password is not encoded": f"postgresql://writer:{CANARY}/#?@{NOBODY}/r",
    "a registry with a space": f"postgresql://writer:{CANARY} @{NOBODY}/r",
    "a registry without a host": f"postgresql://writer:{CANARY}@[your-host]/r",
    "a registry with a wrong port": f"postgresql://writer:{CANARY}@127.0.0.1:port/r",
    "a registry in S3 with a key": f"s3://key:{CANARY}@bucket/prefix",
    "a registry of an unknown scheme": f"mysql://writer:{CANARY}@{NOBODY}/registry",
    "a registry that is no text": {"password": CANARY},
}
ONLINE = {
    "Redis with a password": {"type": "redis", "connection_string": f"{NOBODY},password={CANARY}"},
    "a Redis URL": {"type": "redis", "connection_string": f"redis://:{CANARY}@{NOBODY}/0"},
    "a Redis URL that is not encoded": {
        "type": "redis", "connection_string": f"redis://:{CANARY}#/@{NOBODY}"
    },
    "Redis with a wrong option": {
        "type": "redis", "connection_string": f"{NOBODY},password={CANARY},db=x"
    },
    "Redis with a list": {"type": "redis", "connection_string": [CANARY]},
    "PostgreSQL": {
        "type": "postgres", "host": "127.0.0.1", "port": 1, "user": "u", "password": CANARY
    },
    "PostgreSQL with a wrong port": {"type": "postgres", "port": "x", "password": CANARY},
    "PostgreSQL with a misspelling": {"type": "postgres", "passwort": CANARY},
    "PostgreSQL with a number": {"type": "postgres", "password": {"is": CANARY}},
    "DynamoDB with a URL": {
        "type": "dynamodb", "region": "eu-west-1", "endpoint_url": f"http://key:{CANARY}@{NOBODY}"
    },
    "an unknown store": {"type": "cassandra", "password": CANARY},
}  # fmt: skip
OTHERS: dict[str, dict[str, Any]] = {
    "Snowflake with a misspelling": {
        "offline_store": {"type": "snowflake", "password": [CANARY]}
    },
    "an unknown engine": {"offline_store": {"type": "oracle", "password": CANARY}},
    "Kafka": {
        "broker": {"type": "kafka", "bootstrap.servers": NOBODY, "sasl.password": CANARY,
                   "sasl.username": "u", "security.protocol": "sasl_plaintext",
                   "sasl.mechanism": "PLAIN"}
    },
    "Kafka with a wrong option": {
        "broker": {"type": "kafka", "bootstrap.servers": NOBODY, "sasl.passwort": CANARY}
    },
    "a Redis broker": {
        "broker": {"type": "redis", "connection_string": f"redis://:{CANARY}@{NOBODY}/0"}
    },
    "an unknown broker": {"broker": {"type": "pulsar", "token": CANARY}},
    "an unknown setting": {"api_key": CANARY},
    "a project that is a secret": {"project": {"password": CANARY}},
}  # fmt: skip
PLACES = {
    **{label: {"registry": url} for label, url in REGISTRIES.items()},
    **{label: {"online_store": settings} for label, settings in ONLINE.items()},
    **OTHERS,
}

KEY = Entity(name="k", value_type=Int64)
VIEW = FeatureView(
    name="v",
    entities=[KEY],
    schema=[Field(name="x", dtype=Int64)],
    source=PushSource(name="p", batch_source=FileSource(name="f", path="f.parquet")),
)
LIVE = FeatureView(
    name="live",
    entities=[KEY],
    schema=[Field(name="y", dtype=Int64)],
    source=StreamSource(name="events", topic="t", batch_source=FileSource(name="f2", path="f")),
)
ROWS = pd.DataFrame({"k": [1], "x": [2], "event_timestamp": [NOON]})
OPERATIONS: dict[str, Callable[[FeatureStore], object]] = {
    "apply": lambda store: store.apply([KEY, VIEW]),
    "plan": lambda store: store.plan([KEY, VIEW]),
    "list": lambda store: store.list_feature_views(),
    "read online": lambda store: store.get_online_features(["v"], [{"k": 1}]),
    "read history": lambda store: store.get_historical_features(ROWS[["k"]], ["v"]).to_arrow(),
    "load": lambda store: store.materialize(NOON - HOUR, NOON),
    "push": lambda store: store.push("p", ROWS, to=PushMode.ONLINE),
    "ingest": lambda store: store.ingest("events", until_empty=True),
    "delete": lambda store: store.delete_from_online_store("v", ROWS[["k"]]),
    "expire": lambda store: store.expire_online_store(),
    "tear down": lambda store: store.teardown(),
    "history": lambda store: store.registry.history(),
}
COMMANDS = [["list"], ["list", "--json"], ["plan"], ["history", "--json"], ["fsck"]]


class Shown(NamedTuple):
    """One text that a user may see."""

    operation: str
    form: str
    text: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose registry has views; the AWS key is a canary, too."""
    ROWS.to_parquet(tmp_path / "f.parquet")
    store = FeatureStore(tmp_path, config=RepoConfig(**LOCAL), clock=lambda: NOON)
    store.apply([KEY, VIEW, LIVE])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "public")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.setattr("feature_platform.streams.kafka._JOIN_SECONDS", 0.2)
    monkeypatch.setattr("feature_platform.registry.logs.postgres._ATTEMPTS", 1)
    return tmp_path


def by_python(folder: Path, settings: dict[str, Any], logged: Callable[[], str]) -> Iterator[Shown]:
    for name, operation in OPERATIONS.items():
        try:
            with FeatureStore(folder, config=RepoConfig(**settings)) as store:
                yield Shown(name, "repr", f"{store!r} {store.config!r} {store.config}")
                yield Shown(name, "attributes", str(vars(store.stores)))
                operation(store)
        except Exception as error:  # noqa: BLE001 - also those that should have been ours
            yield Shown(name, "message", f"{error} {error!r}")
            yield Shown(name, "traceback", "".join(traceback.format_exception(error)))
        yield Shown(name, "log", logged())


def by_command(
    folder: Path, settings: dict[str, Any], logged: Callable[[], str]
) -> Iterator[Shown]:
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(settings))
    for command in COMMANDS:
        result = CliRunner().invoke(main, ["-C", str(folder), *command])
        label = " ".join(command)
        yield Shown(label, "output", result.output)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            yield Shown(label, "traceback", "".join(traceback.format_exception(result.exception)))
            pytest.fail(f"{label}: {result.exception!r} was not reported")
        yield Shown(label, "log", logged())


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_shown(folder: Path, caplog: pytest.LogCaptureFixture, place: str) -> None:
    caplog.set_level(logging.DEBUG)
    settings = {**LOCAL, **PLACES[place]}
    shown = [
        *by_python(folder, settings, lambda: caplog.text),
        *by_command(folder, settings, lambda: caplog.text),
    ]
    assert len(shown) >= 3 * len(OPERATIONS) // 2 + len(COMMANDS)
    assert [(s.operation, s.form, s.text) for s in shown if CANARY in s.text] == []


def test_a_source_has_no_secret_in_its_endpoint() -> None:
    """It would be stored in the registry."""
    with pytest.raises(DefinitionError) as error:
        FileSource(name="f", path="s3://b/f", s3_endpoint_override=f"http://key:{CANARY}@host")
    assert CANARY not in "".join(traceback.format_exception(error.value))


def test_enough_places_were_searched() -> None:
    assert len(PLACES) * (2 * len(OPERATIONS) + len(COMMANDS)) >= 400
