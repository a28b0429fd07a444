"""Checks that owners declare: what they expect of their rows."""

from datetime import timedelta
from typing import Annotated, Any, Literal

import pydantic
from pydantic import (
    Discriminator,
    SerializerFunctionWrapHandler,
    Strict,
    model_serializer,
    model_validator,
)

from feature_platform.definitions.base import ColumnName, Value
from feature_platform.types import FeatureType

_MOST = 10**38
"""What the widest decimals hold."""

Number = Annotated[int, Strict(), pydantic.Field(ge=-_MOST, le=_MOST)] | float
Scalar = Annotated[bool, Strict()] | Annotated[int, Strict()] | Annotated[str, Strict()]
Share = Annotated[float, pydantic.Field(ge=0, le=1)]
Count = Annotated[int, Strict(), pydantic.Field(ge=0)]


class Check(Value):
    """An expectation.

    Attributes:
        severity: `error`, or `warn` for what people should look at.
        blocking: Whether Dagster runs nothing downstream of the view if it fails.
    """

    severity: Literal["error", "warn"] = "error"
    blocking: bool = False

    @model_serializer(mode="wrap")
    def _with_type(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keep the type, which is a default, so that the stored check can be read again."""
        return {"type": type(self).model_fields["type"].default, **handler(self)}

    @property
    def label(self) -> str:
        """Name of the check, unique among those of a field or a view."""
        return str(type(self).model_fields["type"].default)

    def misfit(self, dtype: FeatureType) -> str:
        """Return why the check does not suit a field of a type; empty if it does."""
        return ""


class NotNull(Check):
    """A field has values: at most a share of its rows has none.

    Attributes:
        max_share: Greatest share of nulls, 0 to 1.

    Example:
        >>> NotNull(max_share=0.05).label
        'not_null'
    """

    type: Literal["not_null"] = "not_null"
    max_share: Share = 0.0


class Between(Check):
    """Values lie in a closed range; nulls are left to `NotNull`.

    NaN is greater than every number, as in the engines' SQL.

    Attributes:
        min: Smallest value; no limit if left out.
        max: Greatest value; no limit if left out.
    """

    type: Literal["between"] = "between"
    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="after")
    def _check_range(self) -> "Between":
        if self.min is None and self.max is None:
            raise ValueError("pass min, max or both.")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is greater than max {self.max}.")
        return self

    def misfit(self, dtype: FeatureType) -> str:
        is_number = dtype.name in {"Int32", "Int64", "Float32", "Float64", "Decimal"}
        return "" if is_number else f"between needs a number, not {dtype}."


class OneOf(Check):
    """Values are among those listed; nulls are left to `NotNull`.

    Attributes:
        values: Texts, integers or booleans, as the field's type.
    """

    type: Literal["one_of"] = "one_of"
    values: Annotated[tuple[Scalar, ...], pydantic.Field(min_length=1, max_length=10_000)]

    @pydantic.field_validator("values", mode="before")
    @classmethod
    def _check_kinds(cls, values: Any) -> Any:
        for value in values if isinstance(values, (list, tuple)) else ():
            if not isinstance(value, (str, int, bool)):
                raise ValueError(
                    f"values: {value!r} is not a text, an integer or a boolean. Use Between for "
                    "other numbers."
                )
        return values

    def misfit(self, dtype: FeatureType) -> str:
        types = {"String": str, "Int32": int, "Int64": int, "Bool": bool}
        expected = types.get(dtype.name)
        if expected is None:
            return f"one_of needs text, integers or booleans, not {dtype}."
        wrong = [value for value in self.values if type(value) is not expected]
        return f"one_of: {wrong[0]!r} is not {dtype}." if wrong else ""


class RowCount(Check):
    """A window has a number of rows.

    Attributes:
        min: Fewest rows.
        max: Most rows; no limit if left out.
    """

    type: Literal["row_count"] = "row_count"
    min: Count = 1
    max: Count | None = None


class Fresh(Check):
    """The newest row is not older than a time before the end of the window.

    Attributes:
        within: How old it may be.
    """

    type: Literal["fresh"] = "fresh"
    within: Annotated[timedelta, pydantic.Field(gt=timedelta(0))]


class UniqueRows(Check):
    """No two rows have the same join keys and event timestamp."""

    type: Literal["unique_rows"] = "unique_rows"


class Drift(Check):
    """The distribution of a feature is like that of the time before the window.

    Attributes:
        feature: Name of the feature: a number, text or boolean.
        reference: How long before the window the reference starts; it ends where the window
            starts.
        method: `psi`, the population stability index, or `js`, the Jensen-Shannon distance.
        max: Greatest drift. A PSI over 0.2 is commonly taken for a considerable one.
        bins: Bins of numbers, of equal frequency in the reference.

    Example:
        >>> Drift(feature="conv_rate", reference=timedelta(days=28)).label
        'drift_conv_rate'
    """

    type: Literal["drift"] = "drift"
    feature: ColumnName
    reference: Annotated[timedelta, pydantic.Field(gt=timedelta(0))]
    method: Literal["psi", "js"] = "psi"
    max: Annotated[float, pydantic.Field(gt=0)] = 0.2
    bins: Annotated[int, Strict(), pydantic.Field(ge=2, le=100)] = 10

    @property
    def label(self) -> str:
        return f"drift_{self.feature}"

    def misfit(self, dtype: FeatureType) -> str:
        suits = dtype.name in {
            "Int32", "Int64", "Float32", "Float64", "Decimal", "String", "Bool",
        }  # fmt: skip
        return "" if suits else f"drift needs a number, text or a boolean, not {dtype}."


class Parity(Check):
    """The features of a service are served as history has them, as `verify_parity` compares them.

    Attributes:
        rows: Size of the sample: random keys of the service's views, observed within their ttl.
        max_share: Greatest share of values that differ, 0 to 1.

    Example:
        >>> Parity(rows=1_000, max_share=0.001).label
        'parity'
    """

    type: Literal["parity"] = "parity"
    rows: Annotated[int, Strict(), pydantic.Field(ge=1, le=100_000)] = 1_000
    max_share: Share = 0.0


FieldCheck = Annotated[NotNull | Between | OneOf, Discriminator("type")]
ViewCheck = Annotated[RowCount | Fresh | UniqueRows | Drift, Discriminator("type")]
ServiceCheck = Parity
