"""The table of kinds. To add one, write a subclass of `Definition` and list it in `TYPES`."""

from functools import cache
from typing import Annotated, Any, Union

from pydantic import Discriminator, TypeAdapter

from feature_platform.definitions.base import Definition
from feature_platform.definitions.entity import Entity
from feature_platform.definitions.feature_service import FeatureService
from feature_platform.definitions.feature_view import FeatureView, StreamFeatureView
from feature_platform.definitions.on_demand_view import OnDemandFeatureView
from feature_platform.definitions.policy import Policy
from feature_platform.definitions.project import Project
from feature_platform.definitions.sharing import Acceptance, Share
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
    Share,
    Acceptance,
    Project,
]
"""All types of definitions; each kind follows the kinds it can depend on."""


def kinds() -> tuple[str, ...]:
    """Return all kinds; each follows the kinds it can depend on."""
    return _tables(tuple(TYPES))[0]


def kinds_in(namespace: str) -> tuple[str, ...]:
    return _tables(tuple(TYPES))[1].get(namespace, ())


def namespace_of(kind: str) -> str:
    """Return the namespace of a kind; for an unknown kind, the kind itself."""
    return _tables(tuple(TYPES))[2].get(kind, kind)


def from_json(text: str) -> Definition:
    """Parse the canonical JSON of a definition.

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
