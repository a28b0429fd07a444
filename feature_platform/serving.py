"""What a project serves online: loading, writing and reading the newest feature values."""

from collections.abc import Callable, Sequence
from threading import Event

import pyarrow as pa

from feature_platform.definitions import (
    FeatureView,
    PushSource,
    StreamSource,
)
from feature_platform.errors import (
    ConfigError,
    NotFoundError,
    RequestError,
)
from feature_platform.ingestion import Ingested, PushMode, ingest
from feature_platform.loading import Loading
from feature_platform.materialization import (
    deletions,
    history_rows,
    online_rows,
    own_part,
)
from feature_platform.registry import Snapshot, not_found
from feature_platform.resolve import Features, parse_features, resolve, table_of
from feature_platform.retrieval import (
    OnlineReader,
    OnlineResponse,
    identity_of,
    to_arrow,
)
from feature_platform.streams import open_stream
from feature_platform.table import Table, microseconds

_MOST_PREPARED = 1000


class OnlineFeatures(Loading):
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
