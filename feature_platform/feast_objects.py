"""Objects that Feast has and this package spells otherwise; see `feast_names`."""

import warnings
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from feature_platform.definitions import FeatureView, StreamSource
from feature_platform.errors import DefinitionError, abbreviate


def ParquetFormat() -> str:  # noqa: N802 - names of Feast, also below
    """Return the file format of a `FileSource`."""
    return "parquet"


def DeltaFormat() -> str:  # noqa: N802
    return "delta"


def JsonFormat(schema_json: str = "") -> str:  # noqa: N802
    """Return the format of a stream's messages, which is JSON here."""
    del schema_json
    return "json"


def AvroFormat(schema_json: str = "") -> str:  # noqa: N802
    del schema_json
    return "avro"


def ProtoFormat(class_path: str = "") -> str:  # noqa: N802
    del class_path
    return "protobuf"


def KafkaSource(  # noqa: N802
    *,
    name: str,
    message_format: str | None = None,
    topic: str = "",
    timestamp_field: str = "",
    bootstrap_servers: str | None = None,
    kafka_bootstrap_servers: str | None = None,
    watermark_delay_threshold: object = None,
    **arguments: Any,
) -> StreamSource:
    """Return a stream source; its broker is that of `feature_store.yaml`.

    Source: Feast's `KafkaSource`.
    """
    del timestamp_field, watermark_delay_threshold  # of the batch source; rows have no order here
    if bootstrap_servers or kafka_bootstrap_servers:
        warnings.warn(
            f"KafkaSource {name!r}: the servers are not registered. Set `broker: {{type: kafka, "
            "bootstrap_servers: ...}` in feature_store.yaml.",
            UserWarning,
            stacklevel=2,
        )
    if message_format not in (None, "json"):
        warnings.warn(
            f"KafkaSource {name!r}: `feature-platform ingest` reads JSON. Decode {message_format} "
            "in the application, and push the rows.",
            UserWarning,
            stacklevel=2,
        )
    if arguments.pop("field_mapping", None):
        raise DefinitionError(
            f"KafkaSource {name!r}: messages have the names of the view. Map them in the "
            "application that sends them; the batch_source has a field_mapping of its own."
        )
    arguments.pop("created_timestamp_column", None)  # that of the batch source
    return StreamSource(name=name, topic=topic, **arguments)


def BatchFeatureView(**arguments: Any) -> FeatureView:  # noqa: N802
    """Return a feature view; a transformation is the work of a Dagster asset.

    Source: Feast's `BatchFeatureView`.
    """
    return FeatureView(**arguments)


class ConflictPolicy(StrEnum):
    """Whose label counts: here, always the newest."""

    LAST_WRITE_WINS = "last_write_wins"
    LABELER_PRIORITY = "labeler_priority"
    MAJORITY_VOTE = "majority_vote"


def LabelView(  # noqa: N802
    *,
    name: str,
    labeler_field: str = "labeler",
    conflict_policy: ConflictPolicy = ConflictPolicy.LAST_WRITE_WINS,
    reference_feature_view: str | None = None,
    **arguments: Any,
) -> FeatureView:
    """Return a feature view of labels: the newest label of an entity counts.

    Source: Feast's `LabelView`.

    Raises:
        DefinitionError: Another label than the newest is to count.
    """
    del labeler_field, reference_feature_view  # a feature, and a note
    if conflict_policy is not ConflictPolicy.LAST_WRITE_WINS:
        named = getattr(conflict_policy, "value", abbreviate(conflict_policy))
        raise DefinitionError(
            f"LabelView {name!r}: the newest label counts. Resolve {named} in a "
            "Dagster asset, and let a source read what it writes."
        )
    return FeatureView(name=name, **arguments)


def LoggingConfig(**_: Any) -> dict[str, Any]:  # noqa: N802
    """Return what `logging_config` of a service takes, which warns that nothing is logged."""
    return {"destination": "ignored"}


def FileLoggingDestination(**_: Any) -> dict[str, Any]:  # noqa: N802
    return {}


def SnowflakeLoggingDestination(**_: Any) -> dict[str, Any]:  # noqa: N802
    return {}


def RegistryConfig(**settings: Any) -> dict[str, Any]:  # noqa: N802
    """Return settings for `RepoConfig(registry=...)`."""
    return settings


def _settings(kind: str) -> Callable[..., dict[str, Any]]:
    def settings(**values: Any) -> dict[str, Any]:
        return {**values, "type": kind}

    return settings


SqliteOnlineStoreConfig = _settings("sqlite")
RedisOnlineStoreConfig = _settings("redis")
DynamoDBOnlineStoreConfig = _settings("dynamodb")
PostgreSQLOnlineStoreConfig = _settings("postgres")
DuckDBOfflineStoreConfig = _settings("duckdb")
DaskOfflineStoreConfig = FileOfflineStoreConfig = _settings("file")
SnowflakeOfflineStoreConfig = _settings("snowflake")
SparkOfflineStoreConfig = _settings("spark")
