"""Registry backends, chosen by URL."""

from pathlib import Path

from feature_platform.errors import ConfigError
from feature_platform.registry.logs.base import CommitLog as CommitLog
from feature_platform.registry.logs.memory import MemoryLog as MemoryLog
from feature_platform.registry.logs.sqlite import SqliteLog as SqliteLog


def open_log(url: str, root: Path) -> CommitLog:
    """Open the log behind a registry URL. Nothing is contacted before the first read.

    Args:
        url: A path of a SQLite file, `sqlite:///path`, or `s3://bucket/prefix`.
        root: What a relative path is resolved against.

    Raises:
        ConfigError: No backend answers to the URL.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return SqliteLog(root / url)
    if scheme == "sqlite":
        return SqliteLog(root / rest.removeprefix("/"))
    if scheme == "s3":
        from feature_platform.registry.logs.s3 import S3Log

        return S3Log.open(url)
    raise ConfigError(
        f"registry: no backend for {scheme}://. Known are a path of a SQLite file, "
        "sqlite:///path and s3://bucket/prefix."
    )
