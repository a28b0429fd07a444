"""Every contract test runs on every broker."""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest
import redis
from confluent_kafka import Consumer, Producer
from tests_support import open_stream

from feature_platform.streams import Message, Stream
from feature_platform.streams.redis import RedisStream


class Broker(NamedTuple):
    """A broker that the tests started.

    Attributes:
        settings: `broker` of a feature_store.yaml.
        send: Sends bodies to a topic.
        rejected: Returns the bodies and reasons in a topic's dead letters.
    """

    settings: dict[str, Any]
    send: Callable[[str, Sequence[bytes]], None]
    rejected: Callable[[str], list[tuple[bytes, str]]]

    def open(self, topic: str, group: str = "group") -> Stream:
        if self.settings["type"] == "redis":
            return RedisStream(self.settings["connection_string"], topic, group, abandoned_ms=300)
        return open_stream(self.settings, topic, group)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of the broker that librdkafka brings along for tests."""
    owner = Producer({"bootstrap.servers": "x", "test.mock.num.brokers": 1, "log_level": 0})
    brokers = owner.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    del owner


@pytest.fixture(params=["redis", "kafka"])
def broker(request: pytest.FixtureRequest) -> Broker:
    if request.param == "redis":
        address = request.getfixturevalue("redis_server")
        client = redis.Redis.from_url(f"redis://{address}")

        def send(topic: str, bodies: Sequence[bytes]) -> None:
            for body in bodies:
                client.xadd(topic, {"row": body})

        def rejected(topic: str) -> list[tuple[bytes, str]]:
            found = client.xrange(f"{topic}.rejected")
            return [(fields[b"row"], fields[b"reason"].decode()) for _, fields in found]

        return Broker({"type": "redis", "connection_string": address}, send, rejected)
    servers = {"bootstrap.servers": request.getfixturevalue("kafka"), "log_level": 0}

    def produce(topic: str, bodies: Sequence[bytes]) -> None:
        producer = Producer(servers)
        for body in bodies:
            producer.produce(topic, body)
        assert producer.flush(10) == 0

    def dead_letters(topic: str) -> list[tuple[bytes, str]]:
        group = {"group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
        consumer = Consumer({**servers, **group})
        consumer.subscribe([f"{topic}.rejected"])
        found = drained(lambda: consumer.consume(10, 1.0))
        consumer.close()
        return [(m.value(), dict(m.headers())["reason"].decode()) for m in found]

    settings = {"type": "kafka", "session.timeout.ms": 6000, **servers}
    return Broker(settings, produce, dead_letters)


@pytest.fixture
def topic() -> str:
    return f"t{uuid.uuid4().hex[:10]}"


def drained(read: Callable[[], Sequence[Any]]) -> list[Any]:
    """Read until nothing comes any more; a group needs a moment to form."""
    found: list[Any] = []
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        more = read()
        found += more
        if found and not more:
            break
    return found


def bodies(messages: Sequence[Message]) -> list[bytes]:
    return sorted(message.body for message in messages)
