"""Online stores: the newest feature values."""

from pathlib import Path
from typing import Any

from feature_platform.errors import ConfigError
from feature_platform.online.base import OnlineStore as OnlineStore
from feature_platform.online.base import StoredRow as StoredRow
from feature_platform.online.base import Window as Window
from feature_platform.online.keys import encode_keys as encode_keys
from feature_platform.online.sqlite import SqliteOnlineStore as SqliteOnlineStore


def open_online_store(settings: dict[str, Any], root: Path) -> OnlineStore:
    """Open the store that `online_store` in `feature_store.yaml` names.

    Raises:
        ConfigError: This release does not serve from that type of store.
    """
    if settings["type"] != "sqlite":
        raise ConfigError(
            f"online_store: this release serves features from sqlite, not yet from "
            f"{settings['type']!r}. Applying definitions works; writing and reading online "
            "features needs `online_store: {type: sqlite, path: data/online.db}`."
        )
    return SqliteOnlineStore(root / settings.get("path", "data/online.db"))
