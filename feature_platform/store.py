"""The feature store of one project, as one team uses it: Feast's calls, each a few lines."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from feature_platform.catalog import Catalog
from feature_platform.config import RepoConfig
from feature_platform.definitions import (
    Definition,
    FeatureView,
    OnDemandFeatureView,
    PushSource,
    RequestSource,
    applicable,
)
from feature_platform.errors import ConfigError, NotFoundError, RequestError
from feature_platform.materialization import incremental_start, materialize, online_rows
from feature_platform.offline import OfflineStore, Span, open_offline_store
from feature_platform.online import OnlineStore, open_online_store
from feature_platform.registry import (
    Commit,
    Plan,
    Registry,
    Snapshot,
    not_found,
    open_log,
    plan,
)
from feature_platform.repo import Repo
from feature_platform.resolve import Features, Retrieval, parse_features, resolve, table_of
from feature_platform.retrieval import (
    OnlineResponse,
    RetrievalJob,
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


class FeatureStore(Catalog):
    """One project, seen by the owner of one repo folder.

    Nothing is contacted before it is needed.

    Args:
        repo_path: Folder with a `feature_store.yaml`; it may hold nothing else.
        config: Settings, instead of the folder's.
        registry: A registry, instead of the one the settings name.
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

    def __init__(
        self,
        repo_path: str | Path | None = None,
        *,
        config: RepoConfig | None = None,
        registry: Registry | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        folder = repo_path or "."
        self.repo = Repo(Path(folder).resolve(), config) if config else Repo.load(folder)
        self.config = self.repo.config
        self.project = self.config.project
        self.owner = self.config.team
        self._clock = clock
        self._registry = registry

    @cached_property
    def registry(self) -> Registry:
        """The registry, with its history."""
        return self._registry or Registry(open_log(self.config.registry, self.repo.path))

    @cached_property
    def offline(self) -> OfflineStore:
        """Where history is read."""
        return open_offline_store(self.config.offline_store, self.repo.path)

    @cached_property
    def online(self) -> OnlineStore:
        """Where the newest values are served from.

        Raises:
            ConfigError: The settings name no online store.
        """
        if self.config.online_store is None:
            raise ConfigError("online_store is null: this repo has no online features.")
        return open_online_store(self.config.online_store, self.repo.path)

    def snapshot(self) -> Snapshot:
        """Return the registry's newest state."""
        return self.registry.snapshot()

    def refresh_registry(self) -> None:
        """Read commits made elsewhere, as every call does by itself."""
        self.snapshot()

    def plan(
        self,
        objects: Definition | RequestSource | Iterable[Definition | RequestSource] | None = None,
        objects_to_delete: Iterable[Definition] = (),
        *,
        partial: bool = True,
    ) -> Plan:
        """Compare objects with the registry; nothing is written.

        Args:
            objects: What should be registered; everything the repo folder defines if left out.
            objects_to_delete: Own objects that should not.
            partial: `False` also deletes the owner's objects that are not listed.

        Raises:
            ConfigError: A module of the repo folder failed to import.
            DefinitionError: Two objects share a name, or one is unfinished.
        """
        desired = self.repo.definitions if objects is None else applicable(objects)
        if objects is None and not desired and not partial:
            raise ConfigError(
                f"{self.repo.path} defines nothing, and a full sync would delete everything "
                f"{self.owner!r} has registered. If that is meant, call teardown."
            )
        self.repo.remember(d for d in desired if isinstance(d, OnDemandFeatureView))
        return plan(
            self.snapshot(),
            project=self.project,
            owner=self.owner,
            desired=desired,
            delete=applicable(objects_to_delete),
            partial=partial,
        )

    def apply(
        self,
        objects: Definition | RequestSource | Iterable[Definition | RequestSource] | None = None,
        objects_to_delete: Iterable[Definition] = (),
        *,
        partial: bool = True,
        message: str = "",
        client: str = "python",
    ) -> Commit | None:
        """Register objects in one commit: all of them, or none.

        Args:
            objects: What to register; everything the repo folder defines if left out.
            objects_to_delete: Own objects to remove.
            partial: `True` adds and updates what is listed. `False` is a full sync: own objects
                that are not listed are deleted. Other owners' objects are never touched.
            message: Why, for the history.
            client: Which program asks, for the history.

        Returns:
            The commit; `None` if the registry already agrees.

        Raises:
            RefusedError: The registry's rules forbid it; all reasons are listed.
            ConflictError: Somebody else changed the same objects meanwhile.
            ConfigError: A module of the repo folder failed to import.
            DefinitionError: Two objects share a name, or one is unfinished.
        """
        objects = None if objects is None else applicable(objects)
        if objects == () and not partial:
            raise RequestError(
                "A full sync of nothing would delete everything you own. To delete some objects, "
                "leave partial=True; to delete all, call teardown."
            )
        planned = self.plan(objects, objects_to_delete, partial=partial)
        return self.commit(planned, message=message, client=client)

    def commit(self, plan: Plan, *, message: str = "", client: str = "python") -> Commit | None:
        """Write a plan that `plan` made; raises as `apply` does.

        The online tables of views that it deletes are emptied.
        """
        if plan.project != self.project:
            raise RequestError(f"The plan is for project {plan.project!r}, not {self.project!r}.")
        before = self.snapshot()
        commit = self.registry.commit(plan, principal=self.owner, client=client, message=message)
        gone = {c.name for c in plan.changes if c.kind == FeatureView.kind and c.after is None}
        if commit and gone and self.config.online_store is not None:
            with suppress(ConfigError):  # A store this release cannot write holds nothing of ours.
                for name in gone:
                    view = before.get(FeatureView, self.project, name)
                    self.online.drop(table_of(before, self.project, view))
        return commit

    def teardown(self) -> Commit | None:
        """Remove the owner's objects from the project, and their online tables.

        Raises:
            RefusedError: Another owner's objects need them.
        """
        return self.commit(self.plan([], partial=False), message="teardown")

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
        [table] = self._online_tables([feature_view_name])
        return self._write(table, to_arrow(df, "df"))

    def push(self, push_source_name: str, df: object) -> int:
        """Send rows to the online table of every view that a push source feeds.

        Args:
            push_source_name: Name of the push source.
            df: As for `write_to_online_store`.

        Returns:
            How many rows were handled, over all views.

        Raises:
            NotFoundError: No registered view has that push source.
            SchemaError: A column is missing or unknown, or has another type.
        """
        snapshot = self.snapshot()
        views = [v for v, _ in snapshot.of(FeatureView, self.project) if v.online]
        fed = [view for view in views if view.source == push_source_name]
        if not fed:
            known = [source.name for source, _ in snapshot.of(PushSource, self.project)]
            what = not_found("push source", push_source_name, self.project, known)
            raise NotFoundError(f"{what} A view has to name it as its source.")
        tables = [table_of(snapshot, self.project, view) for view in fed]
        return sum(self._write(table, to_arrow(df, "df")) for table in tables)

    def _write(self, table: Table, rows: pa.Table) -> int:
        return self.online.write(table, online_rows(table, rows).to_batches())

    def _resolve(self, features: Features, *, full_feature_names: bool) -> Retrieval:
        snapshot = self.snapshot()
        wanted = parse_features(snapshot, self.project, features)
        return resolve(snapshot, self.project, wanted, full_feature_names=full_feature_names)
