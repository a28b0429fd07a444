"""Online store in Redis, or in a server that speaks its protocol, such as Valkey."""

import json
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from itertools import islice
from threading import local
from typing import Any

from feature_platform.errors import StoreError
from feature_platform.online.base import Found, Loaded, OnlineStore, entered
from feature_platform.online.codec import Layout, Record
from feature_platform.redis import connect, where
from feature_platform.table import Table

# A row is `event, created, layout, body` in one value: one MGET reads any number of them. Times
# are shifted to be unsigned, so that a script can compare them.
_TIMES = struct.Struct(">QQ")
_ZERO = 2**63
_LAYOUT = slice(16, 22)
_LAYOUTS = "fp:layouts"
_KEYS_PER_CALL = 1000
_PUT = """
local function newer(held, given)
    local a, b, c, d = struct.unpack('>I4I4I4I4', held)
    local e, f, g, h = struct.unpack('>I4I4I4I4', given)
    if a ~= e then return e > a end
    if b ~= f then return f > b end
    if c ~= g then return g > c end
    return h >= d
end
for i, key in ipairs(KEYS) do
    local held = redis.call('GETRANGE', key, 0, 15)
    if #held < 16 or newer(held, ARGV[i]) then redis.call('SET', key, ARGV[i]) end
end
"""
_EXPIRE = """
local a, b = struct.unpack('>I4I4', ARGV[1])
local removed = 0
for _, key in ipairs(KEYS) do
    local held = redis.call('GETRANGE', key, 0, 7)
    if #held == 8 then
        local c, d = struct.unpack('>I4I4', held)
        if c < a or (c == a and d < b) then removed = removed + redis.call('UNLINK', key) end
    end
end
return removed
"""


class _Line:
    """A connection that ends with the last that refers to it, such as its thread."""

    def __init__(self, pool: Any) -> None:
        self.process = os.getpid()
        self._connection = pool.connection_class(**pool.connection_kwargs)

    def mget(self, keys: list[bytes]) -> list[bytes | None]:
        self._connection.send_command("MGET", *keys, check_health=False)
        answer: list[bytes | None] = self._connection.read_response(disable_decoding=True)
        return answer

    def __del__(self) -> None:
        self._connection.disconnect()


class RedisOnlineStore(OnlineStore):
    """One value per row; one MGET per request. Newest-wins is decided in the server, by a script.

    Args:
        connection_string: `redis://`, `rediss://` or `unix://` with redis-py's options, or Feast's
            `host:port,password=…,db=…,ssl=true`.
    """

    def __init__(self, connection_string: str) -> None:
        super().__init__()
        self._address = connection_string
        self._where = where(connection_string)
        self._error: type[Exception] = StoreError  # redis-py's, once it is there
        self._gone: type[Exception] = StoreError  # likewise
        self._own = local()

    def expire(self, table: Table, before: int) -> int:
        oldest = [struct.pack(">Q", before + _ZERO)]
        prefix = _prefix(table.identity)
        with self._errors():
            return sum(self._expire(keys, oldest) for keys in self._scan(prefix))

    def drop(self, table: Table) -> None:
        name = f"{table.project}.{table.name}."
        with self._errors():
            for prefix in (f"fp:{name}", f"fp:loads:{name}"):
                for keys in self._scan(prefix.encode()):
                    self._client.unlink(*keys)

    def close(self) -> None:
        """Give back connections; those of other threads end with them, or with the store."""
        if "_client" in self.__dict__:
            self._client.close()
        self._own.__dict__.pop("line", None)

    def _put(self, table: Table, records: Sequence[Record]) -> None:
        prefix = _prefix(table.identity)
        with self._errors():
            self._client.hsetnx(_LAYOUTS, table.layout_id.hex(), json.dumps(table.layout))
            for start in range(0, len(records), _KEYS_PER_CALL):
                chunk = records[start : start + _KEYS_PER_CALL]
                self._newest_wins([prefix + r.key for r in chunk], [_value(r) for r in chunk])

    def _get(self, reads: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[Found | None]]:
        wanted: list[bytes] = []
        for identity, keys in reads:
            prefix = _prefix(identity)
            wanted += [prefix + key for key in keys]
        if not wanted:
            return [[] for _ in reads]
        try:
            held = iter(self._mget(wanted))
            return [[_found(value) for value in islice(held, len(keys))] for _, keys in reads]
        except (self._error, struct.error) as error:
            raise self._failed(error) from error

    def _mget(self, keys: list[bytes]) -> list[bytes | None]:
        """Ask over the thread's own connection: the way through the pool takes thrice the time.

        When that is gone, the client asks, and tries again as it is set to.
        """
        # It is taken away while it is in use: what interrupts a read, and reads itself, opens
        # another; and after an error it is not put back, for an answer that was not read would be
        # taken for the next one's.
        line: _Line | None = self._own.__dict__.pop("line", None)
        answer: list[bytes | None]
        if line is None or line.process != os.getpid():  # a fork has its own
            line = _Line(self._client.connection_pool)
        try:
            answer = line.mget(keys)
        except self._gone:
            answer = self._client.mget(keys)
        else:
            self._own.line = line
        return answer

    def _ledger(self, table: Table) -> list[Loaded]:
        with self._errors():
            return _entries(self._client.get(_ledger_key(table)))

    def _enter(self, table: Table, new: Loaded) -> None:
        def add(pipe: Any) -> None:
            held = entered(_entries(pipe.get(_ledger_key(table))), new)
            pipe.multi()
            pipe.hsetnx(_LAYOUTS, table.layout_id.hex(), json.dumps(table.layout))
            pipe.set(_ledger_key(table), json.dumps(held))

        with self._errors():
            self._client.transaction(add, _ledger_key(table))

    def _save_layout(self, table: Table) -> None:
        """It goes with every batch: somebody may have emptied the server in between."""

    def _load_layout(self, table: Table, identity: bytes) -> Layout | None:
        with self._errors():
            held = self._client.hget(_LAYOUTS, identity.hex())
        return json.loads(held) if held else None

    @cached_property
    def _client(self) -> Any:
        client, self._error = connect(self._address, "online_store")
        from redis import ConnectionError as Gone

        self._gone = Gone
        self._newest_wins = client.register_script(_PUT)
        self._expire = client.register_script(_EXPIRE)
        return client

    def _scan(self, prefix: bytes) -> Iterator[list[bytes]]:
        """Walk over the keys of the whole server that begin with a prefix."""
        cursor = 0
        while True:
            cursor, keys = self._client.scan(cursor, prefix + b"*", _KEYS_PER_CALL)
            if keys:
                yield keys
            if not cursor:
                return

    @contextmanager
    def _errors(self) -> Iterator[None]:
        self._client  # noqa: B018 - opens it: its package may be missing
        try:
            yield
        except self._error as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> StoreError:
        return StoreError(f"{self._where}: {str(error).rstrip('.')}.")


@lru_cache
def _prefix(identity: str) -> bytes:
    return f"fp:{identity}:".encode()


def _ledger_key(table: Table) -> str:
    return f"fp:loads:{table.ledger}"


def _entries(held: bytes | None) -> list[Loaded]:
    return [Loaded(*entry) for entry in json.loads(held)] if held else []


def _value(record: Record) -> bytes:
    times = _TIMES.pack(record.event + _ZERO, record.created + _ZERO)
    return times + record.layout + record.body


def _found(value: bytes | None) -> Found | None:
    if value is None:
        return None
    return Found(_TIMES.unpack_from(value)[0] - _ZERO, value[_LAYOUT], value[22:])
