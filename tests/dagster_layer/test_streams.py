"""Streams are observed on the views that are pushed from them."""

import json
import uuid

import dagster as dg
import pytest
import redis
from dagster_support import Workspace

from feature_platform import FeatureStore

pytestmark = pytest.mark.filterwarnings("ignore")
CODE = """
from feature_platform import Entity, FeatureView, Field, StreamSource
from feature_platform.types import Int64

rider = Entity(name="rider", value_type=Int64)
live = FeatureView(name="live", entities=[rider], schema=[Field(name="taps", dtype=Int64)],
                   source=StreamSource(name="taps", topic="{topic}"))
"""


@pytest.fixture
def topic() -> str:
    return f"taps-{uuid.uuid4().hex}"


def streamed(workspace: Workspace, topic: str, address: str) -> FeatureStore:
    repo = workspace.write("platform", CODE.replace("{topic}", topic))
    with (repo / "feature_store.yaml").open("a") as file:
        file.write(f"broker: {{type: redis, connection_string: '{address}'}}\n")
    assert workspace.run("platform").success
    return FeatureStore(repo)


def test_what_has_changed_of_a_stream_is_observed(workspace, redis_server: str, topic: str) -> None:
    store = streamed(workspace, topic, redis_server)
    client = redis.Redis.from_url(f"redis://{redis_server}")
    row = {"rider": 1, "event_timestamp": "2026-01-01T00:00:00Z", "taps": 3}
    client.xadd(topic, {"row": json.dumps(row)})
    client.xadd(topic, {"row": "no row"})
    location = workspace.location("platform")

    before = workspace.tick_of(location, "platform", sensor="observe_streams")
    [observation] = before.asset_events
    assert observation.asset_key == dg.AssetKey(["shop", "feature_view", "live"])
    assert observation.metadata["unread_messages"].value == 2
    assert observation.metadata["rejected_messages"].value == 0

    assert store.ingest("taps", until_empty=True) == (1, 1)
    after = workspace.tick_of(
        location, "platform", sensor="observe_streams", cursor=workspace.cursor
    )
    [observation] = after.asset_events
    assert observation.metadata["unread_messages"].value == 0
    assert observation.metadata["rejected_messages"].value == 1
    assert observation.metadata["last_message_age_seconds"].value < 600

    again = workspace.tick_of(
        location, "platform", sensor="observe_streams", cursor=workspace.cursor
    )
    assert again.asset_events == []


def test_a_broker_that_does_not_answer_is_a_reason_without_a_secret(
    workspace, redis_server: str, topic: str
) -> None:
    streamed(workspace, topic, redis_server)
    settings = workspace.folder / "platform" / "feature_store.yaml"
    settings.write_text(settings.read_text().replace(redis_server, "127.0.0.1:1,password=hunter2"))

    tick = workspace.tick_of(workspace.location("platform"), "platform", sensor="observe_streams")
    assert tick.asset_events == []
    assert "127.0.0.1:1" in tick.skip_reason.skip_message
    assert "hunter2" not in tick.skip_reason.skip_message


def test_a_repo_without_a_broker_has_no_such_sensor(workspace, topic: str) -> None:
    workspace.write("platform", CODE.replace("{topic}", topic))
    sensors = {sensor.name for sensor in workspace.location("platform").sensors or ()}
    assert "observe_streams_platform" not in sensors
