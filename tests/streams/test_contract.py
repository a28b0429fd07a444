"""What every broker's adapter does."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from streams.conftest import Broker, bodies, drained
from tests_support import open_stream, raises

from feature_platform.errors import ConfigError, StoreError

SENT = [b'{"a": %d}' % n for n in range(5)]


def test_what_was_sent_before_and_after_is_read_once(broker: Broker, topic: str) -> None:
    broker.send(topic, SENT[:3])
    with broker.open(topic) as stream:
        found = drained(lambda: stream.read(10, 0.2))
        stream.acknowledge(found)
        assert bodies(found) == SENT[:3]

        broker.send(topic, SENT[3:])
        more = drained(lambda: stream.read(10, 0.2))
        stream.acknowledge(more)
        assert bodies(more) == SENT[3:]
        assert stream.read(10, 0.2) == []


def test_no_more_come_at_once_than_asked_for(broker: Broker, topic: str) -> None:
    broker.send(topic, SENT)
    with broker.open(topic) as stream:
        sizes: list[int] = []

        def two() -> Any:
            found = stream.read(2, 0.5)
            sizes.append(len(found))
            return found

        assert bodies(drained(two)) == SENT
        assert max(sizes) <= 2


def test_what_was_not_acknowledged_comes_again(broker: Broker, topic: str) -> None:
    broker.send(topic, SENT)
    with broker.open(topic) as first:
        found = drained(lambda: first.read(10, 0.2))
        assert bodies(found) == SENT
    time.sleep(0.4)
    with broker.open(topic) as second:
        again = drained(lambda: second.read(10, 0.2))
        second.acknowledge(again)
        assert bodies(again) == SENT
    time.sleep(0.4)
    with broker.open(topic) as third:
        assert [m for _ in range(5) for m in third.read(10, 0.2)] == []


def test_every_group_reads_all(broker: Broker, topic: str) -> None:
    broker.send(topic, SENT)
    for group in ("one", "other"):
        with broker.open(topic, group) as stream:
            assert bodies(drained(lambda stream=stream: stream.read(10, 0.2))) == SENT


def test_the_state_says_how_far_the_group_is(broker: Broker, topic: str) -> None:
    started = datetime.now(UTC) - timedelta(seconds=5)
    broker.send(topic, SENT)
    with broker.open(topic) as stream:
        assert drained(lambda: stream.read(10, 0.2))
        assert stream.state()[:2] == (5, 0)  # none is acknowledged

    time.sleep(0.4)
    with broker.open(topic) as stream:
        [first, *_] = messages = drained(lambda: stream.read(10, 0.2))
        stream.reject(first, "for the test")
        stream.acknowledge(messages)
        state = stream.state()
    assert (state.unread, state.rejected) == (0, 1)
    assert state.last_message is not None
    assert started < state.last_message < datetime.now(UTC) + timedelta(seconds=5)

    with broker.open(topic, "another") as stream:
        assert stream.state().unread == 5


def test_the_state_of_a_stream_without_messages(broker: Broker, topic: str) -> None:
    broker.send(topic, [])
    with broker.open(topic) as stream:
        assert stream.state() == (0, 0, None)


def test_rejected_messages_are_kept_with_the_reason(broker: Broker, topic: str) -> None:
    broker.send(topic, [b"\xff not json"])
    with broker.open(topic) as stream:
        [message] = drained(lambda: stream.read(10, 0.2))
        stream.reject(message, "it is no ünicode")
        stream.acknowledge([message])

    assert broker.rejected(topic) == [(b"\xff not json", "it is no ünicode")]


def test_a_broker_that_is_not_there_is_named_without_its_password() -> None:
    settings = {"type": "redis", "connection_string": "127.0.0.1:1,password=hunter2"}
    with (
        raises(StoreError, "clicks", "127.0.0.1:1") as caught,
        open_stream(settings, "clicks", "g") as stream,
    ):
        stream.read(1, 0.1)
    assert "hunter2" not in str(caught.value)
    with raises(ConfigError, "broker", "connection_string", "'pw'"):
        open_stream({"type": "redis", "connection_string": "h:1,pw=x"}, "t", "g").read(1, 0.1)
