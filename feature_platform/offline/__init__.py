"""Offline stores: history."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pyarrow as pa

from feature_platform.offline.base import Deliver as Deliver
from feature_platform.offline.base import EntityRows as EntityRows
from feature_platform.offline.base import OfflineStore as OfflineStore
from feature_platform.offline.base import Progress as Progress
from feature_platform.offline.base import Query as Query
from feature_platform.offline.base import Span as Span
from feature_platform.offline.columns import check_times_of as check_times_of
from feature_platform.offline.entity_rows import check_unique as check_unique
from feature_platform.offline.measures import Histogram as Histogram
from feature_platform.offline.measures import Measure as Measure
from feature_platform.offline.settings import AnyOfflineSettings as AnyOfflineSettings
from feature_platform.offline.settings import DuckDBSettings as DuckDBSettings
from feature_platform.offline.settings import OfflineSettings as OfflineSettings
from feature_platform.offline.statistics import Statistics as Statistics
from feature_platform.offline.store import SqlOfflineStore as SqlOfflineStore
from feature_platform.offline.store import describe


def describe_parquet(files: Sequence[Path], types: pa.Schema) -> Statistics:
    """Describe every column of Parquet files."""
    from feature_platform.offline.duckdb.files import literal_path
    from feature_platform.offline.duckdb.session import DuckDBSession

    with closing(DuckDBSession(Path())) as session:
        listed = ", ".join(session.sql.literal(literal_path(str(file))) for file in files)
        relation = f"read_parquet([{listed}], hive_partitioning = false)"
        columns = {name: session.sql.quote(name) for name in types.names}
        return describe(session, relation, columns, types)
