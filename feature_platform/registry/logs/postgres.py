"""A log in a PostgreSQL table."""

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from feature_platform.errors import BusyError, ConfigError, StoreError, UnknownOutcomeError
from feature_platform.lazy import Lazy
from feature_platform.registry.logs.base import LAST, CommitLog

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

_ATTEMPTS = 3
_SCHEMA = """
create table if not exists registry_commits (
    version bigint primary key check (version > 0),
    commit_id text not null unique,
    body bytea not null
);
create table if not exists registry_checkpoints (version bigint primary key, body bytea not null);
"""
# Held to the end of the transaction; two registries in schemas of their own do not meet.
_LOCK = "select pg_advisory_xact_lock(hashtextextended(current_schema() || '.registry', 0))"


class PostgresLog(CommitLog):
    """Tables `registry_commits` and `registry_checkpoints` in the connection's first schema.

    Writers take turns by an advisory lock, so none of them ever fails to serialize. An attempt
    whose connection died is settled under that lock, once it is sure to be over. A role needs no
    more than SELECT and INSERT after the tables exist.

    Args:
        url: `postgresql://user:password@host/database`, with libpq's options.
    """

    def __init__(self, url: str) -> None:
        self._db: Lazy[psycopg.Connection[Any]] = Lazy(self._connect, lambda db: db.close())
        parts = urlsplit(url)
        if parts.netloc.count("@") > 1:
            raise ConfigError("registry: write @ in a PostgreSQL user or password as %40.")
        self._url = f"postgresql{url[len(parts.scheme) :]}"
        self._where = f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._lock = Lock()

    def __str__(self) -> str:
        return self._where

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
        where = "where version <= %s order by version desc limit 1"
        query = f"select body from registry_checkpoints {where}"  # noqa: S608 - a constant
        rows = self._select(query, (min(upto, 2**63 - 1),))
        return rows[0][0] if rows else None

    def keep(self, number: int, checkpoint: bytes) -> None:
        def attempt(db: "psycopg.Connection[Any]") -> None:
            with db.transaction():
                _create(db)
                insert = "insert into registry_checkpoints values (%s, %s) on conflict do nothing"
                db.execute(insert, (number, checkpoint))

        self._run(attempt)

    def _select(self, query: str, values: tuple[object, ...]) -> list[tuple[Any]]:
        from psycopg.errors import UndefinedTable

        def attempt(db: "psycopg.Connection[Any]") -> list[tuple[Any]]:
            try:
                return db.execute(query, values).fetchall()
            except UndefinedTable:
                return []

        return self._run(attempt)

    def _run(self, attempt: Callable[["psycopg.Connection[Any]"], T], writing: str = "") -> T:
        """Run an operation, and retry it on a new connection if the connection is lost."""
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
                    raise BusyError(f"Registry {self}: {error}. Try again.") from error
                except (OperationalError, InterfaceError) as error:
                    self.close()
                    if number == _ATTEMPTS and sent:
                        raise UnknownOutcomeError(
                            f"Registry {self} did not confirm {writing}: {error}. "
                            "Apply again; a commit that was stored is recognized."
                        ) from error
                    if number == _ATTEMPTS:
                        raise StoreError(f"Registry {self}: {error}.") from error
                except Error as error:
                    raise StoreError(f"Registry {self}: {error}.") from error
        raise AssertionError("every attempt returns or raises")

    def _open_connection(self) -> "psycopg.Connection[Any]":
        if self._db.get().closed:  # it was found dead, and nothing has been sent since
            self.close()
        return self._db.get()

    def _connect(self) -> "psycopg.Connection[Any]":
        import psycopg

        return psycopg.connect(self._url, autocommit=True, connect_timeout=10)

    def close(self) -> None:
        self._db.close()

    def __del__(self) -> None:
        if hasattr(self, "_db"):  # the URL may have been refused
            self.close()


def _create(db: "psycopg.Connection[Any]") -> None:
    """Create the tables where they are missing; writers need no right to, once they exist."""
    if db.execute("select to_regclass('registry_commits')").fetchone() == (None,):
        db.execute(_LOCK)
        db.execute(_SCHEMA)
