"""`online_store` of `feature_store.yaml`: one class of settings per backend."""

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from feature_platform.online.base import OnlineStore
from feature_platform.settings import Settings, named


class OnlineSettings(Settings):
    """Settings of any online store.

    A new backend is a subclass here, a member of `AnyOnlineSettings`, and an `OnlineStore` in a
    file of its own.
    """

    @property
    def is_reachable(self) -> bool:
        """Whether processes on other machines, such as Spark's workers, can write to it."""
        return True

    @abstractmethod
    def open(self, folder: Path) -> OnlineStore:
        """Open the store; nothing is contacted.

        Args:
            folder: The repo folder, which relative paths start at.

        Raises:
            ConfigError: A setting is wrong.
        """


class SqliteSettings(OnlineSettings):
    """A SQLite file.

    Attributes:
        path: The file.
    """

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
    connection_string: SecretStr = SecretStr("localhost:6379")

    def open(self, folder: Path) -> OnlineStore:
        from feature_platform.online.redis import RedisOnlineStore

        return RedisOnlineStore(self.connection_string.get_secret_value())


class DynamoDBSettings(OnlineSettings):
    """DynamoDB; credentials are found as boto3 finds them.

    Attributes:
        region: AWS region; boto3's default if left out.
        endpoint_url: Another endpoint, such as an emulator's.
        consistent_reads: Use strongly consistent reads.
    """

    type: Literal["dynamodb"] = "dynamodb"
    region: str | None = None
    endpoint_url: str | None = None
    consistent_reads: bool = False

    def open(self, folder: Path) -> OnlineStore:
        from feature_platform.online.dynamodb import DynamoDBOnlineStore

        return DynamoDBOnlineStore(
            self.region, self.endpoint_url, consistent_reads=self.consistent_reads
        )


class PostgresSettings(OnlineSettings):
    """PostgreSQL; what is left out comes from the environment, as for `psql`.

    Attributes:
        db_schema: Existing schema for the tables; the user's default if left out.
    """

    type: Literal["postgres"] = "postgres"
    host: str | None = None
    port: int | None = None
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


AnyOnlineSettings = Annotated[
    SqliteSettings | RedisSettings | DynamoDBSettings | PostgresSettings,
    Field(discriminator="type"),
    BeforeValidator(named),
]
