"""From a snapshot and feature references to tables and transformations.

The only place where a view becomes columns.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
    PushSource,
    View,
    ViewReference,
    reference,
)
from feature_platform.errors import (
    NotFoundError,
    RequestError,
    TransformationError,
    did_you_mean,
)
from feature_platform.registry import VIEW_KINDS, Snapshot, not_found
from feature_platform.table import History, Table, ViewRead, arrow_type, column

Features: TypeAlias = (
    str | FeatureService | View | ViewReference | Sequence[str | View | ViewReference]
)
"""What users pass as `features`."""


STORED_INPUTS: Final = "__fp_inputs"


@dataclass(frozen=True, slots=True)
class Stored:
    """Answers of an on-demand view that are kept online.

    Attributes:
        table: Where they are; its last column, `STORED_INPUTS`, is a digest of what each was
            computed from.
        label: The read that they are computed from.
        inputs: The features of that read which they depend on.
        computed_by: Identifies the code.
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
        owner: Who registered it, for messages.
        code: The function; the process that computes it imports it. `None` in mode `sql`.
        expressions: Feature → SQL expression over the inputs, in mode `sql`.
        mode: `row`, `python`, `pandas` or `sql`.
        inputs: Name the function uses → column it is read from.
        request: What the request has to carry.
        outputs: Columns it adds; their names carry the view's label.
        features: Name the function returns → column, in the order of `outputs`.
        stored: Where answers are kept online, if they are.
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
    stored: Stored | None = None

    @property
    def location(self) -> Code:
        """Where the function is.

        Raises:
            TransformationError: The view is computed by expressions.
        """
        if self.code is None:
            raise TransformationError(f"On-demand view {self.view!r} has no function.")
        return self.code


@dataclass(frozen=True, slots=True)
class Retrieval:
    """All that has to be done to answer a request for features.

    Attributes:
        version: Registry version it was resolved from.
        reads: Tables to look up.
        transformations: On-demand views, each after those it reads.
        outputs: Name in the answer → column of the intermediate result, in request order.
    """

    version: int
    reads: tuple[ViewRead, ...]
    transformations: tuple[Transformation, ...]
    outputs: Mapping[str, str]

    @property
    def join_keys(self) -> dict[str, pa.DataType | None]:
        """Columns that identify entities in the request, and their types where declared."""
        keys: dict[str, pa.DataType | None] = {}
        for read in self.reads:
            for key, name in read.keys.items():
                keys[name] = keys.get(name) or read.table.keys[key]
        return keys

    @property
    def request_fields(self) -> dict[str, pa.DataType]:
        """Columns that on-demand views need from the request."""
        return {f.name: f.type for t in self.transformations for f in t.request}


def resolve(
    snapshot: Snapshot,
    project: str,
    features: str | FeatureService | Iterable[ViewReference],
    *,
    full_feature_names: bool = False,
    stored: bool = True,
) -> Retrieval:
    """Work out what answers a request.

    Args:
        snapshot: The registry to resolve in.
        project: Project of the references.
        features: A feature service or its name, or references.
        full_feature_names: Answer with `view__feature` instead of `feature`.
        stored: Say where answers of on-demand views are kept online.

    Raises:
        NotFoundError: A reference names something that is not registered.
        RequestError: Two features would have the same name in the answer.
    """
    resolver = _Resolver(snapshot, project, stored)
    outputs: dict[str, str] = {}
    for ref in _references(snapshot, project, features):
        for feature in resolver.add(ref):
            name = f"{ref.label}__{feature}" if full_feature_names else feature
            internal = column(ref.label, feature)
            if outputs.setdefault(name, internal) != internal:
                other = outputs[name].partition(":")[0]
                raise RequestError(
                    f"Feature {feature!r} is asked for from {other!r} and from {ref.label!r}. Pass "
                    "full_feature_names=True to tell them apart."
                )
    return Retrieval(
        version=snapshot.version,
        reads=tuple(resolver.reads()),
        transformations=tuple(resolver.transformations.values()),
        outputs=outputs,
    )


def table_of(snapshot: Snapshot, project: str, view: FeatureView) -> Table:
    """Return the table behind a feature view."""
    types = {f.name: arrow_type(f.dtype) for f in view.fields}
    keys: dict[str, pa.DataType | None] = {}
    for name in view.entities:
        entity = snapshot.get(Entity, project, name)
        declared = arrow_type(entity.value_type) if entity.value_type else None
        keys |= {key: types.get(key, declared) for key in entity.join_keys}
    return Table(
        project=project,
        name=view.name,
        keys=keys,
        features=pa.schema([(name, dtype) for name, dtype in types.items() if name not in keys]),
        ttl=view.ttl,
        history=_history(snapshot, project, view),
    )


def stored_of(snapshot: Snapshot, project: str, view: OnDemandFeatureView) -> Stored:
    """Return where the answers of an on-demand view are kept online.

    Raises:
        RequestError: The view depends on more than one stored row.
    """
    retrieval = resolve(snapshot, project, [ViewReference(view=view.name)], stored=False)
    if len(retrieval.reads) != 1 or retrieval.request_fields:
        raise RequestError(
            f"On-demand view {view.name!r} cannot be stored: it needs more than "
            "the row of one view."
        )
    [read] = retrieval.reads
    how: list[object] = [
        (step.code or dict(step.expressions), dict(step.inputs))
        for step in retrieval.transformations
    ]
    features = [(f.name, arrow_type(f.dtype)) for f in view.fields]
    how.append([(name, str(dtype)) for name, dtype in features])
    return Stored(
        table=Table(
            project=project,
            name=view.name,
            keys=read.table.keys,
            features=pa.schema([*features, (STORED_INPUTS, pa.binary())]),
            ttl=read.table.ttl,
        ),
        label=read.label,
        inputs=read.features,
        computed_by=blake2b(repr(how).encode(), digest_size=8).digest(),
    )


def _history(snapshot: Snapshot, project: str, view: FeatureView) -> History | None:
    entry = snapshot.find(project, "source", view.source)
    source = entry.definition if entry else None
    if isinstance(source, PushSource):
        if source.batch_source is None:
            return None
        entry = snapshot.find(project, "source", source.batch_source)
        source = entry.definition if entry else None
    if not isinstance(source, BatchSource):
        known = snapshot.names(project, "source")
        raise NotFoundError(not_found("source", view.source, project, known))
    renamed = {name: raw for raw, name in source.field_mapping.items()}
    created = source.created_timestamp_column
    day = getattr(source, "date_partition_column", "")
    return History(
        source=source.name,
        location=source.location(),
        event_timestamp=renamed.get(source.timestamp_field, source.timestamp_field),
        created_timestamp=renamed.get(created, created) or None,
        day_column=day or None,
        renamed=renamed,
    )


def _references(
    snapshot: Snapshot, project: str, features: str | FeatureService | Iterable[ViewReference]
) -> tuple[ViewReference, ...]:
    if isinstance(features, FeatureService):
        return features.features
    if isinstance(features, str):
        return snapshot.get(FeatureService, project, features).features
    listed = tuple(features)
    if not listed:
        raise RequestError("features is empty: name a feature service or at least one feature.")
    return listed


@dataclass
class _Wanted:
    ref: ViewReference
    table: Table
    features: dict[str, None] = field(default_factory=dict)


@dataclass
class _Resolver:
    snapshot: Snapshot
    project: str
    stored: bool
    wanted: dict[str, _Wanted] = field(default_factory=dict)
    transformations: dict[str, Transformation] = field(default_factory=dict)
    labels: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)

    def add(self, ref: ViewReference) -> tuple[str, ...]:
        """Take a reference into the request and return the features it stands for."""
        view = self.snapshot.view(self.project, ref.view)
        way = (ref.view, dict(ref.join_key_map))
        if self.labels.setdefault(ref.label, way) != way:
            raise RequestError(
                f"Two views, or one view joined in two ways, go by the name {ref.label!r}. Give "
                "one of them another with with_name."
            )
        if isinstance(view, OnDemandFeatureView):
            if ref.join_key_map:
                raise RequestError(
                    f"On-demand view {ref.view!r} has no join keys to map; map those of the views "
                    "it reads."
                )
            return self._add_transformation(ref, view)
        if isinstance(view, FeatureView):
            return self._add_read(ref, view)
        raise NotFoundError(f"{view} offers no features.")

    def reads(self) -> Iterator[ViewRead]:
        for label, wanted in self.wanted.items():
            order = [name for name in wanted.table.features.names if name in wanted.features]
            keys = {key: wanted.ref.join_key_map.get(key, key) for key in wanted.table.keys}
            yield ViewRead(label=label, table=wanted.table, features=tuple(order), keys=keys)

    def _add_read(self, ref: ViewReference, view: FeatureView) -> tuple[str, ...]:
        wanted = self.wanted.get(ref.label)
        if wanted is None:
            table = table_of(self.snapshot, self.project, view)
            wanted = self.wanted[ref.label] = _Wanted(ref, table)
        if unknown := set(ref.join_key_map) - set(wanted.table.keys):
            raise RequestError(f"View {ref.view!r} has no join key {min(unknown)!r}.")
        features = _known(ref, wanted.table.features.names)
        wanted.features |= dict.fromkeys(features)
        return features

    def _add_transformation(self, ref: ViewReference, view: OnDemandFeatureView) -> tuple[str, ...]:
        features = _known(ref, view.feature_names)
        if ref.label not in self.transformations:
            inputs = self._inputs(view)
            fields = {name: column(ref.label, name) for name in view.feature_names}
            entry = self.snapshot.find(self.project, view.kind, view.name)
            if entry is None or not view.is_complete:
                raise NotFoundError(f"{view} has no code.")
            kept = view.write_to_online_store and self.stored
            self.transformations[ref.label] = Transformation(
                view=view.name,
                owner=entry.owner,
                code=view.code,
                expressions=view.expressions,
                mode=view.mode,
                inputs=inputs | {f.name: f.name for f in view.request},
                request=_schema(view.request),
                outputs=pa.schema([f.with_name(fields[f.name]) for f in _schema(view.fields)]),
                features=fields,
                stored=stored_of(self.snapshot, self.project, view) if kept else None,
            )
        return features

    def _inputs(self, view: OnDemandFeatureView) -> dict[str, str]:
        """Return the function's inputs; those that share a name go by `view__feature`."""
        try:
            found = [(ref, name) for ref in view.inputs for name in self.add(ref)]
        except NotFoundError as error:  # the platform broke a contract: `plan` says since when
            raise NotFoundError(f"{view} cannot be computed: {error}") from error
        names = [name for _, name in found] + [f.name for f in view.request]
        return {
            name if names.count(name) == 1 else f"{ref.label}__{name}": column(ref.label, name)
            for ref, name in found
        }


def _known(ref: ViewReference, known: Iterable[str]) -> tuple[str, ...]:
    known = list(known)
    for name in ref.features or ():
        if name not in known:
            hint = did_you_mean(name, known)
            raise NotFoundError(f"View {ref.view!r} has no feature {name!r}.{hint}")
    return tuple(known) if ref.features is None else ref.features


def _schema(fields: Iterable[Field]) -> pa.Schema:
    return pa.schema([(f.name, arrow_type(f.dtype)) for f in fields])


def parse_features(
    snapshot: Snapshot, project: str, features: object
) -> str | FeatureService | list[ViewReference]:
    """Read the `features` argument of a request: a service, its name, or references.

    Raises:
        NotFoundError: A single string names neither a service nor a view.
        RequestError: It is none of these.
    """
    if isinstance(features, FeatureService):
        return features
    if isinstance(features, str):
        services = snapshot.names(project, FeatureService.kind)
        views = snapshot.names(project, *VIEW_KINDS)
        if features in services:
            return features
        if ":" not in features and features not in views:
            hint = did_you_mean(features, [*services, *views])
            raise NotFoundError(f"Project {project!r} has no feature service {features!r}.{hint}")
        features = [features]
    given = list(features) if isinstance(features, (list, tuple)) else [features]
    refs = [reference(item) for item in given]
    if wrong := [item for item in refs if not isinstance(item, ViewReference)]:
        raise RequestError(
            f"features: {wrong[0]!r} is not a reference. Pass a feature service or its name, or a "
            "list of 'view', 'view:feature' and view objects."
        )
    return refs
