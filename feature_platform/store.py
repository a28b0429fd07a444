"""The feature store of one project for one team, with Feast's method names."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Self

from feature_platform.catalog import Catalog, Tags, tagged
from feature_platform.config import RepoConfig
from feature_platform.definitions import Definition, FeatureService, Source, View, ViewReference
from feature_platform.definitions import feast_arguments as feasts
from feature_platform.errors import NotFoundError
from feature_platform.governance import Plan
from feature_platform.offline import OfflineStore, Statistics
from feature_platform.online import OnlineStore, Window
from feature_platform.project import Cursor, Features, ProjectSnapshot, Snapshot
from feature_platform.registry import Commit, Registry, SavedPlan
from feature_platform.repo import Repo
from feature_platform.retrieval import (
    OnlineResponse,
    Parity,
    RetrievalJob,
    SavedDataset,
    SavedDatasetFileStorage,
    Split,
)
from feature_platform.services import (
    applying,
    auditing,
    checking,
    loading,
    reconciling,
    serving,
    training,
    watching,
    writing,
)
from feature_platform.services.applying import Objects, PlanOptions
from feature_platform.services.identity import may_write
from feature_platform.services.ingestion import Ingested
from feature_platform.services.plan_report import PlanReport
from feature_platform.services.reconciling import Assessment
from feature_platform.services.sharing import Sharing
from feature_platform.services.source_schema import SourceSchema, source_schema
from feature_platform.services.stores import Call, Defined, Stores
from feature_platform.streams import StreamState
from feature_platform.types.times import read_clock, utc_now


class FeatureStore(Catalog):
    """One project, opened by the owner of one repo folder.

    Connections open on first use.

    Args:
        repo_path: Folder with a `feature_store.yaml`; definitions are optional.
        config: Settings, instead of the folder's.
        registry: A registry, instead of the one the settings name.
        offline: An offline store, instead of the one the settings name.
        stores: Stores of another feature store to share, as a server does.
        registry_version: Registry version to read; the store is then read-only.
        clock: Returns the current time with its time zone, for replays and tests.

    Attributes:
        project: The project.
        owner: Owner of applied objects: `platform`, or the team in the settings.
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
        offline: OfflineStore | None = None,
        stores: Stores | None = None,
        registry_version: int | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        folder = "." if repo_path is None else repo_path
        self.repo = Repo.load(folder, config)
        self.config = self.repo.config
        self.project = self.config.project
        self.owner = self.config.team
        self._clock: Callable[[], datetime] = lambda: read_clock(clock)
        self.stores = stores or Stores(
            self.repo, registry=registry, offline=offline, now=self._clock
        )
        self._registry_version = registry_version
        self._pinned: Snapshot | None = None
        self._prepared: serving.PreparedRequests | None = None

    @property
    def registry(self) -> Registry:
        """The registry, with its history."""
        return self.stores.registry

    @property
    def offline(self) -> OfflineStore:
        """Where history is read."""
        return self.stores.offline

    @property
    def online(self) -> OnlineStore:
        """Where the newest values are kept.

        Raises:
            ConfigError: The settings name no online store.
        """
        return self.stores.online

    @property
    def sharing(self) -> Sharing:
        """What the project shares with others, and they with it."""
        return Sharing(self.call)

    def close(self) -> None:
        """Close all connections; the store opens new ones when it is used again."""
        self.stores.close()

    def __repr__(self) -> str:
        settings = self.config
        return f"FeatureStore({str(self.repo.path)!r}): {settings.team!r} in {settings.project!r}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def snapshot(self) -> Snapshot:
        """Return the newest snapshot, or that of the pinned version."""
        if self._registry_version is None:
            return self.registry.snapshot()
        if self._pinned is None:
            self._pinned = self.registry.snapshot(self._registry_version)
        return self._pinned

    def call(self) -> Call:
        """Read the registry and the clock once, for the functions of `services`."""
        snapshot, now = self.snapshot(), self._clock()
        project = ProjectSnapshot(snapshot, self.project, now)
        return Call(project, self.stores, now, self._registry_version is not None)

    def load_project(self) -> ProjectSnapshot:
        """Return the project in the newest snapshot, or in the pinned version."""
        return self.call().project

    def refresh_registry(self) -> None:
        """Read commits of other processes; every call already does."""
        self.snapshot()

    def plan(
        self,
        objects: Objects = None,
        objects_to_delete: Iterable[Definition] = (),
        *,
        partial: bool = True,
        mass_delete: bool = False,
        override: str = "",
        try_functions: bool = True,
    ) -> Plan:
        """Compare objects with the registry; nothing is written.

        Args:
            objects: Objects to register; default: everything in the repo folder.
            objects_to_delete: Own objects to remove.
            partial: `False` also deletes the owner's objects that are not listed.
            mass_delete: Allow that to delete many objects.
            override: Reason why the platform breaks contracts. Only the platform can; the
                reason and every broken contract are kept in the commit.
            try_functions: Compute the on-demand functions that change on sample values of the
                declared types.

        Raises:
            ConfigError: A module of the repo folder failed to import.
            DefinitionError: Two objects share a name, one is unfinished, or a function fails on
                sample values or does not return what its view declares.
        """
        options = PlanOptions(partial, mass_delete, override, try_functions)
        return applying.plan(self.call(), objects, objects_to_delete, options)

    def review(self, plan: Plan, *, costs: bool = True) -> PlanReport:
        """Report the effects and problems of a plan; nothing is written.

        Args:
            plan: The plan.
            costs: Whether to look for online tables to reload, which reads the stores.

        Returns:
            Problems, effects on everybody's readers, deprecations that concern the owner, and
            online tables to load again.
        """
        return applying.review(self.call(), plan, costs=costs)

    def assess(self, definitions: Defined = None, applied: Cursor | None = None) -> Assessment:
        """Say whether the registry holds what the repo defines, and if not, whether it may.

        Args:
            definitions: What the repo defines; default: everything in its folder.
            applied: The registry's cursor when it was last applied to, to notice that it was
                moved, replaced or restored since.

        Returns:
            The verdict, and its reason with the remedy.
        """
        return reconciling.assess(self.call(), definitions, applied=applied)

    def audit(self, definitions: Defined = None) -> list[auditing.AuditFinding]:
        """Check what the owner has registered: against the rules, and against the repo.

        Args:
            definitions: What the repo defines; default: everything in its folder.

        Returns:
            Broken rules and references, objects that the repo defines differently or no longer,
            code that is not in the repo, and deprecations. Empty if all is in order.
        """
        return auditing.audit(self.call(), definitions)

    def watch(self, since: Cursor, interest: watching.Interest | None = None) -> watching.Watched:
        """Return the commits to the project since a cursor, and the newest cursor.

        Args:
            since: `snapshot().cursor` of an earlier call.
            interest: Which changes count; all by default.
        """
        return watching.watch(self.call(), since, interest or watching.Interest())

    def apply(
        self,
        objects: Objects = None,
        objects_to_delete: Iterable[Definition] = (),
        *,
        partial: bool = True,
        mass_delete: bool = False,
        override: str = "",
        message: str = "",
        client: str = "python",
        try_functions: bool = True,
    ) -> Commit | None:
        """Register objects in one commit: all of them, or none.

        Args:
            objects: Objects to register; default: everything in the repo folder.
            objects_to_delete: Own objects to remove.
            partial: `True` adds and updates what is listed. `False` is a full sync: own objects
                that are not listed are deleted. Other owners' objects are never touched.
            mass_delete: Allow a full sync to delete many objects.
            override: Reason why the platform breaks contracts; it is kept in the commit.
            message: Description of the commit, for the history.
            client: Program that commits, for the history.
            try_functions: As for `plan`.

        Returns:
            The commit; `None` if nothing changes.

        Raises:
            RefusedError: The plan breaks rules; all of them are listed.
            ConflictError: Another commit changed the same objects.
            ConfigError: A module of the repo folder failed to import.
            DefinitionError: As for `plan`.
        """
        desired = applying.checked_objects(objects, partial=partial)
        call = self.call()
        options = PlanOptions(partial, mass_delete, override, try_functions)
        plan = applying.plan(call, desired, objects_to_delete, options)
        return applying.commit(call, plan, message, client)

    def commit(
        self,
        plan: Plan | SavedPlan,
        *,
        message: str = "",
        client: str = "python",
        commit_id: str = "",
    ) -> Commit | None:
        """Write a plan that `plan` made, perhaps some time ago; raises as `apply` does.

        The online tables of views that it deletes are emptied. A saved plan is refused where
        anything that it rests on has changed since.

        Args:
            plan: The plan.
            message: Description of the commit, for the history.
            client: Program that commits, for the history.
            commit_id: 32 hexadecimal digits: a call that is repeated with them writes once.
        """
        return applying.commit(self.call(), plan, message, client, commit_id)

    def teardown(self) -> Commit | None:
        """Remove the owner's objects from the project, and their online tables.

        Raises:
            RefusedError: Objects of another owner depend on them.
        """
        call = self.call()
        options = PlanOptions(partial=False, mass_delete=True)
        plan = applying.plan(call, [], options=options)
        return applying.commit(call, plan, "teardown")

    def restore(
        self, at: int | datetime, *, mass_delete: bool = False, message: str = ""
    ) -> Commit | None:
        """Register the owner's objects again as they were, in a new commit.

        Objects that the owner has registered since are deleted, what belongs to others by now is
        left alone, and the rules hold as for any plan.

        Args:
            at: A registry version, or a time.
            mass_delete: Allow that to delete many objects.
            message: Description of the commit, for the history.

        Raises:
            NotFoundError: The version does not exist.
            RequestError: The registry was empty then.
            RefusedError: The plan breaks rules; all of them are listed.
        """
        call = self.call()
        plan = applying.plan_restore(call, at, mass_delete=mass_delete)
        return applying.commit(call, plan, message or f"restore {at}")

    def delete_feature_view(self, name: str) -> Commit | None:
        """Delete a feature view or an on-demand view; its readers are protected as in `apply`.

        Raises:
            NotFoundError: It is not registered.
            RefusedError: Others read it, or it belongs to another owner.
        """
        call = self.call()
        view = call.project.find_view(ViewReference(view=name))
        if view is None:
            names = call.project.names(View.namespace)
            raise NotFoundError(call.project.not_found("view", name, names))
        return applying.commit(call, applying.plan(call, [], [view]))

    def delete_feature_service(self, name: str) -> Commit | None:
        """Delete a feature service.

        Raises:
            NotFoundError: It is not registered.
            RefusedError: It belongs to another owner.
        """
        call = self.call()
        service = call.project.get(FeatureService, name)
        return applying.commit(call, applying.plan(call, [], [service]))

    def plan_restore(self, at: int | datetime, *, mass_delete: bool = False) -> Plan:
        """Return the plan that `restore` commits."""
        return applying.plan_restore(self.call(), at, mass_delete=mass_delete)

    def materialize(
        self,
        start_date: datetime,
        end_date: datetime,
        feature_views: Sequence[str] | None = None,
        *,
        include_end: bool = True,
        on_progress: loading.OnProgress | None = None,
    ) -> dict[str, int]:
        """Load rows observed from `start_date` to `end_date` into the online store.

        Rows come in batches and none is ever replaced by an older one, so loads may overlap, run
        at once, fail and be repeated. A window counts as loaded when all of its rows are stored.

        Args:
            start_date: Inclusive.
            end_date: Inclusive, unless `include_end` is false, as for windows that follow one
                another.
            include_end: See `end_date`.
            feature_views: Names of views; all that are served online if left out. The name of an
                on-demand view with `write_to_online_store` computes its answers only.
            on_progress: Called with a view's name and its number of loaded rows, after each batch.

        Returns:
            View → rows loaded, at most one per key.

        Raises:
            NotFoundError: A view is not registered.
            RequestError: `start_date` is not before `end_date`.
            SchemaError, StoreError: Views could not be loaded; all others were.
        """
        return loading.materialize(
            may_write(self.call()),
            start=start_date,
            end=end_date,
            views=feature_views,
            include_end=include_end,
            on_progress=on_progress,
        )

    def materialize_incremental(
        self,
        end_date: datetime | None = None,
        feature_views: Sequence[str] | None = None,
        *,
        lookback: timedelta = loading.DEFAULT_LOOKBACK,
        on_progress: loading.OnProgress | None = None,
    ) -> dict[str, int]:
        """Load what is new since the last load.

        Args:
            end_date: Inclusive; now if left out.
            feature_views: As for `materialize`.
            lookback: How far to go back before the end of the last load, for rows that arrive
                late.
            on_progress: Called with a view's name and its number of loaded rows, after each batch.

        Returns:
            View → rows loaded, at most one per key.

        Raises:
            NotFoundError: A view is not registered.
            RequestError: A view is not served online, or the lookback is negative.
            SchemaError: A source does not match its declared schema.
            StoreError: A store cannot be read or written; views that were loaded are named.
        """
        return loading.materialize_incremental(
            may_write(self.call()),
            end=end_date,
            views=feature_views,
            lookback=lookback,
            on_progress=on_progress,
        )

    def online_windows(self, feature_view_name: str) -> list[Window]:
        """Return the ranges of event time that are loaded into a view's online table.

        Args:
            feature_view_name: Name of a view that is served online, or of an on-demand view with
                `write_to_online_store`.

        Returns:
            Ranges `[start, end)`, merged, oldest first. Ranges that were loaded before the view
            changed what its rows mean are left out: they have to be loaded again.

        Raises:
            NotFoundError: The view is not registered.
        """
        return loading.windows(self.call(), feature_view_name)

    def get_online_features(
        self,
        features: Features,
        entity_rows: object,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002 - by position, as in Feast
    ) -> OnlineResponse:
        """Read the newest features of entities.

        A request is resolved once per registry version. Other processes' commits are seen
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
            NotFoundError: A referenced object is not registered.
            RequestError: A key or value is missing or has the wrong type.
        """
        if self._prepared is None:
            pinned = None if self._registry_version is None else self.snapshot()
            self._prepared = serving.PreparedRequests(self.stores, self.project, pinned)
        now = self._clock()
        reader = self._prepared.reader(features, now, full_feature_names=full_feature_names)
        return reader.read(entity_rows, now)

    def write_to_online_store(
        self, feature_view_name: str, df: object, *, ignore_unknown: bool = False
    ) -> int:
        """Write rows to a view's online table; existing newer rows stay.

        Args:
            feature_view_name: Name of the view.
            df: Shape (n, keys + event timestamp + features), as pandas, polars or Arrow. A created
                timestamp may come along.
            ignore_unknown: Whether to leave out columns that the view has not.

        Returns:
            The number of rows.

        Raises:
            NotFoundError: The view is not registered.
            SchemaError: A column is missing, unknown or of the wrong type.
        """
        return writing.write_online(
            may_write(self.call()), feature_view_name, df, ignore_unknown=ignore_unknown
        )

    def delete_from_online_store(self, feature_view_name: str, df: object) -> int:
        """Delete entities from a view's online table, as of a time.

        A row observed later stays or comes back; one observed earlier never does, not even by a
        backfill.

        Args:
            feature_view_name: Name of the view.
            df: Shape (n, keys + event timestamp), as pandas, polars or Arrow; as of now without
                the timestamp.

        Returns:
            The number of deletions.

        Raises:
            NotFoundError: The view is not registered.
            SchemaError: A column is missing or of the wrong type.
        """
        return writing.delete_online(may_write(self.call()), view=feature_view_name, df=df)

    def expire_online_store(self, feature_views: Sequence[str] | None = None) -> dict[str, int]:
        """Remove online rows that are older than their view's ttl.

        Args:
            feature_views: Names of views; all that are served online if left out.

        Returns:
            View → rows removed; views without a ttl keep theirs.

        Raises:
            NotFoundError: A view is not registered.
            RequestError: A view is not served online.
        """
        return writing.expire(may_write(self.call()), feature_views)

    def push(
        self,
        push_source_name: str,
        df: object,
        to: writing.PushMode = writing.PushMode.ONLINE,
        *,
        ignore_unknown: bool = False,
    ) -> int:
        """Send rows to the views that a push source feeds.

        Args:
            push_source_name: Name of the push source.
            df: As for `write_to_online_store`.
            to: The online tables of the views, the push source's `batch_source`, or both: then
                history is written first.
            ignore_unknown: Whether to leave out columns that none of the views has.

        Returns:
            How many rows were handled, over all views.

        Raises:
            NotFoundError: No registered view has that push source.
            RequestError: The batch source is missing or cannot grow.
            SchemaError: A column is missing, unknown or of the wrong type.
        """
        return writing.push(
            may_write(self.call()), push_source_name, df=df, to=to, ignore_unknown=ignore_unknown
        )

    async def get_online_features_async(
        self, features: Features, entity_rows: object, *, full_feature_names: bool = False
    ) -> OnlineResponse:
        """Return online features as `get_online_features` does, without blocking the event loop."""
        return await serving.in_thread(
            self.get_online_features, features, entity_rows, full_feature_names=full_feature_names
        )

    async def push_async(
        self,
        push_source_name: str,
        df: object,
        to: writing.PushMode = writing.PushMode.ONLINE,
        *,
        ignore_unknown: bool = False,
    ) -> int:
        """Send rows as `push` does, without blocking the event loop."""
        return await serving.in_thread(
            self.push, push_source_name, df, to, ignore_unknown=ignore_unknown
        )

    def ingest(
        self,
        source_name: str,
        to: writing.PushMode = writing.PushMode.ONLINE,
        *,
        until_empty: bool = False,
        stop: Event | None = None,
        on_progress: Callable[[Ingested], None] | None = None,
    ) -> Ingested:
        """Push messages of a broker to the views of a stream source, continuously.

        Any number of processes share the work. Every message is stored at least once; online, one
        that comes twice changes nothing, and in history it is a row that was there before.
        Messages that are not rows of the source's views are put aside into `<topic>.rejected`.

        Args:
            source_name: Name of the stream source.
            to: As for `push`.
            until_empty: Return when nothing has come for a second.
            stop: An event that ends it, after the messages at hand.
            on_progress: Called with the totals after each batch.

        Returns:
            How many messages were stored, and how many put aside.

        Raises:
            ConfigError: `feature_store.yaml` names no broker.
            NotFoundError: No registered view has that stream source.
            StoreError: The broker or a store failed; what was not stored is delivered again.
        """
        return writing.ingest(
            may_write(self.call()),
            source_name,
            lambda rows: self.push(source_name, rows, to),
            until_empty=until_empty,
            stop=stop,
            on_progress=on_progress,
        )

    def stream_state(self, source_name: str) -> StreamState:
        """Return how far the ingestion of a stream source is.

        Returns:
            Messages that are not stored yet, those put aside, and when the newest was sent.

        Raises:
            ConfigError: `feature_store.yaml` names no broker.
            NotFoundError: No such stream source is registered.
            StoreError: The broker cannot be read.
        """
        return writing.stream_state(self.call(), source_name)

    def write_to_offline_store(
        self, feature_view_name: str, df: object, *, ignore_unknown: bool = False
    ) -> str:
        """Append rows to a view's source.

        A source of files has to be a directory and gets new files.

        Args:
            feature_view_name: Name of the view.
            df: As for `write_to_online_store`. Rows without a created timestamp are created now.
            ignore_unknown: Whether to leave out columns that the view has not.

        Returns:
            The location of the new rows.

        Raises:
            NotFoundError: The view is not registered.
            RequestError: The view has no history, or its source cannot grow.
            SchemaError: A column is missing, unknown or of the wrong type.
            StoreError: The source cannot be written; nothing was.
        """
        return writing.write_offline(
            may_write(self.call()), feature_view_name, df, ignore_unknown=ignore_unknown
        )

    def get_historical_features(
        self,
        entity_df: object = None,
        features: Features = (),
        full_feature_names: bool = False,  # noqa: FBT001, FBT002 - by position, as in Feast
        *,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        filter_by_created_timestamp: bool = False,
        as_of: datetime | None = None,
    ) -> RetrievalJob:
        """Prepare a training set: the features known at the time of each entity row.

        Args:
            entity_df: Shape (n, join keys + event timestamp + any), as pandas, polars or Arrow; a
                SQL query; or the path of a Parquet file. The timestamp is `event_timestamp` or
                the only column of a time type; naive times are UTC.
            features: A feature service or its name, or a list of views and `view:feature`.
            full_feature_names: Name columns `view__feature`.
            start_date: Without `entity_df`: return every feature row observed from this time on,
                each as of its own time.
            end_date: Latest event time of these rows, inclusive; now by default.
            filter_by_created_timestamp: Use only rows that had been created by then, where the
                source has a created timestamp.
            as_of: Use only rows that had been created by this time, as if asked then. Needs
                sources with a created timestamp.

        Returns:
            A job that runs when its result is asked for: one row per entity row, in their order,
            with their columns and the features. A feature is null where no row qualifies.

        Raises:
            NotFoundError: A referenced object is not registered.
            RequestError: The entity rows lack something, or two features share a name.
        """
        return training.training_set(
            self.call(),
            entity_df,
            features,
            full_feature_names=full_feature_names,
            start_date=start_date,
            end_date=end_date,
            known_only=filter_by_created_timestamp,
            as_of=as_of,
        )

    def verify_parity(
        self, features: Features, entity_rows: object, *, full_feature_names: bool = False
    ) -> Parity:
        """Compare online features with history at the same times.

        Each value is looked up online, and computed again from history as of the observation that
        is served: on-demand views included, from what history says. A value that is not served is
        compared with what history says now, so rows that were never loaded are found, too.

        Args:
            features: As for `get_online_features`.
            entity_rows: Shape (n, join keys + request values), as pandas, polars or Arrow.
            full_feature_names: Name features `view__feature`.

        Returns:
            The number of differing values per feature, and the first mismatches.

        Raises:
            NotFoundError: A referenced object is not registered.
            RequestError: A view has no history, or a column is missing.

        Example:
            >>> store.verify_parity("ranking_v1", sample).mismatches  # doctest: +SKIP
            0
        """
        return training.parity(
            self.call(), features, entity_rows, full_feature_names=full_feature_names
        )

    def get_statistics(
        self,
        feature_view_name: str,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> Statistics:
        """Describe the features of a view's history, computed by the offline store.

        Args:
            feature_view_name: Name of the view.
            start_date: Earliest event time, inclusive; the beginning of history by default.
            end_date: Latest event time, inclusive; now by default.

        Returns:
            Feature → count, nulls, distinct, min, max, mean, stddev, quantiles and top values.

        Raises:
            NotFoundError: The view is not registered.
            RequestError: The view has no history.
        """
        return training.statistics(self.call(), feature_view_name, start_date, end_date)

    def get_source_schema(self, source: Source | str) -> SourceSchema:
        """Return fields for the columns of a source, to declare a view with.

        Args:
            source: A source, or the name of a registered one.

        Raises:
            NotFoundError: The source is not registered.
            RequestError: It has no history.
            StoreError: It cannot be read.
        """
        return source_schema(self.call(), source)

    def check(
        self,
        names: Sequence[str] | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> list[checking.CheckResult]:
        """Evaluate what owners declared of their rows, in one pass over each view's window.

        Args:
            names: Names of views and services; all views with a history, and one's own services,
                if left out.
            start_date: Earliest event time, inclusive; the beginning of history by default.
            end_date: End of the event times, exclusive; now by default.

        Returns:
            A result per declared check, and `schema` for each view: whether its source has the
            declared columns.

        Raises:
            NotFoundError: A view or service is not registered.
            StoreError: A source cannot be read.
        """
        return checking.check_rows(self.call(), names, start_date, end_date)

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
            from_: Job from `get_historical_features`.
            name: Name of the dataset.
            storage: A folder, relative to the offline store's root; `datasets/<name>` there if
                left out. Elsewhere, `SavedDataset.load` opens it.
            split: `RandomSplit` or `TimeSplit`.
            tags: Labels.

        Raises:
            RequestError: The folder exists, or a row fits no split.

        Source: Feast's `create_saved_dataset`. Nothing is registered; see the manifest.
        """
        return training.save_dataset(self.stores, from_, name, storage, split=split, tags=tags)

    def get_saved_dataset(self, name: str) -> SavedDataset:
        """Open a saved dataset below the offline store's root.

        Raises:
            NotFoundError: It does not exist.
        """
        return training.saved_dataset(self.stores, name)

    def list_saved_datasets(self, *, tags: Tags = None) -> list[SavedDataset]:
        """List the saved datasets below the offline store's root, by name.

        Datasets that were saved into folders of their own are opened with `SavedDataset.load`.

        Args:
            tags: Labels that they must have.
        """
        return tagged(training.saved_datasets(self.stores), tags)


feasts.accept(FeatureStore, feasts.STORE)
feasts.explain_attributes(FeatureStore)
