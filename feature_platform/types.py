"""The types of features and join keys, under the names Feast gives them."""

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import PlainSerializer, PlainValidator

from feature_platform.errors import did_you_mean


@dataclass(frozen=True, slots=True)
class FeatureType:
    """The type of one feature or join key.

    Attributes:
        name: `Int64`, `String` … or `Array`.
        item: What an array holds; `None` for scalars.
    """

    name: str
    item: "FeatureType | None" = None

    def __str__(self) -> str:
        return f"{self.name}({self.item})" if self.item else self.name

    __repr__ = __str__


Bool: Final = FeatureType("Bool")
Bytes: Final = FeatureType("Bytes")
Float32: Final = FeatureType("Float32")
Float64: Final = FeatureType("Float64")
Int32: Final = FeatureType("Int32")
Int64: Final = FeatureType("Int64")
String: Final = FeatureType("String")
UnixTimestamp: Final = FeatureType("UnixTimestamp")

SCALARS: Final = {
    t.name: t for t in (Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp)
}


def Array(item: FeatureType) -> FeatureType:  # noqa: N802 - Feast's spelling
    """Return the type of a list of scalars.

    Example:
        >>> Array(Int64)
        Array(Int64)
    """
    item = parse_type(item)
    if item.item is not None:
        raise ValueError(f"Array({item}) is nested; arrays hold scalars.")
    return FeatureType("Array", item)


def parse_type(value: object) -> FeatureType:
    """Read a type from its name, such as `Int64` or `Array(String)`."""
    if isinstance(value, FeatureType):
        return value
    text = str(value)
    if text in SCALARS:
        return SCALARS[text]
    if text.startswith("Array(") and text.endswith(")") and text[6:-1] in SCALARS:
        return Array(SCALARS[text[6:-1]])
    raise ValueError(
        f"{text!r} is not a type.{did_you_mean(text, SCALARS)} "
        f"Types are {', '.join(SCALARS)} and Array(type)."
    )


_WIDER: Final = {("Int32", "Int64"), ("Int32", "Float64"), ("Float32", "Float64")}


def widens(before: FeatureType, after: FeatureType) -> bool:
    """Say whether every value of one type is, exactly, a value of another.

    Int32 → Int64, Int32 → Float64 and Float32 → Float64, and arrays of these. Int64 → Float64 is
    not among them: it loses integers beyond 2^53.

    Example:
        >>> widens(Int32, Int64), widens(Int64, Float64), widens(Array(Float32), Array(Float64))
        (True, False, True)
    """
    if before.item and after.item:
        return widens(before.item, after.item)
    return before == after or (before.name, after.name) in _WIDER


DType = Annotated[FeatureType, PlainValidator(parse_type), PlainSerializer(str, return_type=str)]


class ValueType:
    """Feast's older names for entity types, for `Entity(value_type=ValueType.INT64)`."""

    BOOL = Bool
    BYTES = Bytes
    DOUBLE = Float64
    FLOAT = Float32
    INT32 = Int32
    INT64 = Int64
    STRING = String
    UNIX_TIMESTAMP = UnixTimestamp
