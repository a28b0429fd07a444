"""The offline store of any engine that speaks SQL."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias

import pyarrow as pa

from feature_platform.offline.base import EntityRows, OfflineStore, Progress, Query, Span
from feature_platform.offline.history import HistorySql, JoinSql, history_sql
from feature_platform.offline.point_in_time import TIME, PointInTime, Search, SpineSql, searches
from feature_platform.offline.session import Session
from feature_platform.offline.spine import (
    check_entity_rows,
    check_keys,
    check_same_keys,
    spine_sql,
    time_sql,
    timestamp_column,
)
from feature_platform.offline.windows import count_sql, latest_sql, span_sql
from feature_platform.table import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    TIMESTAMP,
    Table,
    ViewRead,
    microseconds,
)

OpenSession: TypeAlias = Callable[[Progress | None], Session]


class SqlOfflineStore(OfflineStore):
    """Asks an engine; each question has a session of its own.

    Args:
        open_session: Opens one.
    """

    def __init__(self, open_session: OpenSession) -> None:
        self._open = open_session

    def point_in_time(
        self, rows: EntityRows, reads: Sequence[ViewRead], *, known_only: bool = False
    ) -> Query:
        return _PointInTimeQuery(self._open, rows, reads, known_only=known_only)

    def latest(self, table: Table, start: datetime, end: datetime) -> Query:
        return _LatestQuery(self._open, table, microseconds(start), microseconds(end))

    def count(self, table: Table, start: datetime, end: datetime) -> int:
        session = self._open(None)
        try:
            history = history_sql(session.sql, table, (), session.relation(table))
            sql = count_sql(session.sql, history, microseconds(start), microseconds(end))
            return int(str(session.row(sql)[0]))
        finally:
            session.close()


class _SqlQuery(Query):
    """One question, answered over a session of its own."""

    def __init__(self, open_session: OpenSession) -> None:
        self._open = open_session
        self._running: Session | None = None

    @abstractmethod
    def _statement(self, session: Session) -> str:
        """Return the question as one statement."""

    @abstractmethod
    def _last_statement(self, session: Session) -> tuple[str, pa.Schema]:
        """Do all that comes before the last statement, and return that and what it answers."""

    @property
    def sql(self) -> str:
        session = self._open(None)
        try:
            return self._statement(session)
        finally:
            session.close()

    def reader(self, progress: Progress | None = None) -> pa.RecordBatchReader:
        session = self._running = self._open(progress)
        try:
            sql, schema = self._last_statement(session)
            session.step("joining and writing the answer")
            return session.reader(sql, schema)
        except BaseException:
            session.close()
            raise

    def cancel(self) -> None:
        if self._running:
            self._running.cancel()

    def explain(self) -> str:
        session = self._open(None)
        try:
            return session.explain(self._statement(session))
        finally:
            session.close()


class _PointInTimeQuery(_SqlQuery):
    def __init__(
        self,
        open_session: OpenSession,
        rows: EntityRows,
        reads: Sequence[ViewRead],
        *,
        known_only: bool,
    ) -> None:
        super().__init__(open_session)
        self._rows = rows
        self._reads = reads
        self._known_only = known_only

    def _statement(self, session: Session) -> str:
        spine, found, _ = self._prepare(session, store=False)
        return PointInTime(session.sql, spine).statement(found)

    def _last_statement(self, session: Session) -> tuple[str, pa.Schema]:
        spine, found, schema = self._prepare(session, store=True)
        return session.join(spine, found, schema), schema

    def _prepare(
        self, session: Session, *, store: bool
    ) -> tuple[SpineSql, list[Search], pa.Schema]:
        """Check the request, number the entity rows and describe what to search."""
        sources = [session.relation(read.table) for read in self._reads]
        joins = []
        for i, (read, source) in enumerate(zip(self._reads, sources, strict=True)):
            history = history_sql(session.sql, read.table, read.features, source)
            joins.append(JoinSql(history, read.keys, read.columns, i))
        relation, columns = session.entity_rows(self._entity_rows(session, joins))
        check_entity_rows(columns, self._reads)
        for read, source in zip(self._reads, sources, strict=True):
            check_keys(columns, read, source.columns)
        session.step("reading the entity rows")
        numbered = session.number(relation, time_sql(session.sql, columns), store=store)
        low, high, rows = session.row(f"SELECT min({TIME}), max({TIME}), count(*) FROM {numbered}")
        span = None if low is None else (int(str(low)), int(str(high)))
        spine = spine_sql(session.sql, numbered, columns, span, int(str(rows)))
        types = {**columns, timestamp_column(columns): TIMESTAMP}
        for read in self._reads:
            types |= {c: read.table.features.field(f).type for f, c in read.columns.items()}
        return spine, searches(joins, known_only=self._known_only), pa.schema(types)

    def _entity_rows(self, session: Session, joins: list[JoinSql]) -> EntityRows:
        if not isinstance(self._rows, Span):
            return self._rows
        check_same_keys(self._reads)
        start, end = microseconds(self._rows.start), microseconds(self._rows.end)
        return span_sql(session.sql, joins, EVENT_TIMESTAMP, start, end)


class _LatestQuery(_SqlQuery):
    def __init__(self, open_session: OpenSession, table: Table, start: int, end: int) -> None:
        super().__init__(open_session)
        self._table = table
        self._start = start
        self._end = end

    def _statement(self, session: Session) -> str:
        history, columns = self._history(session)
        return latest_sql(session.sql, history, columns, self._start, self._end)

    def _last_statement(self, session: Session) -> tuple[str, pa.Schema]:
        session.step(f"searching the newest rows of {self._table.name}")
        history, columns = self._history(session)
        found = session.relation(self._table).columns
        own = self._table.history
        types = {
            key: dtype or (found[own.column(key)] if own else pa.null())
            for key, dtype in self._table.keys.items()
        }
        types |= {EVENT_TIMESTAMP: TIMESTAMP, CREATED_TIMESTAMP: TIMESTAMP}
        types |= {field.name: field.type for field in self._table.features}
        schema = pa.schema(types)
        return session.latest(history, columns, (self._start, self._end), schema), schema

    def _history(self, session: Session) -> tuple[HistorySql, dict[str, str]]:
        table = self._table
        names = table.features.names
        history = history_sql(session.sql, table, names, session.relation(table))
        created = history.created or "CAST(NULL AS BIGINT)"
        times = {EVENT_TIMESTAMP: history.event, CREATED_TIMESTAMP: created}
        instants = {name: session.sql.instant(time) for name, time in times.items()}
        return history, {**history.keys, **instants, **history.features}
