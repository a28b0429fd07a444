"""Online store in a SQLite file, for laptops, tests and small services."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from feature_platform.errors import StoreError
from feature_platform.lazy import PerThread
from feature_platform.online.base import (
    MISSING,
    LedgerEntry,
    OnlineStore,
    StoredRecord,
    merge_ledger,
)
from feature_platform.online.codec import Layout, Record
from feature_platform.table import Table

_KEYS_PER_QUERY = 500
_BUSY_SECONDS = 30
_SCHEMA = """
create table if not exists online_rows (
    view text, key blob, event integer, created integer, layout blob, body blob,
    primary key (view, key)
) without rowid;
create table if not exists layouts (id blob primary key, columns text) without rowid;
create table if not exists loads (view text, start integer, stop integer, layout text);
"""
_UPSERT = """
insert into online_rows values (?, ?, ?, ?, ?, ?)
on conflict do update set
    event = excluded.event, created = excluded.created,
    layout = excluded.layout, body = excluded.body
where (excluded.event, excluded.created) >= (online_rows.event, online_rows.created)
"""


class _Connection(sqlite3.Connection):
    """A connection that closes when its thread or store ends."""

    def __del__(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # the connection was never opened
            self.close()


class SqliteOnlineStore(OnlineStore):
    """A SQLite file with one connection per thread; it is created on first use."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._connections = PerThread(self._open)

    def expire(self, table: Table, before: int) -> int:
        with self._transaction() as db:
            query = "delete from online_rows where view = ? and event < ?"
            return db.execute(query, (table.identity, before)).rowcount

    def drop(self, table: Table) -> None:
        first = table.prefix
        last = f"{first[:-1]}/"  # "/" follows ".": the range contains all names with the prefix
        with self._transaction() as db:
            for name in ("online_rows", "loads"):
                query = f"delete from {name} where view >= ? and view < ?"  # noqa: S608
                db.execute(query, (first, last))

    def close(self) -> None:
        """Close this thread's connection; those of other threads close when the threads end."""
        if db := self._connections.pop():
            db.close()

    def _put(self, table: Table, records: Sequence[Record]) -> None:
        with self._transaction() as db:
            db.executemany(_UPSERT, [(table.identity, *record) for record in records])

    def _get(self, reads: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[StoredRecord]]:
        with self._connection() as db:
            return [_look_up(db, identity, keys) for identity, keys in reads]

    def _ledger(self, table: Table) -> list[LedgerEntry]:
        with self._connection() as db:
            return _entries(db, table)

    def _add_to_ledger(self, table: Table, new: LedgerEntry) -> None:
        with self._transaction() as db:
            entries = merge_ledger(_entries(db, table), new)
            db.execute("delete from loads where view = ?", (table.ledger,))
            rows = [(table.ledger, *entry) for entry in entries]
            db.executemany("insert into loads values (?, ?, ?, ?)", rows)

    def _save_layout(self, table: Table) -> None:
        with self._transaction() as db:
            row = (table.layout_id, json.dumps(table.layout))
            db.execute("insert or ignore into layouts values (?, ?)", row)

    def _load_layout(self, table: Table, identity: bytes) -> Layout | None:
        with self._connection() as db:
            query = "select columns from layouts where id = ?"
            row = db.execute(query, (identity,)).fetchone()
        return json.loads(row[0]) if row else None

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
            yield self._connections.get()
        except sqlite3.Error as error:
            raise StoreError(f"Online store {self._path}: {error}.") from error

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            raise StoreError(f"Online store {self._path}: {error}.") from error
        db = sqlite3.connect(
            self._path,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,  # any thread may close it
            factory=_Connection,
        )
        _use_wal(db)
        db.execute("pragma synchronous = normal")
        db.executescript(_SCHEMA)
        return db


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch the file to a write-ahead log; SQLite does not wait for other connections here."""
    try:
        db.execute("pragma journal_mode = wal")
    except sqlite3.OperationalError as error:
        if not _is_busy(error):
            raise
        from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

        Retrying(
            retry=retry_if_exception(_is_busy),
            wait=wait_random(0, 0.05),
            stop=stop_after_delay(_BUSY_SECONDS),
            reraise=True,
        )(lambda: db.execute("pragma journal_mode = wal"))


def _is_busy(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY


def _entries(db: sqlite3.Connection, table: Table) -> list[LedgerEntry]:
    query = "select start, stop, layout from loads where view = ?"
    return [LedgerEntry(*row) for row in db.execute(query, (table.ledger,))]


def _look_up(db: sqlite3.Connection, identity: str, keys: Sequence[bytes]) -> list[StoredRecord]:
    stored: dict[bytes, StoredRecord] = {}
    distinct = list(dict.fromkeys(keys))
    for start in range(0, len(distinct), _KEYS_PER_QUERY):
        chunk = distinct[start : start + _KEYS_PER_QUERY]
        condition = f"view = ? and key in ({','.join('?' * len(chunk))})"
        query = f"select event, layout, body, key from online_rows where {condition}"  # noqa: S608
        stored.update((row[3], row[:3]) for row in db.execute(query, (identity, *chunk)))
    return [stored.get(key, MISSING) for key in keys]
