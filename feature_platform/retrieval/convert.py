"""Convert users' frames to Arrow and back."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from math import isnan
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_platform.errors import RequestError
from feature_platform.types.arrow import is_nested, to_python
from feature_platform.types.values import array_of_maps, exact_array

if TYPE_CHECKING:
    import pandas as pd

_NULLABLE = {
    pa.bool_(): "boolean",
    **{getattr(pa, f"int{n}")(): f"Int{n}" for n in (8, 16, 32, 64)},
    **{getattr(pa, f"uint{n}")(): f"UInt{n}" for n in (8, 16, 32, 64)},
}


def to_arrow(
    frame: object,
    label: str,
    types: Mapping[str, pa.DataType | None] = MappingProxyType({}),
    *,
    maps: bool = False,
) -> pa.Table:
    """Return a pandas, polars or Arrow table, or any other that exports Arrow, as Arrow.

    Also a dict of columns, and a list of dicts.

    Args:
        frame: The table.
        label: Its name, for messages.
        types: Column → its declared type; used for lists, maps and structs: of Python's dicts,
            Arrow would make structs with the keys of all rows. Values that do not fit, and other
            columns, keep their own type.
        maps: Make maps of the other dicts, if their values have one type: in a struct, a key that
            a row has not is one without a value.

    Raises:
        RequestError: The frame has another type, or a column mixes types.
    """
    if isinstance(frame, pa.Table):
        return frame
    try:
        if isinstance(frame, list) and all(isinstance(row, dict) for row in frame):
            names = dict.fromkeys(name for row in frame for name in row)
            frame = {name: [row.get(name) for row in frame] for name in names}
        if isinstance(frame, dict):
            columns = {n: _array(n, v, types.get(n), maps=maps) for n, v in frame.items()}
            return pa.table(columns)
        if type(frame).__module__.partition(".")[0] == "pandas" and hasattr(frame, "columns"):
            return _of_pandas(frame, types, maps=maps)
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.table(frame)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise RequestError(f"{label} cannot be read: {error}") from error
    raise RequestError(
        f"{label} must be a pandas, polars or Arrow table, a dict of columns or a list of dicts, "
        f"not {type(frame).__name__}."
    )


def _of_pandas(frame: Any, types: Mapping[str, pa.DataType | None], *, maps: bool) -> pa.Table:
    objects = [name for name, of in frame.dtypes.items() if str(of) == "object"]
    if not frame.columns.is_unique:
        objects = []  # Arrow says which column is there twice
    plain = pa.Table.from_pandas(frame.drop(columns=objects), preserve_index=False)
    if not objects:
        return plain
    columns: dict[str, Any] = {}
    names = list(map(str, frame.columns))
    if len({*names}) < len(names):
        raise ValueError("two columns have names that are the same text, such as 1 and '1'.")
    for name in frame.columns:
        if name in objects:
            columns[str(name)] = _array(name, frame[name], types.get(name), maps=maps)
        else:
            columns[str(name)] = plain[str(name)]
    return pa.table(columns)


def _array(name: object, values: Any, dtype: pa.DataType | None, *, maps: bool) -> Any:
    """Return values of Python as an array of one type; arrays as they are."""
    if not isinstance(values, (list, tuple)) and str(getattr(values, "dtype", "")) != "object":
        return values
    if dtype is not None and not pa.types.is_floating(dtype):  # as pandas writes missing values
        values = [None if type(value) is float and isnan(value) else value for value in values]
    if dtype is not None and pa.types.is_nested(dtype):
        with suppress(ValueError, TypeError):  # whoever checks the rows says which value it is
            return exact_array(values, dtype)
    if maps:
        with suppress(ValueError, TypeError):
            return array_of_maps(values)
    try:
        return exact_array(values, None)
    except ValueError as error:
        raise ValueError(f"column {name!r}: {error}") from error


def to_pandas(table: pa.Table, *, nullable: bool = False) -> "pd.DataFrame":
    """Convert an Arrow table to pandas; integers and booleans with nulls stay exact.

    Args:
        table: The table.
        nullable: Give integers and booleans pandas' nullable types always, so that the types do
            not depend on the rows. Otherwise only columns with nulls get them, where plain pandas
            would make them floats and objects, and all others get numpy types.
    """
    import pandas as pd

    if nullable and not any(pa.types.is_nested(dtype) for dtype in table.schema.types):
        # All at once is faster than column by column.
        return table.to_pandas(types_mapper=_nullable_dtype)  # type: ignore[no-any-return]
    columns = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        if field.type in _NULLABLE and (nullable or column.null_count):
            columns[field.name] = column.to_pandas(types_mapper=_nullable_dtype)
        elif is_nested(field.type) or (
            pa.types.is_list(field.type) and field.type.value_type in _NULLABLE
        ):
            values = pd.Series(index=pd.RangeIndex(len(column)), dtype=object)
            values[:] = to_python(column)
            columns[field.name] = values
        else:
            columns[field.name] = column.to_pandas()
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))


@cache
def _nullable_dtype(dtype: pa.DataType) -> Any:
    """Return pandas' nullable type of integers and booleans; `None` for other types."""
    import pandas as pd

    return pd.api.types.pandas_dtype(_NULLABLE[dtype]) if dtype in _NULLABLE else None


def columns_of(frame: "pd.DataFrame", names: list[str]) -> list[Any]:
    """Return columns of a frame; if all are doubles, as numpy arrays, which costs much less."""
    import numpy as np

    selected = frame[names]
    if selected.shape[1] == len(names) and set(selected.dtypes) == {np.dtype(np.float64)}:
        return list(selected.to_numpy().T)
    return [frame[name] for name in names]
