"""Stores of one repo, opened on first use and closed together."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, Self, TypeAlias

from feature_platform.definitions import Definition
from feature_platform.errors import ConfigError
from feature_platform.functions import FunctionLoader
from feature_platform.lazy import Lazy
from feature_platform.offline import OfflineStore
from feature_platform.online import OnlineStore
from feature_platform.project import Project, Retrieval
from feature_platform.registry import Registry, open_log
from feature_platform.repo import Repo
from feature_platform.retrieval import Steps
from feature_platform.services.workers import Extend, Workers, needs_worker

Defined: TypeAlias = Sequence[Definition] | None
"""Everything that a repo defines; `None` for what is in its folder."""


class Stores:
    """Registry, offline store, online store and on-demand functions of a repo.

    Nothing is contacted before it is used. Forked processes open their own connections.

    Args:
        repo: The repo, whose settings name the stores.
        registry: A registry to use instead; its owner closes it.
        offline: An offline store to use instead.
        now: Clock for the time of commits.
    """

    def __init__(
        self,
        repo: Repo,
        *,
        registry: Registry | None = None,
        offline: OfflineStore | None = None,
        now: Callable[[], datetime],
    ) -> None:
        self.repo = repo
        self.settings = repo.config
        self._registry = (
            Lazy(lambda: registry)
            if registry
            else Lazy(
                lambda: Registry(open_log(self.settings.registry, repo.path), now=now),
                Registry.close,
            )
        )
        self._offline = Lazy(lambda: offline or self.settings.offline_store.open(repo.path))
        self._online = Lazy(self._open_online, lambda store: store.close())
        self.loader = FunctionLoader(repo)
        self.functions = self.loader.load
        self._workers = Lazy(lambda: Workers(repo), Workers.close)

    @property
    def registry(self) -> Registry:
        """The registry, with its history."""
        return self._registry.get()

    @property
    def offline(self) -> OfflineStore:
        """Where history is read."""
        return self._offline.get()

    @property
    def online(self) -> OnlineStore:
        """Where the newest values are kept.

        Raises:
            ConfigError: The settings name no online store.
        """
        return self._online.get()

    @property
    def has_online(self) -> bool:
        """Whether the settings name an online store."""
        return self.settings.online_store is not None

    def computing(self, retrieval: Retrieval) -> Extend:
        """Return a function that computes on-demand views of written rows.

        Functions of other owners run in processes of their own.
        """
        if needs_worker(retrieval.transformations, self.settings.team):
            return self._workers.get().extend(retrieval)
        [read] = retrieval.reads
        return Steps(retrieval.transformations, self.functions, read.table.keys).extend

    def close(self) -> None:
        """Close all connections; the next use reopens them."""
        self._workers.close()
        self._online.close()
        self._registry.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_online(self) -> OnlineStore:
        if self.settings.online_store is None:
            raise ConfigError("online_store is null, so this repo has no online store.")
        return self.settings.online_store.open(self.repo.path)


class Call(NamedTuple):
    """One call of a feature store, with one registry version and one time.

    Attributes:
        project: The project, from one read of the registry.
        stores: The stores.
        now: The time of the call.
    """

    project: Project
    stores: Stores
    now: datetime

    def defined(self, definitions: Defined) -> Sequence[Definition]:
        """Return what the repo defines."""
        return self.stores.repo.definitions if definitions is None else definitions
