"""The table of kinds: the only place that lists them all.

A new kind is a subclass of `Definition` in a file of its own, and a line in `TYPES`.
"""

from functools import cache
from typing import Annotated, Any, Union

from pydantic import Discriminator, TypeAdapter

from feature_platform.definitions.base import Definition
from feature_platform.definitions.entity import Entity
from feature_platform.definitions.feature_service import FeatureService
from feature_platform.definitions.feature_view import FeatureView, StreamFeatureView
from feature_platform.definitions.on_demand_view import OnDemandFeatureView
from feature_platform.definitions.policy import Policy
from feature_platform.definitions.source import (
    FileSource,
    PushSource,
    SnowflakeSource,
    SparkSource,
    StreamSource,
)
from feature_platform.definitions.transfer import Transfer

TYPES: list[type[Definition]] = [
    Entity,
    FileSource,
    SnowflakeSource,
    SparkSource,
    PushSource,
    StreamSource,
    FeatureView,
    StreamFeatureView,
    OnDemandFeatureView,
    FeatureService,
    Policy,
    Transfer,
]
"""Every type of definition that can be registered, each kind after those it can refer to."""


def kinds() -> tuple[str, ...]:
    """Return all kinds, each after those it can refer to."""
    return _tables(tuple(TYPES))[0]


def kinds_in(namespace: str) -> tuple[str, ...]:
    """Return the kinds whose objects share a namespace."""
    return _tables(tuple(TYPES))[1].get(namespace, ())


def namespace_of(kind: str) -> str:
    """Return the namespace of a kind's names; an unknown kind has one of its own."""
    return _tables(tuple(TYPES))[2].get(kind, kind)


def from_json(text: str) -> Definition:
    """Read a definition back from its canonical JSON.

    Raises:
        ValueError: The text is not a definition.
    """
    return _adapter(tuple(TYPES)).validate_json(text)


@cache
def _tables(
    types: tuple[type[Definition], ...],
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]], dict[str, str]]:
    namespaces = {t.kind: t.namespace or t.kind for t in types}
    members: dict[str, tuple[str, ...]] = {}
    for kind, namespace in namespaces.items():
        members[namespace] = (*members.get(namespace, ()), kind)
    return tuple(namespaces), members, namespaces


@cache
def _adapter(types: tuple[type[Definition], ...]) -> TypeAdapter[Definition]:
    union: Any = Union[types]  # noqa: UP007 - the members are data
    return TypeAdapter(Annotated[union, Discriminator("type")])
