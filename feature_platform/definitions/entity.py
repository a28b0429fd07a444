"""Entities: the things that features describe."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, model_validator

from feature_platform.definitions.base import ColumnName, Definition, separators_folded
from feature_platform.definitions.field import check_reserved
from feature_platform.errors import DefinitionError
from feature_platform.types import DType


class Entity(Definition):
    """A thing that features describe, identified by one or several join keys.

    Attributes:
        join_keys: Columns that identify an entity, in key order; defaults to the name.
        value_type: Type of a single join key. Declare the types of several keys in the views'
            schemas instead.

    Raises:
        DefinitionError: A key occurs twice, or one type is given for several keys.

    Example:
        >>> Entity(name="driver", join_keys=["driver_id"]).join_keys
        ('driver_id',)

    Source: Feast's `Entity`, which takes one join key only.
    """

    if TYPE_CHECKING:  # lists are tuples, objects are names

        def __init__(self, **data: Any) -> None: ...

    kind: ClassVar[str] = "entity"

    type: Literal["entity"] = "entity"
    join_keys: Annotated[
        tuple[ColumnName, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)
    ] = ()
    value_type: DType | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_join_key(cls, data: dict[str, object]) -> dict[str, object]:
        if "join_key" in data and not data.get("join_keys"):  # Feast's older spelling
            data = {**data, "join_keys": (data["join_key"],)}
            del data["join_key"]
        if data.get("join_keys") or "name" not in data:
            return data
        return {**data, "join_keys": (data["name"],)}

    @property
    def join_key(self) -> str:
        """The only join key.

        Raises:
            DefinitionError: There are several.
        """
        if len(self.join_keys) > 1:
            raise DefinitionError(f"{self} has several join keys: {list(self.join_keys)}.")
        return self.join_keys[0]

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        check_reserved("join_keys", self.join_keys)
        if len(set(map(separators_folded, self.join_keys))) < len(self.join_keys):
            raise ValueError(f"join_keys {list(self.join_keys)} contain a column twice.")
        if self.value_type and (len(self.join_keys) > 1 or self.value_type.item):
            raise ValueError(
                "value_type is the scalar type of a single join key. Declare the types of several "
                "keys as fields of the views' schemas."
            )
        if self.value_type and not self.value_type.can_be_key:
            raise ValueError(
                f"value_type: a {self.value_type} cannot be a join key. Use Int64 or String."
            )
        return self
