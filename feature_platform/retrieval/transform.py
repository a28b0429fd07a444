"""Running on-demand views: one implementation for training and for serving."""

import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa

from feature_platform.errors import RequestError, TransformationError, did_you_mean
from feature_platform.resolve import Transformation
from feature_platform.retrieval.frames import to_pandas
from feature_platform.values import exact_array, exact_cast

Function = Callable[[Any], Any]
Functions = Callable[[Transformation], Function]
"""Finds the function of an on-demand view."""


def transform(
    table: pa.Table, transformations: Iterable[Transformation], functions: Functions
) -> pa.Table:
    """Add the columns of on-demand views, each after those it reads.

    Args:
        table: Shape (n, columns the views read + any).
        transformations: In the order of their dependencies.
        functions: Where their functions come from.

    Returns:
        Shape (n, columns of `table` + outputs), every output in its declared type.

    Raises:
        RequestError: The request lacks a value, or it has another type.
        TransformationError: A function cannot be loaded, failed, or returned something else than
            its view declares.
    """
    for step in transformations:
        inputs = _inputs(table, step)
        outputs = _RUN[step.mode](step, functions(step), inputs)
        for field, values in zip(step.outputs, outputs, strict=True):
            table = table.append_column(field, values)
    return table


def check_request(columns: Iterable[str], transformations: Iterable[Transformation]) -> None:
    """Check that a request carries what on-demand views need of it.

    Raises:
        RequestError: A value is missing.
    """
    known = list(columns)
    for step in transformations:
        for name in step.request.names:
            if name not in known:
                hint = did_you_mean(name, known)
                raise RequestError(
                    f"The request lacks {name!r}, which on-demand view {step.view!r} needs.{hint}"
                )


def _inputs(table: pa.Table, step: Transformation) -> pa.Table:
    check_request(table.column_names, [step])
    arrays = {}
    for name, column in step.inputs.items():
        values = table[column]
        if name in step.request.names:
            wanted = step.request.field(name).type
            try:
                values = exact_cast(values, wanted)
            except ValueError as error:
                raise RequestError(
                    f"The request's {name!r} is not {wanted}, which on-demand view {step.view!r} "
                    f"takes: {error}."
                ) from error
        arrays[name] = values
    return pa.table(arrays)


def _run_row(step: Transformation, function: Function, inputs: pa.Table) -> list[pa.Array]:
    results = []
    for number, row in enumerate(inputs.to_pylist()):
        result = _call(step, function, row, f"row {number}, {row}")
        if not isinstance(result, Mapping):
            raise _returned(step, f"{result!r}; in mode 'row' it returns a dict")
        results.append(result)
    return [
        _array(step, name, [_get(step, result, name) for result in results])
        for name in step.features
    ]


def _run_python(step: Transformation, function: Function, inputs: pa.Table) -> list[pa.Array]:
    result = _call(step, function, inputs.to_pydict(), f"{inputs.num_rows} rows")
    if not isinstance(result, Mapping):
        raise _returned(step, f"{result!r}; in mode 'python' it returns a dict of lists")
    arrays = [_array(step, name, _get(step, result, name)) for name in step.features]
    return _same_length(step, inputs, arrays)


def _run_pandas(step: Transformation, function: Function, inputs: pa.Table) -> list[pa.Array]:
    import pandas as pd

    result = _call(step, function, to_pandas(inputs, nullable=True), f"{inputs.num_rows} rows")
    if not isinstance(result, pd.DataFrame):
        raise _returned(step, f"a {type(result).__name__}; in mode 'pandas' it returns a DataFrame")
    arrays = [_array(step, name, _get(step, result, name)) for name in step.features]
    return _same_length(step, inputs, arrays)


_RUN = {"row": _run_row, "python": _run_python, "pandas": _run_pandas}


def _call(step: Transformation, function: Function, argument: Any, what: str) -> Any:
    try:
        return function(argument)
    except (Exception, SystemExit) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise TransformationError(
            f"On-demand view {step.view!r} of {step.owner!r} failed on {what}: "
            f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno}). Missing values "
            "arrive as None."
        ) from error


def _get(step: Transformation, result: Any, name: str) -> Any:
    if name not in result:
        raise _returned(step, f"{sorted(map(str, result))}, without {name!r}")
    return result[name]


def _array(step: Transformation, name: str, values: Any) -> pa.Array:
    field = step.outputs.field(step.features[name])
    try:
        return exact_array(values, field.type)
    except ValueError as error:
        raise _returned(step, f"{name!r} as something else than {field.type}: {error}") from error


def _same_length(step: Transformation, inputs: pa.Table, arrays: list[pa.Array]) -> list[pa.Array]:
    for name, array in zip(step.features, arrays, strict=True):
        if len(array) != inputs.num_rows:
            raise _returned(step, f"{len(array)} values of {name!r} for {inputs.num_rows} rows")
    return arrays


def _returned(step: Transformation, what: str) -> TransformationError:
    return TransformationError(f"On-demand view {step.view!r} of {step.owner!r} returned {what}.")
