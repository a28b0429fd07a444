"""A log in one SQLite file: the embedded default."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from feature_platform.errors import StoreError
from feature_platform.registry.logs.base import CommitLog

_BUSY_SECONDS = 30
_SCHEMA = """
begin immediate;
create table if not exists commits (
    version integer primary key,
    body blob not null
);
create trigger if not exists commits_are_not_updated before update on commits
begin select raise(abort, 'the registry log is append-only'); end;
create trigger if not exists commits_are_not_deleted before delete on commits
begin select raise(abort, 'the registry log is append-only'); end;
commit;
"""


class SqliteLog(CommitLog):
    """Writers take SQLite's write lock first: reading the head and adding to it is one step.

    A connection lasts one operation: the log is safe to share between threads and across forks.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, after: int) -> list[bytes]:
        if not self._path.exists():
            return []
        query = "select body from commits where version > ? order by version"
        with self._connection() as db:
            return [body for (body,) in db.execute(query, (after,))] if _has_log(db) else []

    def append(self, number: int, record: bytes) -> bool:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"Registry {self._path}: {error}.") from error
        with self._connection() as db:
            if not _has_log(db):
                _create(db)
            db.execute("begin immediate")
            (head,) = db.execute("select coalesce(max(version), 0) from commits").fetchone()
            free: bool = head + 1 == number
            if free:
                db.execute("insert into commits values (?, ?)", (number, record))
            db.execute("commit")
            return free

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(
                sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
            ) as db:
                db.execute("pragma synchronous = full")
                db.execute("pragma trusted_schema = off")
                yield db
        except sqlite3.Error as error:
            raise StoreError(f"Registry {self._path}: {error}.") from error


def _has_log(db: sqlite3.Connection) -> bool:
    query = "select 1 from sqlite_master where name = 'commits'"
    return db.execute(query).fetchone() is not None


def _create(db: sqlite3.Connection) -> None:
    """Create the log; several processes may do so at once."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:  # SQLite does not wait for the lock that a change of journal mode needs.
            db.execute("pragma journal_mode = wal")
            break
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    db.executescript(_SCHEMA)
