"""A stream in Kafka: a topic whose messages' values are JSON objects."""

from collections.abc import Sequence
from time import monotonic
from typing import Any

from feature_platform.errors import ConfigError, StoreError
from feature_platform.lazy import Lazy
from feature_platform.streams.base import Message, Stream

_FLUSH_SECONDS = 10
_MOST_BYTES = 500_000
_JOIN_SECONDS = 30


class KafkaStream(Stream):
    """Reads as a member of a consumer group; offsets are committed after rows are stored.

    Tested with librdkafka's mock brokers over TCP; not yet tested against a Kafka cluster.

    Args:
        options: librdkafka's settings: `bootstrap.servers`, `security.protocol` …
        topic: The topic.
        group: The consumer group.
    """

    def __init__(self, options: dict[str, Any], topic: str, group: str) -> None:
        self._options = options
        self._topic = topic
        self._group = group
        self._servers = options.get("bootstrap.servers", "")
        self._trouble = ""
        self._assigned: frozenset[int] | None = None
        self._reached: frozenset[int] = frozenset()
        self._consumer: Lazy[Any] = Lazy(self._subscribe, lambda consumer: consumer.close())
        self._producer: Lazy[Any] = Lazy(lambda: _confluent().Producer(self._options))

    def read(self, most: int, wait_seconds: float) -> Sequence[Message]:
        deadline = monotonic() + _JOIN_SECONDS
        while True:
            found = self._consume(most, wait_seconds)
            # The topic is known to be empty once the group has formed and all ends were reached.
            if found or (self._assigned is not None and self._reached >= self._assigned):
                return found
            if monotonic() > deadline:
                raise StoreError(
                    f"Topic {self._topic!r} cannot be read from {self._servers!r}: "
                    f"{self._trouble or 'the group has not formed'}."
                )

    def _consume(self, most: int, wait_seconds: float) -> list[Message]:
        from confluent_kafka import KafkaError

        messages = []
        for message in self._consumer.get().consume(most, wait_seconds):
            error = message.error()
            if error is None:
                messages.append(Message(message, message.value() or b""))
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                self._reached |= {message.partition()}
            elif error.retriable():
                self._trouble = error.str()
            else:
                raise StoreError(f"Topic {self._topic!r}: {error.str()}.")
        return messages

    def _note(self, error: Any) -> None:
        self._trouble = error.str()

    def _take(self, _: Any, partitions: Sequence[Any]) -> None:
        self._assigned = frozenset(p.partition for p in partitions)
        self._reached = frozenset()

    def acknowledge(self, messages: Sequence[Message]) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        ends: dict[int, int] = {}
        for message in messages:
            partition, offset = message.place.partition(), message.place.offset()
            ends[partition] = max(ends.get(partition, 0), offset + 1)
        offsets = [TopicPartition(self._topic, number, end) for number, end in ends.items()]
        try:
            self._consumer.get().commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise StoreError(f"Topic {self._topic!r}: {error}.") from error

    def reject(self, message: Message, reason: str) -> None:
        from confluent_kafka import KafkaException

        producer = self._producer.get()
        delivered: list[str] = []
        if cut := len(message.body) > _MOST_BYTES:
            reason = f"{reason} (of {len(message.body):,} bytes, the first are kept)"
        try:
            producer.produce(
                f"{self._topic}.rejected",
                message.body[:_MOST_BYTES] if cut else message.body,
                headers={"reason": reason.encode(errors="replace")},
                on_delivery=lambda error, _: delivered.append(error.str() if error else ""),
            )
            producer.flush(_FLUSH_SECONDS)
        except KafkaException as error:
            delivered.append(str(error))
        if delivered != [""]:
            why = delivered[0] if delivered else "no answer"
            raise StoreError(f"Topic '{self._topic}.rejected' cannot be written: {why}.")

    def pending(self) -> bool:
        return False  # the group reassigns the messages of a member that leaves

    def close(self) -> None:
        self._consumer.close()

    def _subscribe(self) -> Any:
        fixed = {
            "group.id": self._group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "error_cb": self._note,
        }
        if not self._servers:
            raise ConfigError("broker: kafka needs bootstrap.servers.")
        library = _confluent()
        try:
            quiet = {"log_level": 2, **self._options}  # our errors contain what it would log
            consumer = library.Consumer({**quiet, **fixed})
        except library.KafkaException as error:
            raise ConfigError(f"broker: {error.args[0].str()}.") from None
        consumer.subscribe([self._topic], on_assign=self._take)
        return consumer


def _confluent() -> Any:
    try:
        import confluent_kafka
    except ImportError:
        raise ConfigError(
            "broker: kafka needs a package: pip install 'feature-platform[kafka]'."
        ) from None
    return confluent_kafka
