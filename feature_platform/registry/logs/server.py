"""The log of a registry behind a feature server."""

import struct
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from feature_platform.errors import StoreError
from feature_platform.registry.logs.base import LAST, SigningLog
from feature_platform.server_client import ServerClient

MOST_AT_ONCE = 1000
_LENGTH = struct.Struct("!Q")


class ServerLog(SigningLog):
    """Reads a log through a server, which writes it.

    Args:
        client: The server.
    """

    def __init__(self, client: ServerClient) -> None:
        self._client = client

    def __str__(self) -> str:
        return str(self._client)

    def read(self, after: int, limit: int | None = None) -> list[bytes]:
        records: list[bytes] = []
        while limit is None or len(records) < limit:
            count = MOST_AT_ONCE if limit is None else min(MOST_AT_ONCE, limit - len(records))
            query = {"after": str(after + len(records)), "limit": str(count)}
            part = list(unframed(self._get("commits", query)))
            records += part
            if len(part) < count:
                break
        return records

    def last(self, after: int = 0) -> int:
        return int(msgspec.json.decode(self._get("last", {"after": str(after)})))

    def checkpoint(self, upto: int = LAST) -> bytes | None:
        return self._get("checkpoint", {"upto": str(upto)}) or None

    def time(self) -> datetime:
        return datetime.fromisoformat(msgspec.json.decode(self._get("time", {})))

    def commit(self, request: Mapping[str, Any]) -> bytes | None:
        # The id of the commit makes it safe to send again.
        body = msgspec.json.encode(request)
        return self._client.request("POST", "/v1/registry/commits", body) or None

    def close(self) -> None:
        self._client.close()

    def _get(self, name: str, query: Mapping[str, str]) -> bytes:
        return self._client.request("GET", f"/v1/registry/{name}", query=query)


def framed(records: list[bytes]) -> bytes:
    """Return records as one body: each with its length before it."""
    return b"".join(_LENGTH.pack(len(record)) + record for record in records)


def unframed(body: bytes) -> Iterator[bytes]:
    """Yield the records of a body.

    Raises:
        StoreError: The body is incomplete.
    """
    position = 0
    while position < len(body):
        start = position + _LENGTH.size
        if start > len(body):
            raise StoreError("The answer of the feature server is incomplete.")
        [length] = _LENGTH.unpack_from(body, position)
        position = start + length
        if position > len(body):
            raise StoreError("The answer of the feature server is incomplete.")
        yield body[start:position]
