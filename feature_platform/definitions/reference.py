"""References to views: how a service, an on-demand view or a request names features."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, model_validator

from feature_platform.definitions.base import (
    NO_LABELS,
    ColumnName,
    Definition,
    FrozenDict,
    Name,
    Value,
)
from feature_platform.definitions.field import Field, as_tuple


class ViewReference(Value):
    """Features of one view, named without needing its code.

    Attributes:
        view: Name of a feature view or an on-demand feature view of the project.
        features: The features wanted, in order; `None` means all that the view has.
        alias: Name the view goes by in this request; prefix of full feature names.
        join_key_map: Join key of the view → column of the request.

    Example:
        >>> origin = ViewReference(view="weather")[["temp"]].with_name("origin_weather")
        >>> origin.with_join_key_map({"airport": "origin"}).alias
        'origin_weather'

    Source: Feast's feature view projections.
    """

    view: Name
    features: tuple[ColumnName, ...] | None = None
    alias: Name | None = None
    join_key_map: Annotated[dict[ColumnName, ColumnName], AfterValidator(FrozenDict)] = NO_LABELS

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if self.features is not None and not self.features:
            raise ValueError(
                f"view {self.view!r} is listed with no features; leave them out for all."
            )
        if len(set(self.join_key_map.values())) < len(self.join_key_map):
            raise ValueError(f"join_key_map {self.join_key_map} uses one column twice.")
        return self

    @property
    def label(self) -> str:
        """The name the view goes by in a request."""
        return self.alias or self.view

    def with_name(self, name: str) -> "ViewReference":
        """Return the same features under another view name."""
        return ViewReference(**{**dict(self), "alias": name})

    def with_join_key_map(self, join_key_map: Mapping[str, str]) -> "ViewReference":
        """Return the same features, found by other columns of the request."""
        return ViewReference(**{**dict(self), "join_key_map": dict(join_key_map)})

    def __getitem__(self, features: Iterable[str]) -> "ViewReference":
        return ViewReference(**{**dict(self), "features": tuple(as_tuple(features))})

    def __str__(self) -> str:
        return self.view if self.features is None else f"{self.view}:{','.join(self.features)}"


class View(Definition):
    """What can be referenced for features: feature views and on-demand feature views."""

    def reference(self) -> ViewReference:
        """Return a reference to all features of this view."""
        return ViewReference(view=self.name)

    def with_name(self, name: str) -> ViewReference:
        """Return a reference to this view under another name."""
        return self.reference().with_name(name)

    def with_join_key_map(self, join_key_map: Mapping[str, str]) -> ViewReference:
        """Return a reference to this view, found by other columns of the request."""
        return self.reference().with_join_key_map(join_key_map)

    def __getitem__(self, features: Iterable[str]) -> ViewReference:
        unknown = [name for name in as_tuple(features) if name not in self.feature_names]
        if unknown:
            raise KeyError(f"{self} has no feature {unknown}; it has {list(self.feature_names)}.")
        return self.reference()[features]

    fields: tuple[Field, ...] = ()

    @property
    def schema(self) -> tuple[Field, ...]:  # type: ignore[override]
        """The declared columns, as Feast calls them."""
        return self.fields

    @property
    @abstractmethod
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns this view declares."""


def reference(value: Any) -> Any:
    """Read a reference from a view, a `view` or `view:feature` string, or another reference."""
    if isinstance(value, View):
        return value.reference()
    if isinstance(value, str):
        view, colon, feature = value.partition(":")
        return ViewReference(view=view, features=(feature,) if colon else None)
    return value


def _labels_are_unique(references: tuple[ViewReference, ...]) -> tuple[ViewReference, ...]:
    """Merge references to one view; refuse one label for two ways of reading."""
    merged: dict[str, ViewReference] = {}
    for ref in references:
        held = merged.setdefault(ref.label, ref)
        if (held.view, held.join_key_map) != (ref.view, ref.join_key_map):
            raise ValueError(f"two references go by the name {ref.label!r}; give one with_name.")
        if held.features is None or ref.features is None:
            merged[ref.label] = held if held.features is None else ref
        else:
            merged[ref.label] = held[tuple(dict.fromkeys(held.features + ref.features))]
    return tuple(merged.values())


References = Annotated[
    tuple[Annotated[ViewReference, BeforeValidator(reference)], ...],
    BeforeValidator(as_tuple),
    AfterValidator(_labels_are_unique),
]
