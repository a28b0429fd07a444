"""Conversions at the edge: users' frames to Arrow, and Arrow to users' frames."""

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
