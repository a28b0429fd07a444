"""A stream in Redis: `XADD topic * row '{"driver_id": 1, …}'`."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from feature_platform.connections import connect_redis, describe_redis
from feature_platform.errors import StoreError
from feature_platform.lazy import Lazy
from feature_platform.streams.base import Message, Stream

_FIELD = b"row"
_ABANDONED_MS = 60_000


def _body(fields: dict[bytes, bytes]) -> bytes:
    """Return the row, or the raw fields: they are rejected, not lost."""
    return fields[_FIELD] if _FIELD in fields else repr(fields).encode()


class RedisStream(Stream):
    """Reads as a consumer group; messages of dead readers are taken over.

    Args:
        connection_string: As for the online store.
        topic: The stream's key.
        group: The consumer group, created at the start of the stream if needed.
        abandoned_ms: After how long an unacknowledged message is delivered to another reader; a
            minute by default.
    """

    def __init__(
        self, connection_string: str, topic: str, group: str, abandoned_ms: int | None = None
    ) -> None:
        self._address = connection_string
        self._topic = topic
        self._group = group
        self._abandoned_ms = _ABANDONED_MS if abandoned_ms is None else abandoned_ms
        self._name = uuid.uuid4().hex
        self._client = Lazy(self._connect, lambda client: client[0].close())

    def read(self, most: int, wait_seconds: float) -> Sequence[Message]:
        with self._errors() as client:
            _, found, _ = client.xautoclaim(
                self._topic, self._group, self._name, self._abandoned_ms, "0-0", count=most
            )
            if not found:
                wait = max(int(wait_seconds * 1000), 1)
                answer = client.xreadgroup(
                    self._group, self._name, {self._topic: ">"}, count=most, block=wait
                )
                found = answer[0][1] if answer else []
            return [Message(place, _body(fields)) for place, fields in found]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        if messages:
            with self._errors() as client:
                client.xack(self._topic, self._group, *(m.place for m in messages))

    def reject(self, message: Message, reason: str) -> None:
        with self._errors() as client:
            fields = {"row": message.body, "reason": reason, "place": message.place}
            client.xadd(f"{self._topic}.rejected", fields)

    def pending(self) -> bool:
        with self._errors() as client:
            return bool(client.xpending(self._topic, self._group)["pending"])

    def close(self) -> None:
        if self._client.is_open:
            with suppress(StoreError), self._errors() as client:
                mine = {"min": "-", "max": "+", "count": 1, "consumername": self._name}
                if not client.xpending_range(self._topic, self._group, **mine):
                    client.xgroup_delconsumer(self._topic, self._group, self._name)
        self._client.close()

    def _connect(self) -> tuple[Any, type[Exception]]:
        client, error_type = connect_redis(self._address, "broker")
        try:
            client.xgroup_create(self._topic, self._group, id="0", mkstream=True)
        except error_type as error:
            if "BUSYGROUP" not in str(error):
                raise self._failed(error) from error
        return client, error_type

    @contextmanager
    def _errors(self) -> Iterator[Any]:
        client, error_type = self._client.get()
        try:
            yield client
        except error_type as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> StoreError:
        reason = str(error).rstrip(".")
        return StoreError(f"Stream {self._topic!r} of {describe_redis(self._address)}: {reason}.")
