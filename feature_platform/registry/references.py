"""References: what a definition names, and whether the registry has it."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from feature_platform.definitions import (
    Definition,
    Entity,
    FeatureService,
    FeatureView,
    OnDemandFeatureView,
    PushSource,
    Source,
    ViewReference,
    check_expressions,
    misfits,
)
from feature_platform.errors import did_you_mean
from feature_platform.registry.offers import (
    entities_of,
    feature_names_of,
    join_keys_of,
    offer,
    view_of,
)
from feature_platform.registry.snapshot import VIEW_KINDS, Key, Snapshot
from feature_platform.types import FeatureType, parse_type


class Broken(NamedTuple):
    """A reference that does not hold.

    Attributes:
        message: What is wrong.
        view: The view that is referred to, if it is about one.
        missing: The object that is not registered, if that is all.
        feature: The feature that the view lacks, if that is all.
    """

    message: str
    view: str = ""
    missing: str = ""
    feature: str = ""


def view_references(definition: Definition) -> tuple[ViewReference, ...]:
    """Return the references to views of an on-demand view or a service."""
    if isinstance(definition, OnDemandFeatureView):
        return definition.inputs
    return definition.features if isinstance(definition, FeatureService) else ()


def upstream(snapshot: Snapshot, project: str, definition: Definition) -> Iterator[Key]:
    """Yield everything that a definition reads, however indirectly, in a snapshot."""
    seen: set[Key] = set()
    todo = list(_named(project, definition))
    while todo:
        key = todo.pop()
        if key not in seen and (entry := snapshot.entries.get(key)) is not None:
            seen.add(key)
            todo += _named(project, entry.definition)
            yield key


def _named(project: str, definition: Definition) -> Iterator[Key]:
    if isinstance(definition, FeatureView):
        yield Key(project, Source.kind, definition.source)
        yield from (Key(project, Entity.kind, name) for name in definition.entities)
    if isinstance(definition, PushSource) and definition.batch_source:
        yield Key(project, Source.kind, definition.batch_source)
    for ref in view_references(definition):
        yield from (Key(project, kind, ref.view) for kind in VIEW_KINDS)


def broken_references(snapshot: Snapshot, project: str, definition: Definition) -> Iterator[Broken]:
    """Yield what a definition refers to and the registry lacks, or has otherwise."""
    if isinstance(definition, FeatureView):
        yield from _missing(snapshot, project, "entity", definition.entities)
        yield from _missing(snapshot, project, "source", (definition.source,))
        yield from map(Broken, _key_problems(snapshot, project, definition))
    if isinstance(definition, PushSource) and definition.batch_source:
        yield from _missing(snapshot, project, "source", (definition.batch_source,))
    references = view_references(definition)
    broken = [b for r in references for b in _broken_reference(snapshot, project, definition, r)]
    yield from broken
    if isinstance(definition, OnDemandFeatureView) and not broken:
        yield from map(Broken, _input_problems(snapshot, project, definition))


def _broken_reference(
    snapshot: Snapshot, project: str, definition: Definition, ref: ViewReference
) -> Iterator[Broken]:
    view = view_of(snapshot, project, ref.view)
    if view is None:
        hint = did_you_mean(ref.view, snapshot.names(project, *VIEW_KINDS))
        message = f"view {ref.view!r} is not registered.{hint}"
        yield Broken(message, ref.view, f"view {ref.view!r}")
        return
    known = feature_names_of(snapshot, project, view)
    for name in ref.features or ():
        if name not in known:
            hint = did_you_mean(name, known)
            message = f"view {ref.view!r} has no feature {name!r}.{hint}"
            yield Broken(message, ref.view, f"{ref.view}:{name}", name)
    keys = join_keys_of(snapshot, project, view)
    for name in ref.join_key_map:
        if name not in keys:
            message = f"view {ref.view!r} has no join key {name!r}; it has {list(keys)}."
            yield Broken(message, ref.view)
    if isinstance(definition, OnDemandFeatureView):
        yield from _request_problems(snapshot, project, definition, ref)


def _missing(
    snapshot: Snapshot, project: str, kind: str, names: tuple[str, ...]
) -> Iterator[Broken]:
    for name in names:
        if snapshot.find(project, kind, name) is None:
            hint = did_you_mean(name, snapshot.names(project, kind))
            message = f"{kind} {name!r} is not registered.{hint}"
            yield Broken(message, missing=f"{kind} {name!r}")


def _key_problems(snapshot: Snapshot, project: str, view: FeatureView) -> Iterator[str]:
    keys = [key for entity in entities_of(snapshot, project, view) for key in entity.join_keys]
    folded = {key.casefold() for key in keys}
    if len(folded) < len(keys):
        yield f"its entities share a join key: {keys}."
    if not [f for f in view.fields if f.name not in keys]:
        yield "its schema has join keys only; declare at least one feature."
    for declared in view.fields:
        if declared.name in keys and not declared.dtype.identifies:
            yield f"join key {declared.name!r} cannot be {declared.dtype}."
        if declared.name not in keys and declared.name.casefold() in folded:
            yield f"feature {declared.name!r} differs from a join key in case only; rename it."


def _request_problems(
    snapshot: Snapshot, project: str, view: OnDemandFeatureView, ref: ViewReference
) -> Iterator[Broken]:
    """A request field that is also a join key has the key's type."""
    offered = offer(snapshot, project, ref.view, {})
    keys = {ref.join_key_map.get(k, k): t for k, t in offered.keys.items()} if offered else {}
    for wanted in view.request:
        if keys.get(wanted.name, "") not in ("", str(wanted.dtype)):
            clash = f"view {ref.view!r} is keyed by {wanted.name!r} of type {keys[wanted.name]}"
            message = f"request field {wanted.name!r} is {wanted.dtype}, and {clash}."
            yield Broken(message, ref.view)


def _input_problems(snapshot: Snapshot, project: str, view: OnDemandFeatureView) -> Iterator[str]:
    """Expressions read inputs only, and what is stored is computed from one stored row."""
    if view.expressions:
        yield from _expression_problems(_inputs(snapshot, project, view), view)
    if view.write_to_online_store:
        yield from _storing_problems(snapshot, project, view)


def _expression_problems(
    inputs: Mapping[str, FeatureType], view: OnDemandFeatureView
) -> Iterator[str]:
    folded = [name.casefold() for name in inputs]
    twins = sorted(name for name in inputs if folded.count(name.casefold()) > 1)
    if twins:
        yield f"mode='sql': inputs {', '.join(twins)} differ in case only, which SQL ignores."
    unknown = sorted(check_expressions(view.expressions) - inputs.keys())
    for name in unknown:
        yield f"an expression reads {name!r}, which is no input.{did_you_mean(name, inputs)}"
    if not twins and not unknown:
        yield from misfits(view.expressions, inputs, {f.name: f.dtype for f in view.fields})


def _storing_problems(snapshot: Snapshot, project: str, view: OnDemandFeatureView) -> Iterator[str]:
    below = [snapshot.entries[key].definition for key in upstream(snapshot, project, view)]
    computed = [view, *(d for d in below if isinstance(d, OnDemandFeatureView))]
    stored = sorted(d.name for d in below if isinstance(d, FeatureView))
    if len(stored) > 1:
        yield f"write_to_online_store: it reads several views, {', '.join(stored)}."
    for each in computed:
        if each.request:
            yield f"write_to_online_store: it reads {each.name!r}, which needs a request."
        if any(ref.join_key_map or ref.label != ref.view for ref in each.inputs):
            yield (
                f"write_to_online_store: {each.name!r} joins a view by other keys or under "
                "another name."
            )


def _inputs(snapshot: Snapshot, project: str, view: OnDemandFeatureView) -> dict[str, FeatureType]:
    """Return a view's inputs by what they are called: those that share a name, `view__feature`."""
    found = [
        (ref.label, name, dtype)
        for ref in view.inputs
        if (offered := offer(snapshot, project, ref.view, {})) is not None
        for name, dtype in offered.features.items()
        if ref.features is None or name in ref.features
    ]
    names = [name for _, name, _ in found] + [f.name for f in view.request]
    features = {
        name if names.count(name) == 1 else f"{label}__{name}": parse_type(dtype)
        for label, name, dtype in found
    }
    return features | {f.name: f.dtype for f in view.request}
