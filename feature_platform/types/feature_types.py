"""The types of features and join keys, under the names Feast gives them."""

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import PlainSerializer, PlainValidator

from feature_platform.errors import did_you_mean


@dataclass(frozen=True, slots=True)
class FeatureType:
    """The type of one feature or join key.

    Attributes:
        name: `Int64`, `String` … `Decimal` or `Array`.
        item: Type of an array's items; `None` for scalars.
        digits: Precision and scale of a decimal: all digits, and those after the point.
    """

    name: str
    item: "FeatureType | None" = None
    digits: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.digits:
            return f"{self.name}({self.digits[0]}, {self.digits[1]})"
        return f"{self.name}({self.item})" if self.item else self.name

    __repr__ = __str__

    @property
    def can_be_key(self) -> bool:
        """Whether values can be join keys: equal values need one representation in every store."""
        return self.name not in {"Array", "Decimal", "Float32", "Float64"}


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


_MOST_DIGITS: Final = 38


def Decimal(precision: int, scale: int = 0) -> FeatureType:  # noqa: N802 - as types are spelled
    """Return the type of exact decimal numbers, such as amounts of money.

    Args:
        precision: Maximum number of digits, 1 to 38.
        scale: Number of digits after the point.

    Example:
        >>> Decimal(18, 2)
        Decimal(18, 2)
    """
    if not (0 < precision <= _MOST_DIGITS and 0 <= scale <= precision):
        raise ValueError(
            f"Decimal({precision}, {scale}) is not a type: a decimal has 1 to {_MOST_DIGITS} "
            "digits, and its scale is at most its precision."
        )
    return FeatureType("Decimal", digits=(precision, scale))


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
    text = "Decimal" if value is Decimal else str(value)
    if text in SCALARS:
        return SCALARS[text]
    if digits := _DECIMAL.fullmatch(text):
        return Decimal(int(digits[1]), int(digits[2]))
    if (array := _ARRAY.fullmatch(text)) and (array[1] in SCALARS or _DECIMAL.fullmatch(array[1])):
        return Array(parse_type(array[1]))
    if text == "Decimal":
        raise ValueError("Decimal needs a precision and a scale: Decimal(18, 2).")
    raise ValueError(
        f"{text!r} is not a type.{did_you_mean(text, SCALARS)} Types are {', '.join(SCALARS)}, "
        "Decimal(precision, scale) and Array(type)."
    )


_DECIMAL: Final = re.compile(r"Decimal\((\d{1,2}), ?(\d{1,2})\)")
_ARRAY: Final = re.compile(r"Array\((.+)\)")


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
