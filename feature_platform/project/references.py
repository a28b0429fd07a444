"""Whether everything that a definition names is registered, and fits."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from feature_platform.definitions import (
    Definition,
    Dependency,
    OnDemandFeatureView,
    View,
    ViewReference,
    check_expressions,
    type_errors,
)
from feature_platform.errors import did_you_mean
from feature_platform.project.interface import ViewName, entities_of, inputs_of, interface
from feature_platform.project.project import Project
from feature_platform.project.snapshot import Key
from feature_platform.types import FeatureType


class BrokenReference(NamedTuple):
    """A reference that cannot be resolved.

    Attributes:
        message: What is wrong.
        view: Project and name of the view, if the reference is to one.
        missing: The object that has to be registered first, if that is the only problem.
        feature: The feature that the view lacks, if that is the only problem.
    """

    message: str
    view: ViewName | None = None
    missing: str = ""
    feature: str = ""


def upstream(project: Project, definition: Definition) -> Iterator[Key]:
    """Yield the keys of everything that a definition depends on, directly or not."""
    seen: set[Key] = set()
    pending = [(project, dependency) for dependency in definition.dependencies()]
    while pending:
        home, dependency = pending.pop()
        entry = home.find_dependency(dependency)
        if entry is not None and entry.key not in seen:
            seen.add(entry.key)
            reader = project.at(entry.key.project)
            pending += [(reader, further) for further in entry.definition.dependencies()]
            yield entry.key


def broken_references(project: Project, definition: Definition) -> Iterator[BrokenReference]:
    """Yield the references of a definition that cannot be resolved."""
    for dependency in definition.dependencies():
        if dependency.namespace != View.namespace:
            yield from _unregistered(project, dependency)
    if isinstance(definition, View):
        yield from map(BrokenReference, _key_problems(project, definition))
    broken = [
        problem
        for reference in definition.references
        for problem in _broken_view_reference(project, reference)
    ]
    yield from broken
    if isinstance(definition, OnDemandFeatureView) and not broken:
        yield from map(BrokenReference, _computation_problems(project, definition))


def _unregistered(project: Project, dependency: Dependency) -> Iterator[BrokenReference]:
    kind, name, _ = dependency
    if project.find_dependency(dependency) is None:
        hint = did_you_mean(name, project.names(kind))
        message = f"{kind} {name!r} is not registered.{hint}"
        yield BrokenReference(message, missing=f"{kind} {name!r}")


def _broken_view_reference(project: Project, reference: ViewReference) -> Iterator[BrokenReference]:
    name = reference.project or project.name, reference.view
    if name[0] != project.name:
        message = f"project {reference.project!r} does not share view {reference.view!r}."
        yield BrokenReference(message, name)
        return
    view = interface(project, reference)
    if view is None:
        hint = did_you_mean(reference.view, project.names(View.namespace))
        message = f"view {reference.view!r} is not registered.{hint}"
        yield BrokenReference(message, name, f"view {reference.view!r}")
        return
    for feature in reference.features or ():
        if feature not in view.features:
            hint = did_you_mean(feature, view.features)
            message = f"view {reference.view!r} has no feature {feature!r}.{hint}"
            yield BrokenReference(message, name, f"{reference.view}:{feature}", feature)
    keys = _keys_of(project, project.view(reference))
    for key in reference.join_key_map:
        if key not in keys:
            message = f"view {reference.view!r} has no join key {key!r}; its keys are {keys}."
            yield BrokenReference(message, name)


def _keys_of(project: Project, view: View) -> list[str]:
    return [key for entity in entities_of(project, view) for key in entity.join_keys]


def _key_problems(project: Project, view: View) -> Iterator[str]:
    keys = _keys_of(project, view)
    folded = {key.casefold() for key in keys}
    if len(folded) < len(keys):
        yield f"its entities share a join key: {keys}."
    if not [f for f in view.fields if f.name not in keys]:
        yield "its schema has join keys only; declare at least one feature."
    for declared in view.fields:
        if declared.name in keys and not declared.dtype.can_be_key:
            yield f"join key {declared.name!r} cannot be of type {declared.dtype}."
        if declared.name not in keys and declared.name.casefold() in folded:
            yield f"feature {declared.name!r} differs from a join key in case only; rename it."


def _computation_problems(project: Project, view: OnDemandFeatureView) -> Iterator[str]:
    for reference in view.references:
        yield from _request_conflicts(project, view, reference)
    if view.expressions:
        features = {i.name: i.dtype for i in inputs_of(project, view)}
        request = {f.name: f.dtype for f in view.request}
        yield from _expression_problems(features | request, view)
    if view.write_to_online_store:
        yield from _precomputing_problems(project, view)


def _request_conflicts(
    project: Project, view: OnDemandFeatureView, reference: ViewReference
) -> Iterator[str]:
    """Yield request values that are also join keys, of another type."""
    read = interface(project, reference)
    types = read.keys.items() if read else ()
    keys = {reference.join_key_map.get(key, key): dtype for key, dtype in types}
    for request in view.request:
        if keys.get(request.name) not in {None, request.dtype}:
            yield (
                f"request value {request.name!r} has type {request.dtype}, but join key "
                f"{request.name!r} of view {reference.view!r} has type {keys[request.name]}."
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


def _precomputing_problems(project: Project, view: OnDemandFeatureView) -> Iterator[str]:
    """Answers can be precomputed from one stored row, and from nothing else."""
    exposed = interface(project, view.reference())
    stored = sorted(name for _, name in exposed.sources) if exposed else []
    if len(stored) > 1:
        yield f"write_to_online_store: it reads several views: {', '.join(stored)}."
    below = (project.snapshot.entries[key].definition for key in upstream(project, view))
    for each in (view, *below):
        if isinstance(each, OnDemandFeatureView) and each.request:
            yield f"write_to_online_store: it reads {each.name!r}, which needs request values."
        if any(ref.join_key_map or ref.label != ref.view for ref in each.references):
            yield (
                f"write_to_online_store: {each.name!r} reads a view by other join keys or under "
                "another name."
            )
