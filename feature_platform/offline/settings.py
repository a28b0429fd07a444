"""`offline_store` of `feature_store.yaml`: one class of settings per engine."""

import re
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, SecretStr

from feature_platform.errors import ConfigError
from feature_platform.offline.base import OfflineStore
from feature_platform.settings import Settings, named, without_feasts

_MEMORY = re.compile(r"[0-9]+([.][0-9]+)? ?([KMGT]i?B|%)", re.IGNORECASE)


class OfflineSettings(Settings):
    """Settings of any engine.

    Attributes:
        root: Folder that relative paths of sources start at; the repo folder by default.
    """

    root: str = "."

    @abstractmethod
    def open(self, folder: Path, connect: Callable[[], Any] | None = None) -> OfflineStore:
        """Open the store; nothing is contacted.

        Args:
            folder: The repo folder.
            connect: Opens a Snowflake connection, instead of the settings.

        Raises:
            ConfigError: A package is not installed.
        """


def _check_memory(value: str) -> str:
    if value and not _MEMORY.fullmatch(value):
        raise ValueError(f"{value!r} is not an amount of memory, such as 4GB or 80%.")
    return value


class DuckDBSettings(OfflineSettings):
    """DuckDB inside this process.

    Attributes:
        memory_limit: Such as `4GB`; DuckDB's default, 80% of the machine's memory, if empty. What
            does not fit is written to `temp_directory`.
        threads: Number of threads; all cores if 0.
        temp_directory: Folder for temporary files; a folder of its own in the system's if empty.
    """

    type: Literal["duckdb"] = "duckdb"
    memory_limit: Annotated[str, AfterValidator(_check_memory)] = ""
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    temp_directory: str = ""

    def open(self, folder: Path, connect: Callable[[], Any] | None = None) -> OfflineStore:
        from feature_platform.offline.duckdb.session import duckdb_store

        return duckdb_store(
            folder / self.root,
            memory_limit=self.memory_limit,
            threads=self.threads,
            temp_directory=self.temp_directory,
        )


class SparkSettings(OfflineSettings):
    """Apache Spark; a SparkSession that is already active is used as it is.

    Attributes:
        master: Such as `local[*]` or `spark://host:7077`.
        remote: A Spark Connect server, such as `sc://host:15002`, instead of a master.
        spark_conf: Spark's own settings for a new session.
    """

    type: Literal["spark"] = "spark"
    master: str = "local[*]"
    remote: str = ""
    spark_conf: dict[str, Any] = {}

    def open(self, folder: Path, connect: Callable[[], Any] | None = None) -> OfflineStore:
        from feature_platform.offline.spark.session import spark_store

        return spark_store(
            folder / self.root,
            master=self.master,
            remote=self.remote,
            spark_conf=self.spark_conf,
        )


class SnowflakeSettings(OfflineSettings):
    """Snowflake; further settings are arguments of its connector.

    Attributes:
        password: The user's password.
    """

    model_config = ConfigDict(extra="allow")

    type: Literal["snowflake"] = "snowflake"
    password: SecretStr | None = None

    def open(self, folder: Path, connect: Callable[[], Any] | None = None) -> OfflineStore:
        from feature_platform.offline.snowflake.session import connector, snowflake_store

        options = {name: value for name, value in self.plain().items() if name != "root"}
        return snowflake_store(connect or connector(options))


class RemoteOfflineSettings(OfflineSettings):
    """The offline stores of a feature server, which names it in `registry`."""

    type: Literal["remote"] = "remote"

    def open(self, folder: Path, connect: Callable[[], Any] | None = None) -> OfflineStore:
        raise ConfigError(
            "offline_store is remote: the server gives training sets and takes rows, but this call "
            "needs the store itself. Run it where the store's settings are."
        )


_FEASTS = {
    "duckdb": ("staging_location", "staging_location_endpoint_override"),
    "spark": ("region", "staging_location"),
}
"""Settings of Feast's stores that nothing is lost without."""


def _known_name(value: Any) -> Any:
    """Accept Feast's names: its `file` and `dask` read files, as DuckDB does here."""
    settings = named(value)
    aliases = {"file": "duckdb", "dask": "duckdb", "snowflake.offline": "snowflake"}
    name = settings.get("type") if isinstance(settings, dict) else None
    if isinstance(name, str) and name in aliases:
        settings = {**settings, "type": aliases[name]}
    return without_feasts("offline_store", settings, _FEASTS)


AnyOfflineSettings = Annotated[
    DuckDBSettings | SparkSettings | SnowflakeSettings | RemoteOfflineSettings,
    Field(discriminator="type"),
    BeforeValidator(_known_name),
]
