"""What a view offers its readers at one registry version, and how two versions differ."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from feature_platform.definitions import (
    BatchSource,
    Entity,
    FeatureView,
    OnDemandFeatureView,
    PushSource,
    Source,
    View,
    ViewReference,
)
from feature_platform.registry.snapshot import VIEW_KINDS, Snapshot
from feature_platform.types import parse_type, widens


@dataclass(frozen=True)
class Offer:
    """What a view offers its readers, and what it asks of them.

    Attributes:
        keys: Join key → type; empty where none is declared.
        features: Feature → type.
        request: What requests have to carry → type.
        has_history: Whether training sets can read it.
        online: Whether it is served online.
        ttls: Feature view whose rows are read → how long one may answer; `None` for ever.
        rows: Feature view → what says which rows it reads, and how columns are called there.
    """

    keys: dict[str, str]
    features: dict[str, str]
    request: dict[str, str]
    has_history: bool
    online: bool
    ttls: dict[str, timedelta | None]
    rows: dict[str, tuple[object, ...]]


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
        rows, has_history = _rows(snapshot, project, view.source)
        return Offer(
            keys,
            features,
            {},
            has_history=has_history,
            online=view.online,
            ttls={name: view.ttl},
            rows={name: rows},
        )
    if not isinstance(view, OnDemandFeatureView):
        return None
    mine = Offer(
        keys={},
        features={f.name: str(f.dtype) for f in view.fields},
        request={f.name: str(f.dtype) for f in view.request},
        has_history=True,
        online=True,
        ttls={},
        rows={},
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
                ttls=mine.ttls | read.ttls,
                rows=mine.rows | read.rows,
            )
    return mine


def ambiguous(
    snapshot: Snapshot, project: str, references: tuple[ViewReference, ...], known: Known
) -> set[str]:
    """Return the names that come from several references, join keys included."""
    names: Counter[str] = Counter()
    keys: set[str] = set()
    for ref in references:
        found = offer(snapshot, project, ref.view, known)
        names.update(ref.features or list(found.features if found else ()))
        keys |= {ref.join_key_map.get(key, key) for key in (found.keys if found else ())}
    return {name for name, count in names.items() if count > 1 or name in keys}


Kind: TypeAlias = Literal[
    "removed", "retyped", "keys", "request", "ttl", "source", "history", "online"
]
"""The ways in which a view can let its readers down."""


@dataclass(frozen=True)
class Difference:
    """One way in which a view lets a reader down.

    Attributes:
        kind: Which.
        message: What a reader is told.
        feature: The feature concerned, if it is about one.
    """

    kind: Kind
    message: str
    feature: str = ""


def differences(ref: ViewReference, before: Offer, after: Offer) -> Iterator[Difference]:
    """Yield what a reader of a view loses; what a view gains breaks nobody."""
    kept = {key: dtype or after.keys.get(key) for key, dtype in before.keys.items()}
    if kept != after.keys:
        message = f"the join keys of {ref.view!r} change from {before.keys} to {after.keys}"
        yield Difference("keys", message)
    for name in ref.features or before.features:
        had, has = before.features.get(name), after.features.get(name)
        if has is None:
            yield Difference("removed", f"{ref.view!r} loses the feature {name!r}", name)
        elif not _fits(had, has):
            message = f"{name!r} of {ref.view!r} changes from {had} to {has}"
            yield Difference("retyped", message, name)
    for name, dtype in after.request.items():
        if name not in before.request or not _fits(before.request[name], dtype):
            message = f"{ref.view!r} asks requests for {name!r} of type {dtype}"
            yield Difference("request", message)
    yield from _serving_differences(ref, before, after)


def _serving_differences(ref: ViewReference, before: Offer, after: Offer) -> Iterator[Difference]:
    # An on-demand view may read other views than it did; how it computes is its owner's affair.
    for view in before.ttls.keys() & after.ttls.keys():
        old, new = before.ttls[view], after.ttls[view]
        if new is not None and (old is None or new < old):
            lasted = old if old is not None else "for ever"
            yield Difference("ttl", f"values of {view!r} last {new} instead of {lasted}")
    if before.has_history and not after.has_history:
        yield Difference("history", f"{ref.view!r} loses its history")
    elif any(before.rows[v] not in ((), after.rows[v]) for v in before.rows.keys() & after.rows):
        yield Difference("source", f"{ref.view!r} reads other rows: a source changes")
    if before.online and not after.online:
        yield Difference("online", f"{ref.view!r} is no longer served online")


def _fits(before: str | None, after: str) -> bool:
    return before is None or widens(parse_type(before), parse_type(after))


def _rows(snapshot: Snapshot, project: str, source: str) -> tuple[tuple[object, ...], bool]:
    """Return what says which rows a source holds, and whether their history can be read."""
    entry = snapshot.find(project, Source.kind, source)
    found = entry.definition if entry else None
    if isinstance(found, PushSource) and found.batch_source is not None:
        return _rows(snapshot, project, found.batch_source)
    if not isinstance(found, BatchSource):
        return (), not isinstance(found, PushSource)
    times = found.timestamp_field, found.created_timestamp_column
    return (found.location(), dict(found.field_mapping), *times), True


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
