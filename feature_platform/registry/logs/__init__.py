"""Registry backends, chosen by URL."""

import re
from pathlib import Path
from typing import Any

from feature_platform.errors import ConfigError
from feature_platform.registry.logs.base import LAST as LAST
from feature_platform.registry.logs.base import CommitLog as CommitLog
from feature_platform.registry.logs.base import SigningLog as SigningLog
from feature_platform.registry.logs.files import FilesLog as FilesLog
from feature_platform.registry.logs.memory import MemoryLog as MemoryLog
from feature_platform.registry.logs.sqlite import SqliteLog as SqliteLog
from feature_platform.server_client import ServerClient, is_server_url

# A drive, a scheme without slashes, or options: SQLite would create files of such names.
_NO_PATH = re.compile(r"^[A-Za-z][A-Za-z0-9+]*:|[?\0]")
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")


def open_log(
    url: str, root: Path, *, s3: Any = None, client: ServerClient | None = None
) -> CommitLog:
    """Open the log of a registry URL. The first read or write connects to the backend.

    Args:
        url: `path/registry.db` for a SQLite file (also `sqlite:///relative/path` and
            `sqlite:////absolute/path`), `path/` or `files:///absolute/path` for a folder,
            `postgresql://user@host/database`, `s3://bucket/prefix`, or the
            `https://host/project` of a feature server.
        root: Base folder of relative paths.
        s3: A boto3 S3 client; by default, it is created from the environment.
        client: The client of a feature server, for its URL.

    Raises:
        ConfigError: The URL has no backend, or is not a valid path.
    """
    scheme, separator, rest = url.partition("://")
    if client is not None and is_server_url(url):
        from feature_platform.registry.logs.server import ServerLog

        return ServerLog(client)
    if not separator or scheme == "sqlite":
        return _open_path(url, rest.removeprefix("/") if separator else url, root)
    if scheme == "files":
        if not rest.startswith("/"):
            raise ConfigError(f"registry: {url!r} is not an absolute path. Write files:///folder.")
        return FilesLog(Path(rest))
    if scheme in _POSTGRES:
        from feature_platform.registry.logs.postgres import PostgresLog

        return PostgresLog(url)
    if scheme == "s3":
        from feature_platform.registry.logs.s3 import S3Log

        return S3Log.open(url, s3)
    raise ConfigError(
        f"registry: {scheme}:// has no backend. Use the path of a SQLite file, sqlite:///path, a "
        "folder ending in /, files:///path, postgresql://host/database, s3://bucket/prefix, or the "
        "https://host/project of a feature server."
    )


def _open_path(url: str, name: str, root: Path) -> CommitLog:
    path = root / Path(name).expanduser()
    if not name or _NO_PATH.search(name) or path.resolve() == root.resolve():
        raise ConfigError(
            f"registry: {url!r} is not a valid path. Use the path of a SQLite file, or of a folder "
            "ending in /."
        )
    folder = not url.startswith("sqlite://") and (url.endswith("/") or path.is_dir())
    return FilesLog(path) if folder else SqliteLog(path)
