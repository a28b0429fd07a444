"""A log in a SQLite file, the default."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from feature_platform.errors import BusyError, StoreError
from feature_platform.registry.logs.base import LAST, CommitLog

_BUSY_SECONDS = 30
_SCHEMA = """
begin immediate;
create table if not exists commits (
    version integer primary key,
    commit_id text not null unique,
    body blob not null
);
create table if not exists checkpoints (version integer primary key, body blob not null);
create trigger if not exists commits_are_not_updated before update on commits
begin select raise(abort, 'the registry log is append-only'); end;
create trigger if not exists commits_are_not_deleted before delete on commits
begin select raise(abort, 'the registry log is append-only'); end;
commit;
"""


class SqliteLog(CommitLog):
    """A SQLite file; its write lock makes appends atomic.

    Every operation opens a connection, so threads and forked processes can share the log. The file
    must be on a local disk, because SQLite's locks do not work on network file systems.
    """

    def __init__(self, path: Path, *, busy_seconds: float = _BUSY_SECONDS) -> None:
        self._path = path
        self._busy_seconds = busy_seconds

    def __str__(self) -> str:
        return str(self._path)

    def read(self, after: int, limit: int | None = None) -> list[bytes]:
        query = "select body from commits where version > ? order by version limit ?"
        count = -1 if limit is None else limit
        with self._connection(create=False) as db:
            return [body for (body,) in db.execute(query, (after, count))] if db else []

    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        with self._connection() as db:
            db.execute("begin immediate")
            (head,) = db.execute("select coalesce(max(version), 0) from commits").fetchone()
            if head + 1 == number:
                db.execute("insert into commits values (?, ?, ?)", (number, commit_id, record))
            stored = db.execute("select body from commits where version = ?", (number,)).fetchone()
            db.execute("commit")
            return bool(stored == (record,))

    def last(self, after: int = 0) -> int:
        query = "select coalesce(max(version), 0) from commits"
        with self._connection(create=False) as db:
            return max(after, db.execute(query).fetchone()[0] if db else 0)

    def checkpoint(self, upto: int = LAST) -> bytes | None:
        query = "select body from checkpoints where version <= ? order by version desc limit 1"
        with self._connection(create=False) as db:
            row = db.execute(query, (min(upto, 2**63 - 1),)).fetchone() if db else None
            return row[0] if row else None

    def keep(self, number: int, checkpoint: bytes) -> None:
        with self._connection() as db:
            db.execute("insert or ignore into checkpoints values (?, ?)", (number, checkpoint))

    @contextmanager
    def _connection(self, *, create: bool = True) -> Iterator[sqlite3.Connection]:
        """Connect to the file; without `create`, yield `None` if there is no log."""
        try:
            if create:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            elif not self._path.exists():
                yield None  # type: ignore[misc]
                return
            with closing(
                sqlite3.connect(self._path, timeout=self._busy_seconds, isolation_level=None)
            ) as db:
                db.execute("pragma synchronous = full")
                db.execute("pragma trusted_schema = off")
                if not _has_log(db):
                    if not create:
                        yield None  # type: ignore[misc]
                        return
                    self._create(db)
                yield db
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise BusyError(f"Registry {self} is busy: {error}. Retry.") from error
            raise StoreError(f"Registry {self}: {error}. Check the path and the disk.") from error
        except sqlite3.DatabaseError as error:
            remedy = "Check the path and the disk."
            if "not a database" in str(error):
                remedy = "If Feast wrote it, keep it, and set another path in `registry`."
            raise StoreError(f"Registry {self}: {error}. {remedy}") from error
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"Registry {self}: {error}. Check the path and the disk.") from error

    def _create(self, db: sqlite3.Connection) -> None:
        deadline = time.monotonic() + self._busy_seconds
        while True:
            try:  # SQLite does not wait for the lock to change the journal mode
                db.execute("pragma journal_mode = wal")
                break
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        db.executescript(_SCHEMA)


def _has_log(db: sqlite3.Connection) -> bool:
    query = "select 1 from sqlite_master where name = 'commits'"
    return db.execute(query).fetchone() is not None
