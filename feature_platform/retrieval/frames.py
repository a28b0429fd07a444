"""Conversions at the edge: users' frames to Arrow, and Arrow to users' frames."""

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_platform.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd


def to_arrow(frame: object, what: str) -> pa.Table:
    """Return a pandas, polars or Arrow table, or any other that exports Arrow, as Arrow.

    Raises:
        RequestError: It is none of these, or a column mixes types.
    """
    if isinstance(frame, pa.Table):
        return frame
    try:
        if type(frame).__module__.partition(".")[0] == "pandas":
            return pa.Table.from_pandas(frame, preserve_index=False)
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.table(frame)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise RequestError(f"{what} cannot be read: {error}") from error
    raise RequestError(
        f"{what} must be a pandas, polars or Arrow table, not {type(frame).__name__}."
    )


def exact_array(values: Any, dtype: pa.DataType | None) -> pa.Array:
    """Return values as an Arrow array of a declared type.

    Arrow by itself would cut 1.5 to the integer 1 and read the integer 5 as a time.

    Raises:
        ValueError, TypeError, OverflowError: A value is of another type or would lose something.
    """
    if dtype is None or hasattr(values, "dtype"):
        array = pa.array(values, dtype, from_pandas=hasattr(values, "dtype"))
        return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    for value in values:
        _check_exact(value, dtype)
    if pa.types.is_floating(dtype):  # Arrow refuses integers that a float has to round.
        values = [float(v) if isinstance(v, Integral) else v for v in values]
    return pa.array(values, dtype)


def _check_exact(value: Any, dtype: pa.DataType) -> None:
    if pa.types.is_list(dtype):
        for item in value or ():
            _check_exact(item, dtype.value_type)
    elif pa.types.is_timestamp(dtype) and isinstance(value, Real):
        raise TypeError(f"{value!r} is a number, not a time")
    elif pa.types.is_integer(dtype) and isinstance(value, Real) and value % 1 != 0:
        raise ValueError(f"{value!r} is not a whole number")


def to_pandas(table: pa.Table) -> "pd.DataFrame":
    """Return an Arrow table as pandas, keeping integers and booleans that miss values exact.

    Columns without nulls get numpy types; integers and booleans with nulls get pandas' nullable
    ones, where plain pandas would make them floats and objects.
    """
    import pandas as pd

    nullable: dict[pa.DataType, Any] = {
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    columns = {}
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if field.type in nullable and column.null_count:
            columns[field.name] = column.to_pandas(types_mapper=nullable.get)
        else:
            columns[field.name] = column.to_pandas()
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))
