"""Feature views: the unit of storage, materialization and lineage."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import pydantic
from pydantic import BeforeValidator, PrivateAttr, field_validator, model_validator

from feature_platform.definitions import feast_arguments
from feature_platform.definitions.base import Definition, Dependency, Name, name_of
from feature_platform.definitions.checks import Drift, ViewCheck
from feature_platform.definitions.entity import Entity
from feature_platform.definitions.field import (
    Field,
    as_tuple,
    check_labels,
    check_reserved,
    duplicate_names,
)
from feature_platform.definitions.reference import View
from feature_platform.definitions.source import Source
from feature_platform.errors import DefinitionError, did_you_mean


class FeatureView(View):
    """Features of some entities that are observed and stored together.

    One row is one observation: join keys, an event timestamp and a column per feature.

    Attributes:
        source: Batch or push source of the rows, or its name.
        schema: The features. A field named like a join key declares the key's type instead.
        entities: Entities (or their names) whose join keys identify a row; empty for global
            features.
        ttl: How long a row is valid: a row observed at `t` serves requests from `t` to `t + ttl`,
            both inclusive. `None` and zero mean forever.
        online: Whether rows can be materialized and pushed to the online store.
        checks: What its rows should be: `RowCount`, `Fresh`, `UniqueRows`, `Drift`. Fields have
            checks of their own.

    Raises:
        DefinitionError: Arguments are invalid; all of them are listed.

    Example:
        >>> from feature_platform.definitions import Entity, FileSource
        >>> from feature_platform.types import Float32
        >>> stats = FeatureView(
        ...     name="driver_stats",
        ...     entities=[Entity(name="driver_id")],
        ...     ttl=timedelta(days=1),
        ...     schema=[Field(name="conv_rate", dtype=Float32)],
        ...     source=FileSource(path="driver_stats.parquet"),
        ... )
        >>> stats.entities, stats.source
        (('driver_id',), 'driver_stats')

    Source: Feast's `FeatureView`. The schema is a contract: declared, never inferred.
    """

    kind: ClassVar[str] = "feature_view"
    feast_arguments: ClassVar = feast_arguments.VIEW

    type: Literal["feature_view"] = "feature_view"
    source: Annotated[Name, BeforeValidator(name_of)]
    fields: tuple[Field, ...] = pydantic.Field(alias="schema", min_length=1)
    entities: Annotated[
        tuple[Annotated[Name, BeforeValidator(name_of)], ...], BeforeValidator(as_tuple)
    ] = ()
    ttl: timedelta | None = None
    online: bool = True
    checks: Annotated[tuple[ViewCheck, ...], BeforeValidator(as_tuple)] = ()
    _source: Definition | None = PrivateAttr(default=None)
    _entities: tuple[Entity, ...] = PrivateAttr(default=())

    def __init__(self, *args: Any, **data: Any) -> None:
        super().__init__(*args, **data)
        entities = as_tuple(data.get("entities") or ())
        self._entities = tuple(e for e in entities if isinstance(e, Entity))
        source = data.get("source")
        if isinstance(source, Definition) and not isinstance(source, Source):
            raise DefinitionError(f"{self}: source is a {source.kind}. Pass a source or its name.")
        self._source = source if isinstance(source, Definition) else None

    @field_validator("ttl")
    @classmethod
    def _normalize_ttl(cls, ttl: timedelta | None) -> timedelta | None:
        if ttl is not None and ttl < timedelta(0):
            raise ValueError(f"{ttl} is negative. Use None for values that never expire.")
        return ttl or None

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if duplicates := duplicate_names(self.fields):
            raise ValueError(f"schema declares {duplicates} twice.")
        check_reserved("schema", (f.name for f in self.fields))
        if len(set(self.entities)) < len(self.entities):
            raise ValueError(f"entities {list(self.entities)} contain an entity twice.")
        return self

    @model_validator(mode="after")
    def _check_checks(self) -> Self:
        of_fields = [f"{f.name}_{check.label}" for f in self.fields for check in f.checks]
        check_labels([*(check.label for check in self.checks), *of_fields])
        types = {f.name: f.dtype for f in self.fields}
        for drift in (check for check in self.checks if isinstance(check, Drift)):
            if drift.feature not in types:
                hint = did_you_mean(drift.feature, types)
                raise ValueError(f"checks: {drift.feature!r} is not a feature.{hint}")
            if misfit := drift.misfit(types[drift.feature]):
                raise ValueError(f"checks: {misfit}")
        return self

    @property
    def entity_names(self) -> tuple[str, ...]:
        return self.entities

    def dependencies(self) -> Iterator[Dependency]:
        yield from (Dependency(Entity.kind, name) for name in self.entities)
        yield Dependency(Source.kind, self.source)

    def related(self) -> tuple[Definition, ...]:
        entities = tuple(e for e in self._entities if e.name in self.entities)
        if self._source is None or self._source.name != self.source:
            return entities
        return (*entities, self._source, *self._source.related())

    def with_entities(self, entities: Mapping[str, Entity]) -> Self:
        """Return a copy that brings these entities along in place of those of the same name."""
        copied = self.model_copy()
        copied._entities = tuple(entities.get(e.name, e) for e in self._entities)  # noqa: SLF001
        return copied


class StreamFeatureView(FeatureView):
    """A feature view with pushed rows, and a batch source for their history.

    Source: Feast's `StreamFeatureView`.
    """

    if TYPE_CHECKING:  # lists are tuples, objects are names

        def __init__(self, **data: Any) -> None: ...

    feast_arguments: ClassVar = feast_arguments.STREAM_VIEW

    type: Literal["stream_feature_view"] = "stream_feature_view"  # type: ignore[assignment]
