"""Feast's `list_*` and `get_*`: the registry's objects by kind."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TypeVar

from feature_platform.definitions import (
    Definition,
    Entity,
    FeatureService,
    FeatureView,
    OnDemandFeatureView,
    Source,
    StreamFeatureView,
    View,
)
from feature_platform.errors import RequestError
from feature_platform.registry import Snapshot
from feature_platform.resolve import table_of
from feature_platform.table import Table

D = TypeVar("D", bound=Definition)
Tags = Mapping[str, str]


class Catalog(ABC):
    """Lists the objects of one project; `tags` keeps those that carry all of them."""

    project: str

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """Return the registry's newest state."""

    def list_entities(self, *, tags: Tags | None = None) -> list[Entity]:
        return self._list(Entity, tags)

    def get_entity(self, name: str) -> Entity:
        return self.snapshot().get(Entity, self.project, name)

    def list_data_sources(self, *, tags: Tags | None = None) -> list[Source]:
        return self._list(Source, tags)

    def get_data_source(self, name: str) -> Source:
        return self.snapshot().get(Source, self.project, name)

    def list_feature_views(self, *, tags: Tags | None = None) -> list[FeatureView]:
        """Return batch and stream feature views."""
        return self._list(FeatureView, tags)

    def get_feature_view(self, name: str) -> FeatureView:
        return self.snapshot().get(FeatureView, self.project, name)

    def list_stream_feature_views(self, *, tags: Tags | None = None) -> list[StreamFeatureView]:
        return self._list(StreamFeatureView, tags)

    def get_stream_feature_view(self, name: str) -> StreamFeatureView:
        return self.snapshot().get(StreamFeatureView, self.project, name)

    def list_on_demand_feature_views(
        self, *, tags: Tags | None = None
    ) -> list[OnDemandFeatureView]:
        return self._list(OnDemandFeatureView, tags)

    def get_on_demand_feature_view(self, name: str) -> OnDemandFeatureView:
        return self.snapshot().get(OnDemandFeatureView, self.project, name)

    def list_all_feature_views(self, *, tags: Tags | None = None) -> list[View]:
        """Return batch, stream and on-demand feature views."""
        return [*self.list_feature_views(tags=tags), *self.list_on_demand_feature_views(tags=tags)]

    def list_feature_services(self, *, tags: Tags | None = None) -> list[FeatureService]:
        return self._list(FeatureService, tags)

    def get_feature_service(self, name: str) -> FeatureService:
        return self.snapshot().get(FeatureService, self.project, name)

    def _list(self, kind: type[D], tags: Tags | None) -> list[D]:
        wanted = dict(tags or {}).items()
        found = self.snapshot().of(kind, self.project)
        return [definition for definition, _ in found if wanted <= definition.tags.items()]

    def _online_tables(self, names: Sequence[str] | None) -> list[Table]:
        """Return the tables of some views, or of all that are served online and have a history."""
        snapshot = self.snapshot()
        names = names_of(names)
        if names is None:
            views = [v for v, _ in snapshot.of(FeatureView, self.project) if v.online]
            tables = [table_of(snapshot, self.project, view) for view in views]
            return [table for table in tables if table.history is not None]
        views = [snapshot.get(FeatureView, self.project, name) for name in names]
        if offline := [view.name for view in views if not view.online]:
            raise RequestError(f"View {offline[0]!r} is not served online: it says online=False.")
        return [table_of(snapshot, self.project, view) for view in views]


def names_of(names: Sequence[str] | None) -> list[str] | None:
    """Return names as a list; one name may stand alone.

    Raises:
        RequestError: It is something else.
    """
    if names is None or isinstance(names, str):
        return None if names is None else [names]
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise RequestError(f"feature_views is {names!r}, not a list of names.")
    return list(names)
