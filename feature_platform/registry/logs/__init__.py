"""Registry backends, chosen by URL."""

from pathlib import Path
from typing import Any

from feature_platform.errors import ConfigError
from feature_platform.registry.logs.base import LAST as LAST
from feature_platform.registry.logs.base import CommitLog as CommitLog
from feature_platform.registry.logs.files import FilesLog as FilesLog
from feature_platform.registry.logs.memory import MemoryLog as MemoryLog
from feature_platform.registry.logs.sqlite import SqliteLog as SqliteLog

_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")


def open_log(url: str, root: Path, *, s3: Any = None) -> CommitLog:
    """Open the log behind a registry URL. Nothing is contacted before the first read.

    Args:
        url: `path/registry.db` or `sqlite:///path` for a SQLite file, `path/` or `files:///path`
            for a folder, `postgresql://user@host/database`, or `s3://bucket/prefix`.
        root: What a relative path is resolved against.
        s3: A boto3 S3 client; made from the environment if left out.

    Raises:
        ConfigError: No backend answers to the URL.
    """
    scheme, separator, rest = url.partition("://")
    path = root / (rest.removeprefix("/") if separator else url)
    if scheme == "files" or (not separator and (url.endswith("/") or path.is_dir())):
        return FilesLog(path)
    if scheme == "sqlite" or not separator:
        return SqliteLog(path)
    if scheme in _POSTGRES:
        from feature_platform.registry.logs.postgres import PostgresLog

        return PostgresLog(url)
    if scheme == "s3":
        from feature_platform.registry.logs.s3 import S3Log

        return S3Log.open(url, s3)
    raise ConfigError(
        f"registry: no backend for {scheme}://. Known are a path of a SQLite file, sqlite:///path, "
        "a folder ending in /, files:///path, postgresql://host/database and s3://bucket/prefix."
    )
