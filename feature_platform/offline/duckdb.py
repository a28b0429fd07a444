"""Offline store over Parquet and CSV files, with DuckDB inside this process."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from feature_platform.errors import RequestError, SchemaError, StoreError, did_you_mean
from feature_platform.offline.base import EntityRows, OfflineStore, Query, Span
from feature_platform.offline.columns import comparable, expression, microseconds_of, sql_type
from feature_platform.offline.point_in_time import (
    ROW,
    TIME,
    HistorySql,
    JoinSql,
    count_sql,
    latest_sql,
    literal,
    point_in_time_sql,
    quote,
    span_sql,
)
from feature_platform.table import CREATED_TIMESTAMP, EVENT_TIMESTAMP, Table, ViewRead, microseconds

_BATCH_ROWS = 100_000
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    # What DuckDB needs is in its wheel: nothing is downloaded, and SQL never sees our variables.
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}


class DuckDBOfflineStore(OfflineStore):
    """Reads local files with DuckDB's readers and `s3://` paths through pyarrow.

    Args:
        root: What relative paths are resolved against.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def point_in_time(
        self, rows: EntityRows, reads: Sequence[ViewRead], *, known_only: bool = False
    ) -> Query:
        def build(session: _Session) -> str:
            if isinstance(rows, Span):
                return self._span(session, rows, reads, known_only=known_only)
            relation = session.entity_rows(rows)
            columns = session.columns(relation, "The entity rows")
            return self._join(session, relation, columns, reads, known_only=known_only)

        return _DuckDBQuery(self._root, build)

    def latest(self, table: Table, start: datetime, end: datetime) -> Query:
        def build(session: _Session) -> str:
            history = session.history(table, table.features.names)
            columns = [quote(key) for key in table.keys]
            columns += [
                f"make_timestamptz(__fp_event) AS {EVENT_TIMESTAMP}",
                f"make_timestamptz(__fp_created) AS {CREATED_TIMESTAMP}",
            ]
            columns += [quote(name) for name in table.features.names]
            return latest_sql(history, columns, microseconds(start), microseconds(end))

        return _DuckDBQuery(self._root, build)

    def count(self, table: Table, start: datetime, end: datetime) -> int:
        def build(session: _Session) -> str:
            return count_sql(session.history(table, ()), microseconds(start), microseconds(end))

        return int(_DuckDBQuery(self._root, build).reader().read_all()["n"][0].as_py())

    def _span(
        self, session: "_Session", span: Span, reads: Sequence[ViewRead], *, known_only: bool
    ) -> str:
        if not reads:
            raise RequestError("Without entity rows, ask for a view that has a history.")
        keys = [set(read.keys.values()) for read in reads]
        if any(other != keys[0] for other in keys):
            labels = ", ".join(f"{read.label} by {sorted(read.keys.values())}" for read in reads)
            raise RequestError(
                "Without entity rows all views need the same join keys, and these differ: "
                f"{labels}. Pass entity rows, or ask for them one by one."
            )
        joins = [session.join(read) for read in reads]
        start, end = microseconds(span.start), microseconds(span.end)
        relation = span_sql(joins, EVENT_TIMESTAMP, start, end)
        columns = session.columns(relation, "The history")
        return self._join(session, relation, columns, reads, known_only=known_only)

    def _join(
        self,
        session: "_Session",
        relation: str,
        columns: Mapping[str, str],
        reads: Sequence[ViewRead],
        *,
        known_only: bool,
    ) -> str:
        time = _timestamp_column(columns)
        _check_names(columns, reads)
        joins = []
        for read in reads:
            join = session.join(read)
            _check_keys(session, columns, read, join)
            joins.append(join)
        selected = {name: f"spine.{quote(name)}" for name in columns}
        selected[time] = f"make_timestamptz(spine.{TIME})"
        instant = microseconds_of(quote(time), columns[time])
        return point_in_time_sql(relation, selected, instant, joins, known_only=known_only)


class _DuckDBQuery(Query):
    """One question, answered over a connection of its own."""

    def __init__(self, root: Path, build: "Callable[[_Session], str]") -> None:
        self._root = root
        self._build = build

    @property
    def sql(self) -> str:  # type: ignore[override]
        return self._build(_Session(self._root))

    def reader(self) -> pa.RecordBatchReader:
        session = _Session(self._root)
        sql = self._build(session)
        with translated():
            reader = session.db.sql(sql).to_arrow_reader(_BATCH_ROWS)
        return pa.RecordBatchReader.from_batches(reader.schema, _stream(reader, session))

    def explain(self) -> str:
        session = _Session(self._root)
        sql = self._build(session)
        with translated():
            return str(session.db.sql(f"EXPLAIN {sql}").fetchall()[0][1])


class _Session:
    """A connection and the relations that one query needs."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.db = duckdb.connect(config=_SETTINGS)
        self.db.execute("SET TimeZone = 'UTC'").fetchall()
        self._columns: dict[str, dict[str, str]] = {}

    def entity_rows(self, rows: pa.Table | str | Path) -> str:
        if isinstance(rows, pa.Table):
            _check_unique(rows.column_names)
            with translated():
                self.db.register("entity_rows", rows)
            return "entity_rows"
        if isinstance(rows, Path):
            return f"read_parquet({literal(str(rows))})"
        with translated():
            statements = self.db.extract_statements(rows)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise RequestError("Entity rows as SQL must be exactly one SELECT statement.")
        return f"({statements[0].query.strip().rstrip(';')}\n)"

    def columns(self, relation: str, label: str) -> dict[str, str]:
        """Return column → DuckDB type."""
        if relation not in self._columns:
            try:
                found = self.db.sql(f"DESCRIBE SELECT * FROM {relation}").fetchall()
            except duckdb.Error as error:
                hint = f" Relative paths start at {self._root}." if label.startswith("So") else ""
                raise StoreError(f"{label} cannot be read: {_first_line(error)}.{hint}") from error
            self._columns[relation] = {row[0]: row[1] for row in found}
        return self._columns[relation]

    def join(self, read: ViewRead) -> JoinSql:
        return JoinSql(self.history(read.table, read.features), read.keys, read.columns)

    def history(self, table: Table, features: Sequence[str]) -> HistorySql:
        history = table.history
        if history is None:
            raise RequestError(
                f"View {table.name!r} has no history: its push source names no batch_source."
            )
        relation = self._relation(history.source, history.location)
        columns = self.columns(relation, f"Source {history.source!r}")
        if history.location["format"] == "csv":
            relation, columns = self._typed_csv(relation, columns, table)
        created = history.created_timestamp
        needed = [*table.keys, *features]
        raw = {name: history.column(name) for name in needed}
        wanted = [*raw.values(), history.event_timestamp, *([created] if created else [])]
        if missing := [name for name in wanted if name not in columns]:
            hint = did_you_mean(missing[0], columns)
            raise SchemaError(
                f"Source {history.source!r} of view {table.name!r} has no column {missing[0]!r}."
                f"{hint} Its columns are {', '.join(columns)}."
            )

        def typed(name: str, dtype: pa.DataType | None) -> str:
            where = f"Source {history.source!r}, column {raw[name]!r}"
            return expression(quote(raw[name]), columns[raw[name]], dtype, where)

        def instant(name: str) -> str:
            try:
                return microseconds_of(quote(name), columns[name])
            except RequestError as error:
                raise SchemaError(f"Source {history.source!r}: {error}") from None

        return HistorySql(
            relation=relation,
            keys={key: typed(key, dtype) for key, dtype in table.keys.items()},
            event=instant(history.event_timestamp),
            created=instant(created) if created else None,
            features={name: typed(name, table.features.field(name).type) for name in features},
            ties=[
                quote(raw) for raw in map(history.column, table.features.names) if raw in columns
            ],
            ttl=table.ttl_us,
        )

    def _relation(self, source: str, location: Mapping[str, str]) -> str:
        file_format = location["format"]
        if file_format not in {"parquet", "csv"}:
            raise StoreError(
                f"Source {source!r} is in {file_format}, and this offline store reads Parquet and "
                "CSV files. Set offline_store in feature_store.yaml to the engine that holds it."
            )
        path = location["path"].removeprefix("file://")
        if path.startswith("s3://"):
            return self._s3(source, path, file_format, location["endpoint"])
        resolved = self._root / path
        if resolved.is_dir():
            resolved = resolved / "**" / f"*.{file_format}"
        arguments = ", union_by_name = true" if file_format == "parquet" else ""
        return f"read_{file_format}({literal(str(resolved))}{arguments})"

    def _typed_csv(
        self, relation: str, columns: Mapping[str, str], table: Table
    ) -> tuple[str, dict[str, str]]:
        """Read a CSV file's columns as they are declared, not as they look."""
        declared = {**table.keys, **{f.name: f.type for f in table.features}}
        raw = {table.history.column(n): t for n, t in declared.items() if table.history and t}
        # Text that looks like a number stays text; a column that is all empty has no looks.
        types = {
            name: sql_type(dtype)
            for name, dtype in raw.items()
            if name in columns and (pa.types.is_string(dtype) or columns[name] == "VARCHAR")
        }
        if not types or not relation.startswith("read_csv"):
            return relation, dict(columns)
        listed = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in types.items())
        typed = f"{relation.removesuffix(')')}, types = {{{listed}}})"
        return typed, {**columns, **types}

    def _s3(self, source: str, path: str, file_format: str, endpoint: str) -> str:
        """Read S3 through pyarrow: DuckDB's own reader is an extension to be downloaded."""
        from pyarrow import dataset, fs

        options: dict[str, Any] = {}
        if endpoint:
            scheme, separator, host = endpoint.partition("://")
            options["endpoint_override"] = host if separator else endpoint
            options["scheme"] = scheme if separator else "https"
        key = path.removeprefix("s3://")
        try:
            files = dataset.dataset(key, filesystem=fs.S3FileSystem(**options), format=file_format)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"Source {source!r}: cannot read {path}: {_first_line(error)}"
            ) from error
        self.db.register(f"s3 {path}", files)
        return quote(f"s3 {path}")


def _stream(reader: pa.RecordBatchReader, session: _Session) -> Iterator[pa.RecordBatch]:
    """Yield batches; the session stays open until the last one was read, or reading stops."""
    try:
        with translated():
            yield from reader
    finally:
        session.db.close()


@contextmanager
def translated() -> Iterator[None]:
    """Turn an engine error into one that says whose data is at fault."""
    try:
        yield
    except duckdb.InvalidInputException as error:
        raise SchemaError(_first_line(error).removeprefix("Invalid Input Error: ")) from error
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        # DuckDB names the CSV column and line below its first line.
        what = " ".join(str(error).partition("\n\n")[0].split())
        raise SchemaError(f"A value does not fit its declared type: {what}") from error
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
        raise RequestError(f"The entity rows' SQL cannot run: {_first_line(error)}") from error
    except (duckdb.Error, OSError) as error:
        raise StoreError(f"The query failed: {_first_line(error)}") from error


def _timestamp_column(columns: Mapping[str, str]) -> str:
    if EVENT_TIMESTAMP in columns:
        return EVENT_TIMESTAMP
    times = [name for name, dtype in columns.items() if dtype.startswith(("TIMESTAMP", "DATE"))]
    if len(times) != 1:
        found = f"{len(times)} columns of a time type ({', '.join(times)})" if times else "none"
        raise RequestError(
            f"The entity rows need a column {EVENT_TIMESTAMP!r}, or exactly one column of a time "
            f"type; there is {found}."
        )
    return times[0]


def _check_unique(names: Sequence[str]) -> None:
    """Refuse columns that SQL could not tell apart: DuckDB would rename one of them silently."""
    counts = Counter(name.casefold() for name in names)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise RequestError(f"The entity rows have two columns {twice[0]!r}; names ignore case.")


def _check_names(columns: Mapping[str, str], reads: Sequence[ViewRead]) -> None:
    produced = {column for read in reads for column in read.columns.values()} | {ROW, TIME}
    if taken := sorted(produced & columns.keys()):
        raise RequestError(f"The entity rows' column {taken[0]!r} is reserved; rename it.")


def _check_keys(
    session: _Session, columns: Mapping[str, str], read: ViewRead, join: JoinSql
) -> None:
    keys = ", ".join(
        f"{expression} AS {quote(key)}" for key, expression in join.history.keys.items()
    )
    relation = f"(SELECT {keys or '1'} FROM {join.history.relation})"
    types = session.columns(relation, f"View {read.label!r}")
    for key, column in read.keys.items():
        if column not in columns:
            hint = did_you_mean(column, columns)
            raise RequestError(
                f"The entity rows have no column {column!r}, which view {read.label!r} is joined "
                f"by.{hint}"
            )
        if not comparable(columns[column], types[key]):
            raise RequestError(
                f"The entity rows' column {column!r} is {columns[column]}, and view "
                f"{read.label!r} is keyed by {types[key]}. Cast it; with pandas, whole numbers "
                'that miss values stay whole as astype("Int64").'
            )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
