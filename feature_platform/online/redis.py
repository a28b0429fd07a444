"""Online store in Redis or a server with the same protocol, such as Valkey."""

import json
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from feature_platform.connections import connect_redis, describe_redis
from feature_platform.errors import StoreError
from feature_platform.lazy import Lazy, PerThread
from feature_platform.online.base import (
    MISSING,
    LedgerEntry,
    OnlineStore,
    StoredRecord,
    merge_ledger,
)
from feature_platform.online.codec import Layout, Record
from feature_platform.table import Table

# A row is one value, `event, created, layout, body`, so one MGET reads any number of rows. Times
# are offset to unsigned integers, which the Lua scripts can compare.
_TIMES = struct.Struct(">QQ")
_ZERO = 2**63
_LAYOUT = slice(16, 22)
_BODY = slice(22, None)
_LAYOUTS = "fp:layouts"
_KEYS_PER_CALL = 1000
_PUT = """
local function newer(stored, new)
    local a, b, c, d = struct.unpack('>I4I4I4I4', stored)
    local e, f, g, h = struct.unpack('>I4I4I4I4', new)
    if a ~= e then return e > a end
    if b ~= f then return f > b end
    if c ~= g then return g > c end
    return h >= d
end
for i, key in ipairs(KEYS) do
    local stored = redis.call('GETRANGE', key, 0, 15)
    if #stored < 16 or newer(stored, ARGV[i]) then redis.call('SET', key, ARGV[i]) end
end
"""
_EXPIRE = """
local a, b = struct.unpack('>I4I4', ARGV[1])
local removed = 0
for _, key in ipairs(KEYS) do
    local stored = redis.call('GETRANGE', key, 0, 7)
    if #stored == 8 then
        local c, d = struct.unpack('>I4I4', stored)
        if c < a or (c == a and d < b) then removed = removed + redis.call('UNLINK', key) end
    end
end
return removed
"""


class _Connection:
    """A connection for one thread. Reads through redis-py's pool take three times the CPU time."""

    def __init__(self, pool: Any) -> None:
        self._connection = pool.connection_class(**pool.connection_kwargs)

    def mget(self, keys: list[bytes]) -> list[bytes | None]:
        self._connection.send_command("MGET", *keys, check_health=False)
        values: list[bytes | None] = self._connection.read_response(disable_decoding=True)
        return values

    def __del__(self) -> None:
        self._connection.disconnect()


class _Client(NamedTuple):
    """A redis-py client with its error classes and registered scripts."""

    redis: Any
    error: type[Exception]
    disconnected: type[Exception]
    newest_wins: Any
    expire: Any


class RedisOnlineStore(OnlineStore):
    """Stores one value per row. A request is one MGET; a script on the server compares times."""

    def __init__(self, connection_string: str) -> None:
        super().__init__()
        self._address = connection_string
        self._label = describe_redis(connection_string)
        self._client = Lazy(self._connect, lambda client: client.redis.close())
        self._connections = PerThread(lambda: _Connection(self._client.get().redis.connection_pool))

    def expire(self, table: Table, before: int) -> int:
        oldest = [struct.pack(">Q", before + _ZERO)]
        with self._errors() as client:
            batches = _scan(client, _prefix(table.identity))
            return sum(client.expire(keys, oldest) for keys in batches)

    def drop(self, table: Table) -> None:
        with self._errors() as client:
            for prefix in (f"fp:{table.prefix}", f"fp:loads:{table.prefix}"):
                for keys in _scan(client, prefix.encode()):
                    client.redis.unlink(*keys)

    def close(self) -> None:
        """Close connections; those of other threads close when the thread or the store ends."""
        self._connections.pop()
        self._client.close()

    def _put(self, table: Table, records: Sequence[Record]) -> None:
        prefix = _prefix(table.identity)
        with self._errors() as client:
            client.redis.hsetnx(_LAYOUTS, table.layout_id.hex(), json.dumps(table.layout))
            for start in range(0, len(records), _KEYS_PER_CALL):
                chunk = records[start : start + _KEYS_PER_CALL]
                client.newest_wins([prefix + r.key for r in chunk], [_value(r) for r in chunk])

    def _get(self, reads: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[StoredRecord]]:
        all_keys: list[bytes] = []
        for identity, keys in reads:
            prefix = _prefix(identity)
            all_keys += [prefix + key for key in keys]
        if not all_keys:
            return [[] for _ in reads]
        client = self._client.get()
        try:  # a context manager would add 5 % to the time of a request
            values = self._mget(client, all_keys)
            records = iter([_record(value) if value else MISSING for value in values])
            return [list(islice(records, len(keys))) for _, keys in reads]
        except (client.error, struct.error) as error:
            raise self._failed(error) from error

    def _mget(self, client: _Client, keys: list[bytes]) -> list[bytes | None]:
        """Read over the thread's connection; if it is broken, with the client and its retries."""
        # Checked out while in use: a re-entrant read opens its own connection. Not returned after
        # an error: an unread reply would be taken for the next request's.
        connection = self._connections.take()
        try:
            values = connection.mget(keys)
        except client.disconnected:
            values = client.redis.mget(keys)
        else:
            self._connections.put(connection)
        return values

    def _ledger(self, table: Table) -> list[LedgerEntry]:
        with self._errors() as client:
            return _entries(client.redis.get(_ledger_key(table)))

    def _add_to_ledger(self, table: Table, new: LedgerEntry) -> None:
        def add(pipe: Any) -> None:
            entries = merge_ledger(_entries(pipe.get(_ledger_key(table))), new)
            pipe.multi()
            pipe.hsetnx(_LAYOUTS, table.layout_id.hex(), json.dumps(table.layout))
            pipe.set(_ledger_key(table), json.dumps(entries))

        with self._errors() as client:
            client.redis.transaction(add, _ledger_key(table))

    def _save_layout(self, table: Table) -> None:
        """Do nothing: `_put` stores the layout with every batch, as the server may be flushed."""

    def _load_layout(self, table: Table, identity: bytes) -> Layout | None:
        with self._errors() as client:
            layout = client.redis.hget(_LAYOUTS, identity.hex())
        return json.loads(layout) if layout else None

    def _connect(self) -> _Client:
        client, error = connect_redis(self._address, "online_store")
        from redis import ConnectionError as Disconnected

        put, expire = client.register_script(_PUT), client.register_script(_EXPIRE)
        return _Client(client, error, Disconnected, put, expire)

    @contextmanager
    def _errors(self) -> Iterator[_Client]:
        client = self._client.get()
        try:
            yield client
        except client.error as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> StoreError:
        return StoreError(f"{self._label}: {str(error).rstrip('.')}.")


def _scan(client: _Client, prefix: bytes) -> Iterator[list[bytes]]:
    """Iterate over batches of all keys of the server that start with a prefix."""
    cursor = 0
    while True:
        cursor, keys = client.redis.scan(cursor, prefix + b"*", _KEYS_PER_CALL)
        if keys:
            yield keys
        if not cursor:
            return


@lru_cache
def _prefix(identity: str) -> bytes:
    return f"fp:{identity}:".encode()


def _ledger_key(table: Table) -> str:
    return f"fp:loads:{table.ledger}"


def _entries(stored: bytes | None) -> list[LedgerEntry]:
    return [LedgerEntry(*entry) for entry in json.loads(stored)] if stored else []


def _value(record: Record) -> bytes:
    times = _TIMES.pack(record.event + _ZERO, record.created + _ZERO)
    return times + record.layout + record.body


def _record(value: bytes) -> StoredRecord:
    return _TIMES.unpack_from(value)[0] - _ZERO, value[_LAYOUT], value[_BODY]
