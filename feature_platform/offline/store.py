"""The offline store of any SQL engine."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Any, cast

import pyarrow as pa

from feature_platform.errors import RequestError
from feature_platform.offline.base import (
    Deliver,
    EntityRows,
    OfflineStore,
    Progress,
    Query,
    Span,
)
from feature_platform.offline.columns import family
from feature_platform.offline.entity_rows import (
    check_entity_rows,
    check_keys,
    check_same_keys,
    entity_rows_sql,
    time_sql,
    timestamp_column,
)
from feature_platform.offline.measures import Histogram, Measure, bins_sql, measures_sql
from feature_platform.offline.point_in_time import (
    TIME,
    EntityRowsSql,
    PointInTime,
    Search,
    searches,
)
from feature_platform.offline.session import (
    Engine,
    FrameSession,
    Session,
    TableSession,
    WorkerSession,
)
from feature_platform.offline.source_sql import JoinSql, SourceSql, source_of, source_sql
from feature_platform.offline.statistics import (
    FEW_VALUES,
    Statistics,
    read_statistics,
    statistics_sql,
    top_sql,
)
from feature_platform.offline.time_ranges import (
    conjunction,
    count_sql,
    latest_sql,
    span_sql,
    within,
)
from feature_platform.table import CREATED_TIMESTAMP, EVENT_TIMESTAMP, Table, ViewRead
from feature_platform.types.arrow import TIMESTAMP
from feature_platform.types.times import microseconds

_COLUMNS_PER_QUERY = 50


class SqlOfflineStore(OfflineStore):
    """Runs queries on an engine, each in a separate session.

    Args:
        engine: The engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def point_in_time(
        self, rows: EntityRows, reads: Sequence[ViewRead], *, known_only: bool = False
    ) -> Query:
        return _PointInTimeQuery(self._engine, rows, reads, known_only=known_only)

    def latest(self, table: Table, start: datetime, end: datetime) -> Query:
        return _LatestQuery(self._engine, table, microseconds(start), microseconds(end))

    def source_state(self, table: Table, now: datetime) -> str:
        return self._engine.source_state(table.source, now) if table.source else ""

    def append(self, table: Table, rows: pa.Table) -> str:
        with closing(self._engine.open(None)) as session:
            return session.append(source_of(table), rows)

    def statistics(
        self, table: Table, start: datetime | None = None, end: datetime | None = None
    ) -> Statistics:
        with closing(self._engine.open(None)) as session:
            return self._statistics(session, table, start, end)

    def _statistics(
        self, session: Session, table: Table, start: datetime | None, end: datetime | None
    ) -> Statistics:
        source = source_sql(session.sql, table, table.features.names, session.relation(table))
        low, high = (None if time is None else microseconds(time) for time in (start, end))
        conditions = conjunction(
            [f"{source.event} IS NOT NULL", *within(session.sql, source, low, high)]
        )
        relation = f"{source.relation} WHERE {conditions}"
        return describe(session, relation, source.features, table.features)

    def measure(
        self, table: Table, measures: Sequence[Measure], start: datetime | None, end: datetime
    ) -> list[int | None]:
        with closing(self._engine.open(None)) as session:
            # All features: those that nothing measures have to be there as well.
            source = source_sql(session.sql, table, table.features.names, session.relation(table))
            conditions = _observed(session, source, start, end)
            row = session.row(measures_sql(session.sql, source, conditions, measures))
        return [None if value is None else _count(value) for value in row]

    def histogram(
        self,
        table: Table,
        feature: str,
        reference: tuple[datetime, datetime],
        window: tuple[datetime, datetime],
        bins: int,
    ) -> Histogram:
        dtype = table.features.field(feature).type
        with closing(self._engine.open(None)) as session:
            source = source_sql(session.sql, table, [feature], session.relation(table))
            column = source.features[feature]
            periods = [_observed(session, source, *period) for period in (reference, window)]
            relation = f"{source.relation} WHERE ({periods[0]}) OR ({periods[1]})"
            if family(dtype) not in {"integer", "number"}:
                return _counted(session, relation, column, periods)
            number = f"CAST({column} AS {session.sql.type_name(pa.float64())})"
            reference_rows = f"{source.relation} WHERE {periods[0]}"
            edges = _edges(session, reference_rows, number, bins)
            row = session.row(bins_sql(number, relation, periods, edges))
        counts = [_count(value) for value in row]
        half = len(counts) // 2
        return Histogram((None, *edges, "more"), tuple(counts[:half]), tuple(counts[half:]))

    def columns(self, table: Table) -> Mapping[str, pa.DataType]:
        with closing(self._engine.open(None)) as session:
            return session.relation(table).columns

    def count(self, table: Table, start: datetime, end: datetime) -> int:
        with closing(self._engine.open(None)) as session:
            source = source_sql(session.sql, table, (), session.relation(table))
            sql = count_sql(session.sql, source, microseconds(start), microseconds(end))
            return int(str(session.row(sql)[0]))


def _observed(session: Session, source: SourceSql, start: datetime | None, end: datetime) -> str:
    """Return the condition that rows were observed in `[start, end)`."""
    low = None if start is None else microseconds(start)
    bounds = within(session.sql, source, low, microseconds(end) - 1)
    return conjunction([f"{source.event} IS NOT NULL", *bounds])


def _count(value: object) -> int:
    """Return a number that an engine may give as an integer, a decimal or a float."""
    return int(Decimal(str(value)))


def _edges(session: Session, relation: str, number: str, bins: int) -> list[float]:
    """Return the upper bounds of bins of equal frequency, without those that coincide."""
    quantiles = session.sql.quantiles(number, [i / bins for i in range(1, bins)])
    selected = ", ".join(f"{sql} AS q{i}" for i, sql in enumerate(quantiles))
    values = list(session.row(f"SELECT {selected} FROM {relation}"))
    if values and isinstance(values[0], list):
        values = values[0]
    numbers = {float(str(value)) for value in values if value is not None}
    return sorted(filter(isfinite, numbers))


def _counted(session: Session, relation: str, column: str, periods: Sequence[str]) -> Histogram:
    """Count values one by one."""
    counted = ", ".join(
        f"sum(CASE WHEN {period} THEN 1 ELSE 0 END) AS p{i}" for i, period in enumerate(periods)
    )
    rows = session.rows(
        f"SELECT {column} AS v, {counted} FROM {relation} GROUP BY {column} ORDER BY v "
        f"LIMIT {FEW_VALUES + 1}"
    )
    if len(rows) > FEW_VALUES:
        raise RequestError(
            f"It has more than {FEW_VALUES:,} distinct values, too many for a distribution."
        )
    columns = ([row["v"] for row in rows], *([_count(r[p]) for r in rows] for p in ("p0", "p1")))
    return Histogram(*map(tuple, columns))


def describe(
    session: Session, relation: str, columns: Mapping[str, str], types: pa.Schema
) -> Statistics:
    """Describe columns in one pass, and those with few distinct values in one more for 50.

    Args:
        session: A session.
        relation: The expression after FROM, with conditions.
        columns: Name → expression.
        types: Their types.
    """
    [row] = session.rows(statistics_sql(session.sql, relation, columns, types))
    by_type: dict[pa.DataType, list[str]] = {}
    for i, name in enumerate(columns):
        if f"min_{i}" in row and row[f"distinct_{i}"] <= FEW_VALUES:
            by_type.setdefault(types.field(name).type, []).append(name)
    top: dict[str, list[dict[str, Any]]] = {}
    for names in by_type.values():
        for start in range(0, len(names), _COLUMNS_PER_QUERY):
            chunk = names[start : start + _COLUMNS_PER_QUERY]
            for value in session.rows(top_sql(relation, [columns[name] for name in chunk])):
                top.setdefault(chunk[value["i"]], []).append(value)
    return read_statistics(row, types, top)


class _SqlQuery(Query):
    """A query that runs in a separate session."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.engine = engine.session_type.label
        self._running: Session | None = None

    @abstractmethod
    def _statement(self, session: Session, names: Mapping[str, str] | None = None) -> str:
        """Return the query as one statement, with readable column names."""

    @abstractmethod
    def _last_statement(self, session: Session) -> tuple[str, pa.Schema]:
        """Run all but the last statement; return the last and the schema of its result."""

    def statement(self, names: Mapping[str, str] | None = None) -> str:
        with closing(self._engine.open(None)) as session:
            return self._statement(session, names)

    def frame(self, names: Mapping[str, str]) -> Any:
        self._check(FrameSession, "to_spark_df needs offline_store: {type: spark}.")
        session = self._engine.open(None)  # it stays open with the frame
        return cast("FrameSession", session).frame(self._statement(session, names))

    def create_table(self, table: str, names: Mapping[str, str]) -> None:
        self._check(TableSession, "to_snowflake needs offline_store: {type: snowflake}.")
        with closing(self._engine.open(None)) as session:
            cast("TableSession", session).create_table(table, self._statement(session, names))

    def _check(self, capability: type, message: str) -> None:
        if not issubclass(self._engine.session_type, capability):
            raise RequestError(message)

    def reader(self, progress: Progress | None = None) -> pa.RecordBatchReader:
        session = self._running = self._engine.open(progress)
        try:
            sql, schema = self._last_statement(session)
            session.step("joining and streaming the result")
            return session.reader(sql, schema)
        except BaseException:
            session.close()
            raise

    def deliver(self, write: Deliver) -> int | None:
        if not issubclass(self._engine.session_type, WorkerSession):
            return None
        with closing(self._engine.open(None)) as session:
            self._running = session
            sql, _ = self._last_statement(session)
            return cast("WorkerSession", session).deliver(sql, write)

    def cancel(self) -> None:
        if self._running:
            self._running.cancel()

    def explain(self) -> str:
        with closing(self._engine.open(None)) as session:
            return session.explain(self._statement(session))


class _PointInTimeQuery(_SqlQuery):
    def __init__(
        self,
        engine: Engine,
        rows: EntityRows,
        reads: Sequence[ViewRead],
        *,
        known_only: bool,
    ) -> None:
        super().__init__(engine)
        self._rows = rows
        self._reads = reads
        self._known_only = known_only

    def _statement(self, session: Session, names: Mapping[str, str] | None = None) -> str:
        entities, searches, _ = self._prepare(session, store=session.stores_rows)
        return PointInTime(session.sql, entities, names=names).statement(searches)

    def _last_statement(self, session: Session) -> tuple[str, pa.Schema]:
        entities, searches, schema = self._prepare(session, store=True)
        return session.join(entities, searches, schema), schema

    def _prepare(
        self, session: Session, *, store: bool
    ) -> tuple[EntityRowsSql, list[Search], pa.Schema]:
        """Check the request, number the entity rows and plan the searches."""
        relations = [session.relation(read.table) for read in self._reads]
        joins = []
        for i, (read, opened) in enumerate(zip(self._reads, relations, strict=True)):
            source = source_sql(session.sql, read.table, read.features, opened)
            if read.as_of is not None:
                source = source.created_by(microseconds(read.as_of))
            joins.append(JoinSql(source, read.keys, read.columns, i))
        relation, columns = session.entity_rows(self._entity_rows(session, joins))
        check_entity_rows(columns, self._reads)
        for read, join in zip(self._reads, joins, strict=True):
            check_keys(columns, read, join.source)
        session.step("reading the entity rows")
        numbered = session.number(relation, time_sql(session.sql, columns), store=store)
        low, high, rows = session.row(f"SELECT min({TIME}), max({TIME}), count(*) FROM {numbered}")
        span = None if low is None else (int(str(low)), int(str(high)))
        entities = entity_rows_sql(session.sql, numbered, columns, span, int(str(rows)))
        types = {**columns, timestamp_column(columns): TIMESTAMP}
        for read in self._reads:
            types |= {c: read.table.features.field(f).type for f, c in read.columns.items()}
        return entities, searches(joins, known_only=self._known_only), pa.schema(types)

    def _entity_rows(self, session: Session, joins: list[JoinSql]) -> EntityRows:
        if not isinstance(self._rows, Span):
            return self._rows
        check_same_keys(self._reads)
        start, end = microseconds(self._rows.start), microseconds(self._rows.end)
        return span_sql(session.sql, joins, EVENT_TIMESTAMP, start, end)


class _LatestQuery(_SqlQuery):
    def __init__(self, engine: Engine, table: Table, start: int, end: int) -> None:
        super().__init__(engine)
        self._table = table
        self._start = start
        self._end = end

    def _statement(self, session: Session, names: Mapping[str, str] | None = None) -> str:
        source, columns = self._history(session)
        return latest_sql(session.sql, source, columns, self._start, self._end)

    def _last_statement(self, session: Session) -> tuple[str, pa.Schema]:
        session.step(f"searching the newest rows of {self._table.name}")
        source, columns = self._history(session)
        types = dict(source.key_types)
        types |= {EVENT_TIMESTAMP: TIMESTAMP, CREATED_TIMESTAMP: TIMESTAMP}
        types |= {field.name: field.type for field in self._table.features}
        schema = pa.schema(types)
        return session.latest(source, columns, (self._start, self._end), schema), schema

    def _history(self, session: Session) -> tuple[SourceSql, dict[str, str]]:
        table = self._table
        names = table.features.names
        source = source_sql(session.sql, table, names, session.relation(table))
        created = source.created or "CAST(NULL AS BIGINT)"
        times = {EVENT_TIMESTAMP: source.event, CREATED_TIMESTAMP: created}
        instants = {name: session.sql.instant(time) for name, time in times.items()}
        return source, {**source.keys, **instants, **source.features}
