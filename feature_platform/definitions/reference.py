"""References to views, as services, on-demand views and requests use them."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Self

from pydantic import AfterValidator, BeforeValidator, model_validator

from feature_platform.definitions.base import (
    NO_LABELS,
    ColumnName,
    Definition,
    Dependency,
    Deprecation,
    FrozenDict,
    Identifier,
    Name,
    Value,
)
from feature_platform.definitions.field import Field, as_tuple
from feature_platform.errors import DefinitionError

VIEWS: Final = "feature_view"
"""The namespace that feature views and on-demand feature views share."""


class ViewReference(Value):
    """A reference to features of one view, by name.

    Attributes:
        view: Name of a feature view or an on-demand feature view.
        project: The view's project; `None` for the project of the reader.
        features: The requested features, in order; `None` for all.
        alias: Name of the view in this request; the prefix of full feature names.
        join_key_map: Join key of the view → column of the request.

    Example:
        >>> origin = ViewReference(view="weather")[["temp"]].with_name("origin_weather")
        >>> origin.with_join_key_map({"airport": "origin"}).alias
        'origin_weather'

    Source: Feast's feature view projections.
    """

    if TYPE_CHECKING:  # lists are tuples, objects are names

        def __init__(self, **data: Any) -> None: ...

    view: Name
    project: Identifier | None = None
    features: tuple[ColumnName, ...] | None = None
    alias: Name | None = None
    join_key_map: Annotated[dict[ColumnName, ColumnName], AfterValidator(FrozenDict)] = NO_LABELS

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if self.features is not None and not self.features:
            raise ValueError(f"view {self.view!r}: features is empty. Omit the list to read all.")
        if len(set(self.join_key_map.values())) < len(self.join_key_map):
            raise ValueError(f"join_key_map {self.join_key_map} maps two keys to one column.")
        return self

    @property
    def label(self) -> str:
        """The name of the view in a request: its alias, or its name."""
        return self.alias or self.view

    def with_name(self, name: str) -> "ViewReference":
        """Return a reference to the same features under another view name."""
        return ViewReference(**{**dict(self), "alias": name})

    def with_join_key_map(self, join_key_map: Mapping[str, str]) -> "ViewReference":
        """Return a reference with join keys mapped to other columns of the request."""
        return ViewReference(**{**dict(self), "join_key_map": dict(join_key_map)})

    def __getitem__(self, features: Iterable[str]) -> "ViewReference":
        return ViewReference(**{**dict(self), "features": tuple(as_tuple(features))})

    @property
    def lookup(self) -> tuple[str | None, str, Mapping[str, str]]:
        """The view and its join: each label identifies one lookup."""
        return self.project, self.view, self.join_key_map

    @property
    def dependency(self) -> Dependency:
        return Dependency(VIEWS, self.view, self.project or "")

    def __repr__(self) -> str:
        return super().__repr__() if self.join_key_map or self.alias else repr(str(self))

    def __str__(self) -> str:
        view = f"{self.project}/{self.view}" if self.project else self.view
        return view if self.features is None else f"{view}:{','.join(self.features)}"


class View(Definition):
    """A feature view or an on-demand feature view."""

    namespace: ClassVar[str] = VIEWS

    def reference(self) -> ViewReference:
        """Return a reference to all features of this view."""
        return ViewReference(view=self.name)

    def with_name(self, name: str) -> ViewReference:
        """Return a reference to this view under another name."""
        return self.reference().with_name(name)

    def with_join_key_map(self, join_key_map: Mapping[str, str]) -> ViewReference:
        """Return a reference with join keys mapped to other columns of the request."""
        return self.reference().with_join_key_map(join_key_map)

    def __getitem__(self, features: Iterable[str]) -> ViewReference:
        unknown = [name for name in as_tuple(features) if name not in self.feature_names]
        if unknown:
            valid = list(self.feature_names)
            raise KeyError(f"{self} has no feature {unknown}. Its features are {valid}.")
        return self.reference()[features]

    fields: tuple[Field, ...] = ()

    def deprecations(self) -> dict[str, Deprecation]:
        fields = {f.name: f.deprecated for f in self.fields if f.deprecated}
        return super().deprecations() | fields

    @property
    def entity_names(self) -> tuple[str, ...]:
        """Entities whose join keys identify a row; empty for on-demand views."""
        return ()

    @property
    def schema(self) -> tuple[Field, ...]:  # type: ignore[override]
        """The declared columns (Feast's name for `fields`)."""
        return self.fields

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the declared columns."""
        return tuple(f.name for f in self.fields)


def reference(value: Any) -> Any:
    """Convert a view or `[project/]view[:feature]` to a reference; return others unchanged."""
    if isinstance(value, View):
        return value.reference()
    if isinstance(value, str):
        path, colon, feature = value.partition(":")
        project, slash, view = path.rpartition("/")
        if "." in view and not colon:
            suggestion = value.replace(".", ":", 1)
            raise DefinitionError(f"{value!r} is not a reference. Write {suggestion!r}.")
        return ViewReference(
            view=view, project=project if slash else None, features=(feature,) if colon else None
        )
    return value


def _merge_references(references: tuple[ViewReference, ...]) -> tuple[ViewReference, ...]:
    """Merge references with equal lookups; refuse a label with two lookups."""
    merged: dict[str, ViewReference] = {}
    for ref in references:
        first = merged.setdefault(ref.label, ref)
        if first.lookup != ref.lookup:
            raise ValueError(f"two references go by the name {ref.label!r}. Use with_name.")
        if first.features is None or ref.features is None:
            merged[ref.label] = first if first.features is None else ref
        else:
            merged[ref.label] = first[tuple(dict.fromkeys(first.features + ref.features))]
    return tuple(merged.values())


References = Annotated[
    tuple[Annotated[ViewReference, BeforeValidator(reference)], ...],
    BeforeValidator(as_tuple),
    AfterValidator(_merge_references),
]
