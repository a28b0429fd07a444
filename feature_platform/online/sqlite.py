"""Online store in one SQLite file: for a laptop, a test or a small service."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import local

import pyarrow as pa

from feature_platform.errors import StoreError
from feature_platform.online.base import OnlineStore, StoredRow, Window, merge
from feature_platform.online.codec import (
    decode_row,
    encode_row,
    layout_id,
    layout_of,
    storable,
)
from feature_platform.online.keys import encode_keys
from feature_platform.table import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    Table,
    from_microseconds,
    microseconds,
)

_NEVER = -(2**63)
_KEYS_PER_QUERY = 500
_BUSY_SECONDS = 30
_SCHEMA = """
create table if not exists online_rows (
    view text, key blob, event integer, created integer, layout blob, body blob,
    primary key (view, key)
) without rowid;
create table if not exists layouts (id blob primary key, columns text) without rowid;
create table if not exists ledger (view text, start integer, stop integer);
"""
_UPSERT = """
insert into online_rows values (?, ?, ?, ?, ?, ?)
on conflict do update set
    event = excluded.event, created = excluded.created,
    layout = excluded.layout, body = excluded.body
where (excluded.event, excluded.created) >= (online_rows.event, online_rows.created)
"""


class _Connection(sqlite3.Connection):
    """Closes itself with the thread or the store that it belongs to."""

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # it was never opened
            self.close()


class SqliteOnlineStore(OnlineStore):
    """Readers are not blocked by writers. One connection per thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = local()
        self._layouts: dict[bytes, dict[str, str]] = {}

    def write(self, table: Table, batches: Iterable[pa.RecordBatch]) -> int:
        layout = layout_of(table)
        identity = layout_id(layout)
        count = 0
        with self._transaction() as db:
            columns = json.dumps(layout)
            db.execute("insert or ignore into layouts values (?, ?)", (identity, columns))
            for batch in batches:
                db.executemany(_UPSERT, _records(table, batch, identity))
                count += batch.num_rows
        return count

    def read(self, reads: Sequence[tuple[Table, Sequence[bytes]]]) -> list[list[StoredRow | None]]:
        with self._connection() as db:
            return [self._read(db, table, keys) for table, keys in reads]

    def windows(self, table: Table) -> list[Window]:
        with self._connection() as db:
            query = "select start, stop from ledger where view = ?"
            rows = db.execute(query, (table.ledger,)).fetchall()
        return merge(Window(from_microseconds(a), from_microseconds(b)) for a, b in rows)

    def record(self, table: Table, window: Window) -> None:
        with self._transaction() as db:
            rows = db.execute("select start, stop from ledger where view = ?", (table.ledger,))
            held = [Window(from_microseconds(a), from_microseconds(b)) for a, b in rows]
            db.execute("delete from ledger where view = ?", (table.ledger,))
            db.executemany(
                "insert into ledger values (?, ?, ?)",
                [
                    (table.ledger, microseconds(w.start), microseconds(w.end))
                    for w in merge([*held, window])
                ],
            )

    def drop(self, table: Table) -> None:
        first = f"{table.project}.{table.name}."
        last = f"{first[:-1]}/"  # the character after the dot: all that begins with `first`
        with self._transaction() as db:
            for name in ("online_rows", "ledger"):
                query = f"delete from {name} where view >= ? and view < ?"  # noqa: S608
                db.execute(query, (first, last))

    def _read(
        self, db: sqlite3.Connection, table: Table, keys: Sequence[bytes]
    ) -> list[StoredRow | None]:
        wanted = layout_of(table)
        found: dict[bytes, StoredRow] = {}
        distinct = list(dict.fromkeys(keys))
        for start in range(0, len(distinct), _KEYS_PER_QUERY):
            chunk = distinct[start : start + _KEYS_PER_QUERY]
            marks = ",".join("?" * len(chunk))
            where = f"view = ? and key in ({marks})"  # marks are question marks
            query = f"select key, event, layout, body from online_rows where {where}"  # noqa: S608
            for key, event, layout, body in db.execute(query, (table.identity, *chunk)):
                stored = self._layout(db, layout)
                found[key] = StoredRow(event, decode_row(body, stored, wanted))
        return [found.get(key) for key in keys]

    def _layout(self, db: sqlite3.Connection, identity: bytes) -> dict[str, str]:
        if identity not in self._layouts:
            query = "select columns from layouts where id = ?"
            self._layouts[identity] = json.loads(db.execute(query, (identity,)).fetchone()[0])
        return self._layouts[identity]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as db:
            db.execute("begin immediate")
            try:
                yield db
            except BaseException:
                db.execute("rollback")
                raise
            db.execute("commit")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            if not hasattr(self._local, "db"):
                self._local.db = self._open()
            yield self._local.db
        except sqlite3.Error as error:
            raise StoreError(f"Online store {self._path}: {error}.") from error

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"Online store {self._path}: {error}.") from error
        db = sqlite3.connect(
            self._path,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # used by one thread, closed by whichever comes last
            factory=_Connection,
        )
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
        db.executescript(_SCHEMA)
        return db


def _records(table: Table, batch: pa.RecordBatch, layout: bytes) -> Iterator[tuple[object, ...]]:
    keys = encode_keys([batch[name].to_pylist() for name in table.keys], batch.num_rows)
    events = storable(batch[EVENT_TIMESTAMP])
    created = storable(batch[CREATED_TIMESTAMP])
    features = [storable(batch[name]) for name in table.features.names]
    for key, event, known, *values in zip(keys, events, created, *features, strict=True):
        if key is not None and event is not None:
            when = _NEVER if known is None else known
            yield table.identity, key, event, when, layout, encode_row(values)
