"""Column lineage: which columns a registered object's columns come from."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from feature_platform.definitions import (
    BatchSource,
    Definition,
    Dependency,
    FeatureView,
    OnDemandFeatureView,
    Source,
    View,
    ViewReference,
    check_expressions,
)
from feature_platform.project.interface import entities_of, inputs_of, interface
from feature_platform.project.project_snapshot import ProjectSnapshot


class Column(NamedTuple):
    """A column of a registered object."""

    dependency: Dependency
    name: str


def column_lineage(project: ProjectSnapshot, definition: Definition) -> Mapping[str, list[Column]]:
    """Return column → the columns it is read or computed from, one step upstream.

    A function may use any of its inputs, so its outputs come from all of them; an expression comes
    from the inputs it names. Request values belong to no object. What is not registered is left
    out.
    """
    if isinstance(definition, OnDemandFeatureView):
        return dict(_computed(project, definition))
    if isinstance(definition, FeatureView):
        return dict(_read(project, definition))
    lineage: dict[str, list[Column]] = {}
    for reference in definition.references:
        for feature in _features(project, reference):
            column = _column(project, reference, feature)
            lineage.setdefault(feature, []).append(column)
    return lineage


def _computed(
    project: ProjectSnapshot, view: OnDemandFeatureView
) -> Iterator[tuple[str, list[Column]]]:
    inputs = {i.name: _column(project, i.reference, i.feature) for i in inputs_of(project, view)}
    for field in view.fields:
        expression = view.expressions.get(field.name)
        used = check_expressions({field.name: expression}) if expression else inputs.keys()
        yield field.name, [column for name, column in inputs.items() if name in used]


def _read(project: ProjectSnapshot, view: FeatureView) -> Iterator[tuple[str, list[Column]]]:
    source = project.look_up(Source, view.source)
    if source is None:
        return
    dependency = Dependency(Source.kind, source.name, project.name)
    mapping = source.field_mapping if isinstance(source, BatchSource) else {}
    renamed = {name: raw for raw, name in mapping.items()}
    keys = [key for entity in entities_of(project, view) for key in entity.join_keys]
    for name in dict.fromkeys([*keys, *view.feature_names]):
        yield name, [Column(dependency, renamed.get(name, name))]


def _features(project: ProjectSnapshot, reference: ViewReference) -> list[str]:
    if reference.features is not None:
        return list(reference.features)
    view = interface(project, reference)
    return list(view.features if view else ())


def _column(project: ProjectSnapshot, reference: ViewReference, feature: str) -> Column:
    home = reference.project or project.name
    return Column(Dependency(View.namespace, reference.view, home), feature)
