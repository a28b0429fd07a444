"""Registry backends, chosen by URL."""

import re
from pathlib import Path
from typing import Any

from feature_platform.errors import ConfigError
from feature_platform.registry.logs.base import LAST as LAST
from feature_platform.registry.logs.base import CommitLog as CommitLog
from feature_platform.registry.logs.files import FilesLog as FilesLog
from feature_platform.registry.logs.memory import MemoryLog as MemoryLog
from feature_platform.registry.logs.sqlite import SqliteLog as SqliteLog

# A drive, a scheme without slashes, options: SQLite would create files with such names.
_NO_PATH = re.compile(r"^[A-Za-z][A-Za-z0-9+]*:|[?\0]")
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")


def open_log(url: str, root: Path, *, s3: Any = None) -> CommitLog:
    """Open the log behind a registry URL. Nothing is contacted before the first read.

    Args:
        url: `path/registry.db` for a SQLite file (also `sqlite:///relative/path` and
            `sqlite:////whole/path`), `path/` or `files:///whole/path` for a folder,
            `postgresql://user@host/database`, or `s3://bucket/prefix`.
        root: What a relative path is resolved against.
        s3: A boto3 S3 client; made from the environment if left out.

    Raises:
        ConfigError: The URL has no backend, or is not a path.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "sqlite":
        return _on_disk(url, rest.removeprefix("/") if separator else url, root)
    if scheme == "files":
        if not rest.startswith("/"):
            raise ConfigError(f"registry: use files:///folder with an absolute path, not {url!r}.")
        return FilesLog(Path(rest))
    if scheme in _POSTGRES:
        from feature_platform.registry.logs.postgres import PostgresLog

        return PostgresLog(url)
    if scheme == "s3":
        from feature_platform.registry.logs.s3 import S3Log

        return S3Log.open(url, s3)
    raise ConfigError(
        f"registry: {scheme}:// is not supported. Use a path of a SQLite file, sqlite:///path, a "
        "folder ending in /, files:///path, postgresql://host/database or s3://bucket/prefix."
    )


def _on_disk(url: str, place: str, root: Path) -> CommitLog:
    path = root / Path(place).expanduser()
    if not place or _NO_PATH.search(place) or path.resolve() == root.resolve():
        raise ConfigError(
            f"registry: {url!r} is neither the path of a SQLite file nor of a folder ending in /."
        )
    folder = not url.startswith("sqlite://") and (url.endswith("/") or path.is_dir())
    return FilesLog(path) if folder else SqliteLog(path)
