"""Sources of rows: files, tables, queries, pushes and streams."""

import re
from collections.abc import Iterator
from os import PathLike
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import pydantic
from pydantic import BeforeValidator, PrivateAttr, model_validator

from feature_platform.definitions import feast_arguments
from feature_platform.definitions.base import (
    NO_LABELS,
    Definition,
    Dependency,
    Labels,
    Value,
    name_of,
)
from feature_platform.definitions.field import Field, duplicate_names
from feature_platform.errors import DefinitionError, abbreviate
from feature_platform.types.endpoint import Endpoint

_GLOB = re.compile(r"[*?\[]")


class Source(Definition):
    """A source of rows: a batch source or a push source."""

    kind: ClassVar[str] = "source"
    feast_arguments: ClassVar = feast_arguments.SOURCE

    @property
    def history(self) -> str | None:
        """Name of the source of the history; `None` if there is no history."""
        return self.name


class BatchSource(Source):
    """A table or a set of files with the history of features.

    Attributes:
        timestamp_field: Column with the event timestamp.
        created_timestamp_column: Column with the created timestamp. If two rows have the same keys
            and event timestamp, the one created last is used.
        field_mapping: Source column → name used in views and requests. Keys, timestamps and
            features can all be mapped.
    """

    timestamp_field: str = "event_timestamp"
    created_timestamp_column: str = ""
    field_mapping: Labels = NO_LABELS
    _is_unnamed: bool = PrivateAttr(default=False)

    def __init__(self, *args: Any, **data: Any) -> None:
        super().__init__(*args, **data)
        self._is_unnamed = not data.get("name")

    @property
    def is_unnamed(self) -> bool:
        """Whether the name was derived, so that it may mean another source elsewhere."""
        return self._is_unnamed

    @property
    def day_column(self) -> str:
        """Partition column with the UTC day of the event timestamp; empty if there is none."""
        return getattr(self, "date_partition_column", "")

    @model_validator(mode="after")
    def _check_mapping(self) -> Self:
        if len(set(self.field_mapping.values())) < len(self.field_mapping):
            raise ValueError(f"field_mapping {self.field_mapping} maps two columns to one name.")
        if self.created_timestamp_column == self.timestamp_field:
            raise ValueError(
                f"created_timestamp_column: {self.timestamp_field!r} is the timestamp_field. "
                "Leave it out, or name the column with the time a row became known."
            )
        return self

    def location(self) -> dict[str, str]:
        """Return the declared location, for the offline store."""
        return {}

    @property
    def reads(self) -> tuple[object, ...]:
        """Everything that determines the rows and columns: equal values read the same data."""
        times = self.timestamp_field, self.created_timestamp_column
        return (self.location(), dict(self.field_mapping), *times)


class FileSource(BatchSource):
    """Parquet or CSV files (a path, a glob or a directory), or a Delta or Iceberg table.

    Attributes:
        name: Defaults to a name derived from the path.
        path: A file, a glob such as `trips/*.parquet`, or a directory, read recursively. Relative
            paths are resolved against `root` of the reader's offline store, by default the repo
            folder.
        file_format: `parquet`, `csv`, `delta` or `iceberg`. Defaults to `csv` or `parquet`,
            depending on the path. For an Iceberg table, `path` is its metadata file.
        s3_endpoint_override: S3 endpoint for `s3://` paths.
        date_partition_column: Hive partition column with the UTC day of the event timestamp as
            `YYYY-MM-DD`. Reads skip the partitions of other days.

    Example:
        >>> FileSource(path="data/driver_stats.parquet").name
        'driver_stats'

    Source: Feast's `FileSource`.
    """

    if TYPE_CHECKING:  # lists are tuples, objects are names

        def __init__(self, **data: Any) -> None: ...

    type: Literal["file_source"] = "file_source"
    path: Annotated[str, pydantic.Field(min_length=1)]
    file_format: Literal["parquet", "csv", "delta", "iceberg"] | None = None
    s3_endpoint_override: Endpoint = ""
    date_partition_column: str = ""

    @model_validator(mode="before")
    @classmethod
    def _default_name(cls, data: dict[str, object]) -> dict[str, object]:
        path = data.get("path") or ""
        if not isinstance(path, (str, PathLike)) or "\0" in str(path) or str(path).isspace():
            raise ValueError(f"path: {abbreviate(path)} is not a path.")
        path = str(path)
        parts = [part for part in PurePosixPath(path).parts if not _GLOB.search(part)]
        stem = PurePosixPath(parts[-1]).name.split(".")[0] if parts else ""
        return {**data, "path": path, "name": data.get("name") or _slug(stem)}

    @model_validator(mode="after")
    def _check_path(self) -> Self:
        scheme, separator, rest = self.path.partition("://")
        if separator and scheme not in {"file", "s3"}:
            hint = f" Write s3://{rest}." if scheme in {"s3a", "s3n"} else ""
            raise ValueError(
                f"path: {scheme}:// is not supported; use a local path or s3://.{hint}"
            )
        bucket, _, key = rest.partition("/")
        if scheme == "s3" and (not bucket or "@" in bucket or key.startswith("/") or "//" in key):
            raise ValueError(
                "path: it is not an S3 address. Write s3://bucket/key, without empty parts; "
                "credentials come from the environment."
            )
        if self.date_partition_column and self.location()["format"] == "csv":
            raise ValueError(
                "date_partition_column: CSV files are read without partition columns. Write "
                "Parquet, or leave it out."
            )
        return self

    def location(self) -> dict[str, str]:
        csv = PurePosixPath(self.path).name.removesuffix(".gz").endswith((".csv", ".tsv"))
        return {
            "path": self.path,
            "format": self.file_format or ("csv" if csv else "parquet"),
            "endpoint": self.s3_endpoint_override,
        }


class SparkSource(BatchSource):
    """A table, a query or files, read by Spark.

    Attributes:
        name: Defaults to a name derived from the table or the path.
        table: A table of Spark's catalog. Pass one of `table`, `query` and `path`.
        query: A SELECT statement; requires a `name`.
        path: Files in `file_format`.
        file_format: `parquet`, `csv`, `orc`, `delta` or `iceberg`.
        date_partition_column: Column with the UTC day of the event timestamp as `YYYY-MM-DD`.

    Example:
        >>> SparkSource(table="lake.trips").name
        'lake_trips'

    Source: Feast's `SparkSource`.
    """

    if TYPE_CHECKING:  # lists are tuples, objects are names

        def __init__(self, **data: Any) -> None: ...

    type: Literal["spark_source"] = "spark_source"
    table: str = ""
    query: str = ""
    path: str = ""
    file_format: Literal["parquet", "csv", "orc", "delta", "iceberg"] = "parquet"
    date_partition_column: str = ""

    @model_validator(mode="before")
    @classmethod
    def _default_name(cls, data: dict[str, object]) -> dict[str, object]:
        path = PurePosixPath(str(data.get("path") or "")).name.split(".")[0]
        return {**data, "name": data.get("name") or _slug(str(data.get("table") or path))}

    @model_validator(mode="after")
    def _check_location(self) -> Self:
        if [bool(self.table), bool(self.query), bool(self.path)].count(True) != 1:
            raise ValueError("pass one of table, query and path.")
        return self

    def location(self) -> dict[str, str]:
        return {
            "format": "spark",
            "table": self.table,
            "query": self.query,
            "path": self.path,
            "file_format": self.file_format,
        }


class SnowflakeSource(BatchSource):
    """A Snowflake table or query.

    Attributes:
        name: Defaults to a name derived from database, schema and table.
        database: Database; defaults to the offline store's.
        schema: Schema; defaults to the offline store's.
        table: Table or view. Pass either `table` or `query`.
        query: A SELECT statement; requires a `name`.
        warehouse: Warehouse; defaults to the offline store's.

    Example:
        >>> SnowflakeSource(database="DB", schema="RAW", table="TRIPS").name
        'db_raw_trips'

    Source: Feast's `SnowflakeSource`.
    """

    if TYPE_CHECKING:  # lists are tuples, objects are names

        def __init__(self, **data: Any) -> None: ...

    type: Literal["snowflake_source"] = "snowflake_source"
    database: str = ""
    schema_: str = pydantic.Field(default="", alias="schema")
    table: str = ""
    query: str = ""
    warehouse: str = ""

    @model_validator(mode="before")
    @classmethod
    def _default_name(cls, data: dict[str, object]) -> dict[str, object]:
        parts = (data.get(part) for part in ("database", "schema", "table"))
        slug = _slug("_".join(str(part) for part in parts if part)) if data.get("table") else None
        return {**data, "name": data.get("name") or slug}

    @model_validator(mode="after")
    def _check_location(self) -> Self:
        if bool(self.table) == bool(self.query):
            raise ValueError("pass either table or query.")
        return self

    def location(self) -> dict[str, str]:
        return {
            "format": "snowflake",
            "database": self.database,
            "schema": self.schema_,
            "table": self.table,
            "query": self.query,
            "warehouse": self.warehouse,
        }


class PushSource(Source):
    """Rows that applications send with `FeatureStore.push`.

    Attributes:
        batch_source: Batch source of the history of these rows, for training and backfills.

    Source: Feast's `PushSource`.
    """

    type: Literal["push_source"] = "push_source"
    batch_source: Annotated[str | None, BeforeValidator(name_of)] = None
    _batch_source: Definition | None = PrivateAttr(default=None)

    def __init__(self, *args: object, **data: object) -> None:
        super().__init__(*args, **data)
        source = data.get("batch_source")
        if isinstance(source, Definition) and not isinstance(source, BatchSource):
            raise DefinitionError(f"{self}: batch_source is a {source.kind}, not a batch source.")
        self._batch_source = source if isinstance(source, Definition) else None

    @property
    def history(self) -> str | None:
        return self.batch_source

    def dependencies(self) -> Iterator[Dependency]:
        if self.batch_source:
            yield Dependency(self.kind, self.batch_source)

    def related(self) -> tuple[Definition, ...]:
        source = self._batch_source
        return (source,) if source is not None and source.name == self.batch_source else ()


class StreamSource(PushSource):
    """Rows from a topic of a message broker, as JSON objects. Applications can also push rows.

    `FeatureStore.ingest` and `feature-platform ingest` read the topic from the `broker` of
    `feature_store.yaml`, so development and production can use different brokers.

    Attributes:
        topic: Topic or stream; defaults to the name of the source.
        batch_source: As for `PushSource`.

    Example:
        >>> StreamSource(name="driver_events").topic
        'driver_events'

    Source: Feast's `KafkaSource`, without the servers.
    """

    if TYPE_CHECKING:  # lists are tuples, objects are names

        def __init__(self, **data: Any) -> None: ...

    type: Literal["stream_source"] = "stream_source"  # type: ignore[assignment]
    topic: str = ""

    @model_validator(mode="before")
    @classmethod
    def _default_topic(cls, data: dict[str, object]) -> dict[str, object]:
        return {**data, "topic": data.get("topic") or data.get("name") or ""}


class RequestSource(Value):
    """Request values, as inputs of on-demand feature views.

    A request source is part of the views that list it and is not registered separately.

    Attributes:
        name: Optional, for documentation.
        schema: The values that a request must provide.

    Source: Feast's `RequestSource`, where the name is mandatory.
    """

    if TYPE_CHECKING:  # lists are tuples, objects are names

        def __init__(self, **data: Any) -> None: ...

    feast_arguments: ClassVar = {"timestamp_field": feast_arguments.FeastArgument(("",))}

    name: str = ""
    fields: tuple[Field, ...] = pydantic.Field(alias="schema", min_length=1)
    description: str = ""
    tags: Labels = NO_LABELS
    owner: str = ""

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        if duplicates := duplicate_names(self.fields):
            raise ValueError(f"schema declares {duplicates} twice.")
        return self


def _slug(text: str) -> str | None:
    slug = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower()[:63]
    return f"source_{slug}"[:63] if slug[:1].isdigit() else slug or None
