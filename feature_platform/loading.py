"""Loading the online store: from history, and whatever is stored beside its rows."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial

import pyarrow as pa

from feature_platform.catalog import names_of
from feature_platform.contributor import Contributor
from feature_platform.definitions import OnDemandFeatureView, ViewReference
from feature_platform.errors import SchemaError, StoreError
from feature_platform.materialization import Load, incremental_start, materialize
from feature_platform.offline import Deliver
from feature_platform.online import write_rows
from feature_platform.registry import Snapshot
from feature_platform.resolve import resolve, stored_of
from feature_platform.retrieval import StoredWriter
from feature_platform.table import Table
from feature_platform.values import instant

_LOOKBACK = timedelta(days=1)

OnProgress = Callable[[str, int], None]
"""Told a view's name and how many of its rows are loaded, after each batch."""


class Loading(Contributor):
    """Loads online tables; `OnlineFeatures` serves them."""

    def materialize(
        self,
        start_date: datetime,
        end_date: datetime,
        feature_views: Sequence[str] | None = None,
        *,
        on_progress: OnProgress | None = None,
    ) -> dict[str, int]:
        """Load rows observed from `start_date` to `end_date` into the online store.

        Rows come in batches and none is ever replaced by an older one, so loads may overlap, run
        at once, fail and be repeated. A window counts as loaded when all of its rows are stored.

        Args:
            start_date: Inclusive.
            end_date: Inclusive.
            feature_views: Names of views; all that are served online if left out. The name of an
                on-demand view with `write_to_online_store` computes its answers only.
            on_progress: Told how far each view is.

        Returns:
            View → rows loaded, at most one per key.

        Raises:
            NotFoundError: A view is not registered.
            RequestError: The window is empty.
            SchemaError, StoreError: Views could not be loaded; all others were.
        """
        self._check_not_pinned()
        start, end = instant(start_date, "start_date"), instant(end_date, "end_date")
        return self._load_all(feature_views, lambda _: start, end, on_progress)

    def materialize_incremental(
        self,
        end_date: datetime | None = None,
        feature_views: Sequence[str] | None = None,
        *,
        lookback: timedelta = _LOOKBACK,
        on_progress: OnProgress | None = None,
    ) -> dict[str, int]:
        """Load what is new since the last load.

        Args:
            end_date: Inclusive; now if left out.
            feature_views: As for `materialize`.
            lookback: How far to go back before the end of the last load, for rows that arrive
                late.
            on_progress: Told how far each view is.

        Returns:
            View → rows loaded, at most one per key.
        """
        self._check_not_pinned()
        end = instant(end_date or self._clock(), "end_date")

        def new(load: Load) -> datetime | None:
            start = incremental_start(self.online, load.target, end, lookback)
            return start if start < end else None

        return self._load_all(feature_views, new, end, on_progress)

    def _writing(self, table: Table) -> Callable[[Iterator[pa.RecordBatch]], int]:
        """Return what writes rows of a table, and the answers that are stored beside them."""
        beside = list(self._stored_beside(self.snapshot(), table))

        def write(batches: Iterator[pa.RecordBatch]) -> int:
            count = 0
            for batch in batches:
                count += self.online.write(table, [batch])
                for writer in beside:
                    writer.try_write(self.online, batch)
            return count

        return write

    def _delivering(self, table: Table) -> Deliver | None:
        """Return what an engine's workers run to write a table's rows, if they can reach it.

        Answers that are stored beside the rows are left to readers and to their owner's loads.
        """
        settings = self.config.online_store
        if settings is None or settings["type"] == "sqlite":
            return None
        return partial(write_rows, settings, self.repo.path, table)

    def _stored_beside(self, snapshot: Snapshot, table: Table) -> Iterator[StoredWriter]:
        """Yield the writers of stored on-demand views that read a table."""
        for view, _ in snapshot.of(OnDemandFeatureView, self.project):
            if view.write_to_online_store:
                writer = self._stored_writer(snapshot, view)
                if writer.source.name == table.name:
                    yield writer

    def _stored_writer(self, snapshot: Snapshot, view: OnDemandFeatureView) -> StoredWriter:
        alone = resolve(snapshot, self.project, [ViewReference(view=view.name)], stored=False)
        stored = stored_of(snapshot, self.project, view)
        return StoredWriter(stored, alone, self.repo.function)

    def _loads(self, names: Sequence[str] | None) -> list[Load]:
        """Return what is loaded for views, and for on-demand views that are stored."""
        snapshot = self.snapshot()
        names = names_of(names)
        stored = {
            view.name: self._stored_writer(snapshot, view)
            for view, _ in snapshot.of(OnDemandFeatureView, self.project)
            if view.write_to_online_store and view.name in (names or ())
        }
        views = None if names is None else [name for name in names if name not in stored]
        loads = [
            Load(t, t, self._writing(t), self._delivering(t)) for t in self._online_tables(views)
        ]
        return loads + [
            Load(writer.source, writer.table, writer.writing(self.online))
            for writer in stored.values()
        ]

    def _load_all(
        self,
        names: Sequence[str] | None,
        start_of: Callable[[Load], datetime | None],
        end: datetime,
        on_progress: OnProgress | None,
    ) -> dict[str, int]:
        """Load views one by one; one that fails does not keep the others from being loaded."""
        counts: dict[str, int] = {}
        failed: list[StoreError | SchemaError] = []
        for load in self._loads(names):
            name, start = load.target.name, start_of(load)
            tell = on_progress and partial(on_progress, name)
            try:
                counts[name] = 0 if start is None else materialize(
                    self.offline, self.online, load, start, end, now=self._clock(), on_progress=tell
                )  # fmt: skip
            except (StoreError, SchemaError) as error:
                failed.append(error)
        if not failed:
            return counts
        told = [str(error) for error in failed]
        told += [f"Loaded: {', '.join(counts)}."] if counts else []
        raise type(failed[0])("\n".join(told)) from failed[0]
