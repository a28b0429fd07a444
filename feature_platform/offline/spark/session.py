"""The use of a SparkSession by one query."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_platform.errors import (
    ConfigError,
    RequestError,
    SourceError,
    StoreError,
    missing_extra,
)
from feature_platform.offline.base import Deliver, EntityRows, Progress
from feature_platform.offline.entity_rows import check_unique
from feature_platform.offline.paths import check_path
from feature_platform.offline.point_in_time import ROW, TIME
from feature_platform.offline.session import Engine, FrameSession, Session, WorkerSession
from feature_platform.offline.source_sql import Relation
from feature_platform.offline.spark.dialect import SparkDialect
from feature_platform.offline.store import SqlOfflineStore
from feature_platform.table import SourceTable, Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def spark_store(
    root: Path, *, master: str, remote: str, spark_conf: Mapping[str, Any]
) -> SqlOfflineStore:
    """Return the store on Spark; `SparkSettings` documents the arguments."""

    def open_session(progress: Progress | None) -> Session:
        return SparkQuerySession(_spark_session(master, remote, spark_conf), root, progress)

    return SqlOfflineStore(Engine(SparkQuerySession, open_session))


def _spark_session(master: str, remote: str, spark_conf: Mapping[str, Any]) -> "SparkSession":
    """Return the active SparkSession, or a new one.

    Raises:
        ConfigError: pyspark is not installed, or no session can be created.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise missing_extra("offline_store: spark", "spark") from error
    if active := SparkSession.getActiveSession():
        return active
    builder = SparkSession.builder.appName("feature_platform")
    address = remote or master
    builder = builder.remote(address) if remote else builder.master(address)
    for key, value in spark_conf.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except (PySparkException, OSError, RuntimeError) as error:
        raise ConfigError(
            f"offline_store: no Spark session at {address}: {_reason(error)}"
        ) from error


class SparkQuerySession(Session, WorkerSession, FrameSession):
    """Temporary views with unique names in a shared SparkSession."""

    label = "Spark"

    def __init__(self, spark: "SparkSession", root: Path, progress: Progress | None = None) -> None:
        super().__init__(progress)
        self.sql = SparkDialect()
        self._spark = spark
        self._root = root
        self._prefix = f"fp_{uuid.uuid4().hex[:12]}"
        self._views: list[str] = []
        self._kept: list[DataFrame] = []
        self._tag = f"{self._prefix}_jobs"
        spark.addTag(self._tag)

    def open(self, table: Table, source: SourceTable) -> Relation:
        location, label = source.location, source.name
        with _translated(lambda why: StoreError(f"Source {label!r} cannot be read: {why}")):
            frame = self._source(label, location)
            columns = _columns(frame)
        return Relation(self._view(frame), columns)

    def _source(self, label: str, location: Mapping[str, str]) -> "DataFrame":
        if location["format"] == "spark" and location["table"]:
            return self._spark.table(location["table"])
        if location["format"] == "spark" and location["query"]:
            return self._spark.sql(f"SELECT * FROM ({location['query']}\n)")
        kind = location.get("file_format") or location["format"]
        if kind not in {"parquet", "csv", "orc", "delta", "iceberg"}:
            raise StoreError(
                f"Source {label!r} is in {kind}, which this store does not read. Set "
                "offline_store in feature_store.yaml to an engine that reads it."
            )
        path = self._path(label, location["path"])
        reader = self._spark.read
        if kind == "csv":
            reader = reader.option("header", "true").option("inferSchema", "true")
        if kind == "parquet":
            reader = reader.option("mergeSchema", "true")
        return reader.format(kind).load(path)

    def _path(self, label: str, path: str) -> str:
        """Return a path as Spark writes it; a relative one starts at the root."""
        check_path(label, path, self._root)
        if path.startswith("s3://"):
            return f"s3a://{path.removeprefix('s3://')}"
        return path if "://" in path else f"file://{self._root / path}"

    def entity_rows(self, rows: EntityRows) -> tuple[str, Mapping[str, pa.DataType]]:
        if isinstance(rows, pa.Table):
            check_unique(rows.column_names)
            numbered = _uploadable(rows).append_column(ROW, pa.array(range(rows.num_rows)))
            with _translated(lambda why: RequestError(f"The entity rows cannot be read: {why}")):
                view = self._view(self._spark.createDataFrame(numbered))
            return view, {f.name: f.type for f in numbered.schema if f.name != ROW}
        if isinstance(rows, Path):
            with _translated(lambda why: RequestError(f"The entity rows cannot be read: {why}")):
                frame = self._spark.read.parquet(f"file://{rows.resolve()}")
                return self._view(frame), _columns(frame)
        with _translated(lambda why: RequestError(f"The entity rows' SQL cannot run: {why}")):
            frame = self._spark.sql(f"SELECT * FROM ({rows}\n)")
            return self._view(frame), _columns(frame)

    def number(self, relation: str, time: str, *, store: bool) -> str:
        frame = self._spark.table(relation)
        number = "" if ROW in frame.columns else f"monotonically_increasing_id() AS {ROW}, "
        numbered = self._spark.sql(f"SELECT {number}{time} AS {TIME}, * FROM {relation}")
        if store:
            numbered = numbered.persist()
            self._kept.append(numbered)
        return self._view(numbered)

    def row(self, sql: str) -> tuple[object, ...]:
        with _translated(_failed):
            return tuple(self._spark.sql(sql).collect()[0])

    def frame(self, sql: str) -> "DataFrame":
        """Return the result of a query as a Spark DataFrame."""
        with _translated(_failed):
            return self._spark.sql(sql)

    def reader(self, sql: str, schema: pa.Schema) -> pa.RecordBatchReader:
        with _translated(_failed):
            answer = _as_utc(self._spark.sql(sql).toArrow())
        self.close()
        return answer.to_reader()

    def deliver(self, sql: str, write: Deliver) -> int:
        def part(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            tables = (_as_utc(pa.Table.from_batches([batch])) for batch in batches)
            count = write(batch for table in tables for batch in table.to_batches())
            yield pa.RecordBatch.from_pydict({"rows": [count]})

        with _translated(_failed):
            done = self._spark.sql(sql).mapInArrow(part, "rows long").collect()
        return sum(row["rows"] for row in done)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        with _translated(_failed):
            return [row.asDict() for row in self._spark.sql(sql).collect()]

    def append(self, source: SourceTable, rows: pa.Table) -> str:
        location, label = source.location, source.name
        if location.get("query"):
            raise RequestError(f"Source {label!r} is a query, which cannot be written.")
        with _translated(lambda why: StoreError(f"Source {label!r} cannot be written: {why}")):
            frame = self._spark.createDataFrame(_uploadable(rows))
            if table := location.get("table"):
                return self._insert(frame, table)
            path = self._path(label, location["path"])
            kind = location.get("file_format") or location["format"]
            writer = frame.write.mode("append").format(kind)
            if day := source.day_column:
                event = self.sql.quote(source.event_timestamp)
                utc = f"date_format(to_utc_timestamp({event}, current_timezone()), 'yyyy-MM-dd')"
                dated = frame.selectExpr("*", f"{utc} AS {self.sql.quote(day)}")
                writer = dated.write.mode("append").format(kind).partitionBy(day)
            writer.save(path)
            return path

    def _insert(self, frame: "DataFrame", table: str) -> str:
        stored = self._spark.table(table).schema.names
        present = {name: self.sql.quote(name) for name in frame.columns}
        columns = [present.get(n, f"NULL AS {self.sql.quote(n)}") for n in stored]
        frame.selectExpr(*columns).write.insertInto(table)
        return table

    def explain(self, sql: str) -> str:
        with _translated(_failed):
            frame = self._spark.sql(f"EXPLAIN FORMATTED {sql}")
            return str(frame.collect()[0][0])

    def cancel(self) -> None:
        self._spark.interruptTag(self._tag)

    def close(self) -> None:
        for frame in self._kept:
            frame.unpersist()
        for view in self._views:
            self._spark.catalog.dropTempView(view)
        self._kept, self._views = [], []
        self._spark.removeTag(self._tag)

    def _view(self, frame: "DataFrame") -> str:
        name = f"{self._prefix}_{len(self._views)}"
        frame.createOrReplaceTempView(name)
        self._views.append(name)
        return name


def _columns(frame: "DataFrame") -> dict[str, pa.DataType]:
    return {field.name: field.type for field in frame.limit(0).toArrow().schema}


def _uploadable(rows: pa.Table) -> pa.Table:
    """Return entity rows in Spark's types, without changing values."""
    for i, column in enumerate(rows.schema):
        target = _spark_type(column.type)
        if target != column.type:
            try:
                rows = rows.set_column(i, column.name, rows.column(i).cast(target))
            except pa.ArrowException as error:
                raise RequestError(
                    f"The entity rows' column {column.name!r} is {column.type}, which Spark "
                    f"cannot hold: {error}"
                ) from error
    return rows


def _spark_type(dtype: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_dictionary(dtype):
        return _spark_type(dtype.value_type)
    if types.is_timestamp(dtype):
        return pa.timestamp("us", tz="UTC" if dtype.tz else None)
    if types.is_unsigned_integer(dtype):
        return pa.int64()
    if types.is_null(dtype):
        return pa.string()
    return dtype


def _as_utc(table: pa.Table) -> pa.Table:
    """Return times in UTC, whatever the session's zone is called."""
    fields = [
        field.with_type(pa.timestamp("us", tz="UTC"))
        if pa.types.is_timestamp(field.type) and field.type.tz
        else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


@contextmanager
def _translated(error: Any) -> Iterator[None]:
    from pyspark.errors import PySparkException

    try:
        yield
    except PySparkException as caught:
        raise error(_reason(caught)) from caught


def _failed(reason: str) -> Exception:
    if "USER_RAISED_EXCEPTION" in reason or "declared" in reason:
        return SourceError(reason)
    return StoreError(f"The query failed: {reason}")


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    ours = [line.partition(": ")[2] for line in lines if line.startswith("feature_platform.errors")]
    reason = (ours or lines or [""])[0][:500]  # ours: raised on a worker
    if "TIMESTAMP(NANOS" in reason:
        reason += ' Spark reads no nanoseconds: write the file with coerce_timestamps="us".'
    return reason
