"""What differs between engines: how names, types and times are written in SQL."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa


def _largest_exact(dtype: pa.DataType) -> int:
    """Return the number below which a float type holds every whole number."""
    return 2**24 if dtype == pa.float32() else 2**53


class Dialect(ABC):
    """The SQL of one engine. Times are microseconds since 1970 UTC, as integers.

    Attributes:
        folds_names: Whether people write names in another case than the engine stores them in.
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

        Nanoseconds are floored, so that nothing moves into the future or out of it. `None` if the
        engine does not read times from that type.
        """

    @abstractmethod
    def instant(self, microseconds: str) -> str:
        """Return the SQL of the time so many microseconds after 1970."""

    @abstractmethod
    def between(
        self, column: str, dtype: pa.DataType, low: int | None, high: int | None
    ) -> list[str] | None:
        """Return the conditions that a raw time column lies from `low` to `high`, both inclusive.

        They are written so that storage can be pruned by them; `None` where that cannot be done
        without changing what they mean.
        """

    def whole(
        self, column: str, found: pa.DataType, dtype: pa.DataType, otherwise: str
    ) -> str | None:
        """Return the SQL of a whole number that is held as a float.

        It fails with `otherwise` and the value where that has a fraction, or is so large that
        the float may have been rounded; `None` if the engine cannot fail with a message.
        """
        failure = self.failure(otherwise, column)
        if failure is None:
            return None
        exact = f"{column} = floor({column}) AND abs({column}) < {_largest_exact(found)}"
        return (
            f"CASE WHEN {column} IS NULL OR isnan({column}) THEN NULL WHEN {exact} "
            f"THEN CAST({column} AS {self.type_name(dtype)}) ELSE {failure} END"
        )

    def decimal(self, column: str, dtype: pa.DataType, otherwise: str) -> str | None:
        """Return the SQL of a decimal that is held as text.

        It fails with `otherwise` and the value where digits would be lost, which engines round
        away in silence, or make null; `None` if the engine cannot fail with a message.
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

    def matches(self, text: str, pattern: str) -> str:
        """Return the condition that text matches a regular expression."""
        return f"regexp_like({text}, {pattern})"

    @abstractmethod
    def failure(self, message: str, value: str) -> str | None:
        """Return the SQL that fails with a message and a value; `None` if there is no such."""

    @abstractmethod
    def pack(self, major: str, minor: str) -> str:
        """Return one number that orders as (major, minor) do."""

    @abstractmethod
    def packed_bound(self, major: str) -> str:
        """Return the least number that `pack` gives for a major part."""

    @abstractmethod
    def quantiles(self, column: str, probabilities: Sequence[float]) -> list[str]:
        """Return the SQL of estimated quantiles: one array of all, or one number each."""

    def asof_join(self, rows: str, source: str, conditions: str) -> str | None:
        """Return the join of each row with the newest history row that meets the conditions.

        `None` for engines where a running maximum is better.
        """
        return None
