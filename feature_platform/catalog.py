"""The catalog: what is registered in a project, by kind."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from feature_platform.definitions import (
    Definition,
    Entity,
    FeatureService,
    FeatureView,
    OnDemandFeatureView,
    Project,
    Source,
    StreamFeatureView,
    View,
    feast_arguments,
)
from feature_platform.errors import RequestError, abbreviate
from feature_platform.project import ProjectSnapshot

D = TypeVar("D", bound=Definition)


class Tagged(Protocol):
    """Something with tags."""

    @property
    def tags(self) -> Mapping[str, str]: ...


T = TypeVar("T", bound=Tagged)
Tags = Mapping[str, str] | None


class Catalog(ABC):
    """Lists and gets definitions. With `tags`, lists keep the objects that have all of them.

    Names that are not registered raise `NotFoundError`.
    """

    @abstractmethod
    def load_project(self) -> ProjectSnapshot:
        """Return the project in the newest snapshot, or in the pinned version."""

    def list_projects(self) -> list[str]:
        """Return the names of all projects in the registry, sorted."""
        return sorted({key.project for key in self.load_project().snapshot.entries})

    def get_project(self, name: str) -> Project:
        """Return what this project is about."""
        return self.load_project().get(Project, name)

    def list_entities(self, *, tags: Tags = None) -> list[Entity]:
        return _list(self.load_project(), Entity, tags)

    def get_entity(self, name: str) -> Entity:
        return self.load_project().get(Entity, name)

    def list_data_sources(self, *, tags: Tags = None) -> list[Source]:
        return _list(self.load_project(), Source, tags)

    def get_data_source(self, name: str) -> Source:
        return self.load_project().get(Source, name)

    def list_feature_views(self, *, tags: Tags = None) -> list[FeatureView]:
        """Return batch and stream feature views."""
        return _list(self.load_project(), FeatureView, tags)

    list_batch_feature_views = list_feature_views

    def get_feature_view(self, name: str) -> FeatureView:
        return self.load_project().get(FeatureView, name)

    def list_stream_feature_views(self, *, tags: Tags = None) -> list[StreamFeatureView]:
        return _list(self.load_project(), StreamFeatureView, tags)

    def get_stream_feature_view(self, name: str) -> StreamFeatureView:
        return self.load_project().get(StreamFeatureView, name)

    def list_on_demand_feature_views(self, *, tags: Tags = None) -> list[OnDemandFeatureView]:
        return _list(self.load_project(), OnDemandFeatureView, tags)

    def get_on_demand_feature_view(self, name: str) -> OnDemandFeatureView:
        return self.load_project().get(OnDemandFeatureView, name)

    def list_all_feature_views(self, *, tags: Tags = None) -> list[View]:
        """Return batch, stream and on-demand feature views."""
        project = self.load_project()
        return [*_list(project, FeatureView, tags), *_list(project, OnDemandFeatureView, tags)]

    def list_feature_services(self, *, tags: Tags = None) -> list[FeatureService]:
        return _list(self.load_project(), FeatureService, tags)

    def get_feature_service(self, name: str) -> FeatureService:
        return self.load_project().get(FeatureService, name)


def _list(project: ProjectSnapshot, kind: type[D], tags: Tags) -> list[D]:
    return tagged((definition for definition, _ in project.of(kind)), tags)


def tagged(objects: Iterable[T], tags: Tags) -> list[T]:
    """Keep the objects that have all tags.

    Raises:
        RequestError: The tags are no dict.
    """
    if tags is not None and not isinstance(tags, Mapping):
        raise RequestError(f"tags must be a dict of name to value, not {abbreviate(tags)}.")
    required = dict(tags or {}).items()
    return [each for each in objects if required <= each.tags.items()]


feast_arguments.accept(Catalog, feast_arguments.CATALOG)
