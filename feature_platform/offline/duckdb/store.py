"""Offline store over files, with DuckDB inside this process."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from datetime import datetime

import pyarrow as pa

from feature_platform.errors import RequestError
from feature_platform.offline.base import EntityRows, OfflineStore, Progress, Query, Span
from feature_platform.offline.duckdb.session import Session, Settings, translated
from feature_platform.offline.duckdb.staged import StagedJoin, fetched
from feature_platform.offline.history import history_sql
from feature_platform.offline.point_in_time import (
    ROW,
    TIME,
    HistorySql,
    JoinSql,
    PointInTime,
    Search,
    SpineSql,
    count_sql,
    latest_sql,
    searches,
    span_sql,
)
from feature_platform.offline.spine import (
    check_entity_rows,
    check_keys,
    check_same_keys,
    spine_sql,
    time_sql,
)
from feature_platform.table import CREATED_TIMESTAMP, EVENT_TIMESTAMP, Table, ViewRead, microseconds

_BATCH_ROWS = 100_000


class DuckDBOfflineStore(OfflineStore):
    """Reads Parquet and CSV files, Delta and Iceberg tables, here and on S3.

    Args:
        settings: Where relative paths start, and what DuckDB may use.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def point_in_time(
        self, rows: EntityRows, reads: Sequence[ViewRead], *, known_only: bool = False
    ) -> Query:
        return _PointInTimeQuery(self._settings, rows, reads, known_only=known_only)

    def latest(self, table: Table, start: datetime, end: datetime) -> Query:
        return _LatestQuery(self._settings, table, microseconds(start), microseconds(end))

    def count(self, table: Table, start: datetime, end: datetime) -> int:
        session = Session(self._settings)
        try:
            history = history_sql(session.sql, table, (), session.relation(table))
            sql = count_sql(session.sql, history, microseconds(start), microseconds(end))
            return int(session.row(sql)[0])
        finally:
            session.close()


class _DuckDBQuery(Query):
    """One question, answered over a connection of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: Session | None = None

    @abstractmethod
    def _statement(self, session: Session) -> str:
        """Return the question as one statement."""

    def _staged(self, session: Session) -> str:
        """Do all that comes before the last statement, and return that."""
        return self._statement(session)

    @property
    def sql(self) -> str:
        session = Session(self._settings)
        try:
            return self._statement(session)
        finally:
            session.close()

    def reader(self, progress: Progress | None = None) -> pa.RecordBatchReader:
        session = self._running = Session(self._settings, progress)
        try:
            sql = self._staged(session)
            session.step("joining and writing the answer")
            with translated():
                reader = session.db.sql(sql).to_arrow_reader(_BATCH_ROWS)
        except BaseException:
            session.close()
            raise
        return pa.RecordBatchReader.from_batches(reader.schema, _stream(reader, session))

    def cancel(self) -> None:
        if self._running:
            self._running.db.interrupt()

    def explain(self) -> str:
        session = Session(self._settings)
        try:
            sql = self._statement(session)
            with translated():
                return str(session.db.execute(f"EXPLAIN {sql}").fetchall()[0][1])
        finally:
            session.close()


class _PointInTimeQuery(_DuckDBQuery):
    def __init__(
        self, settings: Settings, rows: EntityRows, reads: Sequence[ViewRead], *, known_only: bool
    ) -> None:
        super().__init__(settings)
        self._rows = rows
        self._reads = reads
        self._known_only = known_only

    def _statement(self, session: Session) -> str:
        spine, found = self._prepare(session)
        return PointInTime(session.sql, spine).statement(found)

    def _staged(self, session: Session) -> str:
        spine, found = self._prepare(session, table=True)
        join = StagedJoin(session, spine)
        for number, search in enumerate(found):
            join.find(number, search)
        return join.select()

    def _prepare(self, session: Session, *, table: bool = False) -> tuple[SpineSql, list[Search]]:
        """Check the request, number the entity rows and describe what to search."""
        reads = self._reads
        relations = {read.label: session.relation(read.table) for read in reads}
        joins = []
        for read in reads:
            relation = relations[read.label]
            history = history_sql(session.sql, read.table, read.features, relation)
            joins.append(JoinSql(history, read.keys, read.columns))
        rows = self._entity_rows(session, joins)
        columns = session.columns(rows, self._unreadable)
        check_entity_rows(columns, reads)
        for read in reads:
            check_keys(columns, read, relations[read.label].columns)
        time = time_sql(session.sql, columns)
        numbered = f"SELECT row_number() OVER () AS {ROW}, {time} AS {TIME}, * FROM {rows}"
        session.step("reading the entity rows")
        if table:
            session.run(f"CREATE TEMP TABLE spine AS {numbered}")
        relation = "spine" if table else f"({numbered})"
        low, high, count = session.row(f"SELECT min({TIME}), max({TIME}), count(*) FROM {relation}")
        span = None if low is None else (low, high)
        spine = spine_sql(session.sql, "spine" if table else numbered, columns, span, count)
        return spine, searches(joins, known_only=self._known_only)

    def _entity_rows(self, session: Session, joins: list[JoinSql]) -> str:
        if not isinstance(self._rows, Span):
            return session.entity_rows(self._rows)
        check_same_keys(self._reads)
        start, end = microseconds(self._rows.start), microseconds(self._rows.end)
        return f"({span_sql(session.sql, joins, EVENT_TIMESTAMP, start, end)})"

    def _unreadable(self, reason: str) -> Exception:
        if isinstance(self._rows, str):
            return RequestError(f"The entity rows' SQL cannot run: {reason}")
        return RequestError(f"The entity rows cannot be read: {reason}")


class _LatestQuery(_DuckDBQuery):
    def __init__(self, settings: Settings, table: Table, start: int, end: int) -> None:
        super().__init__(settings)
        self._table = table
        self._start = start
        self._end = end

    def _statement(self, session: Session) -> str:
        history = self._history(session)
        columns = self._columns(session, history)
        return latest_sql(session.sql, history, columns, self._start, self._end)

    def _staged(self, session: Session) -> str:
        history = self._history(session)
        if not history.row_id:
            return self._statement(session)
        session.step(f"searching the newest rows of {self._table.name}")
        join = StagedJoin(session, SpineSql("", {}, (self._start, self._end), 0))
        keys = {key: key for key in self._table.keys}
        search = Search((JoinSql(history, keys, {}),), ttl=0, known_only=False)
        match = join.find_latest(search)
        columns = self._columns(session, history)
        names = ", ".join(session.sql.quote(name) for name in columns)
        return f"SELECT {names} FROM ({fetched(join, history, match, columns)})"

    def _history(self, session: Session) -> HistorySql:
        table = self._table
        return history_sql(session.sql, table, table.features.names, session.relation(table))

    def _columns(self, session: Session, history: HistorySql) -> dict[str, str]:
        created = history.created or "CAST(NULL AS BIGINT)"
        times = {EVENT_TIMESTAMP: history.event, CREATED_TIMESTAMP: created}
        instants = {name: session.sql.instant(time) for name, time in times.items()}
        return {**history.keys, **instants, **history.features}


def _stream(reader: pa.RecordBatchReader, session: Session) -> Iterator[pa.RecordBatch]:
    """Yield batches; the session stays open until the last one was read, or reading stops."""
    try:
        with translated():
            yield from reader
        session.check_unchanged()
    finally:
        session.close()
