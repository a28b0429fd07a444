"""Each thread reads over a connection of its own: what happens to it never reaches an answer."""

import errno
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from online.test_contract import NOON, ONE, batch, observed, values
from tests_support import open_online_store, raises

from feature_platform.errors import ConfigError, StoreError
from feature_platform.online import OnlineStore


@pytest.fixture
def store(redis_server: str, tmp_path: Path) -> Iterator[OnlineStore]:
    redis.Redis.from_url(f"redis://{redis_server}").flushall()
    settings = {"type": "redis", "connection_string": redis_server}
    opened = open_online_store(settings, tmp_path)
    opened.write(ONE, [batch(ONE, *(observed(n, NOON, n) for n in range(100)))])
    yield opened
    opened.close()


def test_a_connection_that_the_server_closed_is_opened_again(
    store: OnlineStore, redis_server: str
) -> None:
    assert values(store, 1) == [1]
    redis.Redis.from_url(f"redis://{redis_server}").client_kill_filter(_type="normal", skipme=True)

    assert values(store, 2) == [2]
    assert values(store, 3) == [3]


def test_an_interrupted_read_leaves_no_answer_for_the_next(
    store: OnlineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(BaseException): ...

    def interrupt(*_: object, **__: object) -> None:
        raise Interrupted

    assert values(store, 1) == [1]
    with monkeypatch.context() as patch:
        patch.setattr(redis.Connection, "read_response", interrupt)
        with pytest.raises(Interrupted):
            values(store, 2)
    assert values(store, 3) == [3]


def test_threads_answer_for_themselves(store: OnlineStore) -> None:
    def ask(number: int) -> bool:
        return values(store, number % 100, 404) == [number % 100, None]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(2000)))


def test_a_read_within_a_read_takes_no_others_answer(
    store: OnlineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a signal handler does, or what the garbage collector runs."""
    read, inner = redis.Connection.read_response, []

    def interrupted(connection: object, **options: object) -> object:
        if not inner:
            inner.append(None)
            inner[0] = values(store, 77)
        return read(connection, **options)

    assert values(store, 1) == [1]
    monkeypatch.setattr(redis.Connection, "read_response", interrupted)
    assert values(store, 4, 5) == [4, 5]
    assert inner == [[77]]
    assert values(store, 6) == [6]


def test_connections_end_with_their_threads(store: OnlineStore, redis_server: str) -> None:
    client = redis.Redis.from_url(f"redis://{redis_server}")
    before = len(client.client_list())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: values(store, n), range(64)))
    deadline = time.monotonic() + 5
    while len(client.client_list()) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(client.client_list()) <= before


def test_answers_as_text_are_refused(tmp_path: Path, redis_server: str) -> None:
    settings = {"type": "redis", "connection_string": f"redis://{redis_server}?decode_responses=1"}
    with raises(ConfigError, "connection_string", "decode_responses"):
        values(open_online_store(settings, tmp_path), 1)


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    store = open_online_store({"type": "redis", "connection_string": "127.0.0.1:1"}, tmp_path)

    with raises(StoreError, "127.0.0.1:1", os.strerror(errno.ECONNREFUSED)):
        values(store, 1)
