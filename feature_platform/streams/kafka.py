"""Stream in a Kafka topic; the values of its messages are JSON objects."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from time import monotonic
from types import MappingProxyType
from typing import Any

from feature_platform.errors import ConfigError, StoreError, missing_extra
from feature_platform.lazy import Lazy
from feature_platform.streams.base import Message, Stream, StreamState
from feature_platform.types.times import from_microseconds

_FLUSH_SECONDS = 10
_MAX_BYTES = 500_000
_JOIN_SECONDS = 30
_ANSWER_SECONDS = 10


class KafkaStream(Stream):
    """Reads as a member of a consumer group, and commits offsets after rows are stored.

    The options are settings of librdkafka, such as `bootstrap.servers`. Tested with librdkafka's
    mock brokers over TCP, not with a Kafka cluster.
    """

    def __init__(self, options: dict[str, Any], topic: str, group: str) -> None:
        self._options = options
        self._topic = topic
        self._group = group
        self._servers = options.get("bootstrap.servers", "")
        self._last_error = ""
        self._assigned: frozenset[int] | None = None
        self._at_end: frozenset[int] = frozenset()
        self._consumer: Lazy[Any] = Lazy(self._subscribe, lambda consumer: consumer.close())
        self._producer: Lazy[Any] = Lazy(lambda: _confluent().Producer(self._options))

    def read(self, most: int, wait_seconds: float) -> Sequence[Message]:
        deadline = monotonic() + _JOIN_SECONDS
        while True:
            messages = self._consume(most, wait_seconds)
            # The topic is empty only if partitions are assigned and all of their ends are reached.
            if messages or (self._assigned is not None and self._at_end >= self._assigned):
                return messages
            if monotonic() > deadline:
                raise StoreError(
                    f"Topic {self._topic!r} cannot be read from {self._servers!r}: "
                    f"{self._last_error or 'no partitions were assigned in time'}."
                )

    def _consume(self, most: int, wait_seconds: float) -> list[Message]:
        from confluent_kafka import KafkaError

        messages = []
        for message in self._consumer.get().consume(most, wait_seconds):
            error = message.error()
            if error is None:
                messages.append(Message(message, message.value() or b""))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its documented name
                self._at_end |= {message.partition()}
            elif error.retriable():
                self._last_error = error.str()
            else:
                raise StoreError(f"Topic {self._topic!r}: {error.str()}.")
        return messages

    def _save_error(self, error: Any) -> None:
        self._last_error = error.str()

    def _set_partitions(self, _: Any, partitions: Sequence[Any]) -> None:
        self._assigned = frozenset(p.partition for p in partitions)
        self._at_end = frozenset()

    def acknowledge(self, messages: Sequence[Message]) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        ends: dict[int, int] = {}
        for message in messages:
            partition, offset = message.position.partition(), message.position.offset()
            ends[partition] = max(ends.get(partition, 0), offset + 1)
        offsets = [TopicPartition(self._topic, *item) for item in ends.items()]
        try:
            self._consumer.get().commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise StoreError(f"Topic {self._topic!r}: {error}.") from error

    def reject(self, message: Message, reason: str) -> None:
        from confluent_kafka import KafkaException

        producer = self._producer.get()
        results: list[str] = []  # the error of the delivery, empty if it succeeded
        if len(message.body) > _MAX_BYTES:
            size = f"{len(message.body):,} to {_MAX_BYTES:,} bytes"
            reason = f"{reason} (message truncated from {size})"
        try:
            producer.produce(
                f"{self._topic}.rejected",
                message.body[:_MAX_BYTES],
                headers={"reason": reason.encode(errors="replace")},
                on_delivery=lambda error, _: results.append(error.str() if error else ""),
            )
            producer.flush(_FLUSH_SECONDS)
        except KafkaException as error:
            results.append(str(error))
        if results != [""]:
            reason = results[0] if results else "the request timed out"
            raise StoreError(f"Topic '{self._topic}.rejected' cannot be written: {reason}.")

    def pending(self) -> bool:
        return False  # Kafka reassigns a member's messages when it leaves the group

    def state(self) -> StreamState:
        # A consumer of its own that joins no group: the members keep their partitions.
        consumer = self._open()
        try:
            topics = consumer.list_topics(timeout=_ANSWER_SECONDS).topics
            parts = self._ends(consumer, topics, self._topic)
            stored = consumer.committed([part for part, _, _ in parts], _ANSWER_SECONDS)
            read = {each.partition: each.offset for each in stored}
            unread = sum(high - max(read[p.partition], low) for p, low, high in parts)
            rejected = self._ends(consumer, topics, f"{self._topic}.rejected")
            dead = sum(high - low for _, low, high in rejected)
            return StreamState(unread, dead, self._last_message(consumer, parts))
        except _confluent().KafkaException as error:
            raise StoreError(f"Topic {self._topic!r}: {error.args[0].str()}.") from error
        finally:
            consumer.close()

    @staticmethod
    def _ends(consumer: Any, topics: Any, topic: str) -> list[tuple[Any, int, int]]:
        """Return the partitions of a topic, their first offsets and their ends."""
        partitions = topics[topic].partitions if topic in topics else ()
        parts = [_confluent().TopicPartition(topic, n) for n in partitions]
        return [(p, *consumer.get_watermark_offsets(p, timeout=_ANSWER_SECONDS)) for p in parts]

    @staticmethod
    def _last_message(consumer: Any, parts: Sequence[tuple[Any, int, int]]) -> datetime | None:
        last = [
            _confluent().TopicPartition(part.topic, part.partition, high - 1)
            for part, low, high in parts
            if high > low
        ]
        if not last:
            return None
        consumer.assign(last)
        messages = consumer.consume(len(last), _ANSWER_SECONDS)
        times = [message.timestamp()[1] for message in messages if message.error() is None]
        return from_microseconds(max(times) * 1_000) if times else None

    def close(self) -> None:
        self._consumer.close()

    def _subscribe(self) -> Any:
        consumer = self._open({"enable.partition.eof": True})
        consumer.subscribe([self._topic], on_assign=self._set_partitions)
        return consumer

    def _open(self, more: Mapping[str, Any] = MappingProxyType({})) -> Any:
        fixed = {
            "group.id": self._group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "error_cb": self._save_error,
        }
        if not self._servers:
            raise ConfigError("broker: kafka requires the setting bootstrap.servers.")
        library = _confluent()
        try:
            quiet = {"log_level": 2, **self._options}  # our errors contain its messages
            return library.Consumer({**quiet, **fixed, **more})
        except library.KafkaException as error:
            raise ConfigError(f"broker: {error.args[0].str()}.") from None


def _confluent() -> Any:
    try:
        import confluent_kafka
    except ImportError:
        raise missing_extra("broker: kafka", "kafka") from None
    return confluent_kafka
