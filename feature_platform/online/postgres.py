"""Online store in PostgreSQL."""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from feature_platform.errors import StoreError, missing_extra
from feature_platform.lazy import Lazy
from feature_platform.online.base import (
    MISSING,
    LedgerEntry,
    OnlineStore,
    StoredRecord,
    merge_ledger,
)
from feature_platform.online.codec import Layout, Record
from feature_platform.table import Table

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import ConnectionPool

T = TypeVar("T")

_WAIT_SECONDS = 10
_MAX_CONNECTIONS = 8
# PostgreSQL fails when two processes create the same table at once.
_LOCK = "select pg_advisory_xact_lock(hashtextextended(current_schema() || '.online', 0))"
_SCHEMA = """
create table if not exists online_rows (
    view text, key bytea, event bigint not null, created bigint not null,
    layout bytea not null, body bytea not null, primary key (view, key)
);
create table if not exists online_layouts (id bytea primary key, columns text not null);
create table if not exists online_loads (view text primary key, loaded text not null);
"""
_INCOMING = "create temp table incoming (like online_rows) on commit drop"
_COPY = "copy incoming from stdin (format binary)"
_TYPES = ("text", "bytea", "int8", "int8", "bytea", "bytea")
_UPSERT = """
insert into online_rows as stored select * from incoming order by key
on conflict (view, key) do update set
    event = excluded.event, created = excluded.created,
    layout = excluded.layout, body = excluded.body
where (excluded.event, excluded.created) >= (stored.event, stored.created)
"""
_SELECT = """
select requested.n, stored.event, stored.layout, stored.body
from unnest(%s::int[], %s::text[], %s::bytea[]) as requested (n, view, key)
join online_rows stored on stored.view = requested.view and stored.key = requested.key
"""


class PostgresOnlineStore(OnlineStore):
    """Uses three tables of one schema. A write is a COPY and one conditional upsert.

    Parameters are those of libpq; omitted ones come from the environment, as for `psql`. The
    schema must exist; an empty one is the user's default.
    """

    def __init__(self, parameters: dict[str, Any], schema: str = "") -> None:
        super().__init__()
        self._parameters = parameters
        self._schema = schema
        self._has_tables = False
        self._pool = Lazy(self._connect, lambda pool: pool.close())
        address = f"{parameters.get('host', '')}/{parameters.get('dbname', '')}".rstrip("/")
        self._label = f"PostgreSQL online store {address}".strip()

    def expire(self, table: Table, before: int) -> int:
        query = "delete from online_rows where view = %s and event < %s"
        return self._run(lambda db: db.execute(query, (table.identity, before)).rowcount)

    def drop(self, table: Table) -> None:
        prefix = table.prefix

        def remove(db: "psycopg.Connection[Any]") -> None:
            with db.transaction():
                db.execute("delete from online_rows where starts_with(view, %s)", (prefix,))
                db.execute("delete from online_loads where starts_with(view, %s)", (prefix,))

        self._run(remove)

    def close(self) -> None:
        self._pool.close()

    def _put(self, table: Table, records: Sequence[Record]) -> None:
        def upsert(db: "psycopg.Connection[Any]") -> None:
            with db.transaction(), db.cursor() as cursor:
                cursor.execute(_INCOMING)
                with cursor.copy(_COPY) as copy:
                    copy.set_types(_TYPES)
                    for record in records:
                        copy.write_row((table.identity, *record))
                cursor.execute(_UPSERT)

        self._run(upsert)

    def _get(self, reads: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[StoredRecord]]:
        keys = [key for _, view_keys in reads for key in view_keys]
        views = [identity for identity, view_keys in reads for _ in view_keys]

        def look_up(db: "psycopg.Connection[Any]") -> dict[int, StoredRecord]:
            with db.cursor(binary=True) as cursor:
                cursor.execute(_SELECT, (list(range(len(keys))), views, keys))
                return {row[0]: row[1:] for row in cursor}

        stored = self._run(look_up) if keys else {}
        numbers = iter(range(len(keys)))
        return [[stored.get(next(numbers), MISSING) for _ in view_keys] for _, view_keys in reads]

    def _ledger(self, table: Table) -> list[LedgerEntry]:
        return self._run(lambda db: _entries(db, table))

    def _add_to_ledger(self, table: Table, new: LedgerEntry) -> None:
        def add(db: "psycopg.Connection[Any]") -> None:
            with db.transaction():
                empty = "insert into online_loads values (%s, '[]') on conflict do nothing"
                db.execute(empty, (table.ledger,))
                entries = merge_ledger(_entries(db, table, " for update"), new)
                query = "update online_loads set loaded = %s where view = %s"
                db.execute(query, (json.dumps(entries), table.ledger))

        self._run(add)

    def _save_layout(self, table: Table) -> None:
        query = "insert into online_layouts values (%s, %s) on conflict do nothing"
        row = (table.layout_id, json.dumps(table.layout))
        self._run(lambda db: db.execute(query, row))

    def _load_layout(self, table: Table, identity: bytes) -> Layout | None:
        query = "select columns from online_layouts where id = %s"
        row = self._run(lambda db: db.execute(query, (identity,)).fetchone())
        return json.loads(row[0]) if row else None

    def _connect(self) -> "ConnectionPool[psycopg.Connection[Any]]":
        try:
            from psycopg_pool import ConnectionPool
        except ImportError:
            raise missing_extra("online_store: postgres", "postgres") from None
        parameters = dict(self._parameters)
        if self._schema:
            quoted = '"' + self._schema.replace('"', '""') + '"'
            # libpq splits options at spaces that no backslash escapes.
            escaped = re.sub(r"([\\\s])", r"\\\1", quoted)
            parameters["options"] = f"-c search_path={escaped}"
        return ConnectionPool(
            kwargs={**parameters, "autocommit": True},
            min_size=1,
            max_size=_MAX_CONNECTIONS,
            timeout=_WAIT_SECONDS,
            open=True,
        )

    def _create_tables(self, db: "psycopg.Connection[Any]") -> None:
        """Create the tables once. Read-only roles use existing tables."""
        if self._has_tables:
            return
        from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction

        if self._schema and db.execute("select current_schema()").fetchone() == (None,):
            raise StoreError(
                f"{self._label}: the schema {self._schema!r} does not exist, or its use is not "
                "granted. Create it, or correct db_schema."
            )
        with suppress(InsufficientPrivilege, ReadOnlySqlTransaction), db.transaction():
            db.execute(_LOCK)
            db.execute(_SCHEMA)
        self._has_tables = True

    def _connection_error(self) -> str:
        """Return why the pool has no connection, from a connection attempt outside the pool."""
        import psycopg

        try:
            psycopg.connect(**self._parameters, connect_timeout=_WAIT_SECONDS).close()
        except psycopg.Error as error:
            return " ".join(str(error).split())
        return ""

    def _run_once(self, work: Callable[["psycopg.Connection[Any]"], T]) -> T:
        with self._pool.get().connection() as db:
            self._create_tables(db)
            return work(db)

    def _run(self, work: Callable[["psycopg.Connection[Any]"], T]) -> T:
        """Run an operation on a pooled connection, with retries if the connection is broken."""
        self._pool.get()  # reports a missing package
        import psycopg
        from psycopg_pool import PoolTimeout

        try:
            for _ in range(_MAX_CONNECTIONS):  # every pooled connection may be broken
                try:
                    return self._run_once(work)
                except PoolTimeout:
                    raise
                except psycopg.OperationalError:
                    continue
            return self._run_once(work)
        except PoolTimeout as error:
            raise StoreError(f"{self._label}: {self._connection_error() or error}.") from error
        except psycopg.Error as error:
            raise StoreError(f"{self._label}: {' '.join(str(error).split())}.") from error


def _entries(db: "psycopg.Connection[Any]", table: Table, lock: str = "") -> list[LedgerEntry]:
    query = f"select loaded from online_loads where view = %s{lock}"  # noqa: S608
    row = db.execute(query, (table.ledger,)).fetchone()
    return [LedgerEntry(*entry) for entry in json.loads(row[0])] if row else []
