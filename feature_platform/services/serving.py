"""Serve online features."""

from feature_platform.definitions import FeatureView
from feature_platform.errors import NotFoundError, RequestError
from feature_platform.project import Features, Project, Snapshot, parse_features, resolve
from feature_platform.retrieval import OnlineReader, identity_of
from feature_platform.services.stores import Stores

_MAX_PREPARED = 1000


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
        self._readers: dict[object, tuple[object, OnlineReader]] = {}

    def reader(self, features: Features, *, full_feature_names: bool) -> OnlineReader:
        """Return the reader of a request.

        Other processes' commits are seen within `registry_cache_seconds`, own ones at once;
        an unknown name triggers a refresh.

        Raises:
            NotFoundError: A referenced object is not registered.
            RequestError: A view is not served online, or two features share a name.
        """
        snapshot = self._recent()
        readers = self._readers
        if self._snapshot is not snapshot:
            self._snapshot, self._readers = snapshot, (readers := {})
        key = (identity_of(features), full_feature_names)
        if (prepared := readers.get(key)) is not None:
            return prepared[1]
        try:
            reader = self._resolve(snapshot, features, full_feature_names=full_feature_names)
        except NotFoundError:  # it may have been registered a moment ago
            if self._pinned is not None:
                raise
            newest = self._stores.registry.snapshot()
            reader = self._resolve(newest, features, full_feature_names=full_feature_names)
        if len(readers) < _MAX_PREPARED:
            # Keys hold identities: the objects are kept, so that no other can take theirs.
            kept = tuple(features) if isinstance(features, (list, tuple)) else features
            readers[key] = (kept, reader)
        return reader

    def _recent(self) -> Snapshot:
        if self._pinned is not None:
            return self._pinned
        return self._stores.registry.recent(self._stores.settings.registry_cache_seconds)

    def _resolve(
        self, snapshot: Snapshot, features: Features, *, full_feature_names: bool
    ) -> OnlineReader:
        project = Project(snapshot, self._project)
        references = parse_features(project, features)
        retrieval = resolve(project, references, full_feature_names=full_feature_names)
        for read in retrieval.reads:
            if not project.get(FeatureView, read.table.name).online:
                raise RequestError(
                    f"View {read.table.name!r} is not served online, because it has online=False."
                )
        return OnlineReader(self._stores.online, retrieval, self._stores.functions)
