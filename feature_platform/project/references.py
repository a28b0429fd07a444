"""Checks of the dependencies of a definition."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from feature_platform.definitions import (
    Definition,
    Dependency,
    Entity,
    OnDemandFeatureView,
    View,
    ViewReference,
    check_expressions,
    separators_folded,
    type_errors,
)
from feature_platform.errors import did_you_mean
from feature_platform.project.interface import (
    ViewName,
    declared_keys,
    entities_of,
    inputs_of,
    interface,
)
from feature_platform.project.project_snapshot import ProjectSnapshot
from feature_platform.project.snapshot import Key
from feature_platform.types import FeatureType
from feature_platform.types.arrow import arrow_type, widest


class BrokenReference(NamedTuple):
    """A dependency that cannot be resolved.

    Attributes:
        message: Description of the problem.
        view: Project and name of the view, for references to views.
        missing: The object to register first, if registering it solves the problem.
        feature: The missing feature, if the view exists.
    """

    message: str
    view: ViewName | None = None
    missing: str = ""
    feature: str = ""


def upstream(project: ProjectSnapshot, definition: Definition) -> Iterator[Key]:
    """Yield the keys of all direct and indirect dependencies of a definition."""
    seen: set[Key] = set()
    pending = [(project, dependency) for dependency in definition.dependencies()]
    while pending:
        home, dependency = pending.pop()
        entry = home.find_dependency(dependency)
        if entry is not None and entry.key not in seen:
            seen.add(entry.key)
            reader = project.at(entry.key.project)
            pending += [(reader, indirect) for indirect in entry.definition.dependencies()]
            yield entry.key


def broken_references(
    project: ProjectSnapshot, definition: Definition
) -> Iterator[BrokenReference]:
    """Yield the dependencies of a definition that cannot be resolved, and other mismatches."""
    if definition.fault:
        yield BrokenReference(definition.fault)
    for dependency in definition.dependencies():
        if dependency.namespace != View.namespace:
            yield from _missing_dependency(project, dependency)
    if isinstance(definition, View):
        yield from map(BrokenReference, _key_problems(project, definition))
    broken = [
        problem
        for reference in definition.references
        for problem in _broken_view_reference(project, reference)
    ]
    yield from broken
    if not broken and definition.joins:
        yield from map(BrokenReference, _shared_key_problems(project, definition))
    if isinstance(definition, OnDemandFeatureView) and not broken:
        yield from map(BrokenReference, _computation_problems(project, definition))


def _missing_dependency(
    project: ProjectSnapshot, dependency: Dependency
) -> Iterator[BrokenReference]:
    kind, name, _ = dependency
    if project.find_dependency(dependency) is None:
        hint = did_you_mean(name, project.names(kind))
        message = f"{kind} {name!r} is not registered.{hint}"
        yield BrokenReference(message, missing=f"{kind} {name!r}")


def _broken_view_reference(
    project: ProjectSnapshot, reference: ViewReference
) -> Iterator[BrokenReference]:
    home = project.at(reference.project)
    name = home.name, reference.view
    path = reference.view if home is project else "/".join(name)
    decision = project.may_read(reference)
    if not decision.allowed:
        message = f"view {path!r} cannot be read: {decision.reason}."
        yield BrokenReference(message, name, f"view {path!r}")
        return
    view = interface(project, reference)
    if view is None:
        hint = (
            did_you_mean(reference.view, project.names(View.namespace)) if home is project else ""
        )
        yield BrokenReference(f"view {path!r} is not registered.{hint}", name, f"view {path!r}")
        return
    for feature in reference.features or ():
        if feature not in view.features:
            hint = did_you_mean(feature, view.features)
            message = f"view {path!r} has no feature {feature!r}.{hint}"
            if decision.features is not None and feature not in decision.features:
                message = f"project {home.name!r} does not share feature {feature!r} of {path!r}."
            yield BrokenReference(message, name, f"{path}:{feature}", feature)
    keys = _join_keys(home, project.view(reference))
    for key in reference.join_key_map:
        if key not in keys:
            message = f"view {path!r} has no join key {key!r}. Its join keys are {keys}."
            yield BrokenReference(message, name)


def _join_keys(project: ProjectSnapshot, view: View) -> list[str]:
    return [key for entity in entities_of(project, view) for key in entity.join_keys]


def _shared_key_problems(project: ProjectSnapshot, definition: Definition) -> Iterator[str]:
    """Yield join keys and request values that referenced views share with different types."""
    types: dict[str, tuple[str, FeatureType]] = {}
    for reference in definition.references:
        exposed = interface(project, reference)
        if exposed is None:
            continue
        values = [(reference.join_key_map.get(key, key), t) for key, t in exposed.keys.items()]
        for name, dtype in (*values, *exposed.request.items()):
            if dtype is None:
                continue
            view, other = types.setdefault(name, (reference.view, dtype))
            if not _are_comparable(other, dtype):
                yield (
                    f"views {view!r} and {reference.view!r} need {name!r} as {other} and {dtype}. "
                    "Map a join key with with_join_key_map, or rename a request value."
                )


def _are_comparable(a: FeatureType, b: FeatureType) -> bool:
    return bool(widest(arrow_type(a)) == widest(arrow_type(b)))


def _key_problems(project: ProjectSnapshot, view: View) -> Iterator[str]:
    for entity in entities_of(project, view):
        yield from _type_problems(project, view, entity)
    keys = _join_keys(project, view)
    folded = {separators_folded(key).casefold() for key in keys}
    if len(folded) < len(keys):
        yield f"its entities share a join key: {keys}. Remove an entity or rename the key."
    if not [f for f in view.fields if f.name not in keys]:
        yield "its schema has only join keys. Declare at least one feature."
    for declared in view.fields:
        if declared.name in keys and not declared.dtype.can_be_key:
            yield f"join key {declared.name!r} cannot be of type {declared.dtype}."
        if declared.name not in keys and separators_folded(declared.name).casefold() in folded:
            yield (
                f"feature {declared.name!r} differs from a join key in case or separators only. "
                "Rename it."
            )


def _type_problems(project: ProjectSnapshot, view: View, entity: Entity) -> Iterator[str]:
    """Yield join keys that a view declares with another type than their entity or a view."""
    for field in view.fields:
        if field.name not in entity.join_keys or not field.dtype.can_be_key:
            continue
        views = declared_keys(project).get((entity.name, field.name), ())
        others = [(f"feature view {name!r}", t) for name, t in views if name != view.name]
        if entity.value_type:
            others = [(str(entity), entity.value_type)]
        clash = [other for other in others if not _are_comparable(field.dtype, other[1])]
        for label, dtype in clash[:1]:
            yield (
                f"join key {field.name!r} is {field.dtype}, but {label} declares {dtype}. Declare "
                "one type, best as value_type of the entity."
            )


def _computation_problems(project: ProjectSnapshot, view: OnDemandFeatureView) -> Iterator[str]:
    for reference in view.references:
        yield from _request_conflicts(project, view, reference)
    if view.expressions:
        features = {i.name: i.dtype for i in inputs_of(project, view)}
        request = {f.name: f.dtype for f in view.request}
        yield from _expression_problems(features | request, view)
    if view.write_to_online_store:
        yield from _precomputing_problems(project, view)


def _request_conflicts(
    project: ProjectSnapshot, view: OnDemandFeatureView, reference: ViewReference
) -> Iterator[str]:
    """Yield request values that share a name with a join key of another type."""
    exposed = interface(project, reference)
    types = exposed.keys.items() if exposed else ()
    keys = {reference.join_key_map.get(key, key): dtype for key, dtype in types}
    for request in view.request:
        key = keys.get(request.name)
        if key and not _are_comparable(key, request.dtype):
            yield (
                f"request value {request.name!r} has type {request.dtype}, but join key "
                f"{request.name!r} of view {reference.view!r} has type {key}."
            )


def _expression_problems(
    inputs: Mapping[str, FeatureType], view: OnDemandFeatureView
) -> Iterator[str]:
    folded = [name.casefold() for name in inputs]
    duplicates = sorted(name for name in inputs if folded.count(name.casefold()) > 1)
    if duplicates:
        yield f"mode='sql': inputs {', '.join(duplicates)} differ in case only, which SQL ignores."
    unknown = sorted(check_expressions(view.expressions) - inputs.keys())
    for name in unknown:
        yield f"an expression reads {name!r}, which is not an input.{did_you_mean(name, inputs)}"
    if not duplicates and not unknown:
        yield from type_errors(view.expressions, inputs, {f.name: f.dtype for f in view.fields})


def _precomputing_problems(project: ProjectSnapshot, view: OnDemandFeatureView) -> Iterator[str]:
    exposed = interface(project, view.reference())
    stored = sorted(name for _, name in exposed.sources) if exposed else []
    if any(home != project.name for home, _ in (exposed.sources if exposed else ())):
        yield "write_to_online_store: it reads a view of another project, which is loaded there."
    if len(stored) > 1:
        yield f"write_to_online_store: it reads {', '.join(stored)}; only one view is allowed."
    dependencies = (project.snapshot.entries[key].definition for key in upstream(project, view))
    for definition in (view, *dependencies):
        name = definition.name
        if isinstance(definition, OnDemandFeatureView) and definition.request:
            yield f"write_to_online_store: it reads {name!r}, which needs request values."
        if any(ref.join_key_map or ref.label != ref.view for ref in definition.references):
            yield f"write_to_online_store: {name!r} maps join keys or uses an alias. Remove them."
