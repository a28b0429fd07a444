"""From a broker into the stores: nothing is lost, nothing is older than what was there."""

import json
import random
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pandas as pd
import pytest
import redis
from streams.conftest import Broker
from tests_support import HOUR, NOON, open_stream, raises

from feature_platform import (
    Entity,
    FeatureStore,
    Field,
    FileSource,
    PushMode,
    RepoConfig,
    StreamFeatureView,
    StreamSource,
)
from feature_platform.errors import ConfigError, NotFoundError, RequestError, StoreError
from feature_platform.types import Float32, Int64


@pytest.fixture
def store(broker: Broker, topic: str, tmp_path: Path) -> FeatureStore:
    config = RepoConfig(
        project="shop", team="platform", registry="registry.db", broker=broker.settings
    )
    opened = FeatureStore(tmp_path, config=config, clock=lambda: NOON)
    (tmp_path / "history").mkdir()
    history = {"driver_id": [9], "event_timestamp": [NOON - HOUR], "trips": [1], "rate": [0.5]}
    pd.DataFrame(history).to_parquet(tmp_path / "history" / "first.parquet")
    view = StreamFeatureView(
        name="live",
        entities=[Entity(name="driver", join_keys=["driver_id"], value_type=Int64)],
        ttl=timedelta(days=1),
        schema=[Field(name="trips", dtype=Int64), Field(name="rate", dtype=Float32)],
        source=StreamSource(
            name="events", topic=topic, batch_source=FileSource(name="history", path="history")
        ),
    )
    opened.apply([view, Entity(name="driver", join_keys=["driver_id"], value_type=Int64)])
    return opened


def event(driver: int, trips: Any, at=NOON, **more: Any) -> bytes:
    row = {"driver_id": driver, "event_timestamp": at.isoformat(), "trips": trips, "rate": 0.5}
    return json.dumps(row | more).encode()


def trips(store: FeatureStore, *drivers: int) -> list[int | None]:
    rows = [{"driver_id": n} for n in drivers]
    return store.get_online_features(["live:trips"], rows).to_dict()["trips"]


def until_empty(store: FeatureStore, count: int, **options: Any) -> tuple[int, int]:
    """Run until so many messages were handled; a group needs a moment to form."""
    handled, rejected = 0, 0
    for _ in range(3):
        done = store.ingest("events", until_empty=True, **options)
        handled, rejected = handled + done.rows, rejected + done.rejected
        if handled + rejected >= count:
            break
    return handled, rejected


def test_events_are_served_and_the_newest_wins(store, broker: Broker, topic: str) -> None:
    events = [event(1, n, NOON - n * HOUR) for n in range(5)] + [event(2, 2**53 + 1)]
    random.Random(1).shuffle(events)
    broker.send(topic, events)

    assert until_empty(store, 6) == (6, 0)
    assert trips(store, 1, 2, 3) == [0, 2**53 + 1, None]


def test_what_is_no_row_is_put_aside_and_the_rest_goes_on(store, broker, topic: str) -> None:
    bad = [b"no json", b"[1]", event(1, "many"), event(1, 1, unknown=2), event(None, 1), b""]
    bad += [event(1, 1, **{"\ud800": 1}), event(1, 2**70)]
    broker.send(topic, [event(1, 10), *bad, event(2, 20)])

    assert until_empty(store, 10) == (2, 8)
    assert trips(store, 1, 2) == [10, 20]
    reasons = dict(broker.rejected(topic))
    assert set(reasons) == set(bad)
    named = {
        b"no json": ["JSON"],
        b"[1]": ["list"],
        event(1, "many"): ["'live'", "'trips'", "'many'", "int64"],
        event(1, 1, unknown=2): ["'live'", "'unknown'"],
        event(None, 1): ["'live'", "'driver_id'", "null"],
    }
    for body, names in named.items():
        assert all(name in reasons[body] for name in names), reasons[body]


def test_history_grows_and_backfills_what_the_stream_said(store, broker, topic: str) -> None:
    broker.send(topic, [event(1, 10), event(2, 20)])
    assert until_empty(store, 2, to=PushMode.ONLINE_AND_OFFLINE) == (2, 0)

    asked = pd.DataFrame({"driver_id": [1, 2, 9], "event_timestamp": NOON})
    answer = store.get_historical_features(asked, ["live:trips"]).to_arrow()
    assert answer["trips"].to_pylist() == [10, 20, 1]
    assert store.materialize(NOON - 2 * HOUR, NOON) == {"live": 3}
    assert trips(store, 1, 2, 9) == [10, 20, 1]


def test_a_crash_before_the_acknowledgement_repeats_and_changes_nothing(
    store, broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.send(topic, [event(1, 10), event(2, 20)])
    real, failure = FeatureStore.push, StoreError("killed")
    calls: list[int] = []

    def stored_then_killed(self, *arguments: Any) -> int:
        real(self, *arguments)
        calls.append(1)
        raise failure

    monkeypatch.setattr(FeatureStore, "push", stored_then_killed)
    with pytest.raises(StoreError) as caught:
        store.ingest("events", until_empty=True)
    assert caught.value is failure
    assert calls
    monkeypatch.undo()
    # With Redis, a while passes before another reader takes over.
    monkeypatch.setattr("feature_platform.streams.redis._ABANDONED_MS", 500)
    assert until_empty(store, 2) == (2, 0)
    assert trips(store, 1, 2) == [10, 20]


def test_a_source_that_cannot_grow_is_no_fault_of_the_messages(
    store, broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.send(topic, [event(1, 10)])
    single = FileSource(name="history", path="history/first.parquet")
    store.apply([single], override="for this test")
    with raises(RequestError, "'history'", "history/first.parquet"):
        store.ingest("events", PushMode.OFFLINE, until_empty=True)

    store.apply([FileSource(name="history", path="history")], override="for this test")
    with monkeypatch.context() as quick:
        quick.setattr("feature_platform.streams.redis._ABANDONED_MS", 300)
        assert until_empty(store, 1, to=PushMode.ONLINE_AND_OFFLINE) == (1, 0)
    assert trips(store, 1) == [10]


def test_it_goes_on_until_it_is_stopped(store, broker: Broker, topic: str) -> None:
    stop, seen = Event(), Event()
    runner = Thread(
        target=lambda: store.ingest("events", stop=stop, on_progress=lambda _: seen.set())
    )
    broker.send(topic, [event(1, 10)])  # the first message makes the topic
    runner.start()
    assert seen.wait(30)
    stop.set()
    runner.join(30)

    assert not runner.is_alive()
    assert trips(store, 1) == [10]


def test_what_is_missing_is_said(store: FeatureStore, tmp_path: Path) -> None:
    with raises(NotFoundError, "evnts", "events"):
        store.ingest("evnts")
    without = FeatureStore(tmp_path, config=RepoConfig(project="shop", registry="registry.db"))
    with raises(ConfigError, "feature_store.yaml", "broker"):
        without.ingest("events")


def test_a_kafka_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("feature_platform.streams.kafka._JOIN_SECONDS", 2)
    settings = {"type": "kafka", "bootstrap.servers": "127.0.0.1:1"}
    with (
        open_stream(settings, "clicks", "g") as stream,
        raises(StoreError, "clicks", "127.0.0.1:1"),
    ):
        stream.read(1, 0.2)
    with raises(ConfigError, "broker", "bootstrap.servers"):
        open_stream({"type": "kafka"}, "t", "g").read(1, 0.1)
    with raises(ConfigError, "broker", "nonsense"):
        open_stream({**settings, "nonsense": "1"}, "t", "g").read(1, 0.1)


def test_a_redis_message_without_a_row_is_put_aside_as_it_came(
    redis_server: str, topic: str
) -> None:
    client = redis.Redis.from_url(f"redis://{redis_server}")
    client.xadd(topic, {"driver_id": "1", "trips": "3"})
    with open_stream({"type": "redis", "connection_string": redis_server}, topic, "g") as stream:
        [message] = stream.read(10, 0.2)
        assert b"driver_id" in message.body
        assert stream.pending()
        stream.acknowledge([message])
        assert not stream.pending()
    assert client.xinfo_consumers(topic, "g") == []
