"""Types of join keys that nobody declares: a key has one, or text and numbers would be two keys."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from feature_platform.definitions import (
    BatchSource,
    Definition,
    Entity,
    FeatureView,
    PushSource,
    Source,
    with_related,
)
from feature_platform.errors import FeaturePlatformError
from feature_platform.offline.settings import DuckDBSettings
from feature_platform.services.source_schema import source_schema
from feature_platform.services.stores import Call
from feature_platform.types import FeatureType


def with_key_types(call: Call, definitions: Sequence[Definition]) -> tuple[Definition, ...]:
    """Return definitions whose entities have the types of their keys.

    An entity with one key, whose type neither it nor a view declares, has the type that it is
    registered with, or else that of the key's column in a view's source, if DuckDB reads history.
    If no source can be read, it stays without one, and a plan says so.
    """
    every = with_related(definitions)
    untyped = {
        entity.name: entity
        for entity in every
        if isinstance(entity, Entity) and not entity.value_type and len(entity.join_keys) == 1
    }
    if not untyped:
        return tuple(every)
    sources = {each.name: each for each in every if isinstance(each, Source)}
    views = [view for view in every if isinstance(view, FeatureView)]
    typed = {
        name: entity.model_copy(update={"value_type": dtype})
        for name, entity in untyped.items()
        if (dtype := _type_of(call, entity, [v for v in views if name in v.entities], sources))
    }
    return tuple(
        each.with_entities(typed)
        if isinstance(each, FeatureView)
        else typed.get(each.name, each)
        if isinstance(each, Entity)
        else each
        for each in every
    )


def _type_of(
    call: Call, entity: Entity, views: Sequence[FeatureView], sources: Mapping[str, Source]
) -> FeatureType | None:
    [key] = entity.join_keys
    if any(field.name == key for view in views for field in view.fields):
        return None
    registered = call.project.look_up(Entity, entity.name)
    if registered and registered.value_type and registered.join_keys == entity.join_keys:
        return registered.value_type
    if not isinstance(call.stores.settings.offline_store, DuckDBSettings):
        return None  # another engine would start a session
    for view in views:
        source = sources.get(view.source)
        if isinstance(source, PushSource):
            source = sources.get(source.batch_source or "")
        if not isinstance(source, BatchSource):
            continue
        with suppress(FeaturePlatformError):  # it cannot be read from here, or not yet
            fields = source_schema(call, source).fields
            dtype = next((field.dtype for field in fields if field.name == key), None)
            if dtype is not None and dtype.can_be_key:
                return dtype
    return None
