"""Resolve feature references to tables and transformations."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import blake2b
from typing import Final, TypeAlias

import pyarrow as pa

from feature_platform.definitions import (
    BatchSource,
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
from feature_platform.errors import (
    AccessError,
    NotFoundError,
    RequestError,
    TransformationError,
    did_you_mean,
)
from feature_platform.project.interface import ViewInterface, inputs_of, interface
from feature_platform.project.project_snapshot import ProjectSnapshot
from feature_platform.project.snapshot import Key
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
        project: Project of the view.
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
    project: str
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
        project: The project of the reader.
        version: Registry version of the definitions.
        reads: Tables to read.
        transformations: On-demand views; each follows its inputs.
        outputs: Result column → column of the intermediate result, in request order.
        until: The last day on which other projects share what it reads; `None` for no end.
    """

    project: str
    version: int
    reads: tuple[ViewRead, ...]
    transformations: tuple[Transformation, ...]
    outputs: Mapping[str, str]
    until: date | None = None

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
    project: ProjectSnapshot,
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
        AccessError: Another project does not share a view.
        NotFoundError: A view, feature or dependency is not registered.
        RequestError: Two features would have the same name in the result, or there are none.
    """
    if not references:
        raise RequestError("features is empty. Pass a feature service or at least one feature.")
    resolver = _Resolver(project, use_precomputed)
    outputs: dict[str, str] = {}
    for ref in references:
        for feature in resolver.add(ref, project, ref.label):
            name = f"{ref.label}__{feature}" if full_feature_names else feature
            internal = column(ref.label, feature)
            if outputs.setdefault(name, internal) != internal:
                other = outputs[name].partition(":")[0]
                message = f"Feature {feature!r} is requested from both {other!r} and {ref.label!r}."
                raise RequestError(
                    f"{message} Pass full_feature_names=True (--full-names) to distinguish them."
                )
    return Retrieval(
        project=project.name,
        version=project.version,
        reads=tuple(resolver.reads()),
        transformations=tuple(resolver.transformations.values()),
        outputs=outputs,
        until=min(resolver.ends, default=None),
    )


def table_of(project: ProjectSnapshot, view: FeatureView) -> Table:
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


def precomputed_of(project: ProjectSnapshot, view: OnDemandFeatureView) -> Precomputed:
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


def _generation(project: ProjectSnapshot, view: View) -> int:
    entry = project.find(View.namespace, view.name)
    return entry.generation if entry else 0


def online_table(project: ProjectSnapshot, view: View) -> Table | None:
    """Return the table of a view in the online store; `None` if it is not stored."""
    if not isinstance(view, OnDemandFeatureView):
        return table_of(project, project.get(FeatureView, view.name))
    return precomputed_of(project, view).table if view.write_to_online_store else None


def _source_table(
    project: ProjectSnapshot, view: FeatureView, exposed: ViewInterface
) -> SourceTable | None:
    source = exposed.sources[project.name, view.name]
    if source is None and not exposed.has_history:
        return None
    if source is None:
        names = project.names(Source.kind)
        raise NotFoundError(project.not_found(Source.kind, view.source, names))
    return source_table(source, is_pushed=view.source != source.name)


def source_table(source: BatchSource, *, is_pushed: bool = False) -> SourceTable:
    """Return a batch source as stores see it."""
    renamed = {name: raw for raw, name in source.field_mapping.items()}
    created = source.created_timestamp_column
    return SourceTable(
        name=source.name,
        location=source.location(),
        event_timestamp=renamed.get(source.timestamp_field, source.timestamp_field),
        created_timestamp=renamed.get(created, created) or None,
        day_column=source.day_column or None,
        renamed=renamed,
        is_pushed=is_pushed,
    )


@dataclass
class _Lookup:
    reference: ViewReference
    table: Table
    features: dict[str, None] = field(default_factory=dict)


@dataclass
class _Resolver:
    project: ProjectSnapshot
    use_precomputed: bool
    lookups: dict[str, _Lookup] = field(default_factory=dict)
    transformations: dict[str, Transformation] = field(default_factory=dict)
    labels: dict[str, object] = field(default_factory=dict)
    ends: set[date] = field(default_factory=set)

    def add(self, ref: ViewReference, reader: ProjectSnapshot, label: str) -> tuple[str, ...]:
        """Add a reference to the request and return its features.

        Args:
            ref: The reference.
            reader: The project that makes it: that of the request, or of an on-demand view.
            label: Its label: as it is written in the request, or that of `_label`.
        """
        decision = reader.check_may_read(ref)
        if decision.until is not None:
            self.ends.add(decision.until)
        home, view = reader.at(ref.project), reader.view(ref)
        lookup = home.name, ref.view, ref.join_key_map
        if self.labels.setdefault(label, lookup) != lookup:
            message = "Two views, or two joins of one view, have the name"
            raise RequestError(f"{message} {ref.label!r}. Rename one of them with with_name.")
        if isinstance(view, OnDemandFeatureView):
            if ref.join_key_map:
                message = "has no join keys to map. Map the join keys of its input views."
                raise RequestError(f"On-demand view {ref.view!r} {message}")
            self._add_transformation(label, home, view)
            return _select_features(ref, view.feature_names, decision.features)
        return self._add_lookup(label, ref, home, decision.features)

    def reads(self) -> Iterator[ViewRead]:
        for label, lookup in self.lookups.items():
            features = [name for name in lookup.table.features.names if name in lookup.features]
            keys = {key: lookup.reference.join_key_map.get(key, key) for key in lookup.table.keys}
            yield ViewRead(label=label, table=lookup.table, features=tuple(features), keys=keys)

    def _label(self, ref: ViewReference, reader: ProjectSnapshot) -> str:
        """Return the label of an input of an on-demand view; that of another project names it."""
        home = reader.at(ref.project).name
        return ref.label if home == self.project.name else f"{home}/{ref.label}"

    def _add_lookup(
        self, label: str, ref: ViewReference, home: ProjectSnapshot, shared: Sequence[str] | None
    ) -> tuple[str, ...]:
        lookup = self.lookups.get(label)
        if lookup is None:
            table = table_of(home, home.get(FeatureView, ref.view))
            lookup = self.lookups[label] = _Lookup(ref, table)
        if unknown := set(ref.join_key_map) - set(lookup.table.keys):
            raise RequestError(f"View {ref.view!r} has no join key {min(unknown)!r}.")
        features = _select_features(ref, lookup.table.features.names, shared)
        lookup.features |= dict.fromkeys(features)
        return features

    def _add_transformation(
        self, label: str, home: ProjectSnapshot, view: OnDemandFeatureView
    ) -> None:
        if label in self.transformations:
            return
        inputs = self._inputs(view, home)
        columns = {name: column(label, name) for name in view.feature_names}
        entry = home.find(view.namespace, view.name)
        if entry is None or not view.is_complete:
            raise NotFoundError(f"{view} has no code.")
        self.transformations[label] = Transformation(
            view=view.name,
            project=home.name,
            owner=entry.owner,
            code=view.code,
            expressions=view.expressions,
            mode=view.mode,
            inputs=inputs | {f.name: f.name for f in view.request},
            request=_schema(_types(view.request)),
            outputs=_schema({columns[n]: t for n, t in _types(view.fields).items()}),
            features=columns,
            precomputed=self._precomputed(view, home),
        )

    def _precomputed(self, view: OnDemandFeatureView, home: ProjectSnapshot) -> Precomputed | None:
        if not (view.write_to_online_store and self.use_precomputed):
            return None
        precomputed = precomputed_of(home, view)
        label = ViewReference(view=precomputed.label)
        return replace(precomputed, label=self._label(label, home))

    def _inputs(self, view: OnDemandFeatureView, home: ProjectSnapshot) -> dict[str, str]:
        """Add the inputs of a view to the request and return input name → column."""
        try:
            for ref in view.inputs:
                self.add(ref, home, self._label(ref, home))
        except NotFoundError as error:  # the platform broke a contract; `plan` reports since when
            raise NotFoundError(f"{view} cannot be computed: {error}") from error
        inputs = inputs_of(home, view)
        return {i.name: column(self._label(i.reference, home), i.feature) for i in inputs}


def _select_features(
    ref: ViewReference, names: Iterable[str], shared: Sequence[str] | None
) -> tuple[str, ...]:
    available = [name for name in names if shared is None or name in shared]
    for name in ref.features or ():
        if shared is not None and name not in available:  # whether or not there is one
            raise AccessError(f"Project {ref.project!r} does not share {name!r} of {ref.view!r}.")
        if name not in available:
            hint = did_you_mean(name, available)
            raise NotFoundError(f"View {ref.view!r} has no feature {name!r}.{hint}")
    return tuple(available) if ref.features is None else ref.features


def _types(fields: Iterable[Field]) -> dict[str, FeatureType]:
    return {f.name: f.dtype for f in fields}


def _schema(types: Mapping[str, FeatureType]) -> pa.Schema:
    return pa.schema([(name, arrow_type(dtype)) for name, dtype in types.items()])


def parse_features(project: ProjectSnapshot, features: object) -> Sequence[ViewReference]:
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


def _service_or_reference(project: ProjectSnapshot, name: str) -> object:
    path, colon, _ = name.partition(":")
    other, slash, short = path.rpartition("/")
    home = project.at(other)
    service = None if colon else home.look_up(FeatureService, short)
    if service is not None and home is project:
        return service
    if service is not None:
        key = Key(home.name, service.kind, service.name)
        if project.may_read_object(key).allowed:  # otherwise it is a name like any other
            return list(_shared_service(home, service))
    names = project.names(FeatureService.kind, View.namespace)
    if not colon and not slash and name not in names:
        hint = did_you_mean(name, names)
        raise NotFoundError(f"Project {project.name!r} has no feature service {name!r}.{hint}")
    return name


def _shared_service(home: ProjectSnapshot, service: FeatureService) -> Iterator[ViewReference]:
    """Yield the references of another project's service, as this project writes them."""
    for ref in service.references:
        yield ViewReference(**{**dict(ref), "project": ref.project or home.name})
