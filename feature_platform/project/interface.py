"""View interfaces: join keys, features, request values, source and ttl, for readers and rules.

Unregistered dependencies are left out; `references` reports them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal, NamedTuple, TypeAlias

from feature_platform.definitions import (
    BatchSource,
    Entity,
    FeatureView,
    OnDemandFeatureView,
    Source,
    View,
    ViewReference,
)
from feature_platform.project.project_snapshot import ProjectSnapshot
from feature_platform.types import FeatureType
from feature_platform.types.widening import is_compatible

ViewName: TypeAlias = tuple[str, str]
"""Project and name of a view."""


@dataclass(frozen=True)
class ViewInterface:
    """The columns that a view exposes to readers and requires from requests.

    Attributes:
        keys: Join key → type; `None` if no type is declared.
        features: Feature → type.
        request: Request value → type.
        online: Whether the view is served online.
        has_history: Whether training sets can read the view.
        sources: Feature view that provides rows (this one, or upstream) → batch source; `None` if
            it has none or the source is not registered.
        ttls: Feature view that provides rows → ttl; `None` for unlimited.
    """

    keys: Mapping[str, FeatureType | None] = field(default_factory=dict)
    features: Mapping[str, FeatureType] = field(default_factory=dict)
    request: Mapping[str, FeatureType] = field(default_factory=dict)
    online: bool = True
    has_history: bool = True
    sources: Mapping[ViewName, BatchSource | None] = field(default_factory=dict)
    ttls: Mapping[ViewName, timedelta | None] = field(default_factory=dict)


class Input(NamedTuple):
    """An input feature; in code, its name is `feature`, or `view__feature` if two share a name."""

    name: str
    reference: ViewReference
    feature: str
    dtype: FeatureType


def interface(project: ProjectSnapshot, reference: ViewReference) -> ViewInterface | None:
    """Return the interface of a referenced view; `None` if it is not registered.

    Of a view that another project shares in part, it has the shared features.
    """
    home = project.at(reference.project)
    key = ("interface", home.name, reference.view)
    if key not in home.memo:
        home.memo[key] = None  # ends the recursion in a cycle of on-demand views
        view = project.find_view(reference)
        home.memo[key] = interface_of(home, view) if view else None
    cached: ViewInterface | None = home.memo[key]
    if cached is None or home is project:
        return cached
    shared = project.may_read(reference).features
    if shared is None:
        return cached
    features = {name: dtype for name, dtype in cached.features.items() if name in shared}
    return replace(cached, features=features)


def interface_of(project: ProjectSnapshot, view: View) -> ViewInterface:
    if isinstance(view, OnDemandFeatureView):
        return _on_demand_interface(project, view)
    return _feature_view_interface(project, project.get(FeatureView, view.name))


def entities_of(project: ProjectSnapshot, view: View) -> list[Entity]:
    entities = (project.look_up(Entity, name) for name in view.entity_names)
    return [entity for entity in entities if entity is not None]


def inputs_of(project: ProjectSnapshot, view: OnDemandFeatureView) -> list[Input]:
    """Return the input features of an on-demand view, in order."""
    read = [(ref, f, t) for ref in view.inputs for f, t in _features(project, ref).items()]
    names = Counter([feature for _, feature, _ in read] + [f.name for f in view.request])
    return [
        Input(feature if names[feature] == 1 else f"{ref.label}__{feature}", ref, feature, dtype)
        for ref, feature, dtype in read
    ]


def _features(project: ProjectSnapshot, reference: ViewReference) -> Mapping[str, FeatureType]:
    view = interface(project, reference)
    features = view.features if view else {}
    names = features if reference.features is None else reference.features
    return {name: features[name] for name in names if name in features}


def _feature_view_interface(project: ProjectSnapshot, view: FeatureView) -> ViewInterface:
    declared = {f.name: f.dtype for f in view.fields}
    keys: dict[str, FeatureType | None] = {}
    for entity in entities_of(project, view):
        for key in entity.join_keys:
            dtype = declared.get(key) or entity.value_type
            keys[key] = dtype or key_type(project, entity, key)
    source, has_history = _history(project, view.source)
    name = (project.name, view.name)
    return ViewInterface(
        keys=keys,
        features={name: dtype for name, dtype in declared.items() if name not in keys},
        online=view.online,
        has_history=has_history,
        sources={name: source},
        ttls={name: view.ttl},
    )


def key_type(project: ProjectSnapshot, entity: Entity, key: str) -> FeatureType | None:
    """Return the type of a join key: that of its entity, or else the one that views declare.

    Views may declare integers of several widths; the widest counts, whatever their order.
    """
    declared = {dtype for _, dtype in declared_keys(project).get((entity.name, key), ())}
    return entity.value_type or max(declared, key=str, default=None)


def declared_keys(
    project: ProjectSnapshot,
) -> Mapping[tuple[str, str], Sequence[tuple[str, FeatureType]]]:
    """Return entity and join key → the views that declare its type, and the type."""
    memo = ("declared keys", project.name)
    if memo not in project.memo:
        types: dict[tuple[str, str], list[tuple[str, FeatureType]]] = {}
        for view, _ in project.of(FeatureView):
            declared = {f.name: f.dtype for f in view.fields if f.dtype.can_be_key}
            for entity in entities_of(project, view):
                for key in declared.keys() & set(entity.join_keys):
                    types.setdefault((entity.name, key), []).append((view.name, declared[key]))
        project.memo[memo] = types
    cached: Mapping[tuple[str, str], Sequence[tuple[str, FeatureType]]] = project.memo[memo]
    return cached


def _history(project: ProjectSnapshot, name: str) -> tuple[BatchSource | None, bool]:
    """Return the batch source, and whether there is a history; assume one if unregistered."""
    source = project.look_up(Source, name)
    if source is None:
        return None, True
    if source.history is None:
        return None, False
    return project.look_up(BatchSource, source.history), True


def _on_demand_interface(project: ProjectSnapshot, view: OnDemandFeatureView) -> ViewInterface:
    read = [(ref, below) for ref in view.inputs if (below := interface(project, ref))]
    keys: dict[str, FeatureType | None] = {}
    request = {f.name: f.dtype for f in view.request}
    sources: dict[ViewName, BatchSource | None] = {}
    ttls: dict[ViewName, timedelta | None] = {}
    for ref, below in read:
        keys |= {ref.join_key_map.get(key, key): dtype for key, dtype in below.keys.items()}
        request |= below.request
        sources |= below.sources
        ttls |= below.ttls
    return ViewInterface(
        keys=keys,
        features={f.name: f.dtype for f in view.fields},
        request=request,
        online=all(below.online for _, below in read),
        has_history=all(below.has_history for _, below in read),
        sources=sources,
        ttls=ttls,
    )


def ambiguous_names(project: ProjectSnapshot, references: Sequence[ViewReference]) -> set[str]:
    """Return the names that several references provide, including join keys."""
    names: Counter[str] = Counter()
    keys: set[str] = set()
    for ref in references:
        view = interface(project, ref)
        names.update(ref.features or list(view.features if view else ()))
        keys |= {ref.join_key_map.get(key, key) for key in (view.keys if view else ())}
    return {name for name, count in names.items() if count > 1 or name in keys}


LossKind: TypeAlias = Literal[
    "removed", "retyped", "keys", "request", "ttl", "source", "history", "online"
]
"""Kinds of losses of readers."""


class Loss(NamedTuple):
    """A loss of a reader when a view changes; `feature` is empty if it is not specific to one."""

    kind: LossKind
    message: str
    feature: str = ""


def losses(ref: ViewReference, before: ViewInterface, after: ViewInterface) -> Iterator[Loss]:
    """Yield the losses of a reader with a reference; additions to a view break nobody."""
    expected = {key: dtype or after.keys.get(key) for key, dtype in before.keys.items()}
    if expected != after.keys:
        change = f"from {_format_keys(before.keys)} to {_format_keys(after.keys)}"
        yield Loss("keys", f"the join keys of {ref.view!r} change {change}")
    for name in ref.features or before.features:
        old, new = before.features.get(name), after.features.get(name)
        if new is None:
            yield Loss("removed", f"{ref.view!r} loses the feature {name!r}", name)
        elif old is not None and not is_compatible(old, new):
            message = f"{name!r} of {ref.view!r} changes from {old} to {new}"
            yield Loss("retyped", message, name)
    for name, dtype in after.request.items():
        old = before.request.get(name)
        if old is None or not is_compatible(old, dtype):
            message = f"{ref.view!r} requires the request value {name!r} of type {dtype}"
            yield Loss("request", message)
    yield from _serving_losses(ref, before, after)


def _serving_losses(
    ref: ViewReference, before: ViewInterface, after: ViewInterface
) -> Iterator[Loss]:
    # Compare common views only: an on-demand view may switch to other inputs.
    for view in before.ttls.keys() & after.ttls.keys():
        old, new = before.ttls[view], after.ttls[view]
        if new is not None and (old is None or new < old):
            previous = "unlimited" if old is None else old
            message = f"the ttl of {view[1]!r} shrinks from {previous} to {new}"
            yield Loss("ttl", message)
    if before.has_history and not after.has_history:
        yield Loss("history", f"{ref.view!r} loses its history")
    elif any(_rows_differ(before.sources[v], after.sources[v])
             for v in before.sources.keys() & after.sources.keys()):  # fmt: skip
        yield Loss("source", f"{ref.view!r} reads different rows because a source changes")
    if before.online and not after.online:
        yield Loss("online", f"{ref.view!r} is no longer served online")


def _rows_differ(before: BatchSource | None, after: BatchSource | None) -> bool:
    return before is not None and (after is None or before.reads != after.reads)


def _format_keys(keys: Mapping[str, FeatureType | None]) -> str:
    return ", ".join(f"{key} ({dtype or 'any type'})" for key, dtype in keys.items()) or "none"
