"""Offline stores: history."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from feature_platform.errors import ConfigError, did_you_mean
from feature_platform.offline.base import Deliver as Deliver
from feature_platform.offline.base import EntityRows as EntityRows
from feature_platform.offline.base import OfflineStore as OfflineStore
from feature_platform.offline.base import Progress as Progress
from feature_platform.offline.base import Query as Query
from feature_platform.offline.base import Span as Span
from feature_platform.offline.spine import check_unique as check_unique
from feature_platform.offline.statistics import FeatureStatistics as FeatureStatistics
from feature_platform.offline.store import SqlOfflineStore as SqlOfflineStore
from feature_platform.offline.store import describe


def open_offline_store(
    settings: dict[str, Any], root: Path, *, snowflake: Callable[[], Any] | None = None
) -> OfflineStore:
    """Open the store that `offline_store` in `feature_store.yaml` names; nothing is contacted.

    Args:
        settings: `type` and the store's settings.
        root: What relative paths are resolved against, unless the settings have a `root`.
        snowflake: Opens a Snowflake connection, instead of the settings.

    Raises:
        ConfigError: A setting is wrong, or a package is not installed.
    """
    options = {key: value for key, value in settings.items() if key not in {"type", "root"}}
    folder = root / str(settings.get("root", "."))
    return _OPEN[settings["type"]](folder, options, snowflake)


def describe_parquet(files: Sequence[Path], types: pa.Schema) -> dict[str, FeatureStatistics]:
    """Describe every column of Parquet files."""
    from feature_platform.offline.duckdb.files import literal_path
    from feature_platform.offline.duckdb.session import DuckDBSession, Settings

    session = DuckDBSession(Settings(Path()))
    try:
        listed = ", ".join(session.sql.literal(literal_path(str(file))) for file in files)
        relation = f"read_parquet([{listed}], hive_partitioning = false)"
        columns = {name: session.sql.quote(name) for name in types.names}
        return describe(session, relation, columns, types)
    finally:
        session.close()


def _duckdb(root: Path, options: dict[str, Any], _: object) -> OfflineStore:
    from feature_platform.offline.duckdb.session import DuckDBSession, Settings

    _check(options, "duckdb", {"memory_limit": str, "threads": int, "temp_directory": str})
    settings = Settings(root, **options)
    return SqlOfflineStore(lambda progress: DuckDBSession(settings, progress))


def _spark(root: Path, options: dict[str, Any], _: object) -> OfflineStore:
    from feature_platform.offline.spark.session import Settings, SparkQuerySession, spark_session

    _check(options, "spark", {"master": str, "remote": str, "spark_conf": dict})
    settings = Settings(root, **options)
    return SqlOfflineStore(
        lambda progress: SparkQuerySession(spark_session(settings), root, progress)
    )


def _snowflake(_: Path, options: dict[str, Any], connect: Callable[[], Any] | None) -> OfflineStore:
    from feature_platform.offline.snowflake.session import SnowflakeSession, connector

    open_connection = connect or connector(options)
    return SqlOfflineStore(lambda progress: SnowflakeSession(open_connection, progress))


_OPEN = {"duckdb": _duckdb, "snowflake": _snowflake, "spark": _spark}


def _check(options: dict[str, Any], store: str, known: dict[str, type]) -> None:
    for key, value in options.items():
        if key not in known:
            hint = did_you_mean(key, known)
            raise ConfigError(f"offline_store: {key!r} is not a setting of {store!r}.{hint}")
        if not isinstance(value, known[key]):
            raise ConfigError(f"offline_store: {key} must be {known[key].__name__}, not {value!r}.")
