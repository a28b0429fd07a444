"""Helpers that more than one test file needs."""

from datetime import UTC, datetime, timedelta

from feature_platform import FeatureStore
from feature_platform.resolve import table_of
from feature_platform.table import Table

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def table_for(store: FeatureStore, view: str) -> Table:
    """Return the table behind a registered view."""
    return table_of(store.snapshot(), store.project, store.get_feature_view(view))
