"""The feature store of one project, as seen from the project of the connection."""

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from feature_platform.definitions import (
    BatchSource,
    FeatureService,
    FeatureView,
    Field,
    Source,
    ViewReference,
)
from feature_platform.errors import AccessError, NotFoundError, RequestError, did_you_mean
from feature_platform.handles.feature_group import Draft, FeatureGroup, Registered
from feature_platform.handles.query import Query
from feature_platform.handles.training_view import LABELS, ROOT, TrainingView
from feature_platform.project import Key, ProjectSnapshot, ShareState, grants, interface
from feature_platform.table import EVENT_TIMESTAMP

if TYPE_CHECKING:
    from feature_platform.store import FeatureStore


class VersionWarning(UserWarning):
    """No version was given."""


class ProjectStore:
    """The feature groups and feature views of one project.

    Attributes:
        name: The project.
        store: The feature store of the connection, in whose name everything is read.

    Source: the feature store handles of Hopsworks.
    """

    def __init__(self, store: "FeatureStore", name: str) -> None:
        self.store = store
        self.name = name

    def __repr__(self) -> str:
        return f"feature store {self.name!r}"

    @property
    def is_own(self) -> bool:
        """Whether it is the store of the connection's project."""
        return self.name == self.store.project

    def get_feature_group(self, name: str, version: int | str | None = None) -> FeatureGroup:
        """Return a feature group.

        Args:
            name: Its name.
            version: Its version; 1, with a warning, if left out.

        Raises:
            AccessError: The project does not share it.
            NotFoundError: It does not exist; the message names a project that shares one.
        """
        number = version_of(version, f"feature group {name!r}")
        project = self.store.load_project()
        group = self._group(project, name, number)
        if group is None:
            raise self._missing(project, name, number)
        return group

    def get_feature_groups(self, name: str | None = None) -> list[FeatureGroup]:
        """Return all feature groups that may be read, or all versions of one."""
        project = self.store.load_project()
        listed = []
        for view, _ in project.at(self.name).of(FeatureView):
            base, _, number = view.name.rpartition("_")
            is_versioned = bool(base) and number.isdecimal()
            label, version = (base, int(number)) if is_versioned else (view.name, 1)
            if name in {None, label} and project.may_read(self._reference(view.name)).allowed:
                registered = self._registered(project, view)
                listed.append(
                    FeatureGroup(self.store, self.name, label, version, registered=registered)
                )
        return sorted(listed, key=lambda group: (group.name, group.version))

    def create_feature_group(
        self,
        name: str,
        version: int | str | None = None,
        *,
        primary_key: Sequence[str] = (),
        event_time: str | None = None,
        features: Iterable[Field] = (),
        description: str = "",
        online_enabled: bool = True,
    ) -> FeatureGroup:
        """Return a new feature group, which is registered by `save` or the first `insert`.

        Args:
            name: Its name.
            version: Its version; one more than the last one, with a warning, if left out.
            primary_key: Columns that identify a row.
            event_time: Column with the time that a row was observed. Without it, rows have the
                time of their insertion, and the group cannot be joined.
            features: The other columns; those of the first inserted frame if left out.
            description: Description for the catalog.
            online_enabled: Whether rows are served online.

        Raises:
            AccessError: It is another project's store.
            RequestError: The version exists.
        """
        if not self.is_own:
            raise AccessError(
                f"Feature groups of project {self.name!r} are created by its own repos."
            )
        if version is None:
            version = max((g.version for g in self.get_feature_groups(name)), default=0) + 1
            _warn(f"feature group {name!r}", version)
        number = version_of(version, f"feature group {name!r}")
        if self._group(self.store.load_project(), name, number) is not None:
            raise RequestError(f"Feature group {name!r} has a version {number} already.")
        draft = Draft(
            tuple(primary_key), event_time or "", tuple(features), description, online_enabled
        )
        return FeatureGroup(self.store, self.name, name, number, draft=draft)

    def get_or_create_feature_group(
        self,
        name: str,
        version: int | str | None = None,
        *,
        primary_key: Sequence[str] = (),
        event_time: str | None = None,
        features: Iterable[Field] = (),
        description: str = "",
        online_enabled: bool = True,
    ) -> FeatureGroup:
        """Return a feature group, or a new one as `create_feature_group` does."""
        number = version_of(version, f"feature group {name!r}")
        group = self._group(self.store.load_project(), name, number)
        return group or self.create_feature_group(
            name,
            number,
            primary_key=primary_key,
            event_time=event_time,
            features=features,
            description=description,
            online_enabled=online_enabled,
        )

    def get_feature_view(self, name: str, version: int | str | None = None) -> TrainingView:
        """Return a feature view: a registered feature service.

        Raises:
            AccessError: The project does not share it, or not all that it reads.
            NotFoundError: It does not exist.
        """
        number = version_of(version, f"feature view {name!r}")
        project = self.store.load_project()
        home = project.at(self.name)
        for candidate in _candidates(name, number):
            service = home.look_up(FeatureService, candidate)
            key = Key(self.name, FeatureService.kind, candidate)
            decision = project.may_read_object(key)
            if service is not None and decision.allowed:
                return TrainingView(self, service, name, number)
            if service is not None or (not self.is_own and not decision.allowed):
                reason = decision.reason
                raise AccessError(f"Feature view {name!r} cannot be read: {reason}.")
        names = home.names(FeatureService.kind)
        hint = did_you_mean(name, names) if self.is_own else ""
        raise NotFoundError(
            f"Project {self.name!r} has no feature view {name!r} of version {number}.{hint}"
        )

    def create_feature_view(
        self,
        name: str,
        query: Query,
        version: int | str | None = None,
        *,
        labels: Sequence[str] = (),
        description: str = "",
    ) -> TrainingView:
        """Register the features of a query as a feature service, and return it.

        Args:
            name: Its name.
            query: The features, without filters: pass those to `training_data`.
            version: Its version; one more than the last one, with a warning, if left out.
            labels: Columns of the query's first group that are to be predicted. They are in
                training data, and never asked for online.
            description: Description for the catalog.

        Raises:
            RequestError: A label is not selected, or the query has a filter.
            RefusedError: This repo may not register it.
        """
        if version is None:
            services = (s.name for s, _ in self.store.load_project().of(FeatureService))
            parts = [service.rpartition("_") for service in services]
            numbers = [
                int(number) for base, _, number in parts if base == name and number.isdecimal()
            ]
            version = max(numbers, default=0) + 1
            _warn(f"feature view {name!r}", version)
        number = version_of(version, f"feature view {name!r}")
        if query.conditions or query.time is not None:
            raise RequestError(
                "A feature view keeps no filter and no as_of. Pass extra_filter to training_data."
            )
        if any(join.is_inner for join in query.joins):
            raise RequestError(
                "A feature view joins from the left, because serving leaves out no row. Use "
                "join_type='left', and pass extra_filter to training_data."
            )
        if unknown := [label for label in labels if label not in query.names]:
            raise RequestError(
                f"labels: {unknown[0]!r} is not a selected column of {query.group}, which is "
                f"{list(query.names)}."
            )
        features = Query(query.group, tuple(n for n in query.names if n not in labels), query.joins)
        service = FeatureService(
            name=f"{name}_{number}",
            features=features.references(),
            description=description,
            tags={ROOT: query.group.path, LABELS: ",".join(labels)},
        )
        self.store.apply([service], message=f"feature view {service.name}")
        return TrainingView(self, service, name, number)

    def open_view(self, service: str) -> TrainingView:
        """Return the feature view of a service's name."""
        base, _, number = service.rpartition("_")
        if base and number.isdecimal():
            return self.get_feature_view(base, int(number))
        return self.get_feature_view(service, 1)

    def open_group(self, path: str) -> FeatureGroup:
        """Return the feature group of a view, `project/view`.

        Raises:
            AccessError: The project does not share it.
            NotFoundError: It does not exist.
        """
        home, _, view = path.rpartition("/")
        base, _, number = view.rpartition("_")
        store = ProjectStore(self.store, home or self.store.project)
        if base and number.isdecimal():
            return store.get_feature_group(base, int(number))
        return store.get_feature_group(view, 1)

    def _reference(self, view: str) -> ViewReference:
        return ViewReference(view=view, project=None if self.is_own else self.name)

    def _group(self, project: ProjectSnapshot, name: str, version: int) -> FeatureGroup | None:
        for candidate in _candidates(name, version):
            view = project.at(self.name).look_up(FeatureView, candidate)
            if view is not None and project.may_read(self._reference(candidate)).allowed:
                registered = self._registered(project, view)
                return FeatureGroup(self.store, self.name, name, version, registered=registered)
        return None

    def _registered(self, project: ProjectSnapshot, view: FeatureView) -> Registered:
        exposed = interface(project, self._reference(view.name))
        keys = tuple(exposed.keys) if exposed else ()
        features = tuple(exposed.features) if exposed else ()
        home = project.at(self.name)
        source = home.look_up(Source, view.source)
        history = home.look_up(BatchSource, source.history) if source and source.history else None
        event_time = history.timestamp_field if history else EVENT_TIMESTAMP
        return Registered(view, keys, event_time, features)

    def _missing(self, project: ProjectSnapshot, name: str, version: int) -> NotFoundError:
        for candidate in _candidates(name, version):
            decision = project.may_read(self._reference(candidate))
            if not decision.allowed:
                return AccessError(f"Feature group {name!r} cannot be read: {decision.reason}.")
        message = f"Project {self.name!r} has no feature group {name!r} of version {version}."
        for shared in grants(project.snapshot, project.name, project.now):
            is_open = shared.state is ShareState.ACCEPTED and shared.reader == project.name
            other = ProjectStore(self.store, shared.owner)
            if is_open and self.is_own and other._group(project, name, version):
                remedy = f"get_feature_store({shared.owner!r})"
                return NotFoundError(f"{message} Project {shared.owner!r} shares one: {remedy}.")
        names = project.names(FeatureView.kind) if self.is_own else []
        return NotFoundError(f"{message}{did_you_mean(f'{name}_{version}', names)}")


def _candidates(name: str, version: int) -> list[str]:
    """Return the names of objects that a name and a version stand for."""
    return [f"{name}_{version}", *([name] if version == 1 else [])]


def version_of(version: int | str | None, label: str) -> int:
    """Return a version as a number; 1, with a warning, for none.

    Raises:
        RequestError: It is none.
    """
    if version is None:
        _warn(label, 1)
        return 1
    try:
        number = int(version)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise RequestError(f"{label}: version={version!r} is not a number from 1 on.")
    return number


def _warn(label: str, version: int) -> None:
    message = f"No version of {label} was given; it is {version}."
    warnings.warn(message, VersionWarning, stacklevel=4)
