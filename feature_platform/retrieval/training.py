"""Training sets: point-in-time joins, computed when the result is read."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from feature_platform.definitions import feast_arguments
from feature_platform.display import html_table
from feature_platform.errors import RequestError, first_line, needing
from feature_platform.offline import EntityRows, Progress, Query, Span, check_times_of
from feature_platform.offline.files import Location
from feature_platform.project import Retrieval
from feature_platform.retrieval import own_columns
from feature_platform.retrieval.backends import Backends, point_in_time
from feature_platform.retrieval.convert import to_arrow, to_pandas
from feature_platform.retrieval.datasets import (
    SavedDataset,
    SavedDatasetFileStorage,
    Split,
    check_new,
    save,
)
from feature_platform.retrieval.on_demand import StepOf, Steps, check_request
from feature_platform.table import EVENT_TIMESTAMP
from feature_platform.types.arrow import TIMESTAMP
from feature_platform.types.values import exact_cast, is_text

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from pyspark.sql import DataFrame as SparkDataFrame

REGISTRY_VERSION = b"feature_platform.registry_version"  # in the metadata of a training set
_MOST_PARTITIONS = 100_000


class RetrievalJob:
    """Historical features, computed when one of its methods is called.

    Attributes:
        registry_version: Registry version that the request was resolved from.
        outputs: Column of the engine's result → feature of the answer.
        request: What was asked for, as it is recorded with a saved dataset.

    Source: Feast's `RetrievalJob`.
    """

    def __init__(
        self,
        query: Query,
        stream: Callable[[pa.RecordBatchReader], pa.RecordBatchReader],
        *,
        registry_version: int,
        outputs: Mapping[str, str],
        computed: Sequence[str],
        request: Mapping[str, Any],
    ) -> None:
        self._query = query
        self._stream = stream
        self._computed = computed
        self._progress: Progress | None = None
        self._has_run = False
        self.outputs = outputs
        self.request = request
        self.registry_version = registry_version

    def to_batches(self) -> pa.RecordBatchReader:
        """Stream the result, for results larger than memory.

        Raises:
            RequestError: A column of the entity rows is missing, or their SQL fails.
            SchemaError: A source does not match its declared schema.
            StoreError: A source cannot be read.
            TransformationError: An on-demand view fails.
        """
        self._has_run = True
        return self._stream(self._query.reader(self._progress))

    def __repr__(self) -> str:
        names = ", ".join(self.outputs.values())
        return f"RetrievalJob: {f'features {names}' if names else 'features'}{self._state()}"

    def _repr_html_(self) -> str:
        rows = [(name, column) for column, name in self.outputs.items()]
        table = html_table(["feature", "from"], rows, most=len(rows)) if rows else ""
        return f"<p>RetrievalJob{escape(self._state())}</p>{table}"

    def _state(self) -> str:
        version = f" of registry version {self.registry_version}" if self.registry_version else ""
        state = "has run" if self._has_run else "has not run yet; to_df() runs it"
        return f"{version}, {self._query.engine}; {state}"

    def on_progress(self, tell: Progress) -> Self:
        """Call a function with a short description of each step.

        Example:
            >>> job.on_progress(print).to_df()  # doctest: +SKIP
        """
        self._progress = tell
        return self

    def cancel(self) -> None:
        """Cancel the query that another thread is running; it raises `StoreError`."""
        self._query.cancel()

    def to_arrow(self) -> pa.Table:
        """Return the result as an Arrow table."""
        return self.to_batches().read_all()

    def to_df(self) -> "pd.DataFrame":
        """Return the result as pandas; integers stay integers where values are missing."""
        return to_pandas(self.to_arrow())

    def to_polars(self) -> "pl.DataFrame":
        """Return the result as polars."""
        with needing("polars", "to_polars"):
            import polars as pl

        return pl.DataFrame(self.to_arrow())

    def to_parquet(self, path: str | Path, *, partition_by: str | Sequence[str] = ()) -> Path | str:
        """Stream the result into Parquet and return its path.

        Args:
            path: A local file, or `s3://bucket/key`, that is replaced as a whole once it is
                complete; with `partition_by`, a new or empty directory.
            partition_by: Columns to make Hive partitions of.

        Raises:
            RequestError: The path is neither, or is taken.
            StoreError: S3 cannot be written.
        """
        from pyarrow import parquet

        target = Location.parse(path, "to_parquet")
        if partition_by and (target.is_file() or target.files()):
            raise RequestError(
                f"{target} is not empty. Choose a new folder, so that two results do not mix."
            )
        if not partition_by and target.is_folder():
            raise RequestError(f"{target} is a folder. Pass the path of a file.")
        reader = self.to_batches()
        partition_by = [partition_by] if isinstance(partition_by, str) else partition_by
        if unknown := [name for name in partition_by if name not in reader.schema.names]:
            raise RequestError(f"partition_by: the result has no column {unknown[0]!r}.")
        with target.replacing() as unfinished:
            if partition_by:
                _write_partitions(reader, unfinished, partition_by)
            else:
                with parquet.ParquetWriter(unfinished, reader.schema) as writer:
                    for batch in reader:
                        writer.write_batch(batch)
        return target.result()

    def to_sql(self) -> str:
        """Return one statement, in the engine's SQL, that gives the result.

        Raises:
            RequestError: The request has an on-demand view, which runs in Python.
        """
        self._check_no_python("no SQL gives the whole result")
        return self._query.statement(self.outputs)

    def to_spark_df(self) -> "SparkDataFrame":
        """Return the result as a lazy Spark DataFrame; nothing passes through this process.

        Raises:
            RequestError: The offline store is not Spark, or the request has an on-demand view.
        """
        self._check_no_python("Spark cannot give the whole result")
        frame: SparkDataFrame = self._query.frame(self.outputs)
        return frame

    def to_snowflake(self, table_name: str) -> None:
        """Write the result into a new Snowflake table; nothing passes through this process.

        Args:
            table_name: In the connection's schema, or `schema.table` or `database.schema.table`.

        Raises:
            RequestError: The offline store is not Snowflake, or the request has an on-demand view.
            StoreError: The table exists, or cannot be written.
        """
        self._check_no_python("Snowflake cannot give the whole result")
        self._query.create_table(table_name, self.outputs)

    def persist(
        self,
        storage: SavedDatasetFileStorage,
        *,
        name: str = "",
        split: Split | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> SavedDataset:
        """Save the result, with the request, the registry version and statistics.

        Args:
            storage: The folder, local or on S3, which must not exist.
            name: Name of the dataset; default: that of the folder.
            split: How to split the rows.
            tags: Labels.

        Raises:
            RequestError: The folder exists, or a row fits no split.
        """
        folder = Location.parse(storage.path, "SavedDatasetFileStorage")
        check_new(folder)
        rows = self.to_batches()  # a server then says which version it read
        manifest = {
            "name": name or folder.name,
            "registry_version": self.registry_version,
            **self.request,
            "split": repr(split) if split else None,
            "tags": dict(tags or {}),
        }
        return save(rows, folder, manifest, split)

    def _check_no_python(self, so: str) -> None:
        if self._computed:
            raise RequestError(f"On-demand views {list(self._computed)} run in Python, so {so}.")

    def explain(self) -> str:
        """Describe how the result is computed."""
        steps = [self._query.explain()]
        steps += [f"on-demand view {view!r}, in Python" for view in self._computed]
        return "\n".join(steps)


feast_arguments.accept(RetrievalJob, feast_arguments.JOB)
feast_arguments.explain_attributes(RetrievalJob)


def _write_partitions(
    reader: pa.RecordBatchReader, folder: Path, partition_by: Sequence[str]
) -> None:
    """Write Hive partitions."""
    from pyarrow import dataset

    fields = [reader.schema.field(name) for name in partition_by]
    try:
        dataset.write_dataset(
            reader,
            folder,
            format="parquet",
            partitioning=dataset.partitioning(pa.schema(fields), flavor="hive"),
            max_partitions=_MOST_PARTITIONS,
        )
    except pa.ArrowException as error:
        raise RequestError(f"partition_by={list(partition_by)}: {error}") from error


def entity_rows(
    rows: object,
    types: Mapping[str, pa.DataType | None] = MappingProxyType({}),
    *,
    maps: bool = False,
) -> EntityRows:
    """Read entity rows: a frame, a SQL query, a Parquet path or a span.

    Args:
        rows: The rows.
        types: Types of columns, as for `to_arrow`.
        maps: Whether other dicts become maps.

    Raises:
        RequestError: The type is not supported, or there are no columns.
    """
    if isinstance(rows, (Span, Path)):
        return rows
    if isinstance(rows, str):
        return _parquet_rows(rows) if rows.endswith(".parquet") else rows
    table = to_arrow(rows, "entity_df", types, maps=maps)
    if not table.num_columns:
        raise RequestError("entity_df has no columns.")
    return table


def _parquet_rows(path: str) -> EntityRows:
    """Return the local path of entity rows, or those on S3."""
    location = Location.parse(path, "entity_df")
    if location.is_local:
        return Path(location.path)
    from pyarrow import parquet

    try:
        return parquet.read_table(location.path, filesystem=location.client)
    except (OSError, pa.ArrowException) as error:
        raise RequestError(
            f"The entity rows {location} cannot be read: {first_line(error)}."
        ) from error


def _with_types(rows: pa.Table, types: Mapping[str, pa.DataType | None]) -> pa.Table:
    """Give columns that contain only nulls the types of keys and times."""
    for position, field in enumerate(rows.schema):
        if pa.types.is_null(field.type) and (dtype := types.get(field.name)):
            rows = rows.set_column(position, field.name, pa.nulls(rows.num_rows, dtype))
    return rows


def historical(
    backends: Backends,
    retrieval: Retrieval,
    rows: EntityRows,
    *,
    known_only: bool = False,
    as_of: datetime | None = None,
) -> RetrievalJob:
    """Prepare a training set; nothing is read before a method of the job is called.

    Args:
        backends: The stores and functions of every project.
        retrieval: The requested features.
        rows: The entity rows.
        known_only: Use only rows that had been created by each entity row's time.
        as_of: Use only rows that had been created by this time.

    Raises:
        RequestError: An Arrow or pandas frame lacks a value that an on-demand view needs.
    """
    if isinstance(rows, pa.Table):
        rows = _with_types(rows, {**retrieval.join_keys, EVENT_TIMESTAMP: TIMESTAMP})
        check_request(rows.column_names, retrieval.transformations)
    reads = retrieval.reads
    if as_of is not None:
        reads = tuple(replace(read, as_of=as_of) for read in reads)

    def joined(rows: EntityRows) -> Query:
        return point_in_time(backends, retrieval.project, rows, reads, known_only=known_only)

    if isinstance(rows, pa.Table):
        rows = _with_times(rows)
        read_columns = {*retrieval.join_keys, *retrieval.request_fields}
        query = own_columns.around(_floored(rows, retrieval.join_keys), read_columns, joined)
    else:
        query = joined(rows)

    def answer(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
        return _answer(reader, retrieval, backends.step_of)

    return RetrievalJob(
        query,
        answer,
        registry_version=retrieval.version,
        outputs={column: name for name, column in retrieval.outputs.items()},
        computed=[step.view for step in retrieval.transformations],
        request=recorded(retrieval, rows, known_only=known_only, as_of=as_of),
    )


def recorded(
    retrieval: Retrieval, rows: EntityRows, *, known_only: bool, as_of: datetime | None
) -> dict[str, Any]:
    """Return what a manifest says of a request; see `historical`."""
    return {
        "features": dict(retrieval.outputs),
        "entity_rows": _described(rows),
        "filter_by_created_timestamp": known_only,
        "as_of": as_of and as_of.isoformat(),
    }


def _with_times(rows: pa.Table) -> pa.Table:
    """Return rows whose time is parsed, if it is text.

    Raises:
        RequestError: It is not ISO 8601.
    """
    position = rows.schema.get_field_index(EVENT_TIMESTAMP)
    if position < 0 or not is_text(rows.schema.field(position).type):
        return rows
    try:
        times = exact_cast(rows[position], TIMESTAMP)
    except ValueError as error:
        raise RequestError(f"The entity rows' column {EVENT_TIMESTAMP!r}: {error}.") from None
    return rows.set_column(position, EVENT_TIMESTAMP, times)


def _floored(rows: pa.Table, keys: Iterable[str]) -> pa.Table:
    """Return rows whose keys have no nanoseconds, as those of views."""
    from pyarrow import compute

    for position, field in enumerate(rows.schema):
        if field.name in keys and pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            floored = compute.floor_temporal(rows[position], unit="microsecond")
            times = floored.cast(pa.timestamp("us", field.type.tz))
            rows = rows.set_column(position, field.name, times)
    return rows


def _described(rows: EntityRows) -> dict[str, Any]:
    """Describe entity rows for the manifest."""
    if isinstance(rows, Span):
        return {"start": rows.start.isoformat(), "end": rows.end.isoformat()}
    if isinstance(rows, pa.Table):
        return {"rows": rows.num_rows, "columns": rows.column_names}
    return {"path": str(rows)} if isinstance(rows, Path) else {"sql": rows}


def _answer(
    reader: pa.RecordBatchReader, retrieval: Retrieval, step_of: StepOf
) -> pa.RecordBatchReader:
    read_columns = {column for read in retrieval.reads for column in read.columns.values()}
    entity_fields = [field for field in reader.schema if field.name not in read_columns]
    if taken := sorted({field.name for field in entity_fields} & retrieval.outputs.keys()):
        raise RequestError(
            f"The entity rows have a column {taken[0]!r}, which is also a requested feature. "
            "Rename it, or pass full_feature_names=True (--full-names)."
        )
    check_request([field.name for field in entity_fields], retrieval.transformations)
    types = {field.name: field.type for field in reader.schema}
    types |= {field.name: field.type for t in retrieval.transformations for field in t.outputs}
    outputs = [pa.field(name, types[column]) for name, column in retrieval.outputs.items()]
    made_from = {REGISTRY_VERSION: str(retrieval.version)}
    schema = pa.schema([*entity_fields, *outputs], made_from)
    steps = Steps(retrieval.transformations, step_of, retrieval.join_keys)
    columns = [field.name for field in entity_fields] + list(retrieval.outputs.values())
    features = [name for name in reader.schema.names if name in read_columns]

    def batches() -> Iterator[pa.RecordBatch]:
        with reader:
            for batch in reader:
                check_times_of(batch.select(features), "A source")
                table = pa.Table.from_batches([batch])
                answer = steps.extend(table).select(columns).rename_columns(schema.names)
                yield from answer.replace_schema_metadata(made_from).to_batches()

    return pa.RecordBatchReader.from_batches(schema, batches())
