"""The offline store of any engine that speaks SQL."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import pyarrow as pa

from feature_platform.offline.base import (
    Deliver,
    EntityRows,
    OfflineStore,
    Progress,
    Query,
    Span,
)
from feature_platform.offline.history import HistorySql, JoinSql, history_of, history_sql
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
from feature_platform.offline.statistics import (
    FEW_VALUES,
    FeatureStatistics,
    read_statistics,
    statistics_sql,
    top_sql,
)
from feature_platform.offline.windows import count_sql, every, latest_sql, span_sql, within
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

    def append(self, table: Table, rows: pa.Table) -> str:
        session = self._open(None)
        try:
            return session.append(history_of(table), rows)
        finally:
            session.close()

    def statistics(
        self, table: Table, start: datetime | None = None, end: datetime | None = None
    ) -> dict[str, FeatureStatistics]:
        session = self._open(None)
        try:
            return self._statistics(session, table, start, end)
        finally:
            session.close()

    def _statistics(
        self, session: Session, table: Table, start: datetime | None, end: datetime | None
    ) -> dict[str, FeatureStatistics]:
        history = history_sql(session.sql, table, table.features.names, session.relation(table))
        low, high = (None if time is None else microseconds(time) for time in (start, end))
        conditions = every(
            [f"{history.event} IS NOT NULL", *within(session.sql, history, low, high)]
        )
        relation = f"{history.relation} WHERE {conditions}"
        return describe(session, relation, history.features, table.features)

    def count(self, table: Table, start: datetime, end: datetime) -> int:
        session = self._open(None)
        try:
            history = history_sql(session.sql, table, (), session.relation(table))
            sql = count_sql(session.sql, history, microseconds(start), microseconds(end))
            return int(str(session.row(sql)[0]))
        finally:
            session.close()


def describe(
    session: Session, relation: str, columns: Mapping[str, str], types: pa.Schema
) -> dict[str, FeatureStatistics]:
    """Describe columns: one pass, and one more for each that has few different values.

    Args:
        session: Where to ask.
        relation: What stands after FROM, with its conditions.
        columns: Name → expression.
        types: Their types.
    """
    [row] = session.rows(statistics_sql(session.sql, relation, columns, types))
    top = {}
    for i, (name, column) in enumerate(columns.items()):
        if f"min_{i}" in row and row[f"distinct_{i}"] <= FEW_VALUES:
            top[name] = session.rows(top_sql(relation, column))
    return read_statistics(row, types, top)


class _SqlQuery(Query):
    """One question, answered over a session of its own."""

    def __init__(self, open_session: OpenSession) -> None:
        self._open = open_session
        self._running: Session | None = None

    @abstractmethod
    def _statement(self, session: Session, names: Mapping[str, str] | None = None) -> str:
        """Return the question as one statement, with columns named for others to read."""

    @abstractmethod
    def _last_statement(self, session: Session) -> tuple[str, pa.Schema]:
        """Do all that comes before the last statement, and return that and what it answers."""

    def statement(self, names: Mapping[str, str] | None = None) -> str:
        session = self._open(None)
        try:
            return self._statement(session, names)
        finally:
            session.close()

    def frame(self, names: Mapping[str, str]) -> Any:
        session = self._open(None)
        return session.frame(self._statement(session, names))  # it stays open with the frame

    def create_table(self, table: str, names: Mapping[str, str]) -> None:
        session = self._open(None)
        try:
            session.create_table(table, self._statement(session, names))
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

    def deliver(self, write: Deliver) -> int | None:
        session = self._running = self._open(None)
        try:
            if not session.has_workers:
                return None
            sql, _ = self._last_statement(session)
            return session.deliver(sql, write)
        finally:
            session.close()

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

    def _statement(self, session: Session, names: Mapping[str, str] | None = None) -> str:
        spine, found, _ = self._prepare(session, store=session.stores_rows)
        return PointInTime(session.sql, spine, names=names).statement(found)

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
        for read, join in zip(self._reads, joins, strict=True):
            check_keys(columns, read, join.history)
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

    def _statement(self, session: Session, names: Mapping[str, str] | None = None) -> str:
        history, columns = self._history(session)
        return latest_sql(session.sql, history, columns, self._start, self._end)

    def _last_statement(self, session: Session) -> tuple[str, pa.Schema]:
        session.step(f"searching the newest rows of {self._table.name}")
        history, columns = self._history(session)
        types = dict(history.key_types)
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
