"""One owner's part of a project: what it registers, and everything about registering it."""

import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from feature_platform.catalog import Catalog
from feature_platform.config import RepoConfig
from feature_platform.definitions import (
    Definition,
    FeatureView,
    OnDemandFeatureView,
    RequestSource,
    applicable,
)
from feature_platform.errors import ConfigError, NotFoundError, RequestError, StoreError
from feature_platform.offline import OfflineStore, open_offline_store
from feature_platform.online import OnlineStore, open_online_store
from feature_platform.registry import (
    VIEW_KINDS,
    Change,
    Commit,
    Plan,
    Proposal,
    Registry,
    SavedPlan,
    Snapshot,
    differences,
    open_log,
    plan,
)
from feature_platform.repo import Repo
from feature_platform.resolve import stored_of, table_of
from feature_platform.review import Review, review


class Contributor(Catalog):
    """Plans, reviews and applies an owner's objects; `FeatureStore` adds the features."""

    def __init__(
        self,
        repo_path: str | Path | None = None,
        *,
        config: RepoConfig | None = None,
        registry: Registry | None = None,
        offline: OfflineStore | None = None,
        registry_version: int | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        folder = repo_path or "."
        self.repo = Repo(Path(folder).resolve(), config) if config else Repo.load(folder)
        self.config = self.repo.config
        self.project = self.config.project
        self.owner = self.config.team
        self._clock = clock
        self._registry = registry
        self._offline = offline
        self._registry_version = registry_version

    @cached_property
    def registry(self) -> Registry:
        """The registry, with its history."""
        log = open_log(self.config.registry, self.repo.path)
        return self._registry or Registry(log, now=self._clock)

    @cached_property
    def offline(self) -> OfflineStore:
        """Where history is read."""
        return self._offline or open_offline_store(self.config.offline_store, self.repo.path)

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
        """Return the registry's newest state, or the one this store is pinned to."""
        return self.registry.snapshot() if self._registry_version is None else self._pinned

    @cached_property
    def _pinned(self) -> Snapshot:
        return self.registry.snapshot(self._registry_version)

    def _recent_snapshot(self) -> Snapshot:
        """Return a state for readers that ask all the time; see `registry_cache_seconds`."""
        if self._registry_version is not None:
            return self._pinned
        return self.registry.recent(self.config.registry_cache_seconds)

    def refresh_registry(self) -> None:
        """Read commits made elsewhere, as every call does by itself."""
        self.snapshot()

    def plan(
        self,
        objects: Definition | RequestSource | Iterable[Definition | RequestSource] | None = None,
        objects_to_delete: Iterable[Definition] = (),
        *,
        partial: bool = True,
        mass_delete: bool = False,
        override: str = "",
    ) -> Plan:
        """Compare objects with the registry; nothing is written.

        Args:
            objects: What should be registered; everything the repo folder defines if left out.
            objects_to_delete: Own objects that should not.
            partial: `False` also deletes the owner's objects that are not listed.
            mass_delete: Let that be many of them.
            override: Why the platform breaks what others rely on. Only the platform can; the
                reason and every broken contract are kept in the commit.

        Raises:
            ConfigError: A module of the repo folder failed to import.
            DefinitionError: Two objects share a name, or one is unfinished.
        """
        desired = applicable(self.repo.definitions if objects is None else objects)
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
            mass_delete=mass_delete,
            override=override,
        )

    def review(self, plan: Plan, *, costs: bool = True) -> Review:
        """Say what a plan would do, and what speaks against it; nothing is written.

        Args:
            plan: The plan.
            costs: Whether to look for online tables to load again, which reads the stores.

        Returns:
            Problems, effects on everybody's readers, deprecations that concern the owner, and
            online tables to load again.
        """
        offline = online = None
        if costs:
            with suppress(ConfigError):  # a store that this release cannot open has no costs
                online = self.online
                offline = self.offline
        return review(Proposal.of(plan, self.snapshot(), self._clock()), offline, online)

    def apply(
        self,
        objects: Definition | RequestSource | Iterable[Definition | RequestSource] | None = None,
        objects_to_delete: Iterable[Definition] = (),
        *,
        partial: bool = True,
        mass_delete: bool = False,
        override: str = "",
        message: str = "",
        client: str = "python",
    ) -> Commit | None:
        """Register objects in one commit: all of them, or none.

        Args:
            objects: What to register; everything the repo folder defines if left out.
            objects_to_delete: Own objects to remove.
            partial: `True` adds and updates what is listed. `False` is a full sync: own objects
                that are not listed are deleted. Other owners' objects are never touched.
            mass_delete: Let a full sync delete much at once.
            override: Why the platform breaks what others rely on, for the record.
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
        planned = self.plan(
            objects,
            objects_to_delete,
            partial=partial,
            mass_delete=mass_delete,
            override=override,
        )
        return self.commit(planned, message=message, client=client)

    def commit(
        self, plan: Plan | SavedPlan, *, message: str = "", client: str = "python"
    ) -> Commit | None:
        """Write a plan that `plan` made, perhaps some time ago; raises as `apply` does.

        The online tables of views that it deletes are emptied. A saved plan is refused where
        anything that it rests on has changed since.
        """
        saved, plan = plan, plan.plan if isinstance(plan, SavedPlan) else plan
        self._check_not_pinned()
        if plan.project != self.project:
            raise RequestError(f"The plan is for project {plan.project!r}, not {self.project!r}.")
        before = self.snapshot()
        views = [change for change in plan.changes if change.kind in VIEW_KINDS]
        # Rows that a deleted view could not take with it must not come back with a new one.
        again = [c for c in views if c.before is None and plan.key(c) in before.removed]
        self._empty(again, Proposal.of(plan, before, self._clock()).after)
        commit = self.registry.commit(saved, principal=self.owner, client=client, message=message)
        if commit is not None:
            try:
                self._empty([change for change in views if change.after is None], before)
            except StoreError as error:
                warnings.warn(
                    f"Applied as version {commit.version}, but online rows of deleted views are "
                    f"still stored: {error} They go before a view of that name is registered.",
                    RuntimeWarning,
                    stacklevel=2,
                )
        return commit

    def _empty(self, changes: Iterable[Change], snapshot: Snapshot) -> None:
        """Remove the online rows of views, as a snapshot has them."""
        if self.config.online_store is None:
            return
        # A store that this release cannot write holds nothing of ours, and a view that refers to
        # what is not there is refused.
        with suppress(ConfigError, NotFoundError):
            for change in changes:
                view = snapshot.view(self.project, change.name)
                if isinstance(view, FeatureView):
                    self.online.drop(table_of(snapshot, self.project, view))
                elif isinstance(view, OnDemandFeatureView) and view.write_to_online_store:
                    self.online.drop(stored_of(snapshot, self.project, view).table)

    def _check_not_pinned(self) -> None:
        if self._registry_version is not None:
            raise RequestError(
                f"This store is pinned to registry version {self._registry_version} and only "
                "reads. Leave registry_version out to write."
            )

    def teardown(self) -> Commit | None:
        """Remove the owner's objects from the project, and their online tables.

        Raises:
            RefusedError: Another owner's objects need them.
        """
        planned = self.plan([], partial=False, mass_delete=True)
        return self.commit(planned, message="teardown")

    def restore(
        self, at: int | datetime, *, mass_delete: bool = False, message: str = ""
    ) -> Commit | None:
        """Register the owner's objects again as they were, in a new commit.

        Objects that the owner has registered since are deleted, what belongs to others by now is
        left alone, and the rules hold as for any plan.

        Args:
            at: A registry version, or a time.
            mass_delete: Let that delete much at once.
            message: Why, for the history.

        Raises:
            NotFoundError: There is no such version.
            RequestError: Nothing was registered then.
            RefusedError: The registry's rules forbid it; all reasons are listed.
        """
        planned = self.plan_restore(at, mass_delete=mass_delete)
        return self.commit(planned, message=message or f"restore {at}")

    def plan_restore(self, at: int | datetime, *, mass_delete: bool = False) -> Plan:
        """Return the plan that `restore` commits."""
        now, then = self.snapshot(), self.registry.snapshot(at)
        if not then.version:
            raise RequestError(f"Nothing was registered at {at}: there is nothing to restore.")
        plans = {p.owner: p for p in differences(now, then, self.project)}
        changes = plans[self.owner].changes if self.owner in plans else ()
        own = [c for c in changes if self._may_restore(now, c)]
        return Plan(
            project=self.project,
            owner=self.owner,
            version=now.version,
            changes=tuple(own),
            full_sync=True,
            mass_delete=mass_delete,
        )

    def _may_restore(self, now: Snapshot, change: Change) -> bool:
        entry = now.find(self.project, change.kind, change.name)
        return entry is None or entry.owner == self.owner
