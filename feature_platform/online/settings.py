"""Settings of `online_store` in `feature_store.yaml`, by backend."""

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from feature_platform.connections import RedisAddress
from feature_platform.errors import ConfigError
from feature_platform.online.base import OnlineStore
from feature_platform.settings import Settings, named
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


AnyOnlineSettings = Annotated[
    SqliteSettings | RedisSettings | DynamoDBSettings | PostgresSettings | RemoteOnlineSettings,
    Field(discriminator="type"),
    BeforeValidator(named),
]
