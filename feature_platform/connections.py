"""Connections to Redis, for online values and for streams."""

from typing import Any
from urllib.parse import urlsplit

from feature_platform.errors import ConfigError

_TIMEOUT_SECONDS = 10


def connect_redis(connection_string: str, setting: str) -> tuple[Any, type[Exception]]:
    """Return a client, which connects at first use, and its error class.

    Args:
        connection_string: `redis://`, `rediss://` or `unix://` with redis-py's options, or Feast's
            `host:port,password=…,db=…,ssl=true`.
        setting: The setting that names it, for messages.

    Raises:
        ConfigError: An option is unknown, or redis-py is not installed.
    """
    url, options = parse_redis(connection_string, setting)
    try:
        import redis
    except ImportError:
        raise ConfigError(
            f"{setting}: redis needs a package: pip install 'feature-platform[redis]'."
        ) from None
    timeouts = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), _TIMEOUT_SECONDS)
    try:
        client = redis.Redis.from_url(url, **timeouts, **options)
        client.connection_pool.make_connection()  # validates the options without connecting
    except (ValueError, TypeError):  # its message may contain a password
        raise ConfigError(
            f"{setting}: connection_string is invalid: write "
            "redis://user:password@host:port/db, with special characters percent-encoded."
        ) from None
    if client.connection_pool.connection_kwargs.get("decode_responses"):
        raise ConfigError(f"{setting}: connection_string: remove decode_responses.")
    return client, redis.RedisError


def describe_redis(connection_string: str) -> str:
    """Return the address of a Redis server, without secrets."""
    url, _ = parse_redis(connection_string, "connection_string")
    try:
        parts = urlsplit(url)
    except ValueError:
        return "Redis"
    place = parts.netloc.rpartition("@")[2] or parts.path
    return "Redis" if "@" in parts.path else f"Redis at {place}"


def parse_redis(connection_string: str, setting: str) -> tuple[str, dict[str, Any]]:
    """Return a URL and further options of redis-py.

    Raises:
        ConfigError: An option is unknown.
    """
    if "://" in connection_string:
        return connection_string, {}
    address, *options = connection_string.split(",")
    if odd := [option for option in options if "=" not in option]:
        raise ConfigError(
            f"{setting}: connection_string: {len(odd)} options have no value. Use a redis:// "
            "URL if the password contains commas."
        )
    given = dict(option.strip().partition("=")[::2] for option in options)
    if unknown := given.keys() - {"db", "username", "password", "ssl"}:
        raise ConfigError(
            f"{setting}: connection_string: {min(unknown)!r} is not an option of "
            "host:port,db=…,username=…,password=…,ssl=true; write a redis:// URL for others."
        )
    scheme = "rediss" if given.pop("ssl", "").lower() == "true" else "redis"
    return f"{scheme}://{address}", given
