"""What retrieval needs of each project: its stores, and the functions of its on-demand views."""

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from feature_platform.offline import EntityRows, OfflineStore, Query, Span
from feature_platform.online import OnlineStore
from feature_platform.project import Transformation
from feature_platform.retrieval.on_demand import Step
from feature_platform.retrieval.side_by_side import SideBySideQuery
from feature_platform.table import ViewRead


class Backends(Protocol):
    """The stores of every project that a request may read."""

    def step_of(self, transformation: Transformation, keys: Sequence[str]) -> Step:
        """Return an on-demand view, ready to run for requests with these join keys."""

    def offline_of(self, project: str) -> OfflineStore:
        """Return where the history of a project's views is read."""

    def online_of(self, project: str) -> OnlineStore:
        """Return where the newest rows of a project's views are."""


def point_in_time(
    backends: Backends,
    project: str,
    rows: EntityRows,
    reads: Sequence[ViewRead],
    *,
    known_only: bool = False,
) -> Query:
    """Join entity rows with views of any projects, each in its own project's offline store.

    Args:
        backends: The stores.
        project: The project of the reader, whose store runs entity rows that are SQL.
        rows: The entity rows.
        reads: Features to look up.
        known_only: As for `OfflineStore.point_in_time`.

    Raises:
        RequestError: A span of history was asked for from several stores.
    """
    home = backends.offline_of(project)
    by_store: dict[int, tuple[OfflineStore, list[ViewRead]]] = {}
    for read in reads:
        store = backends.offline_of(read.table.project)
        by_store.setdefault(id(store), (store, []))[1].append(read)
    if set(by_store) <= {id(home)}:
        return home.point_in_time(rows, reads, known_only=known_only)
    if len(by_store) == 1 and isinstance(rows, (pa.Table, Span)):
        [(store, _)] = by_store.values()
        return store.point_in_time(rows, reads, known_only=known_only)
    return SideBySideQuery(home, rows, list(by_store.values()), known_only=known_only)
