"""Closures of compiled SQL expressions: values with their types, and how they combine."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

Row: TypeAlias = Sequence[Any]
Evaluate: TypeAlias = Callable[[Row], Any]
"""Computes a value from the inputs of a row; `None` is NULL."""
Compute: TypeAlias = Callable[[Any, Any], Any]

SMALL = "small"
"""Integer literals, and what `CASE` makes of them: DuckDB's INTEGER."""
INTEGER = "integer"
DECIMAL = "decimal"
DOUBLE = "double"
TEXT = "text"
BOOLEAN = "boolean"
TYPES = {
    SMALL: pa.int64(),
    INTEGER: pa.int64(),
    DOUBLE: pa.float64(),
    TEXT: pa.string(),
    BOOLEAN: pa.bool_(),
}
KINDS = {dtype: kind for kind, dtype in TYPES.items()}
NUMBERS = [SMALL, INTEGER, DECIMAL, DOUBLE]

# Decimals are exact as long as they fit a double; DuckDB computes beyond.
LARGEST = {SMALL: 2**31 - 1, INTEGER: 2**63 - 1, DECIMAL: 2**53, DOUBLE: math.inf}
MOST_DIGITS = 15


class Uncovered(Exception):  # noqa: N818 - a signal, not an error
    """DuckDB has to evaluate the expression."""


class Value(NamedTuple):
    """A compiled expression.

    Attributes:
        kind: Its type.
        evaluate: Computes it. Decimals are integers, to be divided by ten to the power of `scale`.
        scale: Digits after the decimal point.
        is_constant: Whether it is a literal.
    """

    kind: str
    evaluate: Evaluate
    scale: int = 0
    is_constant: bool = False


def constant(kind: str, value: object, scale: int = 0) -> Value:
    return Value(kind, lambda _: value, scale, is_constant=True)


def unary(kind: str, value: Value, compute: Callable[[Any], Any], scale: int = 0) -> Value:
    evaluate = value.evaluate

    def apply(row: Row) -> Any:
        a = evaluate(row)
        return None if a is None else compute(a)

    return Value(kind, apply, scale)


def binary(kind: str, left: Value, right: Value, compute: Compute, scale: int = 0) -> Value:
    first, second = left.evaluate, right.evaluate

    def apply(row: Row) -> Any:
        a, b = first(row), second(row)
        return None if a is None or b is None else compute(a, b)

    return Value(kind, apply, scale)


def doubles(left: Value, right: Value, compute: Compute) -> Value:
    """Return arithmetic with doubles; DuckDB computes infinity and NaN."""
    first, second = left.evaluate, right.evaluate
    if right.is_constant:
        right_value = second(())

        def apply_to_constant(row: Row) -> float | None:
            a = first(row)
            if a is None:
                return None
            number: float = compute(a, right_value)
            if number - number != 0.0:
                raise Uncovered
            return number

        return Value(DOUBLE, apply_to_constant)

    def apply(row: Row) -> float | None:
        a, b = first(row), second(row)
        if a is None or b is None:
            return None
        number: float = compute(a, b)
        if number - number != 0.0:
            raise Uncovered
        return number

    return Value(DOUBLE, apply)


def both(left: Value, right: Value) -> Value:
    """Return AND. Both sides are computed: DuckDB may report an error of either."""
    first, second = left.evaluate, right.evaluate

    def both(row: Row) -> bool | None:
        a, b = first(row), second(row)
        if a is False or b is False:
            return False
        return None if a is None or b is None else True

    return Value(BOOLEAN, both)


def either(left: Value, right: Value) -> Value:
    """Return OR."""
    first, second = left.evaluate, right.evaluate

    def either(row: Row) -> bool | None:
        a, b = first(row), second(row)
        if a is True or b is True:
            return True
        return None if a is None or b is None else False

    return Value(BOOLEAN, either)


def wider(values: Iterable[Value]) -> str:
    return max((value.kind for value in values), key=NUMBERS.index)


def alike(values: Sequence[Value]) -> list[Value]:
    """Convert values to their common type."""
    kinds = {value.kind for value in values}
    if len(kinds) == 1 and kinds != {DECIMAL}:
        return list(values)
    if not kinds.issubset(NUMBERS):
        raise Uncovered
    kind = wider(values)
    if kind == DOUBLE:
        return [to_double(value) for value in values]
    scale = max(value.scale for value in values)
    return [rescaled(value, scale)._replace(kind=kind) for value in values]


def to_double(value: Value) -> Value:
    if value.kind == DOUBLE:
        return value
    if value.is_constant:
        return constant(DOUBLE, value.evaluate(()) / 10.0**value.scale)
    power = 10.0**value.scale
    return unary(DOUBLE, value, lambda a: a / power if value.scale else float(a))


def rescaled(value: Value, scale: int) -> Value:
    if value.scale == scale:
        return value
    factor = 10 ** (scale - value.scale)
    limit = LARGEST[DECIMAL]
    return unary(value.kind, value, lambda a: within(a * factor, limit), scale)


def within(number: Any, limit: float) -> Any:
    if -limit <= number <= limit:
        return number
    raise Uncovered


def finite(number: float) -> float:
    if number - number == 0.0:
        return number
    raise Uncovered  # infinity or NaN


def ascii_only(text: str) -> str:
    if text.isascii():
        return text
    raise Uncovered
