"""Serve online features."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from feature_platform.definitions import FeatureView
from feature_platform.errors import NotFoundError, check_type, not_served_online
from feature_platform.project import (
    Features,
    ProjectSnapshot,
    Retrieval,
    Snapshot,
    parse_features,
    resolve,
)
from feature_platform.retrieval import OnlineReader, identity_of
from feature_platform.services.remote import RemoteReader, check_newest
from feature_platform.services.stores import Stores

T = TypeVar("T")

_MAX_PREPARED = 1000


class _Prepared(NamedTuple):
    """A resolved request.

    Attributes:
        features: The request as it was written, whose identity is its key: it is kept, so that no
            other object can take that identity.
        retrieval: What it reads.
        reader: Answers it.
    """

    features: object
    retrieval: Retrieval
    reader: OnlineReader


class PreparedRequests:
    """Online requests, each resolved once per registry version.

    Args:
        stores: The stores to read.
        project: The project's name.
        pinned: The registry version to read, if it is not the newest.
    """

    def __init__(self, stores: Stores, project: str, pinned: Snapshot | None = None) -> None:
        self._stores = stores
        self._project = project
        self._pinned = pinned
        self._snapshot: Snapshot | None = None
        self._readers: dict[object, _Prepared] = {}

    def reader(
        self, features: Features, now: datetime, *, full_feature_names: bool
    ) -> OnlineReader | RemoteReader:
        """Return the reader of a request.

        Other processes' commits are seen within `registry_cache_seconds`, own ones at once;
        an unknown name triggers a refresh.

        Raises:
            AccessError: Another project does not share a view, or no longer.
            NotFoundError: A referenced object is not registered.
            RequestError: A view is not served online, two features share a name, or a server would
                answer for a pinned version.
        """
        check_type(full_feature_names, bool, "full_feature_names")
        if client := self._stores.online_server:
            check_newest(is_pinned=self._pinned is not None)
            return RemoteReader(client, features, full_feature_names=full_feature_names)
        snapshot = self._recent()
        readers = self._readers
        if self._snapshot is not snapshot:
            self._snapshot, self._readers = snapshot, (readers := {})
        key = (identity_of(features), full_feature_names)
        prepared = readers.get(key)
        if prepared is not None and _is_shared(prepared.retrieval, now):
            return prepared.reader
        project = ProjectSnapshot(snapshot, self._project, now)
        try:
            prepared = self._prepare(project, features, full_feature_names=full_feature_names)
        except NotFoundError:  # it may have been registered or shared a moment ago
            if self._pinned is not None:
                raise
            project = ProjectSnapshot(self._stores.registry.snapshot(), self._project, now)
            prepared = self._prepare(project, features, full_feature_names=full_feature_names)
        if len(readers) < _MAX_PREPARED:
            readers[key] = prepared
        return prepared.reader

    def _recent(self) -> Snapshot:
        if self._pinned is not None:
            return self._pinned
        return self._stores.registry.recent(self._stores.settings.registry_cache_seconds)

    def _prepare(
        self, project: ProjectSnapshot, features: Features, *, full_feature_names: bool
    ) -> _Prepared:
        references = parse_features(project, features)
        retrieval = resolve(project, references, full_feature_names=full_feature_names)
        for read in retrieval.reads:
            if not project.at(read.table.project).get(FeatureView, read.table.name).online:
                raise not_served_online(read.table.name)
        kept = tuple(features) if isinstance(features, (list, tuple)) else features
        return _Prepared(kept, retrieval, OnlineReader(self._stores, retrieval))


def _is_shared(retrieval: Retrieval, now: datetime) -> bool:
    """Return whether other projects still share what a request reads."""
    return retrieval.until is None or now.date() <= retrieval.until


async def in_thread(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Run a verb in a thread, so that the event loop goes on."""
    from asyncio import to_thread  # importing it takes as long as a small request

    return await to_thread(function, *arguments, **options)
