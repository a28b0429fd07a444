"""What a view offers its readers at one registry version, and how two versions differ."""

from collections.abc import Iterator
from dataclasses import dataclass

from feature_platform.definitions import (
    Entity,
    FeatureView,
    OnDemandFeatureView,
    PushSource,
    Source,
    View,
    ViewReference,
)
from feature_platform.registry.snapshot import VIEW_KINDS, Snapshot


@dataclass(frozen=True)
class Offer:
    """What a view offers its readers, and what it asks of them."""

    keys: dict[str, str]
    features: dict[str, str]
    request: dict[str, str]
    has_history: bool


def offer(snapshot: Snapshot, project: str, name: str) -> Offer | None:
    view = view_of(snapshot, project, name)
    if isinstance(view, OnDemandFeatureView):
        features = {f.name: str(f.dtype) for f in view.fields}
        request = {f.name: str(f.dtype) for f in view.request}
        return Offer(keys={}, features=features, request=request, has_history=True)
    if not isinstance(view, FeatureView):
        return None
    types = {f.name: str(f.dtype) for f in view.fields}
    keys: dict[str, str] = {}
    for entity in entities_of(snapshot, project, view):
        declared = str(entity.value_type or "")
        keys |= {key: types.get(key, declared) for key in entity.join_keys}
    features = {name: dtype for name, dtype in types.items() if name not in keys}
    has_history = _has_history(snapshot, project, view)
    return Offer(keys=keys, features=features, request={}, has_history=has_history)


def differences(ref: ViewReference, before: Offer, after: Offer) -> Iterator[str]:
    if before.keys != after.keys:
        yield f"the join keys of {ref.view!r} change from {before.keys} to {after.keys}"
    for name in ref.features or before.features:
        if name not in after.features:
            yield f"{ref.view!r} loses the feature {name!r}"
        elif before.features.get(name) not in (None, after.features[name]):
            change = f"from {before.features[name]} to {after.features[name]}"
            yield f"{name!r} of {ref.view!r} changes {change}"
    for name, dtype in after.request.items():
        if before.request.get(name) != dtype:
            yield f"{ref.view!r} asks requests for {name!r} of type {dtype}"
    if before.has_history and not after.has_history:
        yield f"{ref.view!r} loses its history"


def _has_history(snapshot: Snapshot, project: str, view: FeatureView) -> bool:
    entry = snapshot.find(project, Source.kind, view.source)
    source = entry.definition if entry else None
    return not isinstance(source, PushSource) or source.batch_source is not None


def view_of(snapshot: Snapshot, project: str, name: str) -> View | None:
    for kind in VIEW_KINDS:
        entry = snapshot.find(project, kind, name)
        if entry is not None and isinstance(entry.definition, View):
            return entry.definition
    return None


def entities_of(snapshot: Snapshot, project: str, view: View) -> list[Entity]:
    names = view.entities if isinstance(view, FeatureView) else ()
    found = (snapshot.find(project, Entity.kind, name) for name in names)
    return [e.definition for e in found if e and isinstance(e.definition, Entity)]


def join_keys_of(snapshot: Snapshot, project: str, view: View) -> dict[str, None]:
    entities = entities_of(snapshot, project, view)
    return dict.fromkeys(key for entity in entities for key in entity.join_keys)


def feature_names_of(snapshot: Snapshot, project: str, view: View) -> list[str]:
    keys = join_keys_of(snapshot, project, view)
    return [name for name in view.feature_names if name not in keys]
