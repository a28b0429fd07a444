"""Delta and Iceberg tables, opened by their libraries and scanned as Arrow datasets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from feature_platform.errors import ConfigError, StoreError


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
    path = location["path"]
    uri = path if "://" in path else str(root / path)
    try:
        if location["format"] == "delta":
            return _delta(uri, location["endpoint"])
        return _iceberg(uri, location["endpoint"])
    except ImportError as error:
        raise ConfigError(
            f"Source {label!r} is in {location['format']}: install feature-platform[lakes]."
        ) from error
    except Exception as error:  # these libraries have no common base
        reason = str(error).partition("\n")[0]
        raise StoreError(f"Source {label!r} cannot be read: {reason}") from error


def _delta(uri: str, endpoint: str) -> Any:
    from deltalake import DeltaTable

    options = {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"} if endpoint else None
    return DeltaTable(uri, storage_options=options).to_pyarrow_dataset()


def _iceberg(uri: str, endpoint: str) -> pa.Table:
    from pyiceberg.table import StaticTable

    properties = {"s3.endpoint": endpoint} if endpoint else {}
    return StaticTable.from_metadata(uri, properties).scan().to_arrow()
