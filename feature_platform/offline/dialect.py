"""What differs between engines: names, types and times in SQL."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import pyarrow as pa


def _largest_exact(dtype: pa.DataType) -> int:
    """Return the number below which a float type holds every whole number."""
    return 2**24 if dtype == pa.float32() else 2**53


class Dialect(ABC):
    """The SQL of one engine. Times are microseconds since 1970 UTC, as integers.

    Attributes:
        folds_names: Whether the engine stores unquoted names in another case.
    """

    folds_names: ClassVar[bool] = False

    @abstractmethod
    def quote(self, name: str) -> str:
        """Quote an identifier."""

    @abstractmethod
    def literal(self, text: str) -> str:
        """Quote a string."""

    @abstractmethod
    def type_name(self, dtype: pa.DataType) -> str:
        """Return the engine's name of a declared type."""

    def decimal_name(self, dtype: pa.Decimal128Type) -> str:
        """Return the name of a decimal type, which is the same in all engines."""
        return f"DECIMAL({dtype.precision}, {dtype.scale})"

    @abstractmethod
    def microseconds(self, column: str, dtype: pa.DataType) -> str | None:
        """Return the SQL of a time as an integer; naive times are UTC.

        Nanoseconds are floored, so no row moves into the future. `None` if the type is not a time.
        """

    @abstractmethod
    def instant(self, microseconds: str) -> str:
        """Return the SQL of the time of a number of microseconds since 1970."""

    @abstractmethod
    def between(
        self, column: str, dtype: pa.DataType, low: int | None, high: int | None
    ) -> list[str] | None:
        """Return the conditions that a time column is between `low` and `high`, both inclusive.

        Storage can be pruned by them; `None` if no such conditions are exact.
        """

    def whole(
        self, column: str, stored: pa.DataType, dtype: pa.DataType, otherwise: str
    ) -> str | None:
        """Return the SQL that reads an integer from a float column.

        It fails with `otherwise` and the value if that is a fraction, or too large for a float to
        be exact; `None` if the engine cannot raise a message.
        """
        failure = self.failure(otherwise, column)
        if failure is None:
            return None
        exact = f"{column} = floor({column}) AND abs({column}) < {_largest_exact(stored)}"
        return (
            f"CASE WHEN {column} IS NULL OR isnan({column}) THEN NULL WHEN {exact} "
            f"THEN CAST({column} AS {self.type_name(dtype)}) ELSE {failure} END"
        )

    def exact_float(self, column: str, dtype: pa.DataType, otherwise: str) -> str:
        """Return the SQL that reads a float from a column of integers of 64 bits.

        It fails with `otherwise` and the value if a float of 64 bits cannot hold that; where the
        engine cannot raise a message, the value is rounded.
        """
        cast = f"CAST({column} AS {self.type_name(dtype)})"
        failure = self.failure(otherwise, column)
        if failure is None:
            return cast
        most = _largest_exact(pa.float64())
        within = f"{column} BETWEEN -{most} AND {most}"
        return f"CASE WHEN {column} IS NULL OR {within} THEN {cast} ELSE {failure} END"

    def each(self, column: str, read: Callable[[str], str]) -> str | None:
        """Return the array of what `read` makes of each item; `None` if the engine cannot."""
        del column, read
        return None

    def decimal(self, column: str, dtype: pa.DataType, otherwise: str) -> str | None:
        """Return the SQL that reads a decimal from a text column.

        It fails with `otherwise` and the value if digits would be lost, which engines silently
        round or turn into null; `None` if the engine cannot raise a message.
        """
        failure = self.failure(otherwise, column)
        if failure is None:
            return None
        plain = self.literal(rf"^[+-]?[0-9]*([.][0-9]{{0,{dtype.scale}}}0*)?\z")
        number = f"TRY_CAST({column} AS {self.type_name(dtype)})"
        return (
            f"CASE WHEN {column} IS NULL THEN NULL WHEN {self.matches(column, plain)} "
            f"AND {number} IS NOT NULL THEN {number} ELSE {failure} END"
        )

    def uuid(self, column: str) -> str:
        """Return the SQL of a UUID as text, in lower case with hyphens."""
        return f"CAST({column} AS {self.type_name(pa.string())})"

    def matches(self, text: str, pattern: str) -> str:
        """Return the condition that text matches a regular expression."""
        return f"regexp_like({text}, {pattern})"

    @abstractmethod
    def failure(self, message: str, value: str) -> str | None:
        """Return the SQL that raises a message and a value; `None` if the engine has none."""

    @abstractmethod
    def pack(self, major: str, minor: str) -> str:
        """Return one number that orders as (major, minor) do."""

    @abstractmethod
    def packed_bound(self, major: str) -> str:
        """Return the smallest number that `pack` returns for a major part."""

    def map_of_struct(self, column: str, names: Sequence[str]) -> str | None:
        """Return the map of a struct of texts, without nulls; `None` if the engine has no maps."""
        del column, names
        return None

    def ordered(self, column: str, dtype: pa.DataType) -> str:
        """Return an expression of a column that rows can be sorted by."""
        del dtype
        return column

    @abstractmethod
    def quantiles(self, column: str, probabilities: Sequence[float]) -> list[str]:
        """Return the SQL of estimated quantiles: one array of all, or one number each."""

    def asof_join(self, rows: str, source: str, conditions: str) -> str | None:
        """Return the join of each row with the newest history row that meets the conditions.

        `None` for engines that use a running maximum.
        """
        return None
