"""Offline stores: history."""

from pathlib import Path
from typing import Any

from feature_platform.errors import ConfigError
from feature_platform.offline.base import EntityRows as EntityRows
from feature_platform.offline.base import OfflineStore as OfflineStore
from feature_platform.offline.base import Query as Query
from feature_platform.offline.base import Span as Span
from feature_platform.offline.store import SqlOfflineStore


def open_offline_store(settings: dict[str, Any], root: Path) -> OfflineStore:
    """Open the store that `offline_store` in `feature_store.yaml` names.

    Raises:
        ConfigError: This release does not read history from that type of store.
    """
    if settings["type"] != "duckdb":
        raise ConfigError(
            f"offline_store: this release reads history with duckdb, not yet with "
            f"{settings['type']!r}. Applying definitions works; training sets and "
            "materialization need `offline_store: {type: duckdb}`."
        )
    from feature_platform.offline.duckdb.session import DuckDBSession, Settings

    options = {key: value for key, value in settings.items() if key not in {"type", "root"}}
    duckdb_settings = Settings(root / settings.get("root", "."), **options)
    return SqlOfflineStore(lambda progress: DuckDBSession(duckdb_settings, progress))
