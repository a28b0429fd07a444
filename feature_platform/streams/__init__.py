"""Streams: rows that a broker delivers."""

from typing import Any

from feature_platform.streams.base import Message as Message
from feature_platform.streams.base import Stream as Stream


def open_stream(broker: dict[str, Any], topic: str, group: str) -> Stream:
    """Open a topic for a group of readers that share it; nothing is contacted.

    Args:
        broker: `broker` of `feature_store.yaml`.
        topic: Name of the stream.
        group: Each message goes to one reader of a group.
    """
    if broker["type"] == "kafka":
        from feature_platform.streams.kafka import KafkaStream

        options = {name: value for name, value in broker.items() if name != "type"}
        return KafkaStream(options, topic, group)
    from feature_platform.streams.redis import RedisStream

    return RedisStream(broker.get("connection_string", "localhost:6379"), topic, group)
