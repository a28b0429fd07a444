"""Online stores: the newest feature values of each key."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa

from feature_platform.online.base import OnlineStore as OnlineStore
from feature_platform.online.base import StoredRows as StoredRows
from feature_platform.online.base import Window as Window
from feature_platform.online.codec import encode_row as encode_row
from feature_platform.online.codec import rounded_features as rounded_features
from feature_platform.online.codec import to_storable as to_storable
from feature_platform.online.codec import unreadable_features as unreadable_features
from feature_platform.online.keys import encode_keys as encode_keys
from feature_platform.online.settings import AnyOnlineSettings as AnyOnlineSettings
from feature_platform.online.settings import OnlineSettings as OnlineSettings
from feature_platform.online.settings import SqliteSettings as SqliteSettings
from feature_platform.table import Table


def write_rows(
    settings: OnlineSettings, folder: Path, table: Table, batches: Iterator[pa.RecordBatch]
) -> int:
    """Write batches through a temporary store, for workers of Spark."""
    with closing(settings.open(folder)) as store:
        return store.write(table, batches)
