"""Stream in Redis: `XADD topic * row '{"driver_id": 1, …}'`."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from feature_platform.connections import connect_redis, describe_redis
from feature_platform.errors import StoreError
from feature_platform.lazy import Lazy
from feature_platform.streams.base import Message, Stream, StreamState
from feature_platform.types.times import from_microseconds

_FIELD = b"row"
_ABANDONED_MS = 60_000


def _body(fields: dict[bytes, bytes]) -> bytes:
    # A message without a row is returned as text, to be rejected and not lost.
    return fields[_FIELD] if _FIELD in fields else repr(fields).encode()


class RedisStream(Stream):
    """Reads as a member of a consumer group, which is created at the stream's start if missing.

    Readers claim messages that another reader has not acknowledged for `abandoned_ms`, by default
    one minute. The topic is the key of the stream.
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
            _, entries, _ = client.xautoclaim(
                self._topic, self._group, self._name, self._abandoned_ms, "0-0", count=most
            )
            if not entries:
                wait = max(int(wait_seconds * 1000), 1)
                streams = client.xreadgroup(
                    self._group, self._name, {self._topic: ">"}, count=most, block=wait
                )
                entries = streams[0][1] if streams else []
            return [Message(entry_id, _body(fields)) for entry_id, fields in entries]

    def acknowledge(self, messages: Sequence[Message]) -> None:
        if messages:
            with self._errors() as client:
                client.xack(self._topic, self._group, *(m.position for m in messages))

    def reject(self, message: Message, reason: str) -> None:
        with self._errors() as client:
            fields = {"row": message.body, "reason": reason, "position": message.position}
            client.xadd(f"{self._topic}.rejected", fields)

    def pending(self) -> bool:
        with self._errors() as client:
            return bool(client.xpending(self._topic, self._group)["pending"])

    def state(self) -> StreamState:
        with self._errors() as client:
            groups = {g["name"].decode(): g for g in client.xinfo_groups(self._topic)}
            newest = client.xrevrange(self._topic, count=1)
            rejected = client.xlen(f"{self._topic}.rejected")
        group = groups.get(self._group, {})  # somebody may have deleted it
        lag = group.get("lag")
        unread = None if lag is None else lag + group["pending"]
        sent = from_microseconds(int(newest[0][0].split(b"-")[0]) * 1_000) if newest else None
        return StreamState(unread, rejected, sent)

    def close(self) -> None:
        if self._client.is_open:
            with suppress(StoreError), self._errors() as client:
                query = {"min": "-", "max": "+", "count": 1, "consumername": self._name}
                if not client.xpending_range(self._topic, self._group, **query):
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
        server = describe_redis(self._address)
        return StoreError(f"Stream {self._topic!r} in {server}: {reason}.")
