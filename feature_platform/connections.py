"""Connections to Redis, for online values and for streams."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

from feature_platform.errors import ConfigError, missing_extra

_TIMEOUT_SECONDS = 10


def connect_redis(connection_string: str, setting: str) -> tuple[Any, type[Exception]]:
    """Return a client, which connects on first use, and the base class of its errors.

    Args:
        connection_string: A URL or Feast's syntax, as in `RedisSettings`.
        setting: Name of the setting that contains the connection string, for messages.

    Raises:
        ConfigError: An option is unknown, or redis-py is not installed.
    """
    url, options = parse_redis(connection_string)
    try:
        import redis
    except ImportError:
        raise missing_extra(f"{setting}: redis", "redis") from None
    timeouts = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), _TIMEOUT_SECONDS)
    try:
        client = redis.Redis.from_url(url, **timeouts, **options)
        client.connection_pool.make_connection()  # validates the options without connecting
    except (ValueError, TypeError):  # the message may quote a password
        raise ConfigError(
            f"{setting}: redis-py cannot parse connection_string. Write "
            "redis://user:password@host:port/db, with special characters escaped as in %40."
        ) from None
    if client.connection_pool.connection_kwargs.get("decode_responses"):
        raise ConfigError(f"{setting}: remove decode_responses from connection_string.")
    return client, redis.RedisError


def describe_redis(connection_string: str) -> str:
    """Return the address of a Redis server, without secrets; raises as `parse_redis` does."""
    url, _ = parse_redis(connection_string)
    try:
        parts = urlsplit(url)
    except ValueError:
        return "Redis"
    address = parts.netloc.rpartition("@")[2] or parts.path
    return "Redis" if "@" in parts.path else f"Redis at {address}"


def parse_redis(connection_string: str) -> tuple[str, dict[str, Any]]:
    """Return the URL and the other arguments for redis-py.

    Raises:
        ConfigError: The address is not valid, or an option is unknown.
    """
    address, *parts = connection_string.split(",")
    if "://" in connection_string:
        address, parts = connection_string, []
    try:
        port = urlsplit(address if "://" in address else f"redis://{address}").port
    except ValueError:  # the message may quote a password
        port = 0
    if port == 0:
        raise ConfigError(
            "it is not a Redis address. Write "
            "redis://user:password@host:port/db, with special characters escaped as in %40."
        )
    if "://" in connection_string:
        return connection_string, {}
    if invalid := [part for part in parts if "=" not in part]:
        raise ConfigError(
            f"{len(invalid)} options have no value. If the password "
            "contains a comma, write a redis:// URL."
        )
    options = dict(part.strip().partition("=")[::2] for part in parts)
    if unknown := options.keys() - {"db", "username", "password", "ssl"}:
        raise ConfigError(
            f"{min(unknown)!r} is not an option of "
            "host:port,db=…,username=…,password=…,ssl=true. Write a redis:// URL for others."
        )
    scheme = "rediss" if options.pop("ssl", "").lower() == "true" else "redis"
    return f"{scheme}://{address}", options


def _check_redis(address: SecretStr) -> SecretStr:
    parse_redis(address.get_secret_value())
    return address


RedisAddress = Annotated[SecretStr, AfterValidator(_check_redis)]
"""A `redis://`, `rediss://` or `unix://` URL, or Feast's `host:port,password=…,db=…,ssl=true`."""
