"""Fields: declared columns."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, model_validator

from feature_platform.definitions import feast_arguments
from feature_platform.definitions.base import (
    NO_LABELS,
    ColumnName,
    Deprecation,
    Labels,
    Value,
    separators_folded,
)
from feature_platform.definitions.checks import FieldCheck
from feature_platform.table import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from feature_platform.types import DType


def as_tuple(value: Any) -> Any:
    """Wrap a single value in a tuple; convert a list to one."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


class Field(Value):
    """A feature or a request value.

    Attributes:
        name: Column name.
        dtype: Its type.
        description: Description for the catalog.
        tags: Free labels.
        deprecated: Notice of its removal or of a change of its type.
        checks: What its values should be: `NotNull`, `Between`, `OneOf`.

    Example:
        >>> from feature_platform.types import Int64
        >>> Field(name="trips_today", dtype=Int64).dtype
        Int64
    """

    if TYPE_CHECKING:  # lists are tuples, objects are names

        def __init__(self, **data: Any) -> None: ...

    feast_arguments: ClassVar = feast_arguments.FIELD

    name: ColumnName
    dtype: DType
    description: str = ""
    tags: Labels = NO_LABELS
    deprecated: Deprecation | None = None
    checks: Annotated[tuple[FieldCheck, ...], BeforeValidator(as_tuple)] = ()

    @model_validator(mode="after")
    def _check_checks(self) -> Self:
        check_labels(check.label for check in self.checks)
        if misfits := [m for m in (check.misfit(self.dtype) for check in self.checks) if m]:
            raise ValueError(f"{self.name!r}: checks: {misfits[0]}")
        return self


def check_labels(labels: Iterable[str]) -> None:
    """Refuse two checks of one name.

    Raises:
        ValueError: There are two.
    """
    if twice := _repeated(list(labels)):
        raise ValueError(f"checks: {twice[0]!r} is declared twice.")


def _repeated(names: list[str]) -> list[str]:
    """Return the names that occur more than once; fast where there are none."""
    if len(set(names)) == len(names):
        return []
    return [name for name, count in Counter(names).items() if count > 1]


def check_reserved(label: str, names: Iterable[str]) -> None:
    """Refuse names of columns that are this package's own.

    Raises:
        ValueError: There is one.
    """
    for name in names:
        if name.startswith("__fp_") or name in {EVENT_TIMESTAMP, CREATED_TIMESTAMP}:
            raise ValueError(f"{label}: {name!r} is reserved. Map the column to another name.")


def duplicate_names(fields: tuple[Field, ...]) -> list[str]:
    """Return the names that occur more than once, ignoring case and separators."""
    return _repeated([separators_folded(f.name).casefold() for f in fields])
