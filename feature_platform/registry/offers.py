"""What a view offers its readers at one registry version, and how two versions differ."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

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
    online: bool


Known: TypeAlias = dict[str, Offer | None]
"""Offers of one snapshot that were worked out before."""


def offer(snapshot: Snapshot, project: str, name: str, known: Known) -> Offer | None:
    """Return what a view offers; an on-demand view passes on what its inputs ask and offer."""
    if name not in known:
        known[name] = None  # what a circle finds
        known[name] = _offer(snapshot, project, name, known)
    return known[name]


def _offer(snapshot: Snapshot, project: str, name: str, known: Known) -> Offer | None:
    view = view_of(snapshot, project, name)
    if isinstance(view, FeatureView):
        types = {f.name: str(f.dtype) for f in view.fields}
        keys: dict[str, str] = {}
        for entity in entities_of(snapshot, project, view):
            declared = str(entity.value_type or "")
            keys |= {key: types.get(key, declared) for key in entity.join_keys}
        features = {name: dtype for name, dtype in types.items() if name not in keys}
        has_history = _has_history(snapshot, project, view)
        return Offer(keys, features, {}, has_history=has_history, online=view.online)
    if not isinstance(view, OnDemandFeatureView):
        return None
    mine = Offer(
        keys={},
        features={f.name: str(f.dtype) for f in view.fields},
        request={f.name: str(f.dtype) for f in view.request},
        has_history=True,
        online=True,
    )
    for ref in view.inputs:
        if (read := offer(snapshot, project, ref.view, known)) is not None:
            mapped = {ref.join_key_map.get(key, key): dtype for key, dtype in read.keys.items()}
            mine = Offer(
                keys=mine.keys | mapped,
                features=mine.features,
                request=mine.request | read.request,
                has_history=mine.has_history and read.has_history,
                online=mine.online and read.online,
            )
    return mine


def ambiguous(
    snapshot: Snapshot, project: str, references: tuple[ViewReference, ...], known: Known
) -> set[str]:
    """Return the feature names that several references bring."""
    names: Counter[str] = Counter()
    for ref in references:
        found = offer(snapshot, project, ref.view, known)
        names.update(ref.features or list(found.features if found else ()))
    return {name for name, count in names.items() if count > 1}


def differences(ref: ViewReference, before: Offer, after: Offer) -> Iterator[str]:
    kept = {key: dtype or after.keys.get(key) for key, dtype in before.keys.items()}
    if kept != after.keys:
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
    if before.online and not after.online:
        yield f"{ref.view!r} is no longer served online"


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
