"""Settings of `online_store` in `feature_store.yaml`, by backend."""

import warnings
from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr

from feature_platform.connections import RedisAddress
from feature_platform.errors import ConfigError
from feature_platform.online.base import OnlineStore
from feature_platform.settings import Settings, named, without_feasts
from feature_platform.types.endpoint import Endpoint


class OnlineSettings(Settings):
    """Base of the settings of online stores.

    To add a backend, write a subclass, add it to `AnyOnlineSettings` and implement `OnlineStore`.
    """

    @property
    def is_reachable(self) -> bool:
        """Whether processes on other machines, such as Spark's workers, can write to the store."""
        return True

    @abstractmethod
    def open(self, folder: Path) -> OnlineStore:
        """Open the store without connecting to it; relative paths start at the repo folder.

        Raises:
            ConfigError: A setting is invalid.
        """


class SqliteSettings(OnlineSettings):
    """A SQLite file, at a `path` relative to the repo folder."""

    type: Literal["sqlite"] = "sqlite"
    path: str = "data/online.db"

    @property
    def is_reachable(self) -> bool:
        return False

    def open(self, folder: Path) -> OnlineStore:
        from feature_platform.online.sqlite import SqliteOnlineStore

        return SqliteOnlineStore(folder / self.path)


class RedisSettings(OnlineSettings):
    """Redis or Valkey.

    Attributes:
        connection_string: `redis://`, `rediss://` or `unix://` with redis-py's options, or Feast's
            `host:port,password=…,db=…,ssl=true`.
    """

    type: Literal["redis"] = "redis"
    connection_string: RedisAddress = SecretStr("localhost:6379")

    def open(self, folder: Path) -> OnlineStore:
        from feature_platform.online.redis import RedisOnlineStore

        return RedisOnlineStore(self.connection_string.get_secret_value())


class DynamoDBSettings(OnlineSettings):
    """DynamoDB, with credentials from boto3's default chain.

    Attributes:
        region: AWS region; boto3's default if omitted.
        endpoint_url: Alternative endpoint, such as an emulator.
        consistent_reads: Whether to use strongly consistent reads.
    """

    type: Literal["dynamodb"] = "dynamodb"
    region: str | None = None
    endpoint_url: Endpoint | None = None
    consistent_reads: bool = False

    def open(self, folder: Path) -> OnlineStore:
        from feature_platform.online.dynamodb import DynamoDBOnlineStore

        return DynamoDBOnlineStore(
            self.region, self.endpoint_url, consistent_reads=self.consistent_reads
        )


class PostgresSettings(OnlineSettings):
    """PostgreSQL; omitted settings come from the environment, as for `psql`.

    Attributes:
        db_schema: Existing schema for the tables; the user's default if omitted.
    """

    type: Literal["postgres"] = "postgres"
    host: str | None = None
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    database: str | None = None
    db_schema: str = ""
    user: str | None = None
    password: SecretStr | None = None
    sslmode: str | None = None

    def open(self, folder: Path) -> OnlineStore:
        from feature_platform.online.postgres import PostgresOnlineStore

        parameters = {name: v for name, v in self.plain().items() if name != "db_schema"}
        if "database" in parameters:
            parameters["dbname"] = parameters.pop("database")
        return PostgresOnlineStore(parameters, self.db_schema)


class RemoteOnlineSettings(OnlineSettings):
    """The online stores of a feature server, which names it in `registry`."""

    type: Literal["remote"] = "remote"

    @property
    def is_reachable(self) -> bool:
        return False

    def open(self, folder: Path) -> OnlineStore:
        raise ConfigError(
            "online_store is remote: the server serves features and takes rows, but this call "
            "needs the store itself. Run it where the store's settings are."
        )


_VECTOR_SETTINGS = ("vector_enabled", "vector_len", "pgvector_enabled")
_FEASTS = {
    "dynamodb": ("batch_size", "keepalive_timeout", "max_pool_connections", "table_name_template",
                 "tags"),
    "postgres": ("conn_type", "keepalives_idle", "max_conn", "min_conn"),
    "redis": ("full_scan_for_deletion", "key_ttl_seconds", "skip_dedup"),
    "sqlite": ("text_search_enabled",),
}  # fmt: skip
"""Settings of Feast's stores that nothing is lost without."""


def _as_in_feast(value: Any) -> Any:
    """Accept what Feast does: a `path` alone is SQLite's; settings of vectors, with a warning."""
    settings = named(value)
    if not isinstance(settings, dict):
        return settings
    if settings.get("type") == "remote" and "path" in settings:
        raise ValueError(
            "a remote store is that of the server in `registry: https://host/project`. Remove path."
        )
    dropped = [name for name in _VECTOR_SETTINGS if name in settings]
    if dropped:
        warnings.warn(
            f"online_store: {', '.join(dropped)} has no effect: there is no search by vectors.",
            UserWarning,
            stacklevel=2,
        )
    settings = without_feasts("online_store", settings, _FEASTS)
    if settings.get("redis_type") == "redis":  # clusters are not supported
        settings = {name: setting for name, setting in settings.items() if name != "redis_type"}
    kept = {name: setting for name, setting in settings.items() if name not in dropped}
    return {"type": "sqlite", **kept} if "path" in kept else kept


AnyOnlineSettings = Annotated[
    SqliteSettings | RedisSettings | DynamoDBSettings | PostgresSettings | RemoteOnlineSettings,
    Field(discriminator="type"),
    BeforeValidator(_as_in_feast),
]
