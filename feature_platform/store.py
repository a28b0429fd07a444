"""The feature store of one project, as one team uses it: Feast's calls, each a few lines."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path

import pyarrow as pa

from feature_platform.contributor import Contributor
from feature_platform.definitions import FeatureView, PushSource, is_name
from feature_platform.errors import NotFoundError, RequestError
from feature_platform.materialization import (
    incremental_start,
    materialize,
    offline_rows,
    online_rows,
)
from feature_platform.offline import FeatureStatistics, Span
from feature_platform.registry import not_found
from feature_platform.resolve import Features, Retrieval, parse_features, resolve, table_of
from feature_platform.retrieval import (
    OnlineResponse,
    RetrievalJob,
    SavedDataset,
    SavedDatasetFileStorage,
    Split,
    historical,
    online,
    to_arrow,
)
from feature_platform.retrieval import (
    entity_rows as read_entity_rows,
)
from feature_platform.table import Table
from feature_platform.values import instant

_LOOKBACK = timedelta(days=1)


class PushMode(Enum):
    """Where pushed rows go.

    Source: Feast's class of this name.
    """

    ONLINE = 1
    OFFLINE = 2
    ONLINE_AND_OFFLINE = 3


class FeatureStore(Contributor):
    """One project, seen by the owner of one repo folder.

    Nothing is contacted before it is needed.

    Args:
        repo_path: Folder with a `feature_store.yaml`; it may hold nothing else.
        config: Settings, instead of the folder's.
        registry: A registry, instead of the one the settings name.
        offline: An offline store, instead of the one the settings name.
        registry_version: Read the registry as it was at this version, and apply nothing.
        clock: What "now" is, for replays and tests; ages of online values are measured by it.

    Attributes:
        project: The project.
        owner: On whose behalf objects are applied: `platform`, or the team of the settings.
        repo: The folder and its definitions.

    Raises:
        ConfigError: The settings are missing or wrong.

    Example:
        >>> store = FeatureStore(repo_path="team_repos/delay_risk")  # doctest: +SKIP
        >>> store.get_online_features(  # doctest: +SKIP
        ...     features="delay_risk_departure_v1", entity_rows=[{"origin": "JFK"}]
        ... ).to_dict()

    Source: Feast's `FeatureStore`. `apply` differs: it is limited to the owner's objects.
    """

    def get_historical_features(
        self,
        entity_df: object = None,
        features: Features = (),
        *,
        full_feature_names: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """Prepare a training set: for each entity row, what was known at its time.

        Args:
            entity_df: Shape (n, join keys + event timestamp + any), as pandas, polars or Arrow; a
                SQL query; or the path of a Parquet file. The timestamp is `event_timestamp` or
                the only column of a time type; naive times are UTC.
            features: A feature service or its name, or a list of views and `view:feature`.
            full_feature_names: Name columns `view__feature`.
            start_date: Without `entity_df`: return every feature row observed from here,
            end_date: to here (now if left out), each as of its own time.
            filter_by_created_timestamp: Use only rows that had been created by then, where the
                source has a created timestamp.

        Returns:
            A job that runs when its result is asked for: one row per entity row, in their order,
            with their columns and the features. A feature is null where no row qualifies.

        Raises:
            NotFoundError: A reference names something that is not registered.
            RequestError: The entity rows lack something, or two features share a name.
        """
        retrieval = self._resolve(features, full_feature_names=full_feature_names)
        if (entity_df is None) == (start_date is None) or (entity_df is not None and end_date):
            raise RequestError("Pass either entity_df, or start_date and perhaps end_date.")
        if entity_df is None:
            start, end = (
                instant(start_date, "start_date"),
                instant(end_date or self._clock(), "end_date"),
            )
            if start > end:
                raise RequestError(f"start_date {start} is after end_date {end}.")
            entity_df = Span(start, end)
        return historical(
            self.offline,
            retrieval,
            read_entity_rows(entity_df),
            self.repo.function,
            known_only=filter_by_created_timestamp,
        )

    def get_online_features(
        self,
        features: Features,
        entity_rows: object,
        *,
        full_feature_names: bool = False,
    ) -> OnlineResponse:
        """Look up the newest features of entities.

        Args:
            features: A feature service or its name, or a list of views and `view:feature`.
            entity_rows: A list of dicts, a dict of lists, or a frame: join keys, and the values
                that on-demand views need.
            full_feature_names: Name columns `view__feature`.

        Returns:
            Join keys and features, in the order of the request, with the status of each value. A
            value older than its view's ttl is `None`.

        Raises:
            NotFoundError: A reference names something that is not registered.
            RequestError: The request lacks a key or a value, or one has another type.
        """
        retrieval = self._resolve(features, full_feature_names=full_feature_names)
        return online(self.online, retrieval, entity_rows, self.repo.function, now=self._clock())

    def materialize(
        self,
        start_date: datetime,
        end_date: datetime,
        feature_views: Sequence[str] | None = None,
    ) -> dict[str, int]:
        """Load rows observed from `start_date` to `end_date` into the online store.

        Args:
            start_date: Inclusive.
            end_date: Inclusive.
            feature_views: Names of views; all that are served online if left out.

        Returns:
            View → rows loaded, at most one per key.

        Raises:
            NotFoundError: A view is not registered.
            RequestError: The window is empty.
        """
        self._check_not_pinned()
        start, end = instant(start_date, "start_date"), instant(end_date, "end_date")
        return {
            table.name: materialize(self.offline, self.online, table, start, end, now=self._clock())
            for table in self._online_tables(feature_views)
        }

    def materialize_incremental(
        self,
        end_date: datetime | None = None,
        feature_views: Sequence[str] | None = None,
        *,
        lookback: timedelta = _LOOKBACK,
    ) -> dict[str, int]:
        """Load what is new since the last load.

        Args:
            end_date: Inclusive; now if left out.
            feature_views: Names of views; all that are served online if left out.
            lookback: How far to go back before the end of the last load, for rows that arrive
                late.

        Returns:
            View → rows loaded, at most one per key.
        """
        self._check_not_pinned()
        end = instant(end_date or self._clock(), "end_date")
        counts = {}
        for table in self._online_tables(feature_views):
            start = incremental_start(self.online, table, end, lookback)
            counts[table.name] = 0
            if start < end:
                counts[table.name] = materialize(
                    self.offline, self.online, table, start, end, now=self._clock()
                )
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
        return self._write(table, to_arrow(df, "df"))

    def write_to_offline_store(self, feature_view_name: str, df: object) -> str:
        """Add rows to a view's source; nothing that is there is written again.

        A source of files has to be a directory and gets new files.

        Args:
            feature_view_name: Name of the view.
            df: As for `write_to_online_store`. Rows without a created timestamp are created now.

        Returns:
            Where they were written.

        Raises:
            NotFoundError: The view is not registered.
            RequestError: The view has no history, or its source cannot grow.
            SchemaError: A column is missing or unknown, or has another type.
            StoreError: The source cannot be written; nothing was.
        """
        self._check_not_pinned()
        snapshot = self.snapshot()
        view = snapshot.get(FeatureView, self.project, feature_view_name)
        return self._add(table_of(snapshot, self.project, view), to_arrow(df, "df"))

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
        fed = [view for view in views if view.source == push_source_name]
        if not fed:
            known = [source.name for source, _ in snapshot.of(PushSource, self.project)]
            what = not_found("push source", push_source_name, self.project, known)
            raise NotFoundError(f"{what} A view has to name it as its source.")
        tables = [table_of(snapshot, self.project, view) for view in fed]
        rows = to_arrow(df, "df")
        checked = [online_rows(table, rows) for table in tables]  # before anything is written
        if to is not PushMode.ONLINE:
            self._add(tables[0], rows)  # they share the batch source
        if not online:
            return int(rows.num_rows)
        pairs = zip(tables, checked, strict=True)
        return sum(self.online.write(table, part.to_batches()) for table, part in pairs)

    def get_statistics(
        self,
        feature_view_name: str,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> dict[str, FeatureStatistics]:
        """Describe the features of a view's history, computed by the offline store.

        Args:
            feature_view_name: Name of the view.
            start_date: Rows observed from here, inclusive; all if left out,
            end_date: to here, inclusive.

        Returns:
            Feature → count, nulls, distinct, min, max, mean, stddev, quantiles and top values.

        Raises:
            NotFoundError: The view is not registered.
            RequestError: The view has no history.
        """
        snapshot = self.snapshot()
        view = snapshot.get(FeatureView, self.project, feature_view_name)
        table = table_of(snapshot, self.project, view)
        start = instant(start_date, "start_date") if start_date else None
        end = instant(end_date, "end_date") if end_date else None
        return self.offline.statistics(table, start, end)

    def create_saved_dataset(
        self,
        from_: RetrievalJob,
        name: str,
        storage: SavedDatasetFileStorage | None = None,
        *,
        split: Split | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> SavedDataset:
        """Save a training set with its request, registry version and statistics.

        Args:
            from_: What `get_historical_features` returned.
            name: Of the dataset.
            storage: A folder, relative to the offline store's root; `datasets/<name>` there if
                left out. Elsewhere, `SavedDataset.load` opens it.
            split: `RandomSplit` or `TimeSplit`.
            tags: Free labels.

        Raises:
            RequestError: The folder exists, or the split does not fit the rows.

        Source: Feast's `create_saved_dataset`. Nothing is registered: the folder says it all.
        """
        folder = self._root / storage.path if storage else self._dataset_folder(name)
        target = SavedDatasetFileStorage(folder)
        return from_.persist(target, name=name, split=split, tags=tags)

    def get_saved_dataset(self, name: str) -> SavedDataset:
        """Open a dataset that was saved below the offline store's root.

        Raises:
            NotFoundError: There is none.
        """
        return SavedDataset.load(self._dataset_folder(name))

    def _dataset_folder(self, name: str) -> Path:
        if not is_name(name):
            raise RequestError(f"{name!r} is not a name of letters, digits and underscores.")
        return self._root / "datasets" / name

    @property
    def _root(self) -> Path:
        return self.repo.path / str(self.config.offline_store.get("root", "."))

    def _add(self, table: Table, rows: pa.Table) -> str:
        return self.offline.append(table, offline_rows(table, rows, self._clock()))

    def _write(self, table: Table, rows: pa.Table) -> int:
        return self.online.write(table, online_rows(table, rows).to_batches())

    def _resolve(self, features: Features, *, full_feature_names: bool) -> Retrieval:
        snapshot = self.snapshot()
        wanted = parse_features(snapshot, self.project, features)
        return resolve(snapshot, self.project, wanted, full_feature_names=full_feature_names)
