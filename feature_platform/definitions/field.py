"""Fields: declared columns."""

from collections import Counter
from typing import Any

from feature_platform.definitions.base import NO_LABELS, ColumnName, Deprecation, Labels, Value
from feature_platform.types import DType


class Field(Value):
    """A feature or a request value.

    Attributes:
        name: Column name.
        dtype: Its type.
        description: Description for the catalog.
        tags: Free labels.
        deprecated: Notice of its removal or of a change of its type.

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


def duplicate_names(fields: tuple[Field, ...]) -> list[str]:
    """Return the names that occur more than once, ignoring case."""
    counts = Counter(f.name.casefold() for f in fields)
    return [name for name, count in counts.items() if count > 1]


def as_tuple(value: Any) -> Any:
    """Wrap a single value in a tuple; convert a list to one."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)
