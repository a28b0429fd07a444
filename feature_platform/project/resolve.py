"""Resolve feature references to tables and transformations."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, TypeAlias

import pyarrow as pa

from feature_platform.definitions import (
    Code,
    Entity,
    FeatureService,
    FeatureView,
    Field,
    OnDemandFeatureView,
    Source,
    View,
    ViewReference,
    reference,
)
from feature_platform.errors import NotFoundError, RequestError, TransformationError, did_you_mean
from feature_platform.project.interface import ViewInterface, inputs_of, interface
from feature_platform.project.project import Project
from feature_platform.table import SourceTable, Table, ViewRead, column
from feature_platform.types import FeatureType
from feature_platform.types.arrow import arrow_type

Features: TypeAlias = (
    str | FeatureService | View | ViewReference | Sequence[str | View | ViewReference]
)
"""Valid values of the `features` argument of requests."""

PRECOMPUTED_INPUTS: Final = "__fp_inputs"


@dataclass(frozen=True, slots=True)
class Precomputed:
    """Features of an on-demand view that are computed when rows are written.

    Attributes:
        table: Table in the online store. Its last column, `PRECOMPUTED_INPUTS`, contains a digest
            of the inputs of each row.
        label: Label of the read that provides the inputs.
        inputs: Input features.
        computed_by: Fingerprint of the computation.
    """

    table: Table
    label: str
    inputs: tuple[str, ...]
    computed_by: bytes


@dataclass(frozen=True, slots=True)
class Transformation:
    """An on-demand view to compute from columns of the intermediate result.

    Attributes:
        view: Name of the view, for messages.
        owner: Owner of the view; its repo contains the code.
        code: The function, imported where it is computed; `None` in mode `sql`.
        expressions: Feature → SQL expression over the inputs, in mode `sql`.
        mode: `row`, `python`, `pandas` or `sql`.
        inputs: Input name in the function → column of the intermediate result.
        request: Request values.
        outputs: Added columns; their names contain the view's label.
        features: Output name of the function → column, in the order of `outputs`.
        precomputed: The precomputed features; `None` if the view has none.
    """

    view: str
    owner: str
    code: Code | None
    expressions: Mapping[str, str]
    mode: str
    inputs: Mapping[str, str]
    request: pa.Schema
    outputs: pa.Schema
    features: Mapping[str, str]
    precomputed: Precomputed | None = None

    @property
    def location(self) -> Code:
        """Import path and fingerprint of the function.

        Raises:
            TransformationError: The view has no function.
        """
        if self.code is None:
            raise TransformationError(f"On-demand view {self.view!r} has no function.")
        return self.code


@dataclass(frozen=True, slots=True)
class Retrieval:
    """The resolved reads and transformations of a request.

    Attributes:
        version: Registry version of the definitions.
        reads: Tables to read.
        transformations: On-demand views; each follows its inputs.
        outputs: Result column → column of the intermediate result, in request order.
    """

    version: int
    reads: tuple[ViewRead, ...]
    transformations: tuple[Transformation, ...]
    outputs: Mapping[str, str]

    @property
    def join_keys(self) -> dict[str, pa.DataType | None]:
        """Join key of the request → type; `None` if no type is declared."""
        keys: dict[str, pa.DataType | None] = {}
        for read in self.reads:
            for key, name in read.keys.items():
                keys[name] = keys.get(name) or read.table.keys[key]
        return keys

    @property
    def request_fields(self) -> dict[str, pa.DataType]:
        """Request value that on-demand views need → type."""
        return {f.name: f.type for t in self.transformations for f in t.request}


def resolve(
    project: Project,
    references: Sequence[ViewReference],
    *,
    full_feature_names: bool = False,
    use_precomputed: bool = True,
) -> Retrieval:
    """Resolve a request.

    Args:
        project: The project of the reader.
        references: The features, as returned by `parse_features`.
        full_feature_names: Name features `view__feature` instead of `feature`.
        use_precomputed: Include the precomputed features of on-demand views.

    Raises:
        NotFoundError: A view, feature or dependency is not registered.
        RequestError: Two features would have the same name in the result, or there are none.
    """
    if not references:
        raise RequestError("features is empty. Pass a feature service or at least one feature.")
    resolver = _Resolver(project, use_precomputed)
    outputs: dict[str, str] = {}
    for ref in references:
        for feature in resolver.add(ref):
            name = f"{ref.label}__{feature}" if full_feature_names else feature
            internal = column(ref.label, feature)
            if outputs.setdefault(name, internal) != internal:
                other = outputs[name].partition(":")[0]
                message = f"Feature {feature!r} is requested from both {other!r} and {ref.label!r}."
                raise RequestError(f"{message} Pass full_feature_names=True to distinguish them.")
    return Retrieval(
        version=project.version,
        reads=tuple(resolver.reads()),
        transformations=tuple(resolver.transformations.values()),
        outputs=outputs,
    )


def table_of(project: Project, view: FeatureView) -> Table:
    """Return the table of a feature view.

    Raises:
        NotFoundError: An entity or the source is not registered.
    """
    for name in view.entities:
        project.get(Entity, name)
    exposed = interface(project, view.reference())
    if exposed is None:
        raise NotFoundError(project.not_found("view", view.name, project.names(View.namespace)))
    return Table(
        project=project.name,
        name=view.name,
        keys={key: dtype and arrow_type(dtype) for key, dtype in exposed.keys.items()},
        features=_schema(exposed.features),
        ttl=view.ttl,
        source=_source_table(project, view, exposed),
        generation=_generation(project, view),
    )


def precomputed_of(project: Project, view: OnDemandFeatureView) -> Precomputed:
    """Return the precomputed features of an on-demand view.

    Raises:
        RequestError: The view depends on more than one stored row.
    """
    retrieval = resolve(project, [view.reference()], use_precomputed=False)
    if len(retrieval.reads) != 1 or retrieval.request_fields:
        message = "cannot be precomputed: it depends on more than one stored row."
        raise RequestError(f"On-demand view {view.name!r} {message}")
    [read] = retrieval.reads
    computation: list[object] = [
        (step.code or dict(step.expressions), dict(step.inputs))
        for step in retrieval.transformations
    ]
    features = [(f.name, arrow_type(f.dtype)) for f in view.fields]
    computation.append([(name, str(dtype)) for name, dtype in features])
    return Precomputed(
        table=Table(
            project=project.name,
            name=view.name,
            keys=read.table.keys,
            features=pa.schema([*features, (PRECOMPUTED_INPUTS, pa.binary())]),
            ttl=read.table.ttl,
            generation=_generation(project, view),
        ),
        label=read.label,
        inputs=read.features,
        computed_by=blake2b(repr(computation).encode(), digest_size=8).digest(),
    )


def _generation(project: Project, view: View) -> int:
    entry = project.find(View.namespace, view.name)
    return entry.generation if entry else 0


def online_table(project: Project, view: View) -> Table | None:
    """Return the table of a view in the online store; `None` if it is not stored."""
    if not isinstance(view, OnDemandFeatureView):
        return table_of(project, project.get(FeatureView, view.name))
    return precomputed_of(project, view).table if view.write_to_online_store else None


def _source_table(
    project: Project, view: FeatureView, exposed: ViewInterface
) -> SourceTable | None:
    source = exposed.sources[project.name, view.name]
    if source is None and not exposed.has_history:
        return None
    if source is None:
        names = project.names(Source.kind)
        raise NotFoundError(project.not_found(Source.kind, view.source, names))
    renamed = {name: raw for raw, name in source.field_mapping.items()}
    created = source.created_timestamp_column
    return SourceTable(
        name=source.name,
        location=source.location(),
        event_timestamp=renamed.get(source.timestamp_field, source.timestamp_field),
        created_timestamp=renamed.get(created, created) or None,
        day_column=source.day_column or None,
        renamed=renamed,
        is_pushed=view.source != source.name,
    )


@dataclass
class _Lookup:
    reference: ViewReference
    table: Table
    features: dict[str, None] = field(default_factory=dict)


@dataclass
class _Resolver:
    project: Project
    use_precomputed: bool
    lookups: dict[str, _Lookup] = field(default_factory=dict)
    transformations: dict[str, Transformation] = field(default_factory=dict)
    labels: dict[str, ViewReference] = field(default_factory=dict)

    def add(self, ref: ViewReference) -> tuple[str, ...]:
        """Add a reference to the request and return its features."""
        if ref.project not in {None, self.project.name}:
            raise NotFoundError(f"Project {ref.project!r} does not share view {ref.view!r}.")
        view = self.project.view(ref)
        if self.labels.setdefault(ref.label, ref).lookup != ref.lookup:
            message = "Two views, or two joins of one view, have the name"
            raise RequestError(f"{message} {ref.label!r}. Rename one of them with with_name.")
        if isinstance(view, OnDemandFeatureView):
            if ref.join_key_map:
                message = "has no join keys to map. Map the join keys of its input views."
                raise RequestError(f"On-demand view {ref.view!r} {message}")
            return self._add_transformation(ref, view)
        return self._add_lookup(ref, self.project.get(FeatureView, ref.view))

    def reads(self) -> Iterator[ViewRead]:
        for label, lookup in self.lookups.items():
            features = [name for name in lookup.table.features.names if name in lookup.features]
            keys = {key: lookup.reference.join_key_map.get(key, key) for key in lookup.table.keys}
            yield ViewRead(label=label, table=lookup.table, features=tuple(features), keys=keys)

    def _add_lookup(self, ref: ViewReference, view: FeatureView) -> tuple[str, ...]:
        lookup = self.lookups.get(ref.label)
        if lookup is None:
            lookup = self.lookups[ref.label] = _Lookup(ref, table_of(self.project, view))
        if unknown := set(ref.join_key_map) - set(lookup.table.keys):
            raise RequestError(f"View {ref.view!r} has no join key {min(unknown)!r}.")
        features = _select_features(ref, lookup.table.features.names)
        lookup.features |= dict.fromkeys(features)
        return features

    def _add_transformation(self, ref: ViewReference, view: OnDemandFeatureView) -> tuple[str, ...]:
        features = _select_features(ref, view.feature_names)
        if ref.label not in self.transformations:
            inputs = self._inputs(view)
            columns = {name: column(ref.label, name) for name in view.feature_names}
            entry = self.project.find(view.namespace, view.name)
            if entry is None or not view.is_complete:
                raise NotFoundError(f"{view} has no code.")
            precompute = view.write_to_online_store and self.use_precomputed
            self.transformations[ref.label] = Transformation(
                view=view.name,
                owner=entry.owner,
                code=view.code,
                expressions=view.expressions,
                mode=view.mode,
                inputs=inputs | {f.name: f.name for f in view.request},
                request=_schema(_types(view.request)),
                outputs=_schema({columns[n]: t for n, t in _types(view.fields).items()}),
                features=columns,
                precomputed=precomputed_of(self.project, view) if precompute else None,
            )
        return features

    def _inputs(self, view: OnDemandFeatureView) -> dict[str, str]:
        """Add the inputs of a view to the request and return input name → column."""
        try:
            for ref in view.inputs:
                self.add(ref)
        except NotFoundError as error:  # the platform broke a contract; `plan` reports since when
            raise NotFoundError(f"{view} cannot be computed: {error}") from error
        inputs = inputs_of(self.project, view)
        return {i.name: column(i.reference.label, i.feature) for i in inputs}


def _select_features(ref: ViewReference, names: Iterable[str]) -> tuple[str, ...]:
    available = list(names)
    for name in ref.features or ():
        if name not in available:
            hint = did_you_mean(name, available)
            raise NotFoundError(f"View {ref.view!r} has no feature {name!r}.{hint}")
    return tuple(available) if ref.features is None else ref.features


def _types(fields: Iterable[Field]) -> dict[str, FeatureType]:
    return {f.name: f.dtype for f in fields}


def _schema(types: Mapping[str, FeatureType]) -> pa.Schema:
    return pa.schema([(name, arrow_type(dtype)) for name, dtype in types.items()])


def parse_features(project: Project, features: object) -> Sequence[ViewReference]:
    """Convert the `features` argument of a request to references.

    Raises:
        NotFoundError: A single string names neither a service nor a view.
        RequestError: The argument contains anything but a service, its name, or references.
    """
    if isinstance(features, str):
        features = _service_or_reference(project, features)
    if isinstance(features, FeatureService):
        return features.references
    items = list(features) if isinstance(features, (list, tuple)) else [features]
    references = [reference(item) for item in items]
    if invalid := [item for item in references if not isinstance(item, ViewReference)]:
        remedy = "Pass a feature service or a list of 'view', 'view:feature' and view objects."
        raise RequestError(f"features: {invalid[0]!r} is not a reference. {remedy}")
    return references


def _service_or_reference(project: Project, name: str) -> object:
    if (service := project.look_up(FeatureService, name)) is not None:
        return service
    names = project.names(FeatureService.kind, View.namespace)
    if ":" not in name and "/" not in name and name not in names:
        hint = did_you_mean(name, names)
        raise NotFoundError(f"Project {project.name!r} has no feature service {name!r}.{hint}")
    return name
