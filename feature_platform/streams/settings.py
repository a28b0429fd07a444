"""`broker` of `feature_store.yaml`: one class of settings per broker."""

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, SecretStr

from feature_platform.settings import Settings, named
from feature_platform.streams.base import Stream


class BrokerSettings(Settings):
    """Settings of any broker."""

    @abstractmethod
    def open(self, topic: str, group: str) -> Stream:
        """Open a topic for a group of readers that share it; nothing is contacted.

        Args:
            topic: Name of the stream.
            group: Each message goes to one reader of a group.
        """


class RedisBrokerSettings(BrokerSettings):
    """Redis Streams.

    Attributes:
        connection_string: As for the online store.
    """

    type: Literal["redis"] = "redis"
    connection_string: SecretStr = SecretStr("localhost:6379")

    def open(self, topic: str, group: str) -> Stream:
        from feature_platform.streams.redis import RedisStream

        return RedisStream(self.connection_string.get_secret_value(), topic, group)


class KafkaSettings(BrokerSettings):
    """Kafka; the settings are librdkafka's, such as `bootstrap.servers`."""

    model_config = ConfigDict(extra="allow")

    type: Literal["kafka"] = "kafka"

    def open(self, topic: str, group: str) -> Stream:
        from feature_platform.streams.kafka import KafkaStream

        return KafkaStream(self.plain(), topic, group)


AnyBrokerSettings = Annotated[
    RedisBrokerSettings | KafkaSettings, Field(discriminator="type"), BeforeValidator(named)
]
