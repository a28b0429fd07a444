"""Stores of one repo, opened on first use and closed together."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self, TypeAlias

import pyarrow as pa

from feature_platform.definitions import Definition, namespace_of
from feature_platform.errors import AccessError, ConfigError, RequestError, check_type
from feature_platform.functions import FunctionLoader
from feature_platform.lazy import Lazy
from feature_platform.offline import OfflineStore
from feature_platform.online import OnlineStore
from feature_platform.project import (
    Action,
    Caller,
    Key,
    ProjectSnapshot,
    Retrieval,
    Transformation,
    decide,
)
from feature_platform.registry import CommitLog, Registry, open_log
from feature_platform.repo import Repo
from feature_platform.retrieval import Step, Steps
from feature_platform.server_client import ServerClient, is_server_url
from feature_platform.services.workers import Workers

Defined: TypeAlias = Sequence[Definition] | None
"""Everything that a repo defines; `None` for what is in its folder."""


class Stores:
    """Registry, offline store, online store and on-demand functions of a repo.

    Nothing is contacted before it is used. Forked processes open their own connections.

    Args:
        repo: The repo, whose settings name the stores.
        registry: A registry to use instead; its owner closes it.
        s3: A boto3 client for a registry on S3; default: boto3's own settings.
        offline: An offline store to use instead.
        now: Clock for the time of commits.
    """

    def __init__(
        self,
        repo: Repo,
        *,
        registry: Registry | None = None,
        s3: Any = None,
        offline: OfflineStore | None = None,
        now: Callable[[], datetime],
    ) -> None:
        self.repo = repo
        self.settings = repo.config
        self._server = Lazy(self._open_server, lambda client: client.close())
        self._registry = (
            Lazy(lambda: registry)
            if registry
            else Lazy(lambda: Registry(self._open_log(), now=now), Registry.close)
        )
        self._offline = Lazy(lambda: offline or self.settings.offline_store.open(repo.path))
        self._online = Lazy(self._open_online, lambda store: store.close())
        self._s3 = s3
        self._now = now
        self.loader = FunctionLoader(repo)
        self.workers = Lazy(lambda: Workers(repo), Workers.close)
        self._others: dict[str, Stores] = {}
        self._root: Stores | None = None

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

    def of(self, project: str) -> "Stores":
        """Return the stores of a project of the same registry, for what it shares with this one.

        Stores that have the same settings are the same stores.
        """
        if self._root is not None:
            return self._root.of(project)
        if project == self.settings.project:
            return self
        if project not in self._others:
            self._others[project] = self._of_other(project)  # nothing is opened yet
        return self._others[project]

    def acting_for(self, project: str, owner: str) -> "Stores":
        """Return the stores of a project for one of its owners, as a server needs them."""
        home = self.of(project)
        stores = Stores(
            Repo(home.repo.path, self.settings.for_project(project, owner)), now=self._now
        )
        stores._share(self, home)
        return stores

    def _share(self, root: "Stores", home: "Stores") -> None:
        """Use the registry of a root, and the stores of a project."""
        self._root = root
        self._registry = Lazy(lambda: root.registry)
        self._offline = Lazy(lambda: home.offline)
        self._online = Lazy(lambda: home.online)

    def _of_other(self, project: str) -> "Stores":
        settings, listed = self.settings.for_project(project), self.settings.projects.get(project)
        folder = (self.repo.path / listed.path).resolve() if listed else self.repo.path
        is_here = folder == self.repo.path
        stores = Stores(Repo(folder, settings), now=self._now)
        stores._registry = Lazy(lambda: self.registry)
        if is_here and settings.offline_store == self.settings.offline_store:
            stores._offline = Lazy(lambda: self.offline)
        if is_here and settings.online_store == self.settings.online_store:
            stores._online = Lazy(lambda: self.online)
        return stores

    @property
    def online_server(self) -> ServerClient | None:
        """The server that reads and writes online rows; `None` if this process does."""
        store = self.settings.online_store
        return self._server.get() if store is not None and store.type == "remote" else None

    @property
    def offline_server(self) -> ServerClient | None:
        """The server that reads and writes history; `None` if this process does."""
        is_remote = self.settings.offline_store.type == "remote"
        return self._server.get() if is_remote else None

    def offline_of(self, project: str) -> OfflineStore:
        """Return where the history of a project's views is read."""
        return self.of(project).offline

    def online_of(self, project: str) -> OnlineStore:
        """Return where the newest rows of a project's views are.

        Raises:
            ConfigError: The settings name no online store for it.
        """
        return self.of(project).online

    def step_of(self, transformation: Transformation, keys: Sequence[str]) -> Step:
        """Return an on-demand view, ready to run.

        Functions run in this process, unless it is a server: then none is its own.
        """
        return self._step(transformation, keys, isolated=self._root is not None)

    def computing(self, retrieval: Retrieval) -> Callable[[pa.Table], pa.Table]:
        """Return a function that computes on-demand views of written rows.

        Functions of other owners run in processes of their own.
        """

        def step_of(transformation: Transformation, keys: Sequence[str]) -> Step:
            is_own = self._root is None and transformation.owner == self.settings.team
            return self._step(transformation, keys, isolated=not is_own)

        [read] = retrieval.reads
        return Steps(retrieval.transformations, step_of, read.table.keys).extend

    def _step(self, transformation: Transformation, keys: Sequence[str], *, isolated: bool) -> Step:
        home = self.of(transformation.project)
        if isolated and transformation.mode != "sql":  # DuckDB itself limits expressions
            return home.workers.get().step(transformation, keys)
        return Step(transformation, home.loader.load, keys)

    def close(self) -> None:
        """Close all connections; the next use reopens them."""
        for stores in self._others.values():
            stores.close()
        self.workers.close()
        self._online.close()
        self._registry.close()
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_server(self) -> ServerClient:
        settings = self.settings
        return ServerClient(settings.registry, settings.connection, self.repo.path)

    def _open_log(self) -> CommitLog:
        client = self._server.get() if is_server_url(self.settings.registry) else None
        return open_log(self.settings.registry, self.repo.path, s3=self._s3, client=client)

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
        is_pinned: Whether the registry version is a chosen one, not the newest.
    """

    project: ProjectSnapshot
    stores: Stores
    now: datetime
    is_pinned: bool = False

    def at(self, action: Action, kind: str, path: str) -> tuple["Call", str]:
        """Return the call as one of the project of an object, and the object's name.

        Args:
            action: What is done with the object.
            kind: Its kind.
            path: Its name; `project/name` for an object that another project shares.

        Raises:
            AccessError: The other project does not share it.
        """
        other, slash, name = path.rpartition("/") if isinstance(path, str) else ("", "", path)
        if not slash or other == self.project.name:
            return self, name
        key = Key(other, namespace_of(kind), name)
        caller = Caller(self.project.name, self.stores.settings.team)
        decision = decide(self.project.snapshot, action, key, caller, self.now)
        if not decision.allowed:
            verb = {"read": "read", "write": "written"}[action]
            raise AccessError(f"{path!r} cannot be {verb}: {decision.reason}.")
        home = self._replace(project=self.project.at(other), stores=self.stores.of(other))
        return home, name

    def check_not_pinned(self) -> None:
        """Refuse to write on a chosen registry version.

        Raises:
            RequestError: The version is one.
        """
        if self.is_pinned:
            version = self.project.snapshot.version
            raise RequestError(
                f"registry_version={version} makes the store read-only. Leave it out to write."
            )

    def defined(self, definitions: Defined) -> Sequence[Definition]:
        """Return what the repo defines."""
        if definitions is None:
            return self.stores.repo.definitions
        check_type(definitions, (list, tuple), "definitions")
        for definition in definitions:
            check_type(definition, Definition, "definitions: an item")
        return definitions
