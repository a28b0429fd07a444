"""Exact conversion to declared types: values are never truncated, guessed or reinterpreted."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from numbers import Number
from typing import Any
from uuid import UUID

import pyarrow as pa

from feature_platform.errors import abbreviate
from feature_platform.types.arrow import Column, is_list, is_nested, to_python
from feature_platform.types.arrow_times import check_times, parse_times
from feature_platform.types.decimals import exact_decimals, holds_decimals, is_lossless

_LISTS = (list, tuple, set, frozenset)
_CONTAINERS = (*_LISTS, dict)
_DEEPEST = 101  # more than any type


def exact_array(values: Any, dtype: pa.DataType | None, *, nan_is_null: bool = False) -> pa.Array:
    """Return Python, numpy or pandas values as an Arrow array of a declared type.

    Args:
        values: The values.
        dtype: Their type; `None` keeps the inferred one.
        nan_is_null: Treat NaN as missing, as pandas does.

    Raises:
        ValueError: A value has the wrong type, or would change.
    """
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        array = values if dtype is None else exact_cast(values, dtype)
        return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    from_pandas = nan_is_null or hasattr(values, "dtype")
    if dtype is not None and is_nested(dtype):
        return exact_nested(values, dtype)
    if dtype is not None and holds_decimals(dtype):
        listed = values.tolist() if hasattr(values, "tolist") else values
        return pa.array(exact_decimals(listed, dtype, nan_is_null=from_pandas), dtype)
    try:
        if str(getattr(values, "dtype", "object")) == "object":
            values = [_plain(value, dtype) for value in values]
            _check_depth([value for value in values if isinstance(value, _CONTAINERS)])
            _check_unmixed(values)
        try:
            array = pa.array(values, from_pandas=from_pandas)
        except pa.ArrowNotImplementedError:  # which lists of UUIDs are
            array = pa.array(_uuids_as_text(values), from_pandas=from_pandas)
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        return array if dtype is None else exact_cast(array, dtype)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error


def _check_depth(containers: Sequence[Any]) -> None:
    """Refuse what contains itself or is nested without end: Arrow would end the process.

    Raises:
        ValueError: A value is.
    """
    level = {id(container): container for container in containers}
    for _ in range(_DEEPEST):
        if not level:
            return
        items = (v.values() if isinstance(v, dict) else v for v in level.values())
        level = {id(v): v for each in items for v in each if isinstance(v, _CONTAINERS)}
    raise ValueError(f"a value contains itself, or is nested more than {_DEEPEST} times")


def _check_unmixed(values: Sequence[Any]) -> None:
    """Refuse what Arrow would convert to the type of the first value: times to dates, for example.

    Raises:
        ValueError: Values are of several kinds.
    """
    level = values
    while level:
        kinds = {_kind(of) for of in set(map(type, level))}
        for mixed in ({"dates", "times"}, {"numbers", "booleans"}):
            if mixed <= kinds:
                raise ValueError(f"{' and '.join(sorted(mixed))} are mixed")
        level = [item for v in level if isinstance(v, _LISTS) for item in v]


@cache
def _kind(of: type) -> str:
    if issubclass(of, date):
        return "times" if issubclass(of, datetime) else "dates"
    if of.__name__ in {"bool", "bool_"}:  # also numpy's
        return "booleans"
    return "numbers" if issubclass(of, Number) else ""


def exact_nested(values: Any, dtype: pa.DataType) -> pa.Array:
    """Return dicts and lists as an Arrow array of a declared map, struct or nested list.

    Raises:
        ValueError: A value is not of this form, or one inside has the wrong type or would change.
    """
    items = [None if _is_missing(value) else value for value in values]
    if pa.types.is_struct(dtype):
        return _exact_structs(items, dtype)
    if pa.types.is_map(dtype):
        pairs = [None if v is None else list(_checked_dict(v).items()) for v in items]
        flat = [pair for value in pairs for pair in value or ()]
        keys = exact_array([key for key, _ in flat], dtype.key_type)
        contents = exact_array([content for _, content in flat], dtype.item_type)
        array = pa.MapArray.from_arrays(_offsets(pairs), keys, contents)
        return array.cast(dtype)
    lists = [None if v is None else _checked_list(v) for v in items]
    inner = exact_array([item for value in lists for item in value or ()], dtype.value_type)
    return pa.ListArray.from_arrays(_offsets(lists), inner).cast(dtype)


def array_of_maps(values: Any) -> pa.Array:
    """Return values as an Arrow array of the type that they have.

    Dicts are maps if their values have one type: in a struct, a key that a row has not would be
    one without a value.

    Raises:
        ValueError: The values have different types.
    """
    items = [None if _is_missing(value) else value for value in values]
    _check_depth([value for value in items if isinstance(value, _CONTAINERS)])
    filled = [value for value in items if value is not None]
    if filled and all(isinstance(value, dict) for value in filled):
        try:
            contents = array_of_maps([content for value in filled for content in value.values()])
        except ValueError:
            return _structs_of_maps(items)
        keys = exact_array([key for value in filled for key in value], pa.string())
        return pa.MapArray.from_arrays(_offsets(items), keys, contents)
    if filled and all(isinstance(value, _LISTS) for value in filled):
        inner = array_of_maps([item for value in filled for item in value])
        return pa.ListArray.from_arrays(_offsets(items), inner)
    return exact_array(items, None)


def _structs_of_maps(items: Sequence[Any]) -> pa.Array:
    names = dict.fromkeys(name for value in items for name in value or ())
    arrays = [array_of_maps([(value or {}).get(name) for value in items]) for name in names]
    missing = pa.array([value is None for value in items], pa.bool_())
    return pa.StructArray.from_arrays(arrays, [str(name) for name in names], mask=missing)


def _as_maps(value: Any, stored: pa.DataType, dtype: pa.DataType) -> Any:
    """Return a value without what a struct that is to be a map has for the keys of other rows."""
    if value is None:
        return None
    if pa.types.is_struct(stored) and pa.types.is_map(dtype):
        return {name: content for name, content in value.items() if content is not None}
    if is_list(stored) and is_list(dtype):
        return [_as_maps(item, stored.value_type, dtype.value_type) for item in value]
    if pa.types.is_struct(stored) and pa.types.is_struct(dtype):
        return {
            name: _as_maps(content, stored.field(name).type, dtype.field(name).type)
            if dtype.get_field_index(name) >= 0
            else content
            for name, content in value.items()
        }
    return value


def _exact_structs(items: list[Any], dtype: pa.StructType) -> pa.Array:
    names = [field.name for field in dtype]
    dicts = [{} if value is None else _checked_dict(value) for value in items]
    for value in dicts:
        if unknown := [name for name in value if name not in names]:
            raise ValueError(f"{abbreviate(unknown[0])} is not a field of {dtype}")
    arrays = [exact_array([v.get(field.name) for v in dicts], field.type) for field in dtype]
    missing = pa.array([value is None for value in items], pa.bool_())
    return pa.StructArray.from_arrays(arrays, fields=list(dtype), mask=missing)


def _offsets(lists: Sequence[Collection[Any] | None]) -> pa.Array:
    """Return where each list starts; a missing list has no start."""
    starts: list[int | None] = []
    end = 0
    for value in lists:
        starts.append(None if value is None else end)
        end += len(value or ())
    return pa.array([*starts, end], pa.int32())


def _checked_dict(value: Any) -> Mapping[str, Any]:
    if isinstance(value, list) and all(isinstance(v, tuple) and len(v) == 2 for v in value):  # noqa: PLR2004
        if len(made := dict(value)) < len(value):  # as Arrow gives maps
            raise ValueError(f"{abbreviate(value)} has a key twice")
        return made
    if not isinstance(value, Mapping):
        raise ValueError(f"{abbreviate(value)} is not a dict")
    return value


def _checked_list(value: Any) -> Sequence[Any]:
    if hasattr(value, "tolist"):
        return value.tolist()  # type: ignore[no-any-return]
    if not isinstance(value, _LISTS):
        raise ValueError(f"{abbreviate(value)} is not a list")
    return _ordered(value) if isinstance(value, (set, frozenset)) else list(value)


def _ordered(values: Iterable[Any]) -> list[Any]:
    """Return a set as a list whose order is the same in every process."""
    try:
        return sorted(values)
    except TypeError:  # a missing value, for example
        return sorted(values, key=repr)


def _is_missing(value: Any) -> bool:
    is_nan = isinstance(value, float) and value != value  # noqa: PLR0124
    return value is None or is_nan or type(value).__name__ in {"NaTType", "NAType"}


def _plain(value: Any, dtype: pa.DataType | None) -> Any:
    """Return a Python value in the form that Arrow reads; pandas' missing values become None."""
    if type(value).__name__ in {"NaTType", "NAType"}:
        return None
    if isinstance(value, (set, frozenset)):
        return _ordered(value)
    if dtype is not None and pa.types.is_floating(dtype):
        if isinstance(value, bool):
            raise ValueError(f"{value!r} is not a number")
        if type(value) is int:  # Arrow rejects integers that a narrow float would round
            if float(value) != value:
                raise ValueError(f"{value!r} is not exact as a float")
            return float(value)
    return value


def exact_cast(column: Column, dtype: pa.DataType) -> Column:
    """Return a column converted to a declared type.

    - Integers and floats are converted if no value changes; floats are rounded to narrower floats.
    - Integers and text become decimals if they have no more digits than declared. Floats do not.
    - ISO 8601 text and naive times become UTC; times are floored to microseconds.
    - UUIDs become text in lower case, as sources give them.

    Raises:
        ValueError: The types do not fit, or a value would change.
    """
    if column.type == dtype:
        _check_times(column)
        return column
    if isinstance(innermost(column.type), pa.UuidType):
        column = pa.array(_uuids_as_text(column.to_pylist()))
    if pa.types.is_dictionary(column.type):
        column = pa.array(column.to_pylist())
    if is_nested(dtype) and not pa.types.is_null(column.type):
        values = to_python(column)
        return exact_nested([_as_maps(v, column.type, dtype) for v in values], dtype)
    if not fits(column.type, dtype):
        raise ValueError(f"values of type {column.type} are not {dtype}{_hint(column, dtype)}")
    if holds_decimals(dtype) and not is_lossless(column.type, dtype):
        return pa.array(exact_decimals(column.to_pylist(), dtype, nan_is_null=False), dtype)
    try:
        cast = _prepared(column, dtype).cast(dtype)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error
    _check_times(cast)
    _check_exact_integers(column, dtype)
    if _infinities(cast) != _infinities(column):
        raise ValueError(f"a value is too large for {dtype}")
    return cast


def _check_times(column: Column) -> None:
    if pa.types.is_timestamp(innermost(column.type)):
        check_times(column)


def _check_exact_integers(column: Column, dtype: pa.DataType) -> None:
    """Refuse integers from floats that are so large that they may have been rounded.

    Raises:
        ValueError: One is.
    """
    from pyarrow import compute

    stored = innermost(column.type)
    if not _is_float(stored) or not pa.types.is_integer(innermost(dtype)):
        return
    while is_list(column.type):
        column = compute.list_flatten(column)
    bits = {16: 11, 32: 24}.get(stored.bit_width, 53)
    if stored.bit_width == 16:  # noqa: PLR2004 - Arrow computes nothing with half floats
        column = column.cast(pa.float32())
    largest = compute.max(compute.abs(column)).as_py()
    if largest is not None and largest >= 2**bits:
        raise ValueError(f"{largest!r} may have been rounded; pass integers, not floats")


def _hint(column: Column, dtype: pa.DataType) -> str:
    stored = innermost(column.type)
    rounded = _is_float(stored) and holds_decimals(dtype)
    return "; floats may already be rounded: pass decimals or text" if rounded else ""


def innermost(dtype: pa.DataType) -> pa.DataType:
    """Return the type of what is inside of lists."""
    while is_list(dtype):
        dtype = dtype.value_type
    return dtype


def _uuids_as_text(values: Any) -> list[Any]:
    return [
        _uuids_as_text(value)
        if isinstance(value, _LISTS)
        else str(value)
        if isinstance(value, UUID)
        else value
        for value in values
    ]


def _prepared(column: Column, dtype: pa.DataType) -> Column:
    """Return a column in a form that Arrow casts exactly."""
    from pyarrow import compute

    if pa.types.is_timestamp(dtype) and pa.types.is_timestamp(column.type):
        if column.type.tz:  # local times may be ambiguous, UTC is not
            column = column.cast(pa.timestamp(column.type.unit, "UTC"))
        return compute.floor_temporal(column, unit="microsecond")
    if pa.types.is_timestamp(dtype) and is_text(column.type):
        return compute.floor_temporal(parse_times(column), unit="microsecond")
    if pa.types.is_float32(innermost(dtype)) and pa.types.is_integer(innermost(column.type)):
        return column.cast(_of_doubles(column.type))  # exact, then rounded like any float
    return column


def _of_doubles(dtype: pa.DataType) -> pa.DataType:
    return pa.list_(_of_doubles(dtype.value_type)) if is_list(dtype) else pa.float64()


def _infinities(column: Column) -> int:
    from pyarrow import compute

    while is_list(column.type):
        column = compute.list_flatten(column)
    return compute.sum(compute.is_inf(column)).as_py() or 0 if _is_float(column.type) else 0


def fits(stored: pa.DataType, target: pa.DataType) -> bool:
    """Return whether values of one type may be converted to another; `exact_cast` checks each."""
    if pa.types.is_null(stored):
        return True
    if is_list(stored):
        return pa.types.is_list(target) and fits(stored.value_type, target.value_type)
    kinds: Sequence[tuple[Any, Any]] = (
        (_is_number, _is_number),
        (pa.types.is_boolean, pa.types.is_boolean),
        (is_text, is_text),
        (is_text, pa.types.is_timestamp),
        (is_text, pa.types.is_decimal),
        (pa.types.is_integer, pa.types.is_decimal),
        (pa.types.is_decimal, pa.types.is_decimal),
        (_is_bytes, _is_bytes),
        (pa.types.is_timestamp, pa.types.is_timestamp),
        (pa.types.is_date, pa.types.is_timestamp),
    )
    return any(left(stored) and right(target) for left, right in kinds)


def _is_float(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_floating(dtype))


def _is_number(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype))


def is_text(dtype: pa.DataType) -> bool:
    """Return whether a type is one of text."""
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(kind(dtype) for kind in kinds)


def _is_bytes(dtype: pa.DataType) -> bool:
    kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(kind(dtype) for kind in kinds)
