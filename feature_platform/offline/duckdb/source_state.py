"""Whether a source has changed since it was last read."""

from datetime import datetime
from pathlib import Path

from feature_platform.errors import ConfigError, StoreError
from feature_platform.offline.duckdb.files import list_files
from feature_platform.offline.paths import check_path
from feature_platform.table import SourceTable


def source_state(root: Path, source: SourceTable, now: datetime) -> str:
    """Return the state of files or of a Delta table; see `OfflineStore.source_state`."""
    location, label = source.location, source.name
    try:
        match location["format"]:
            case "delta":
                from feature_platform.offline.duckdb.lakes import delta_state

                check_path(label, location["path"], root)
                return delta_state(label, location, root)
            case "parquet" | "csv":
                return list_files(label, location, root).settled_state(now)
            case _:
                return ""
    except (OSError, ConfigError, StoreError):  # reading it says why
        return ""
