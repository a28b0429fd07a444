"""A log in a PostgreSQL table."""

import re
from collections.abc import Callable
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from feature_platform.errors import BusyError, ConfigError, StoreError, UnknownOutcomeError
from feature_platform.lazy import Lazy
from feature_platform.registry.logs.base import LAST, CommitLog
from feature_platform.types.times import utc_time

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

_ATTEMPTS = 3
_ADDRESS = re.compile(r"([^:/@]*|\[[^]]*\])(:[0-9]+)?(,[^:/@]+(:[0-9]+)?)*")
_UNENCODED = re.compile(r"[/?#\[\]@\s]|%(?![0-9A-Fa-f]{2})")
_SCHEMA = """
create table if not exists registry_commits (
    version bigint primary key check (version > 0),
    commit_id text not null unique,
    body bytea not null
);
create table if not exists registry_checkpoints (version bigint primary key, body bytea not null);
"""
# Released at the end of the transaction. Registries in different schemas have different locks.
_LOCK = "select pg_advisory_xact_lock(hashtextextended(current_schema() || '.registry', 0))"


class PostgresLog(CommitLog):
    """Tables `registry_commits` and `registry_checkpoints` in the connection's first schema.

    An advisory lock serializes writers. If a connection is lost, the next attempt takes the same
    lock and checks whether the record was stored. Roles need only SELECT and INSERT on existing
    tables.

    Args:
        url: `postgresql://user:password@host/database`, with options of libpq.
    """

    def __init__(self, url: str) -> None:
        self._db: Lazy[psycopg.Connection[Any]] = Lazy(self._connect, lambda db: db.close())
        if _UNENCODED.search(url.partition("://")[2].rpartition("@")[0]):
            raise ConfigError(
                "registry: the user or password of the PostgreSQL URL has characters that must be "
                "percent-encoded, such as %40 for @ and %2F for /. Values of ${VARIABLES} are."
            )
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ConfigError("registry: the PostgreSQL URL is not valid.") from None
        self._url = f"postgresql{url[len(parts.scheme) :]}"
        address = parts.netloc.rpartition("@")[2]
        if not _ADDRESS.fullmatch(address):
            raise ConfigError(
                "registry: the PostgreSQL URL has no valid host and port. Write "
                "postgresql://user:password@host:5432/database."
            )
        self._label = f"postgresql://{address}{parts.path}"
        self._lock = Lock()

    def __str__(self) -> str:
        return self._label

    def read(self, after: int, limit: int | None = None) -> list[bytes]:
        query = "select body from registry_commits where version > %s order by version limit %s"
        return [body for (body,) in self._select(query, (after, limit))]

    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        def attempt(db: "psycopg.Connection[Any]") -> bool:
            with db.transaction():
                db.execute("set local lock_timeout = '10s'")
                db.execute("set local statement_timeout = '30s'")
                _create(db)
                db.execute(_LOCK)
                head = "select coalesce(max(version), 0) from registry_commits"
                if db.execute(head).fetchone() == (number - 1,):
                    insert = "insert into registry_commits values (%s, %s, %s)"
                    db.execute(insert, (number, commit_id, record))
                query = "select body from registry_commits where version = %s"
                return db.execute(query, (number,)).fetchone() == (record,)

        return self._run(attempt, writing=f"commit {commit_id}")

    def last(self, after: int = 0) -> int:
        rows = self._select(
            "select max(version) from registry_commits where version > %s", (after,)
        )
        return max(after, *(number or 0 for (number,) in rows), 0)

    def checkpoint(self, upto: int = LAST) -> bytes | None:
        condition = "where version <= %s order by version desc limit 1"
        query = f"select body from registry_checkpoints {condition}"  # noqa: S608 - a constant
        rows = self._select(query, (min(upto, 2**63 - 1),))
        return rows[0][0] if rows else None

    def keep(self, number: int, checkpoint: bytes) -> None:
        def attempt(db: "psycopg.Connection[Any]") -> None:
            with db.transaction():
                _create(db)
                insert = "insert into registry_checkpoints values (%s, %s) on conflict do nothing"
                db.execute(insert, (number, checkpoint))

        self._run(attempt)

    def time(self) -> datetime:
        [(time,)] = self._select("select clock_timestamp()", ())
        return utc_time(time, "The server's time")

    def _select(self, query: str, values: tuple[object, ...]) -> list[tuple[Any]]:
        from psycopg.errors import UndefinedTable

        def attempt(db: "psycopg.Connection[Any]") -> list[tuple[Any]]:
            try:
                return db.execute(query, values).fetchall()
            except UndefinedTable:
                return []

        return self._run(attempt)

    def _run(self, attempt: Callable[["psycopg.Connection[Any]"], T], writing: str = "") -> T:
        """Run an operation; retry it on a new connection if the connection is lost."""
        from psycopg import Error, InterfaceError, OperationalError
        from psycopg.errors import LockNotAvailable, QueryCanceled

        sent = False
        with self._lock:
            for number in range(1, _ATTEMPTS + 1):
                try:
                    db = self._open_connection()
                    sent = sent or bool(writing)
                    return attempt(db)
                except (LockNotAvailable, QueryCanceled) as error:
                    raise BusyError(f"Registry {self} is busy: {error}. Retry.") from error
                except (OperationalError, InterfaceError) as error:
                    self.close()
                    if number == _ATTEMPTS and sent:
                        raise UnknownOutcomeError(
                            f"Registry {self}: the connection was lost; {writing} may or may not "
                            f"have been stored: {error}. Apply again; this is safe."
                        ) from error
                    if number == _ATTEMPTS:
                        raise StoreError(f"Registry {self}: {error}. Check the server.") from error
                except Error as error:
                    raise StoreError(f"Registry {self}: {error}.") from error
        raise AssertionError("every attempt returns or raises")

    def _open_connection(self) -> "psycopg.Connection[Any]":
        if self._db.get().closed:  # the connection was lost before anything was sent
            self.close()
        return self._db.get()

    def _connect(self) -> "psycopg.Connection[Any]":
        import psycopg

        try:
            return psycopg.connect(self._url, autocommit=True, connect_timeout=10)
        except psycopg.ProgrammingError:  # its text quotes the part that it cannot parse
            raise ConfigError("registry: libpq cannot parse the PostgreSQL URL.") from None

    def close(self) -> None:
        self._db.close()

    def __del__(self) -> None:
        if hasattr(self, "_db"):  # missing if the URL was refused
            self.close()


def _create(db: "psycopg.Connection[Any]") -> None:
    """Create missing tables. Roles without CREATE can use existing tables."""
    if db.execute("select to_regclass('registry_commits')").fetchone() == (None,):
        db.execute(_LOCK)
        db.execute(_SCHEMA)
