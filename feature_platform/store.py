"""The feature store of one project, as one team uses it: Feast's calls, each a few lines."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from feature_platform.definitions import FeatureView, is_name
from feature_platform.errors import RequestError
from feature_platform.materialization import history_rows, online_rows
from feature_platform.offline import FeatureStatistics, Span
from feature_platform.resolve import Features, Retrieval, parse_features, resolve, table_of
from feature_platform.retrieval import (
    OnlineReader,
    Parity,
    RetrievalJob,
    SavedDataset,
    SavedDatasetFileStorage,
    Split,
    historical,
    to_arrow,
    verify,
)
from feature_platform.retrieval import (
    entity_rows as read_entity_rows,
)
from feature_platform.serving import OnlineFeatures
from feature_platform.table import Table
from feature_platform.values import instant

_LOOKBACK = timedelta(days=1)


class FeatureStore(OnlineFeatures):
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
        return self._append(table_of(snapshot, self.project, view), to_arrow(df, "df"))

    def verify_parity(
        self, features: Features, entity_rows: object, *, full_feature_names: bool = False
    ) -> Parity:
        """Compare what is served online with what history says at the same instants.

        Each value is looked up online, and computed again from history as of the observation that
        is served: on-demand views included, from what history says. A value that is not served is
        compared with what history says now, so rows that were never loaded are found, too.

        Args:
            features: As for `get_online_features`.
            entity_rows: Shape (n, join keys + request values), as pandas, polars or Arrow.
            full_feature_names: Name features `view__feature`.

        Returns:
            How many values of each feature differ, and the first of them.

        Raises:
            NotFoundError: A reference names something that is not registered.
            RequestError: A view has no history, or the rows lack something.

        Example:
            >>> store.verify_parity("ranking_v1", sample).mismatches  # doctest: +SKIP
            0
        """
        retrieval = self._resolve(features, full_feature_names=full_feature_names)
        reader = OnlineReader(self.online, retrieval, self.repo.function)
        rows = to_arrow(entity_rows, "entity_rows")
        now = self._clock()
        return verify(reader, self.offline, retrieval, rows, self.repo.function, now=now)

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

    def _append(self, table: Table, rows: pa.Table) -> str:
        checked = online_rows(table, rows, self._clock())
        return self.offline.append(table, history_rows([table], [checked]))

    def _resolve(self, features: Features, *, full_feature_names: bool) -> Retrieval:
        snapshot = self.snapshot()
        wanted = parse_features(snapshot, self.project, features)
        return resolve(snapshot, self.project, wanted, full_feature_names=full_feature_names)
