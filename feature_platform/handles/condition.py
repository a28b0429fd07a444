"""Conditions on features: what `filter` takes."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa

from feature_platform.errors import RequestError

Columns: TypeAlias = Mapping["Feature", str]
"""Feature → its column of a table."""


@dataclass(frozen=True)
class Condition:
    """A condition that holds for a row or not; a null compares to nothing.

    Attributes:
        features: The features that it reads.
        text: How it is written, for `explain`.
        evaluate: Returns for each row whether it holds.
    """

    features: frozenset["Feature"]
    text: str
    evaluate: Callable[[pa.Table, Columns], Any]

    def __and__(self, other: "Condition") -> "Condition":
        return _both(self, other, "and", "and_kleene")

    def __or__(self, other: "Condition") -> "Condition":
        return _both(self, other, "or", "or_kleene")

    def __bool__(self) -> bool:
        raise TypeError("Combine conditions with & and |, and put each in parentheses.")


@dataclass(frozen=True, eq=False)
class Feature:
    """A feature of a feature group, to compare.

    Attributes:
        group: The view of the feature group, with its project.
        name: Its name; the name of a join key or of the event time, too.

    Example:
        >>> (Feature("shop/trips_1", "distance") > 3).text
        'distance > 3'
    """

    group: str
    name: str

    def __hash__(self) -> int:
        return hash((self.group, self.name))

    def is_same(self, other: "Feature") -> bool:
        """Return whether two stand for one feature; `==` makes a condition."""
        return (self.group, self.name) == (other.group, other.name)

    def __eq__(self, value: object) -> Any:
        if isinstance(value, Feature):
            return self.is_same(value)  # so that features can be keys
        return self._compared("==", "equal", value)

    def __ne__(self, value: object) -> Any:
        return self._compared("!=", "not_equal", value)

    def __lt__(self, value: object) -> Condition:
        return self._compared("<", "less", value)

    def __le__(self, value: object) -> Condition:
        return self._compared("<=", "less_equal", value)

    def __gt__(self, value: object) -> Condition:
        return self._compared(">", "greater", value)

    def __ge__(self, value: object) -> Condition:
        return self._compared(">=", "greater_equal", value)

    def isin(self, values: Any) -> Condition:
        """Return the condition that the value is one of some."""
        listed = list(values)

        def evaluate(table: pa.Table, columns: Columns) -> Any:
            from pyarrow import compute

            column = table[columns[self]]
            present = [value for value in map(_whole, listed) if value is not None]
            if pa.types.is_integer(column.type):
                present = [value for value in present if not isinstance(value, float)]
            with _explained(self.name, listed, column.type):
                return compute.is_in(column, value_set=pa.array(present, column.type))

        return Condition(frozenset({self}), f"{self.name} in {listed!r}", evaluate)

    contains = isin

    def like(self, pattern: str) -> Condition:
        """Return the condition that a text matches a SQL pattern with `%` and `_`."""

        def evaluate(table: pa.Table, columns: Columns) -> Any:
            from pyarrow import compute

            column = table[columns[self]]
            with _explained(self.name, pattern, column.type):
                return compute.match_like(column, pattern)

        return Condition(frozenset({self}), f"{self.name} like {pattern!r}", evaluate)

    def _compared(self, sign: str, function: str, value: object) -> Condition:
        def evaluate(table: pa.Table, columns: Columns) -> Any:
            from pyarrow import compute

            column, limit = table[columns[self]], _whole(value)
            with _explained(self.name, value, column.type):
                if pa.types.is_integer(column.type) and isinstance(limit, float):
                    return _compared_with_fraction(column, function, limit)
                return getattr(compute, function)(column, pa.scalar(limit, column.type))

        return Condition(frozenset({self}), f"{self.name} {sign} {value!r}", evaluate)


def _whole(value: Any) -> Any:
    """Return a float without a fraction as an integer, which compares exactly."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _compared_with_fraction(column: pa.ChunkedArray, function: str, limit: float) -> Any:
    """Compare integers with a fraction, an infinity or NaN, without rounding either."""
    from pyarrow import compute

    if math.isfinite(limit) and function not in {"equal", "not_equal"}:
        is_below = function.startswith("less")
        bound = math.floor(limit) if is_below else math.ceil(limit)
        name = "less_equal" if is_below else "greater_equal"
        return getattr(compute, name)(column, pa.scalar(bound, column.type))
    return getattr(compute, function)(column.cast(pa.float64(), safe=False), limit)


@contextmanager
def _explained(name: str, value: object, dtype: pa.DataType) -> Iterator[None]:
    """Say what does not fit, in our words.

    Raises:
        RequestError: A value does not fit the type of its feature.
    """
    try:
        yield
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise RequestError(f"filter: {name!r} is {dtype}, and {value!r} does not fit.") from error


def _both(one: Condition, other: Condition, word: str, function: str) -> Condition:
    def evaluate(table: pa.Table, columns: Columns) -> Any:
        from pyarrow import compute

        parts = one.evaluate(table, columns), other.evaluate(table, columns)
        return getattr(compute, function)(*parts)

    text = f"({one.text}) {word} ({other.text})"
    return Condition(one.features | other.features, text, evaluate)
