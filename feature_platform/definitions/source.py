"""Data sources: the origin of rows."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Literal, Self

import pydantic
from pydantic import BeforeValidator, PrivateAttr, model_validator

from feature_platform.definitions.base import (
    NO_LABELS,
    Definition,
    Dependency,
    Labels,
    Value,
    name_of,
)
from feature_platform.definitions.field import Field, repeated
from feature_platform.errors import DefinitionError

_GLOB = re.compile(r"[*?\[]")


class Source(Definition):
    """Where rows come from: a batch source or a push source."""

    kind: ClassVar[str] = "source"

    @property
    def history(self) -> str | None:
        """Name of the source that holds the same rows for training; `None` without one."""
        return self.name


class BatchSource(Source):
    """A table or a set of files with the history of features.

    Attributes:
        timestamp_field: Column with the time at which a row was observed.
        created_timestamp_column: Column with the time at which a row became known. Of two rows with
            equal keys and times, the one created last wins.
        field_mapping: Source column → name in views and requests, for keys, timestamps and
            features.
    """

    timestamp_field: str = "event_timestamp"
    created_timestamp_column: str = ""
    field_mapping: Labels = NO_LABELS

    @property
    def day_column(self) -> str:
        """Partition column that holds the UTC day of the event time; empty without one."""
        return getattr(self, "date_partition_column", "")

    @model_validator(mode="after")
    def _mapping_is_one_to_one(self) -> Self:
        if len(set(self.field_mapping.values())) < len(self.field_mapping):
            raise ValueError(f"field_mapping {self.field_mapping} maps two columns to one name.")
        return self

    def location(self) -> dict[str, str]:
        """Return what the offline store opens, as declared."""
        return {}

    @property
    def reads(self) -> tuple[object, ...]:
        """What decides which rows and columns are read: equal values read the same."""
        times = self.timestamp_field, self.created_timestamp_column
        return (self.location(), dict(self.field_mapping), *times)


class FileSource(BatchSource):
    """Parquet or CSV files - one path, a glob, or a directory - or a Delta or Iceberg table.

    Attributes:
        name: Derived from the path by default.
        path: A file, a glob such as `trips/*.parquet`, or a directory, read recursively. Relative
            paths start at the reader's offline store `root`, by default the repo folder.
        file_format: `parquet`, `csv`, `delta` or `iceberg`; the first two are detected from the
            path. For Iceberg, the path is that of the metadata file.
        s3_endpoint_override: S3 endpoint for `s3://` paths.
        date_partition_column: Hive partition column with the UTC day of the event time as
            `YYYY-MM-DD`, so other days are pruned.

    Example:
        >>> FileSource(path="data/driver_stats.parquet").name
        'driver_stats'

    Source: Feast's `FileSource`.
    """

    type: Literal["file_source"] = "file_source"
    path: Annotated[str, pydantic.Field(min_length=1)]
    file_format: Literal["parquet", "csv", "delta", "iceberg"] | None = None
    s3_endpoint_override: str = ""
    date_partition_column: str = ""

    @model_validator(mode="before")
    @classmethod
    def _is_named_after_the_path(cls, data: dict[str, object]) -> dict[str, object]:
        path = str(data.get("path") or "")
        parts = [part for part in PurePosixPath(path).parts if not _GLOB.search(part)]
        stem = PurePosixPath(parts[-1]).name.split(".")[0] if parts else ""
        return {**data, "path": path, "name": data.get("name") or _slug(stem)}

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
        name: Derived from the table or the path by default.
        table: A table of Spark's catalog, instead of `query` or `path`.
        query: A SELECT statement; needs a `name`.
        path: Files in `file_format`.
        file_format: `parquet`, `csv`, `orc`, `delta` or `iceberg`.
        date_partition_column: Column with the UTC day of the event time as `YYYY-MM-DD`.

    Example:
        >>> SparkSource(table="lake.trips").name
        'lake_trips'

    Source: Feast's `SparkSource`.
    """

    type: Literal["spark_source"] = "spark_source"
    table: str = ""
    query: str = ""
    path: str = ""
    file_format: Literal["parquet", "csv", "orc", "delta", "iceberg"] = "parquet"
    date_partition_column: str = ""

    @model_validator(mode="before")
    @classmethod
    def _is_named_after_the_table(cls, data: dict[str, object]) -> dict[str, object]:
        path = PurePosixPath(str(data.get("path") or "")).name.split(".")[0]
        return {**data, "name": data.get("name") or _slug(str(data.get("table") or path))}

    @model_validator(mode="after")
    def _reads_one_thing(self) -> Self:
        if [bool(self.table), bool(self.query), bool(self.path)].count(True) != 1:
            raise ValueError("pass exactly one of table, query and path.")
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
        name: Derived from database, schema and table by default.
        database: Database; by default the offline store's.
        schema: Schema; by default the offline store's.
        table: Table or view, instead of `query`.
        query: A SELECT statement; needs a `name`.
        warehouse: Warehouse; by default the offline store's.

    Example:
        >>> SnowflakeSource(database="DB", schema="RAW", table="TRIPS").name
        'db_raw_trips'

    Source: Feast's `SnowflakeSource`.
    """

    type: Literal["snowflake_source"] = "snowflake_source"
    database: str = ""
    schema_: str = pydantic.Field(default="", alias="schema")
    table: str = ""
    query: str = ""
    warehouse: str = ""

    @model_validator(mode="before")
    @classmethod
    def _is_named_after_the_table(cls, data: dict[str, object]) -> dict[str, object]:
        parts = (data.get(part) for part in ("database", "schema", "table"))
        slug = _slug("_".join(str(part) for part in parts if part)) if data.get("table") else None
        return {**data, "name": data.get("name") or slug}

    @model_validator(mode="after")
    def _reads_one_thing(self) -> Self:
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
        batch_source: Source of the same rows for training and backfills.

    Source: Feast's `PushSource`.
    """

    type: Literal["push_source"] = "push_source"
    batch_source: Annotated[str | None, BeforeValidator(name_of)] = None
    _given: Definition | None = PrivateAttr(default=None)

    def __init__(self, **data: object) -> None:
        super().__init__(**data)
        given = data.get("batch_source")
        if isinstance(given, Definition) and not isinstance(given, BatchSource):
            raise DefinitionError(f"{self}: batch_source is a {given.kind}, not a batch source.")
        self._given = given if isinstance(given, Definition) else None

    @property
    def history(self) -> str | None:
        return self.batch_source

    def dependencies(self) -> Iterator[Dependency]:
        if self.batch_source:
            yield Dependency(self.kind, self.batch_source)

    def related(self) -> tuple[Definition, ...]:
        given = self._given
        return (given,) if given is not None and given.name == self.batch_source else ()


class StreamSource(PushSource):
    """Rows that a broker delivers as JSON objects; applications can push them, too.

    `FeatureStore.ingest` and `feature-platform ingest` read it. `broker` in `feature_store.yaml`
    selects the broker, so development and production can use different ones.

    Attributes:
        topic: The topic or stream; by default the source's name.
        batch_source: As for `PushSource`.

    Example:
        >>> StreamSource(name="driver_events").topic
        'driver_events'

    Source: Feast's `KafkaSource`, without the servers.
    """

    type: Literal["stream_source"] = "stream_source"  # type: ignore[assignment]
    topic: str = ""

    @model_validator(mode="before")
    @classmethod
    def _topic_is_the_name(cls, data: dict[str, object]) -> dict[str, object]:
        return {**data, "topic": data.get("topic") or data.get("name") or ""}


class RequestSource(Value):
    """Values that the request provides, as inputs of on-demand feature views.

    It is a part of the views that list it and is not registered separately.

    Attributes:
        name: Optional label.
        schema: The request values.

    Source: Feast's `RequestSource`, where the name is mandatory.
    """

    name: str = ""
    fields: tuple[Field, ...] = pydantic.Field(alias="schema", min_length=1)
    description: str = ""
    tags: Labels = NO_LABELS
    owner: str = ""

    @model_validator(mode="after")
    def _fields_are_unique(self) -> Self:
        if twice := repeated(self.fields):
            raise ValueError(f"schema declares {twice} twice.")
        return self


def _slug(text: str) -> str | None:
    slug = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").lower()[:63]
    return f"source_{slug}"[:63] if slug[:1].isdigit() else slug or None
