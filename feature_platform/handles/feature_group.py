"""Feature groups: registered feature views, read and written row by row."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_platform.definitions import Entity, FeatureView, Field, FileSource, ViewReference
from feature_platform.errors import NotFoundError, RequestError, did_you_mean
from feature_platform.handles.condition import Condition, Feature
from feature_platform.handles.query import Query
from feature_platform.retrieval import to_arrow
from feature_platform.table import EVENT_TIMESTAMP
from feature_platform.types.arrow import TIMESTAMP, feature_type, widest

if TYPE_CHECKING:
    from feature_platform.store import FeatureStore

NO_EVENT_TIME = "feature_platform/no_event_time"
"""Tag of a feature group whose rows are stamped when they are inserted."""


@dataclass(frozen=True)
class Draft:
    """A feature group that is not registered yet.

    Attributes:
        primary_key: Columns that identify a row.
        event_time: Column with the time that a row was observed; empty for none.
        fields: Its columns; those of the first frame that is inserted if left out.
        description: Description for the catalog.
        online_enabled: Whether rows are served online.
    """

    primary_key: tuple[str, ...]
    event_time: str = ""
    fields: tuple[Field, ...] = ()
    description: str = ""
    online_enabled: bool = True


@dataclass(frozen=True)
class Registered:
    """The registered view of a feature group.

    Attributes:
        view: The view.
        primary_key: Its join keys.
        event_time: Column of the event time in its source.
        feature_names: The features that may be read.
    """

    view: FeatureView
    primary_key: tuple[str, ...]
    event_time: str
    feature_names: tuple[str, ...]


class FeatureGroup:
    """A version of a feature group.

    It is the feature view `name_version`, or, for version 1, a view that is called `name`.

    Attributes:
        store: The feature store of the connection.
        project: The project of the feature group.
        name: Its name.
        version: Its version.
        view: Name of the view.
        place: The project and its offline store, for `explain`.

    Source: the feature groups of Hopsworks.
    """

    def __init__(
        self,
        store: "FeatureStore",
        project: str,
        name: str,
        version: int,
        *,
        registered: Registered | None = None,
        draft: Draft | None = None,
    ) -> None:
        self.store = store
        self.project = project
        self.name = name
        self.version = version
        self.view = registered.view.name if registered else f"{name}_{version}"
        self._registered = registered
        self._draft = draft

    def __str__(self) -> str:
        return f"feature group {self.path!r}"

    __repr__ = __str__

    @property
    def path(self) -> str:
        """Project and name of the view."""
        return f"{self.project}/{self.view}"

    @property
    def place(self) -> str:
        """Project and type of its offline store."""
        settings = self.store.stores.of(self.project).settings
        return f"{self.project} ({settings.offline_store.type})"

    @property
    def definition(self) -> Registered:
        """The registered view.

        Raises:
            NotFoundError: The group is not registered yet.
        """
        if self._registered is None:
            raise NotFoundError(
                f"{self} has no rows and no features yet. Insert rows, or call save()."
            )
        return self._registered

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Columns that identify a row."""
        return self._registered.primary_key if self._registered else self._spec.primary_key

    @property
    def event_time(self) -> str:
        """Column with the time that a row was observed."""
        return self.definition.event_time

    @property
    def has_event_time(self) -> bool:
        """Whether rows have a time of their own."""
        return NO_EVENT_TIME not in self.definition.view.tags

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, without keys and event time."""
        return self.definition.feature_names

    @property
    def features(self) -> list[Field]:
        """The declared columns."""
        view = self.definition.view
        return [f for f in view.fields if f.name in (*self.primary_key, *self.feature_names)]

    @property
    def description(self) -> str:
        """Description in the catalog."""
        return self._registered.view.description if self._registered else self._spec.description

    @property
    def online_enabled(self) -> bool:
        """Whether rows are served online."""
        return self._registered.view.online if self._registered else self._spec.online_enabled

    @property
    def _spec(self) -> Draft:
        return self._draft or Draft(())

    def reference(self, features: Iterable[str]) -> ViewReference:
        """Return a reference to some features."""
        project = None if self.project == self.store.project else self.project
        return ViewReference(view=self.view, project=project, features=tuple(features))

    def feature(self, name: str) -> Feature:
        return Feature(self.path, name)

    def __getitem__(self, name: str) -> Feature:
        """Return a feature, to compare in `filter`.

        Raises:
            KeyError: There is none of this name.
        """
        names = (*self.primary_key, self.event_time, *self.feature_names)
        if name not in names:
            raise KeyError(f"{self} has no feature {name!r}.{did_you_mean(name, names)}")
        return self.feature(name)

    get_feature = __getitem__

    def select_all(
        self, *, include_primary_key: bool = True, include_event_time: bool = True
    ) -> Query:
        """Return a query of all columns."""
        names = list(self.feature_names)
        if include_event_time:
            names.insert(0, self.event_time)
        if include_primary_key:
            names = [*self.primary_key, *names]
        return Query(self, tuple(dict.fromkeys(names)))

    def select_features(self) -> Query:
        """Return a query of all features, without keys and event time."""
        return Query(self, self.feature_names)

    def select(self, features: Iterable[str | Feature]) -> Query:
        """Return a query of some columns.

        Raises:
            KeyError: There is none of that name.
        """
        names = [f.name if isinstance(f, Feature) else f for f in features]
        return Query(self, tuple(self[name].name for name in dict.fromkeys(names)))

    def select_except(self, features: Iterable[str | Feature]) -> Query:
        """Return a query of all columns but some."""
        left_out = {self[f.name if isinstance(f, Feature) else f].name for f in features}
        query = self.select_all()
        return Query(self, tuple(name for name in query.names if name not in left_out))

    def filter(self, condition: Condition) -> Query:
        """Return a query of the rows for which a condition holds."""
        return self.select_all().filter(condition)

    def as_of(self, wallclock_time: datetime) -> Query:
        """Return a query of what had been written by a time."""
        return self.select_all().as_of(wallclock_time)

    def read(self, *args: Any, **options: Any) -> Any:
        """Return all rows; see `Query.read`."""
        return self.select_all().read(*args, **options)

    def show(self, n: int) -> list[list[Any]]:
        """Return the first rows as lists."""
        return self.select_all().show(n)

    def save(self) -> "FeatureGroup":
        """Register the group, if it is not.

        Raises:
            RequestError: No features were given.
            RefusedError: This repo may not register it.
        """
        if self._registered is None:
            if not self._spec.fields:
                raise RequestError(f"{self} has no features. Pass features=, or insert rows.")
            self._register(self._spec.fields)
        return self

    def insert(self, features: object) -> int:
        """Write rows into history, and online if it is enabled; newer rows are kept.

        A group that is not registered yet is registered with the columns of the frame.

        Args:
            features: A pandas, polars or Arrow frame with all columns.

        Returns:
            The number of rows.

        Raises:
            AccessError: Another project's group, which is not shared for writing.
            RefusedError: The group is new, and this repo may not register it.
            SchemaError: A column is missing, unknown or of another type.
        """
        rows = to_arrow(features, "features")
        if self._registered is None:
            self._register(self._spec.fields or self._fields_of(rows))
        if not self.has_event_time:
            now = pa.scalar(self.store.load_project().now, TIMESTAMP)
            rows = rows.append_column(EVENT_TIMESTAMP, pa.repeat(now, rows.num_rows))
        path = self.view if self.project == self.store.project else self.path
        self.store.write_to_offline_store(path, rows)
        if self.online_enabled:
            self.store.write_to_online_store(path, rows)
        return int(rows.num_rows)

    def _fields_of(self, rows: pa.Table) -> tuple[Field, ...]:
        """Return the columns of a frame, without the event time."""
        if missing := [k for k in self.primary_key if k not in rows.column_names]:
            raise RequestError(f"{self}: the frame has no primary key column {missing[0]!r}.")
        fields = []
        for column in rows.schema:
            if column.name != self._spec.event_time:
                try:
                    dtype = feature_type(str(_plain(column.type)))
                except ValueError:
                    raise RequestError(
                        f"{self}: column {column.name!r} is {column.type}, which no feature type "
                        "has. Pass features= with a type, or convert it."
                    ) from None
                fields.append(Field(name=column.name, dtype=dtype))
        return tuple(fields)

    def _register(self, fields: Iterable[Field]) -> None:
        draft = self._spec
        if not draft.primary_key:
            raise RequestError(f"{self} has no primary key. Pass primary_key=.")
        types = {f.name: f.dtype for f in fields}
        key_type = types.get(draft.primary_key[0])
        entity = Entity(
            name=f"{self.view}_key",
            join_keys=draft.primary_key,
            value_type=key_type if len(draft.primary_key) == 1 else None,
        )
        source = FileSource(
            name=f"{self.view}_rows",
            path=f"data/{self.view}",
            timestamp_field=draft.event_time or EVENT_TIMESTAMP,
            created_timestamp_column="created_timestamp",
        )
        view = FeatureView(
            name=self.view,
            entities=[entity],
            source=source,
            schema=list(fields),
            description=draft.description,
            online=draft.online_enabled,
            tags={} if draft.event_time else {NO_EVENT_TIME: "true"},
        )
        self.store.apply([entity, source, view], message=f"feature group {self.view}")
        keys = draft.primary_key
        self._registered = Registered(
            view,
            keys,
            source.timestamp_field,
            tuple(name for name in view.feature_names if name not in keys),
        )


def _plain(dtype: pa.DataType) -> pa.DataType:
    """Return the Arrow type of a feature for that of a frame's column."""
    if pa.types.is_timestamp(dtype):
        return TIMESTAMP
    if pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype):
        return pa.string()
    if pa.types.is_integer(dtype):
        return pa.int64()
    if pa.types.is_list(dtype) or pa.types.is_large_list(dtype):
        return pa.list_(_plain(dtype.value_type))
    return widest(dtype) if pa.types.is_float16(dtype) else dtype
