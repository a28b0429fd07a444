"""Delta and Iceberg tables, opened by their libraries and scanned as Arrow datasets."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa

from feature_platform.errors import StoreError, first_line, missing_extra


def lake_dataset(label: str, location: Mapping[str, str], root: Path) -> Any:
    """Return the current version of a table in a form that DuckDB scans.

    Args:
        label: Name of the source, for messages.
        location: `path`, `format` (`delta` or `iceberg`) and `endpoint`.
        root: What relative paths are resolved against.

    Raises:
        ConfigError: The library is not installed.
        StoreError: There is no such table, or the library cannot read it.
    """
    with _translated(label, location):
        if location["format"] == "delta":
            return _delta(location, root).to_pyarrow_dataset()
        return _iceberg(_uri(location, root), location["endpoint"])


def delta_state(label: str, location: Mapping[str, str], root: Path) -> str:
    """Return a hash of a Delta table's identity, version and files.

    A table that is restored from a backup and written again has the version of another content.

    Raises:
        ConfigError: The library is not installed.
        StoreError: There is no such table, or the library cannot read it.
    """
    with _translated(label, location):
        table = _delta(location, root)
        state = (table.metadata().id, table.version(), sorted(table.file_uris()))
        return blake2b(repr(state).encode(), digest_size=12).hexdigest()


@contextmanager
def _translated(label: str, location: Mapping[str, str]) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise missing_extra(f"Source {label!r}, in {location['format']},", "lakes") from error
    except Exception as error:  # these libraries have no common base
        raise StoreError(f"Source {label!r} cannot be read: {first_line(error)}.") from error


def _uri(location: Mapping[str, str], root: Path) -> str:
    path = location["path"]
    return path if "://" in path else str(root / path)


def _delta(location: Mapping[str, str], root: Path) -> Any:
    from deltalake import DeltaTable

    endpoint = location["endpoint"]
    options = {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"} if endpoint else None
    return DeltaTable(_uri(location, root), storage_options=options)


def _iceberg(uri: str, endpoint: str) -> pa.Table:
    from pyiceberg.table import StaticTable

    properties = {"s3.endpoint": endpoint} if endpoint else {}
    return StaticTable.from_metadata(uri, properties).scan().to_arrow()
