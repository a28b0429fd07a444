"""Transfers: an owner offers objects to another owner, who accepts by registering them."""

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import AfterValidator, BeforeValidator

from feature_platform.definitions.base import Definition, Identifier, is_name
from feature_platform.definitions.field import as_tuple

_KIND = re.compile(r"[a-z_]+")


def _object_name(value: Any) -> Any:
    return f"{value.kind}/{value.name}" if isinstance(value, Definition) else value


def _check_object_name(value: str) -> str:
    kind, _, name = value.partition("/")
    if not (_KIND.fullmatch(kind) and is_name(name)):
        raise ValueError(f"{value!r} is not an object. Write kind/name or pass the definition.")
    return value


class Transfer(Definition):
    """Objects that their owner offers to another owner.

    Ownership changes when the new owner registers the same objects from its repo. The former
    owner then removes the objects and the transfer from its repo. Readers are not affected.

    Attributes:
        objects: Definitions or `kind/name` strings.
        to: The new owner: a team, or `platform`.

    Example:
        >>> Transfer(name="to_growth", objects=["feature_service/ranking_v1"], to="growth").to
        'growth'
    """

    if TYPE_CHECKING:  # lists are tuples, objects are names

        def __init__(self, **data: Any) -> None: ...

    kind: ClassVar[str] = "transfer"

    type: Literal["transfer"] = "transfer"
    objects: Annotated[
        tuple[
            Annotated[str, BeforeValidator(_object_name), AfterValidator(_check_object_name)], ...
        ],
        BeforeValidator(as_tuple),
        pydantic.Field(min_length=1),
    ]
    to: Identifier
