"""One declared column."""

from collections import Counter
from typing import Any

from feature_platform.definitions.base import (
    NO_LABELS,
    ColumnName,
    Deprecation,
    Labels,
    Value,
)
from feature_platform.types import DType


class Field(Value):
    """One feature, or one request value.

    Attributes:
        name: Column name.
        dtype: Its type.
        description: What people read in the catalog.
        tags: Labels.
        deprecated: When it will be removed or change its type.

    Example:
        >>> from feature_platform.types import Int64
        >>> Field(name="trips_today", dtype=Int64).dtype
        Int64
    """

    name: ColumnName
    dtype: DType
    description: str = ""
    tags: Labels = NO_LABELS
    deprecated: Deprecation | None = None


def repeated(fields: tuple[Field, ...]) -> list[str]:
    """Return the names that occur more than once, ignoring case."""
    counts = Counter(f.name.casefold() for f in fields)
    return [name for name, count in counts.items() if count > 1]


def as_tuple(value: Any) -> Any:
    """Return a value as a tuple; a single one is accepted."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)
