"""Settings of `broker` in `feature_store.yaml`, by type of broker."""

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field, SecretStr

from feature_platform.connections import RedisAddress
from feature_platform.settings import Settings, named
from feature_platform.streams.base import Stream


class BrokerSettings(Settings):
    """Base of the settings of brokers."""

    @abstractmethod
    def open(self, topic: str, group: str) -> Stream:
        """Open a topic for a consumer group, without connecting to the broker."""


class RedisBrokerSettings(BrokerSettings):
    """Redis Streams, with a connection string as for the online store."""

    type: Literal["redis"] = "redis"
    connection_string: RedisAddress = SecretStr("localhost:6379")

    def open(self, topic: str, group: str) -> Stream:
        from feature_platform.streams.redis import RedisStream

        return RedisStream(self.connection_string.get_secret_value(), topic, group)


class KafkaSettings(BrokerSettings):
    """Kafka, with settings of librdkafka, such as `bootstrap.servers`."""

    model_config = ConfigDict(extra="allow")

    type: Literal["kafka"] = "kafka"

    def open(self, topic: str, group: str) -> Stream:
        from feature_platform.streams.kafka import KafkaStream

        return KafkaStream(self.plain(), topic, group)


AnyBrokerSettings = Annotated[
    RedisBrokerSettings | KafkaSettings, Field(discriminator="type"), BeforeValidator(named)
]
