"""The types of features and join keys, under the names Feast gives them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import PlainSerializer, PlainValidator

from feature_platform.errors import DefinitionError, abbreviate, did_you_mean


@dataclass(frozen=True, slots=True)
class FeatureType:
    """The type of one feature or join key.

    Attributes:
        name: `Int64`, `String` … `Decimal`, `Array`, `Map` or `Struct`.
        item: Type of an array's items; `None` for others.
        digits: Precision and scale of a decimal: all digits, and those after the point.
        fields: Names and types of a struct's fields.
    """

    name: str
    item: "FeatureType | None" = None
    digits: tuple[int, int] | None = None
    fields: "tuple[tuple[str, FeatureType], ...]" = ()

    def __str__(self) -> str:
        if self.fields:
            return f"{self.name}({', '.join(f'{name}: {dtype}' for name, dtype in self.fields)})"
        if self.digits:
            return f"{self.name}({self.digits[0]}, {self.digits[1]})"
        return f"{self.name}({self.item})" if self.item else self.name

    __repr__ = __str__

    @property
    def can_be_key(self) -> bool:
        """Whether values can be join keys: equal values need one representation in every store."""
        return self.name not in _NO_KEYS


_NO_KEYS: Final = frozenset({"Array", "Decimal", "Float32", "Float64", "Json", "Map", "Struct"})

Bool: Final = FeatureType("Bool")
Bytes: Final = FeatureType("Bytes")
Float32: Final = FeatureType("Float32")
Float64: Final = FeatureType("Float64")
Int32: Final = FeatureType("Int32")
Int64: Final = FeatureType("Int64")
Json: Final = FeatureType("Json")
"""JSON, as text."""
Map: Final = FeatureType("Map")
"""Text by text: a dict of strings."""
String: Final = FeatureType("String")
UnixTimestamp: Final = FeatureType("UnixTimestamp")
ImageBytes: Final = Bytes
PdfBytes: Final = Bytes
Uuid: Final = String
"""A UUID as text; sources give those of UUID columns in lower case."""

SCALARS: Final = {
    t.name: t
    for t in (Bool, Bytes, Float32, Float64, Int32, Int64, Json, Map, String, UnixTimestamp)
}


_MOST_DIGITS: Final = 38
_MOST_BRACKETS: Final = 100


def Decimal(precision: int, scale: int = 0) -> FeatureType:  # noqa: N802 - as types are spelled
    """Return the type of exact decimal numbers, such as amounts of money.

    Args:
        precision: Maximum number of digits, 1 to 38.
        scale: Number of digits after the point.

    Example:
        >>> Decimal(18, 2)
        Decimal(18, 2)
    """
    are_numbers = isinstance(precision, int) and isinstance(scale, int)
    if not are_numbers or not (0 < precision <= _MOST_DIGITS and 0 <= scale <= precision):
        raise DefinitionError(
            f"Decimal({abbreviate(precision)}, {abbreviate(scale)}) is not a type: a decimal has "
            f"1 to {_MOST_DIGITS} digits, and its scale is at most its precision."
        )
    return FeatureType("Decimal", digits=(precision, scale))


def Array(item: FeatureType) -> FeatureType:  # noqa: N802 - Feast's spelling
    """Return the type of a list.

    Example:
        >>> Array(Array(Int64))
        Array(Array(Int64))
    """
    return _limited(FeatureType("Array", parse_type(item)))


Set = Array
"""Feast's name of a list without repetitions; what the source repeats is repeated."""


def Struct(fields: Mapping[str, FeatureType]) -> FeatureType:  # noqa: N802 - Feast's spelling
    """Return the type of a dict with named fields.

    Example:
        >>> Struct({"name": String, "age": Int32})
        Struct(name: String, age: Int32)
    """
    is_mapping = isinstance(fields, Mapping)
    if not is_mapping or not fields or not all(_FIELD.fullmatch(str(name)) for name in fields):
        raise DefinitionError(
            "Struct needs fields, whose names have letters, digits and underscores: "
            "Struct({'name': String})."
        )
    if len({str(name).casefold() for name in fields}) < len(fields):
        raise DefinitionError(f"Struct: {', '.join(map(str, fields))} differ in case only.")
    typed = tuple((str(name), parse_type(dtype)) for name, dtype in fields.items())
    return _limited(FeatureType("Struct", fields=typed))


def _limited(dtype: FeatureType) -> FeatureType:
    if str(dtype).count("(") > _MOST_BRACKETS:
        raise DefinitionError(f"a type may have {_MOST_BRACKETS} arrays and structs.")
    return dtype


def parse_type(value: object) -> FeatureType:
    """Read a type from its name, such as `Int64`, `Array(String)` or `Struct(name: String)`."""
    if isinstance(value, FeatureType):
        return value
    text = "Decimal" if value is Decimal else str(value)
    if text.count("(") > _MOST_BRACKETS:
        raise DefinitionError(f"a type may have {_MOST_BRACKETS} arrays and structs.")
    if text in SCALARS:
        return SCALARS[text]
    if digits := _DECIMAL.fullmatch(text):
        return Decimal(int(digits[1]), int(digits[2]))
    if array := _ARRAY.fullmatch(text):
        return Array(parse_type(array[1]))
    if struct := _STRUCT.fullmatch(text):
        parts = [part.partition(": ") for part in outer_parts(struct[1])]
        return Struct({name: parse_type(dtype) for name, _, dtype in parts})
    if text == "Decimal":
        raise DefinitionError("Decimal needs a precision and a scale: Decimal(18, 2).")
    raise DefinitionError(
        f"{text!r} is not a type.{did_you_mean(text, SCALARS)} Types are {', '.join(SCALARS)}, "
        "Decimal(precision, scale), Array(type) and Struct({name: type})."
    )


def outer_parts(text: str) -> list[str]:
    """Split text at the commas that are in no brackets."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += (character in "(<[") - (character in ")>]")
        if character == "," and not depth:
            parts.append(text[start:position])
            start = position + 1
    return [part.strip() for part in [*parts, text[start:]]]


_DECIMAL: Final = re.compile(r"Decimal\((\d{1,2}), ?(\d{1,2})\)")
_ARRAY: Final = re.compile(r"(?:Array|Set)\((.+)\)")
_STRUCT: Final = re.compile(r"Struct\((.+)\)")
_FIELD: Final = re.compile(r"[A-Za-z0-9_]+")


DType = Annotated[FeatureType, PlainValidator(parse_type), PlainSerializer(str, return_type=str)]


class ValueType:
    """Feast's older names for entity types, for `Entity(value_type=ValueType.INT64)`."""

    UNKNOWN = None  # not said
    BOOL = Bool
    BYTES = IMAGE_BYTES = PDF_BYTES = Bytes
    DOUBLE = Float64
    FLOAT = Float32
    INT32 = Int32
    INT64 = Int64
    JSON = Json
    MAP = Map
    STRING = UUID = TIME_UUID = String
    UNIX_TIMESTAMP = UnixTimestamp
    BOOL_LIST = BOOL_SET = Array(Bool)
    BYTES_LIST = BYTES_SET = Array(Bytes)
    DOUBLE_LIST = DOUBLE_SET = Array(Float64)
    FLOAT_LIST = FLOAT_SET = Array(Float32)
    INT32_LIST = INT32_SET = Array(Int32)
    INT64_LIST = INT64_SET = Array(Int64)
    JSON_LIST = Array(Json)
    MAP_LIST = Array(Map)
    STRING_LIST = STRING_SET = UUID_LIST = UUID_SET = Array(String)
    TIME_UUID_LIST = TIME_UUID_SET = Array(String)
    UNIX_TIMESTAMP_LIST = UNIX_TIMESTAMP_SET = Array(UnixTimestamp)
