"""Sharing between projects: what an owner project offers, and whether the other one accepts."""

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, model_validator

from feature_platform.definitions.base import Definition, Identifier, Name
from feature_platform.definitions.reference import References, ViewReference

AccessRight = Literal["read", "write"]


def _check_shared(references: tuple[ViewReference, ...]) -> tuple[ViewReference, ...]:
    for reference in references:
        if reference.project or reference.alias or reference.join_key_map:
            raise ValueError(
                f"{reference} is not a view of this project under its own name. Write 'view' or "
                "'view:feature'."
            )
    return references


class Share(Definition):
    """Views that the platform team of a project offers to another project of the registry.

    The other project reads them once it has an `Acceptance`. Deleting the share, or listing less,
    takes the access away at once.

    Attributes:
        to: The project that may use the views.
        name: Always the name of that project: there is one share per project.
        views: `view` or `view:feature` strings, views, or references. Join keys and event times
            always come along. Empty for the whole store, with views that are registered later.
        access: `read`, or `write` to also write, push and delete rows. Definitions, and loads from
            history, stay with their owner.
        until: The last day (UTC) of the share; `None` for no end.

    Example:
        >>> Share(to="development", views=["weather:temp", "flights"]).name
        'development'

    Source: Hopsworks' sharing of feature stores and feature groups.
    """

    if TYPE_CHECKING:  # lists are tuples, objects are names

        def __init__(self, **data: Any) -> None: ...

    kind: ClassVar[str] = "share"
    joins: ClassVar[bool] = False

    type: Literal["share"] = "share"
    name: Name = ""
    to: Identifier
    views: Annotated[References, AfterValidator(_check_shared)] = ()
    access: AccessRight = "read"
    until: date | None = None

    @model_validator(mode="before")
    @classmethod
    def _derive_name(cls, data: Any) -> Any:
        return _named_after(data, "to")

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        if self.name != self.to:
            raise ValueError(f"name: a share is named after its project: {self.to!r}.")
        return self

    @property
    def references(self) -> tuple[ViewReference, ...]:
        return self.views


class Acceptance(Definition):
    """The answer of a project's platform team to a share of another project.

    Attributes:
        of: The project that shares.
        name: Always the name of that project.
        accepted: Whether the project uses the share; `False` rejects it.

    Example:
        >>> Acceptance(of="production").accepted
        True

    Source: Hopsworks' acceptance of shared feature stores.
    """

    if TYPE_CHECKING:  # lists are tuples, objects are names

        def __init__(self, **data: Any) -> None: ...

    kind: ClassVar[str] = "acceptance"

    type: Literal["acceptance"] = "acceptance"
    name: Name = ""
    of: Identifier
    accepted: bool = True

    @model_validator(mode="before")
    @classmethod
    def _derive_name(cls, data: Any) -> Any:
        return _named_after(data, "of")

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        if self.name != self.of:
            raise ValueError(f"name: an acceptance is named after its project: {self.of!r}.")
        return self


def _named_after(data: Any, project: str) -> Any:
    return {"name": data[project], **data} if isinstance(data, dict) and project in data else data
