"""Exact decimals.

Arrow's casts overflow silently where an intermediate result exceeds 128 bits. Values are converted
through Python's decimals instead, which detect rounding.
"""

import re
from collections.abc import Callable, Iterable
from decimal import Context, Decimal, Inexact, InvalidOperation
from math import isnan
from numbers import Integral
from typing import Any

import pyarrow as pa

from feature_platform.errors import abbreviate
from feature_platform.types.arrow import is_list
from feature_platform.types.widening import more_digits

_NUMBER = re.compile(r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,3})?")


def holds_decimals(dtype: pa.DataType) -> bool:
    """Return whether values of a type, or the items of its lists, are decimals."""
    return holds_decimals(dtype.value_type) if is_list(dtype) else pa.types.is_decimal(dtype)


def exact_decimals(values: Iterable[Any], dtype: pa.DataType, *, nan_is_null: bool) -> list[Any]:
    """Return numbers and text as decimals of a declared type, or lists of them.

    Args:
        values: Python values; None is null.
        dtype: A decimal type, or a list of one.
        nan_is_null: Treat NaN as missing, as pandas does.

    Raises:
        ValueError: A value is a float, not a number, or has more digits than declared.
    """
    exact = _lists(dtype.value_type) if is_list(dtype) else _exact(dtype, nan_is_null=nan_is_null)
    return [None if _is_missing(value) else exact(value) for value in values]


def is_lossless(stored: pa.DataType, target: pa.DataType) -> bool:
    """Return whether every decimal (or item of a list) of one type is exactly one of another."""
    if is_list(stored) and is_list(target):
        return is_lossless(stored.value_type, target.value_type)
    return bool(
        pa.types.is_decimal128(stored)
        and pa.types.is_decimal(target)
        and more_digits((stored.precision, stored.scale), (target.precision, target.scale))
    )


def _exact(dtype: pa.Decimal128Type, *, nan_is_null: bool) -> Callable[[Any], Decimal | None]:
    unit = Decimal(1).scaleb(-dtype.scale)
    context = Context(prec=dtype.precision, traps=[InvalidOperation, Inexact])

    def exact(value: Any) -> Decimal | None:
        if nan_is_null and _is_nan(value):
            return None
        number = _number(value)
        try:
            return number.quantize(unit, context=context)
        except Inexact:
            limit = f"{dtype.scale} digits after"
        except InvalidOperation:
            limit = f"{dtype.precision - dtype.scale} digits before"
        raise ValueError(f"{abbreviate(value)} has more than {limit} the point")

    return exact


def _lists(dtype: pa.DataType) -> Callable[[Any], list[Any]]:
    def exact(value: Any) -> list[Any]:
        if not isinstance(value, (list, tuple)) and not hasattr(value, "tolist"):
            raise ValueError(f"{abbreviate(value)} is not a list")
        return exact_decimals(value, dtype, nan_is_null=False)

    return exact


def _number(value: Any) -> Decimal:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return Decimal(int(value))
    if isinstance(value, Decimal) and value.is_finite():
        return value
    if isinstance(value, float):
        raise ValueError(
            f"{value!r} is a float, which may already be rounded: pass decimals or text"
        )
    raise ValueError(f"{abbreviate(value)} is not a decimal number")


def _is_nan(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_nan()  # a signaling NaN cannot be compared
    return isinstance(value, float) and isnan(value)


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ in {"NaTType", "NAType"}
