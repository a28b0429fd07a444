"""The connection of one query to Snowflake."""

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from feature_platform.errors import (
    ConfigError,
    RequestError,
    SourceError,
    StoreError,
    missing_extra,
)
from feature_platform.offline.base import EntityRows, Progress
from feature_platform.offline.columns import family
from feature_platform.offline.entity_rows import check_unique
from feature_platform.offline.point_in_time import ROW, TIME
from feature_platform.offline.session import Engine, Session, TableSession
from feature_platform.offline.snowflake.dialect import SnowflakeDialect
from feature_platform.offline.source_sql import Relation
from feature_platform.offline.store import SqlOfflineStore
from feature_platform.table import SourceTable, Table
from feature_platform.types.arrow import TIMESTAMP

_FROM_ENVIRONMENT = ("account", "user", "password", "role", "warehouse", "database", "schema")
_FOUND = {  # the connector's type codes, by what comes back as Arrow
    0: pa.int64(),  # of numbers without a point
    1: pa.float64(),
    2: pa.string(),
    3: pa.date32(),
    6: TIMESTAMP,
    7: TIMESTAMP,
    8: pa.timestamp("ns"),
    11: pa.binary(),
    13: pa.bool_(),
}
_COLUMN = {  # what an uploaded column is stored as
    "integer": "NUMBER(38, 0)",
    "number": "FLOAT",
    "text": "VARCHAR",
    "bytes": "BINARY",
    "bool": "BOOLEAN",
    "time": "NUMBER(38, 0)",  # microseconds: COPY reads times of Parquet files in several ways
}
Connect = Callable[[], Any]


def snowflake_store(connect: Connect) -> SqlOfflineStore:
    """Return the store on Snowflake.

    Args:
        connect: Opens a connection; see `connector`.
    """
    return SqlOfflineStore(
        Engine(SnowflakeSession, lambda progress: SnowflakeSession(connect, progress))
    )


def connector(options: Mapping[str, Any]) -> Connect:
    """Return a function that opens a connection.

    Args:
        options: Arguments of `snowflake.connector.connect`. Missing ones are read from
            `SNOWFLAKE_ACCOUNT`, `SNOWFLAKE_USER` and so on.

    Raises:
        ConfigError: The connector is not installed.
    """
    try:
        import snowflake.connector
    except ImportError as error:
        raise missing_extra("offline_store: snowflake", "snowflake") from error
    from_environment = {
        name: value
        for name in _FROM_ENVIRONMENT
        if (value := os.environ.get(f"SNOWFLAKE_{name.upper()}"))
    }
    parameters = {"TIMEZONE": "UTC", **options.get("session_parameters", {})}
    arguments = {**from_environment, **options, "session_parameters": parameters}

    def connect() -> Any:
        try:
            return snowflake.connector.connect(**arguments)
        except snowflake.connector.Error as error:
            reason = _reason(error)
            raise ConfigError(f"offline_store: no connection to Snowflake: {reason}") from error

    return connect


class SnowflakeSession(Session, TableSession):
    """Works in the connection's schema; everything it creates is temporary or dropped.

    Args:
        connect: Opens a connection.
        progress: Callback for each step.
    """

    label = "Snowflake"

    def __init__(self, connect: Connect, progress: Progress | None = None) -> None:
        super().__init__(progress)
        self.sql = SnowflakeDialect()
        self._connection = connect()
        self._cursor = self._connection.cursor()
        self._prefix = f"FP_{uuid.uuid4().hex[:12].upper()}"
        self._uploaded: list[str] = []
        self._unnumbered = False

    def open(self, table: Table, source: SourceTable) -> Relation:
        location, label = source.location, source.name
        if location["format"] != "snowflake":
            raise StoreError(
                f"Source {label!r} is in {location['format']}, which Snowflake does not read. "
                "Set offline_store in feature_store.yaml to an engine that reads it."
            )
        if location["query"]:
            relation = f"({location['query']}\n)"
        else:
            relation = self._table_name(label, location)
        unreadable = _because(lambda why: StoreError(f"Source {label!r} cannot be read: {why}"))
        return Relation(relation, self._describe(relation, unreadable))

    def _describe(self, relation: str, unreadable: Any) -> dict[str, pa.DataType]:
        with unreadable:
            columns = self._cursor.describe(f"SELECT * FROM {relation}")
        return {column.name: _arrow_type(column) for column in columns}

    def entity_rows(self, rows: EntityRows) -> tuple[str, Mapping[str, pa.DataType]]:
        if isinstance(rows, Path):
            try:
                rows = parquet.read_table(rows)
            except (OSError, pa.ArrowException) as error:
                raise RequestError(f"The entity rows cannot be read: {error}") from error
        if isinstance(rows, pa.Table):
            return self._upload(rows), {field.name: field.type for field in rows.schema}
        self._unnumbered = True
        relation = f"({rows}\n)"
        because = _because(lambda why: RequestError(f"The entity rows' SQL cannot run: {why}"))
        return relation, self._describe(relation, because)

    def number(self, relation: str, time: str, *, store: bool) -> str:
        number = f"row_number() OVER (ORDER BY 1) AS {ROW}, " if self._unnumbered else ""
        numbered = f"SELECT {number}{time} AS {TIME}, r.* FROM {relation} r"
        if not store:
            return f"({numbered})"
        name = f"{self._prefix}_ENTITIES"
        self._run(f"CREATE TEMPORARY TABLE {name} AS {numbered}")
        return name

    def row(self, sql: str) -> tuple[object, ...]:
        with _because(_failed):
            return tuple(self._cursor.execute(sql).fetchone())

    def reader(self, sql: str, schema: pa.Schema) -> pa.RecordBatchReader:
        with _because(_failed):
            self._cursor.execute(sql)
        return pa.RecordBatchReader.from_batches(schema, self._stream(schema))

    def _stream(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        try:
            with _because(_failed):
                for batch in self._cursor.fetch_arrow_batches():
                    yield from _as_declared(batch, schema).to_batches()
        finally:
            self.close()

    def rows(self, sql: str) -> list[dict[str, Any]]:
        with _because(_failed):
            rows = self._cursor.execute(sql).fetchall()
            names = [column.name.lower() for column in self._cursor.description]
        return [dict(zip(names, row, strict=True)) for row in rows]

    def create_table(self, table: str, sql: str) -> None:
        name = ".".join(self.sql.quote(part) for part in table.split("."))
        self._run(f"CREATE TABLE {name} AS {sql}")

    def append(self, source: SourceTable, rows: pa.Table) -> str:
        location, label = source.location, source.name
        if not location.get("table"):
            raise RequestError(f"Source {label!r} is not a Snowflake table.")
        target = self._table_name(label, location)
        stored = self._describe(target, _because(lambda why: StoreError(f"{label!r}: {why}")))
        by_case = {name.casefold(): name for name in stored}
        columns = [self.sql.quote(by_case.get(n.casefold(), n)) for n in rows.column_names]
        sent = self._upload(rows)
        self._run(
            f"INSERT INTO {target} ({', '.join(columns)}) SELECT "
            f"{', '.join(self.sql.quote(n) for n in rows.column_names)} FROM {sent}"
        )
        return target

    def _table_name(self, label: str, location: Mapping[str, str]) -> str:
        parts = [location[part] for part in ("database", "schema", "table")]
        if parts[0] and not parts[1]:
            raise StoreError(f"Source {label!r} has a database but no schema; set both.")
        return ".".join(self.sql.quote(part) for part in parts if part)

    def exact_output(self, sql: str, dtype: pa.DataType) -> str:
        """Fetch times as integers and decimals as text, which the connector would change.

        It returns times as nanoseconds, which do not cover all years, and decimals as floats.
        """
        if pa.types.is_timestamp(dtype):
            return f"DATE_PART(EPOCH_MICROSECOND, {sql})"
        return f"TO_VARCHAR({sql})" if pa.types.is_decimal(dtype) else sql

    def explain(self, sql: str) -> str:
        with _because(_failed):
            return "\n".join(str(row) for row in self._cursor.execute(f"EXPLAIN {sql}").fetchall())

    def cancel(self) -> None:
        if query := self._cursor.sfqid:
            self._connection.cursor().execute(f"SELECT SYSTEM$CANCEL_QUERY('{query}')")

    def close(self) -> None:
        if self._connection.is_closed():
            return
        for name in self._uploaded:
            self._run(f"DROP TABLE IF EXISTS {name}")
        self._connection.close()

    def _run(self, sql: str) -> None:
        with _because(_failed):
            self._cursor.execute(sql)

    def _upload(self, rows: pa.Table) -> str:
        """Upload entity rows with a row number; times as microseconds."""
        check_unique(rows.column_names)
        name, stage = f"{self._prefix}_UPLOAD", f"{self._prefix}_STAGE"
        columns = [f"{ROW} NUMBER(38, 0)"]
        read_back = [ROW]
        arrays = {ROW: pa.array(range(rows.num_rows), pa.int64())}
        for field in rows.schema:
            column, kind = self.sql.quote(field.name), self._column_type(field.type)
            if kind is None:
                raise RequestError(
                    f"The entity rows' column {field.name!r} is {field.type}, which cannot be "
                    "uploaded to Snowflake. Remove it, or pass the entity rows as SQL."
                )
            columns.append(f"{column} {kind}")
            arrays[field.name] = _uploadable(rows[field.name])
            read_back.append(self._read_back(column, field.type))
        table = self._copy(name, stage, columns, pa.table(arrays))
        return f"(SELECT {', '.join(read_back)} FROM {table})"

    def _column_type(self, dtype: pa.DataType) -> str | None:
        return self.sql.type_name(dtype) if _has_point(dtype) else _COLUMN.get(family(dtype))

    def _read_back(self, column: str, dtype: pa.DataType) -> str:
        if family(dtype) != "time":
            return column
        time = self.sql.instant(column)
        return f"{f'CAST({time} AS DATE)' if pa.types.is_date(dtype) else time} AS {column}"

    def _copy(self, name: str, stage: str, columns: list[str], rows: pa.Table) -> str:
        self._run(f"CREATE TRANSIENT TABLE {name} ({', '.join(columns)})")
        self._uploaded.append(name)
        if rows.num_rows:
            self._run(f"CREATE TEMPORARY STAGE {stage}")
            with tempfile.TemporaryDirectory(prefix="feature_platform-") as folder:
                file = Path(folder) / "rows.parquet"
                parquet.write_table(rows, file)
                self._run(f"PUT 'file://{file}' @{stage}")
            options = "FILE_FORMAT = (TYPE = PARQUET) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE"
            self._run(f"COPY INTO {name} FROM @{stage} {options}")
        return name


def _arrow_type(column: Any) -> pa.DataType:
    if column.type_code == 0 and column.scale:
        return pa.decimal128(column.precision, column.scale)
    return _FOUND.get(column.type_code, pa.null())


def _has_point(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(dtype) and dtype.scale > 0)


def _uploadable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    dtype = column.type
    if pa.types.is_dictionary(dtype):
        return column.cast(dtype.value_type)
    if family(dtype) == "time":
        zone = dtype.tz if pa.types.is_timestamp(dtype) else None
        return column.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    return column


def _as_declared(batch: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return Snowflake's Arrow, whose integers are as narrow as the values, in declared types."""
    columns = []
    for column, field in zip(batch.columns, schema, strict=True):
        is_time = pa.types.is_timestamp(field.type) and pa.types.is_integer(column.type)
        sent = column.cast(pa.int64()).cast(pa.timestamp("us")) if is_time else column
        columns.append(sent.cast(field.type))
    return pa.table(columns, schema=schema)


@contextmanager
def _because(error: Callable[[str], Exception]) -> Iterator[None]:
    from snowflake.connector import Error

    try:
        yield
    except Error as caught:
        raise error(_reason(caught)) from caught


def _failed(reason: str) -> Exception:
    kind = SourceError if "is not recognized" in reason else StoreError
    return kind(f"The query failed: {reason}")


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "msg", None) or error).split())[:500]
