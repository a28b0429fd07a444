"""Which types can replace which without changing a value: the only table of widenings."""

from typing import Final

from feature_platform.types.feature_types import FeatureType

_WIDER: Final = {("Int32", "Int64"), ("Int32", "Float64"), ("Float32", "Float64")}


def is_widening(before: FeatureType, after: FeatureType) -> bool:
    """Say whether every value of one type is exactly a value of another.

    Int32 → Int64, Int32 → Float64, Float32 → Float64, decimals with more digits on either side of
    the point, and arrays of these. Int64 → Float64 is not a widening: it loses integers beyond
    2^53.

    Example:
        >>> from feature_platform.types import Array, Float32, Float64, Int32, Int64
        >>> is_widening(Int32, Int64), is_widening(Int64, Float64)
        (True, False)
        >>> is_widening(Array(Float32), Array(Float64))
        True
    """
    if before.item and after.item:
        return is_widening(before.item, after.item)
    if before.digits and after.digits:
        return more_digits(before.digits, after.digits)
    return before == after or (before.name, after.name) in _WIDER


def is_compatible(before: FeatureType, after: FeatureType) -> bool:
    """Say whether readers that declare one type can read another without rounding.

    That is a widening that keeps the digits after the point: readers that declare as many as
    before would have to round the new ones.
    """
    return is_widening(before, after) and _scale(before) == _scale(after)


def more_digits(before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Say whether every decimal of one precision and scale is exactly one of another."""
    return after[1] >= before[1] and after[0] - after[1] >= before[0] - before[1]


def _scale(dtype: FeatureType) -> int:
    digits = (dtype.item or dtype).digits
    return digits[1] if digits else 0
