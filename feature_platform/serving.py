"""What a project serves online: loading, writing and reading the newest feature values."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from threading import Event

import pyarrow as pa

from feature_platform.catalog import names_of
from feature_platform.contributor import Contributor
from feature_platform.definitions import (
    FeatureView,
    OnDemandFeatureView,
    PushSource,
    StreamSource,
    ViewReference,
)
from feature_platform.errors import ConfigError, NotFoundError, RequestError
from feature_platform.ingestion import Ingested, PushMode, ingest
from feature_platform.materialization import (
    Load,
    deletions,
    history_rows,
    incremental_start,
    materialize,
    online_rows,
    own_part,
)
from feature_platform.offline import Deliver
from feature_platform.online import write_rows
from feature_platform.registry import Snapshot, not_found
from feature_platform.resolve import Features, parse_features, resolve, stored_of, table_of
from feature_platform.retrieval import (
    OnlineReader,
    OnlineResponse,
    StoredWriter,
    identity_of,
    to_arrow,
)
from feature_platform.streams import open_stream
from feature_platform.table import Table, microseconds
from feature_platform.values import instant

_LOOKBACK = timedelta(days=1)
_MOST_PREPARED = 1000

OnProgress = Callable[[str, int], None]
"""Told a view's name and how many of its rows are loaded, after each batch."""


class OnlineFeatures(Contributor):
    """The online side of a feature store; `FeatureStore` adds training sets."""

    _requests: tuple[Snapshot | None, dict[object, tuple[object, OnlineReader]]] = (None, {})

    def get_online_features(
        self,
        features: Features,
        entity_rows: object,
        *,
        full_feature_names: bool = False,
    ) -> OnlineResponse:
        """Look up the newest features of entities.

        What answers a request is worked out once per registry version. Commits of others are seen
        within `registry_cache_seconds` of `feature_store.yaml`, own ones at once.

        Args:
            features: A feature service or its name, or a list of views and `view:feature`.
            entity_rows: A list of dicts, a dict of lists, or a frame of up to 10,000 rows: join
                keys, and the values that on-demand views need.
            full_feature_names: Name columns `view__feature`.

        Returns:
            Join keys and features, in the order of the request, with the status of each value. A
            value older than its view's ttl is `None`.

        Raises:
            NotFoundError: A reference names something that is not registered.
            RequestError: The request lacks a key or a value, or one has another type.
        """
        reader = self._prepared(features, full_feature_names=full_feature_names)
        return reader.read(entity_rows, self._clock())

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
        """
        self._check_not_pinned()
        start, end = instant(start_date, "start_date"), instant(end_date, "end_date")
        return {
            load.target.name: self._load(load, start, end, on_progress)
            for load in self._loads(feature_views)
        }

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
        counts = {}
        for load in self._loads(feature_views):
            start = incremental_start(self.online, load.target, end, lookback)
            new = start < end
            counts[load.target.name] = self._load(load, start, end, on_progress) if new else 0
        return counts

    def write_to_online_store(self, feature_view_name: str, df: object) -> int:
        """Write rows straight to a view's online table; newer rows that are there stay.

        Args:
            feature_view_name: Name of the view.
            df: Shape (n, keys + event timestamp + features), as pandas, polars or Arrow. A created
                timestamp may come along.

        Returns:
            How many rows were handled.

        Raises:
            NotFoundError: The view is not registered.
            SchemaError: A column is missing or unknown, or has another type.
        """
        self._check_not_pinned()
        [table] = self._online_tables([feature_view_name])
        return self._write(table, online_rows(table, to_arrow(df, "df"), self._clock()))

    def delete_from_online_store(self, feature_view_name: str, df: object) -> int:
        """Delete entities from a view's online table, as of a time.

        A row observed later stays or comes back; one observed earlier never does, not even by a
        backfill.

        Args:
            feature_view_name: Name of the view.
            df: Shape (n, keys + event timestamp), as pandas, polars or Arrow.

        Returns:
            How many deletions were handled.

        Raises:
            NotFoundError: The view is not registered.
            SchemaError: A column is missing, or has another type.
        """
        self._check_not_pinned()
        [table] = self._online_tables([feature_view_name])
        batches = deletions(table, to_arrow(df, "df"), self._clock()).to_batches()
        for writer in self._stored_beside(self.snapshot(), table):
            self.online.delete(writer.table, batches)
        return self.online.delete(table, batches)

    def expire_online_store(self, feature_views: Sequence[str] | None = None) -> dict[str, int]:
        """Remove rows that are older than their view's ttl, and so never answer.

        Args:
            feature_views: Names of views; all that are served online if left out.

        Returns:
            View → rows removed; views without a ttl keep theirs.
        """
        self._check_not_pinned()
        now = microseconds(self._clock())
        snapshot = self.snapshot()
        counts = {}
        if feature_views is None:  # also those that are only pushed to
            every = snapshot.of(FeatureView, self.project)
            feature_views = [view.name for view, _ in every if view.online]
        for table in self._online_tables(feature_views):
            beside = [writer.table for writer in self._stored_beside(snapshot, table)]
            for each in (table, *beside):
                if each.ttl_us is not None:
                    counts[each.name] = self.online.expire(each, now - each.ttl_us)
        return counts

    def push(self, push_source_name: str, df: object, to: PushMode = PushMode.ONLINE) -> int:
        """Send rows to the views that a push source feeds.

        Args:
            push_source_name: Name of the push source.
            df: As for `write_to_online_store`.
            to: The online tables of the views, the push source's `batch_source`, or both: then
                history is written first.

        Returns:
            How many rows were handled, over all views.

        Raises:
            NotFoundError: No registered view has that push source.
            RequestError: The batch source is missing or cannot grow.
            SchemaError: A column is missing or unknown, or has another type.
        """
        self._check_not_pinned()
        if not isinstance(to, PushMode):
            raise RequestError(f"to is {to!r}, not one of {', '.join(map(str, PushMode))}.")
        snapshot = self.snapshot()
        online = to is not PushMode.OFFLINE
        views = [v for v, _ in snapshot.of(FeatureView, self.project) if v.online or not online]
        known = [source.name for source, _ in snapshot.of(PushSource, self.project)]
        fed = [view for view in views if view.source == push_source_name in known]
        if not fed:
            what = not_found("push source", push_source_name, self.project, known)
            raise NotFoundError(f"{what} A view has to name it as its source.")
        tables = [table_of(snapshot, self.project, view) for view in fed]
        rows, now = to_arrow(df, "df"), self._clock()
        # All of it is checked before anything is written.
        checked = [online_rows(table, own_part(table, tables, rows), now) for table in tables]
        if to is not PushMode.ONLINE:  # they share the batch source
            self.offline.append(tables[0], history_rows(tables, checked))
        if not online:
            return int(rows.num_rows)
        return sum(map(self._write, tables, checked))

    def ingest(
        self,
        source_name: str,
        to: PushMode = PushMode.ONLINE,
        *,
        until_empty: bool = False,
        stop: Event | None = None,
        on_progress: Callable[[Ingested], None] | None = None,
    ) -> Ingested:
        """Push what a broker delivers for a stream source, on and on.

        Any number of processes share the work. Every message is stored at least once; online, one
        that comes twice changes nothing, and in history it is a row that was there before.
        Messages that are not rows of the source's views are put aside into `<topic>.rejected`.

        Args:
            source_name: Name of the stream source.
            to: As for `push`.
            until_empty: Return when nothing has come for a second.
            stop: An event that ends it, after the messages at hand.
            on_progress: Told the totals after each batch.

        Returns:
            How many messages were stored, and how many put aside.

        Raises:
            ConfigError: `feature_store.yaml` names no broker.
            NotFoundError: No registered view has that stream source.
            StoreError: The broker or a store failed; what was not stored is delivered again.
        """
        self._check_not_pinned()
        snapshot = self.snapshot()
        sources = {source.name: source for source, _ in snapshot.of(StreamSource, self.project)}
        if source_name not in sources:
            raise NotFoundError(not_found("stream source", source_name, self.project, sources))
        if self.config.broker is None:
            raise ConfigError(
                "feature_store.yaml names no broker. Add, for example, "
                "`broker: {type: redis, connection_string: 'localhost:6379'}`."
            )
        group = f"{self.project}.{source_name}"
        with open_stream(self.config.broker, sources[source_name].topic, group) as stream:
            return ingest(
                stream,
                lambda rows: self.push(source_name, rows, to),
                until_empty=until_empty,
                stop=stop or Event(),
                on_progress=on_progress,
            )

    def _write(self, table: Table, rows: pa.Table) -> int:
        return self._writing(table)(iter(rows.to_batches()))

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

    def _load(
        self, load: Load, start: datetime, end: datetime, on_progress: OnProgress | None
    ) -> int:
        name = load.target.name
        tell = None if on_progress is None else lambda count: on_progress(name, count)
        return materialize(
            self.offline, self.online, load, start, end, now=self._clock(), on_progress=tell
        )

    def _prepared(self, features: Features, *, full_feature_names: bool) -> OnlineReader:
        """Return what answers a request, worked out once per registry version."""
        snapshot = self._recent_snapshot()
        version, readers = self._requests
        if version is not snapshot:
            readers = {}
            self._requests = (snapshot, readers)
        place = (identity_of(features), full_feature_names)
        if (held := readers.get(place)) is not None:
            return held[1]
        try:
            reader = self._reader(snapshot, features, full_feature_names=full_feature_names)
        except NotFoundError:  # it may have been registered a moment ago
            snapshot = self.snapshot()
            reader = self._reader(snapshot, features, full_feature_names=full_feature_names)
        if len(readers) < _MOST_PREPARED:
            # They are held, so that identities stay their own.
            own = tuple(features) if isinstance(features, (list, tuple)) else features
            readers[place] = (own, reader)
        return reader

    def _reader(
        self, snapshot: Snapshot, features: Features, *, full_feature_names: bool
    ) -> OnlineReader:
        wanted = parse_features(snapshot, self.project, features)
        retrieval = resolve(snapshot, self.project, wanted, full_feature_names=full_feature_names)
        for read in retrieval.reads:
            if not snapshot.get(FeatureView, self.project, read.table.name).online:
                message = f"View {read.table.name!r} is not served online: it says online=False."
                raise RequestError(message)
        return OnlineReader(self.online, retrieval, self.repo.function)
