"""Run on-demand views: one implementation for training and serving."""

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Context, localcontext
from functools import cached_property
from typing import Any

import pyarrow as pa

from feature_platform.errors import (
    RequestError,
    TransformationError,
    abbreviate,
    did_you_mean,
    first_line,
    text_of,
)
from feature_platform.project import Transformation
from feature_platform.retrieval.convert import columns_of, to_pandas
from feature_platform.retrieval.overflow import overflowed
from feature_platform.retrieval.sql_evaluator import SqlEvaluator
from feature_platform.types.arrow import to_python, widest
from feature_platform.types.converter import Convert, converter, first_misfit, misplaced
from feature_platform.types.values import exact_array, exact_cast

Function = Callable[[Any], Any]
Functions = Callable[[Transformation], Function]
"""Finds the function of an on-demand view."""

Lists = Mapping[str, Sequence[Any]]
Types = Mapping[str, pa.DataType]

_MOST_TRIED_ALONE = 1000
_MUTABLE = frozenset({list, dict})
_UNORDERED = (str, bytes, set, frozenset, Mapping)  # or not of rows
_EXACT = Context(prec=76)
"""Sums and products of two decimals of 38 digits are exact in it; Python's own has 28 digits."""


def check_request(
    columns: Iterable[str], transformations: Iterable[Transformation], keys: Iterable[str] = ()
) -> None:
    """Check that a request has the columns that on-demand views need.

    Args:
        columns: Columns of the request.
        transformations: The views.
        keys: Columns that cannot be misspellings, such as join keys.

    Raises:
        RequestError: A column is missing.
    """
    present = list(columns)
    others = [name for name in present if name not in set(keys)]
    for step in transformations:
        if lacking := [name for name in step.request.names if name not in present]:
            names = " and ".join(map(repr, lacking))
            raise RequestError(
                f"The request lacks {names}, which on-demand view {step.view!r} needs."
                f"{did_you_mean(lacking[0], others)}"
            )


class Steps:
    """On-demand views in dependency order, ready to run.

    Args:
        transformations: The views, dependencies first.
        step_of: Makes them ready.
        keys: Join keys of the request, with which errors identify rows.
    """

    def __init__(
        self, transformations: Iterable[Transformation], step_of: "StepOf", keys: Iterable[str] = ()
    ) -> None:
        self._steps = [step_of(step, list(keys)) for step in transformations]

    def __iter__(self) -> Iterator["Step"]:
        return iter(self._steps)

    def extend(self, table: pa.Table) -> pa.Table:
        """Add the outputs of the views to a table, in their declared types.

        Raises:
            RequestError: A value of the request is missing or has the wrong type.
            TransformationError: A function cannot be loaded, fails, or does not return what
                its view declares.
        """
        for step in self._steps:
            for field, values in zip(step.outputs, step.arrays(table), strict=True):
                table = table.append_column(field, values)
        return table


class Step:
    """One on-demand view with its function."""

    def __init__(self, step: Transformation, functions: Functions, keys: Sequence[str]) -> None:
        self._step = step
        self._keys = keys
        self._functions = functions
        self.precomputed = step.precomputed
        self.outputs = step.outputs
        self.output_names = step.outputs.names
        self._inputs = [
            (name, column, self._converter(name)) for name, column in step.inputs.items()
        ]
        self._returns = [
            (name, converter(field.type))
            for name, field in zip(step.features, step.outputs, strict=True)
        ]
        self._typed: tuple[Types, Types] = ({}, {})

    def load(self) -> None:
        """Load the function now, not with the first rows."""
        _ = self._function

    @property
    def _label(self) -> str:
        return f"On-demand view {self._step.view!r} of {self._step.owner!r}"

    def _converter(self, name: str) -> Convert | None:
        """Return the exact conversion of a request value; `None` for features."""
        request = self._step.request
        if name not in request.names:
            return None
        dtype = request.field(name).type
        holds_nan = pa.types.is_floating(dtype) or pa.types.is_decimal(dtype)
        return converter(dtype, nan_is_null=not holds_nan)

    @cached_property
    def _function(self) -> Function:
        """The function, loaded on first use; precomputed features do not need it."""
        return self._sql or self._functions(self._step)

    @cached_property
    def _sql(self) -> SqlEvaluator | None:
        step = self._step
        if step.mode != "sql":
            return None
        types = {name: step.outputs.field(column).type for name, column in step.features.items()}
        return SqlEvaluator(step.expressions, types)

    def lists(self, columns: Lists, types: Types) -> list[Sequence[Any]]:
        """Compute the outputs, in order, from columns of Python values."""
        with localcontext(_EXACT):
            return self._lists(columns, types)

    def _lists(self, columns: Lists, types: Types) -> list[Sequence[Any]]:
        inputs = {name: self._given(name, columns[column], exact)
                  for name, column, exact in self._inputs}  # fmt: skip
        if self._step.mode in {"pandas", "sql"}:
            stored = self._input_types(types)
            if self._sql and (computed := self._sql.lists(inputs, stored)) is not None:
                return [
                    values if is_exact else self._returned(name, values, exact, columns)
                    for (values, is_exact), (name, exact) in zip(
                        computed, self._returns, strict=True
                    )
                ]
            arrays = {name: pa.array(inputs[name], dtype) for name, dtype in stored.items()}
            results = self._of_table(pa.table(arrays), columns)
            return [to_python(array) for array in self._arrays_of(results, columns)]
        size = len(next(iter(inputs.values())))
        # Functions may change their arguments.
        copies = {name: _copied(values) for name, values in inputs.items()}
        raw = self._of_lists(copies, columns, size)
        return [
            self._returned(name, values, exact, columns)
            for values, (name, exact) in zip(raw, self._returns, strict=True)
        ]

    def arrays(self, table: pa.Table) -> Sequence[pa.Array | pa.ChunkedArray]:
        """Compute the outputs, in order, from a table."""
        with localcontext(_EXACT):
            return self._arrays(table)

    def _arrays(self, table: pa.Table) -> Sequence[pa.Array | pa.ChunkedArray]:
        check_request(table.column_names, [self._step])
        inputs = {name: self._cast(name, table[column]) for name, column, _ in self._inputs}
        keys = {key: table[key] for key in self._keys if key in table.column_names}
        if self._step.mode in {"pandas", "sql"}:
            outputs: list[Any] = self._of_table(widened(pa.table(inputs)), keys)
            return self._arrays_of(outputs, keys)
        lists = {name: to_python(column) for name, column in inputs.items()}
        return self._arrays_of(self._of_lists(lists, keys, table.num_rows), keys)

    def _arrays_of(self, outputs: Sequence[Any], keys: Any) -> list[pa.Array]:
        return [
            self._array(name, values, keys)
            for name, values in zip(self._step.features, outputs, strict=True)
        ]

    def _of_lists(self, inputs: Lists, keys: Any, size: int) -> list[Sequence[Any]]:
        if self._step.mode == "python":
            result = self._call({name: list(values) for name, values in inputs.items()}, keys, size)
            if not isinstance(result, Mapping):
                raise self._wrong(f"{result!r}; in mode 'python' it returns a dict of lists")
            return self._whole(
                [result[self._named(result, name)] for name in self._step.features], size
            )
        rows = zip(*inputs.values(), strict=True)
        results = [
            self._call(dict(zip(inputs, row, strict=True)), keys, number)
            for number, row in enumerate(rows)
        ]
        for result in results:
            if not isinstance(result, Mapping):
                raise self._wrong(
                    f"{abbreviate(result)}; in mode 'row' it returns a dict. A function of "
                    "frames needs mode='pandas'"
                )
        return [
            [result[self._named(result, name)] for result in results]
            for name in self._step.features
        ]

    def _of_table(self, inputs: pa.Table, keys: Any) -> list[Any]:
        """Return the columns that a function of a table returns, or DuckDB."""
        frame = inputs if self._step.mode == "sql" else to_pandas(inputs, nullable=True)
        result = self._call(frame, keys, inputs.num_rows)
        if self._step.mode == "sql":
            columns = [result[name] for name in self._step.features]
        else:
            import pandas as pd

            if not isinstance(result, pd.DataFrame):
                problem = f"a {type(result).__name__}; in mode 'pandas' it returns a DataFrame"
                raise self._wrong(problem)
            if not result.index.equals(frame.index) and set(result.index) == set(frame.index):
                result = result.loc[frame.index]  # the function put the rows into another order
            names = [self._named(result, name) for name in self._step.features]
            if name := overflowed(self._function, inputs, result, names):
                raise self._wrong(f"integers that overflowed 64 bits in {name!r}")
            columns = columns_of(result, names)
        return self._whole(columns, inputs.num_rows)

    def _call(self, argument: Any, keys: Any, number: int) -> Any:
        try:
            return self._function(argument)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self._failed(argument, keys, number, error) from error

    def _failed(self, argument: Any, keys: Any, number: int, error: BaseException) -> Exception:
        """Return an error with the view, the row and the line of code."""
        position, reason = f"{number} rows", self._describe(error)
        if self._step.mode == "row":
            position = f"row {number}{_format_keys(keys, self._keys, number)}, {argument}"
        elif not isinstance(error, TimeoutError):
            for row in range(min(number, _MOST_TRIED_ALONE)):
                if alone := self._describe_alone(argument, row):
                    position, reason = f"row {row}{_format_keys(keys, self._keys, row)}", alone
                    break
        label = self._label
        return TransformationError(f"{label} failed on {position}: {reason}", f"{label} failed")

    def _describe(self, error: BaseException) -> str:
        hint = " Missing values are passed as None." if "None" in text_of(error) else ""
        if isinstance(error, KeyError) and error.args and error.args[0] in self._keys:
            hint = " A join key is passed if a RequestSource among the sources has a field for it."
        return f"{type(error).__name__}: {first_line(error)}{self._line(error)}.{hint}"

    def _describe_alone(self, argument: Any, row: int) -> str:
        """Return the error of one row of a batch run alone; `None` if it succeeds."""
        try:
            if self._step.mode == "python":
                self._function({name: values[row : row + 1] for name, values in argument.items()})
            elif self._step.mode == "pandas":
                self._function(argument.iloc[row : row + 1].reset_index(drop=True))
            else:
                self._function(argument.slice(row, 1))
        except BaseException as error:  # noqa: BLE001 - whatever users' code raises
            return self._describe(error)
        return ""

    def _line(self, error: BaseException) -> str:
        frames = traceback.extract_tb(error.__traceback__)
        code = getattr(self._function, "__code__", None)
        inside = [frame for frame in frames if code and frame.filename == code.co_filename]
        return f" ({inside[-1].filename}:{inside[-1].lineno})" if inside else ""

    def _given(self, name: str, values: Sequence[Any], exact: Any) -> Sequence[Any]:
        if exact is None:
            return values
        try:
            return exact(values)  # type: ignore[no-any-return]
        except ValueError as error:
            raise self._not_given(name, values, error) from error

    def _cast(self, name: str, values: Any) -> Any:
        if name not in self._step.request.names:
            return values
        try:
            return exact_cast(values, self._step.request.field(name).type)
        except ValueError as error:
            raise self._not_given(name, values, error) from error

    def _not_given(self, name: str, values: Any, error: ValueError) -> RequestError:
        dtype = self._step.request.field(name).type
        element = misplaced(values, dtype) if len(values) > 1 else ""
        position = f" in {element}" if element else ""
        return RequestError(
            f"The request's {name!r} is not {dtype}{position}, which on-demand view "
            f"{self._step.view!r} takes: {error}."
        )

    def _input_types(self, types: Types) -> Types:
        """Return input → type, in 64 bits; a reader passes the same `types` with each request."""
        columns, inputs = self._typed
        if columns is not types:
            requested = {field.name: field.type for field in self._step.request}
            inputs = {n: widest(requested.get(n) or types[column]) for n, column, _ in self._inputs}
            self._typed = (types, inputs)
        return inputs

    def _array(self, name: str, values: Any, keys: Any) -> pa.Array:
        field = self._step.outputs.field(self._step.features[name])
        try:
            return exact_array(values, field.type)
        except ValueError as error:
            raise self._misfit(name, values, keys, error) from error

    def _returned(self, name: str, values: Any, exact: Convert, keys: Any) -> Sequence[Any]:
        try:
            return exact(values)
        except ValueError as error:
            raise self._misfit(name, values, keys, error) from error

    def _misfit(self, name: str, values: Any, keys: Any, error: ValueError) -> TransformationError:
        dtype = self._step.outputs.field(self._step.features[name]).type
        try:
            listed = to_python(values) if hasattr(values, "to_pylist") else list(values)
            row = first_misfit(listed, converter(dtype))
        except OverflowError:  # Python has no such times
            row = None
        position = "" if row is None else f" in row {row}{_format_keys(keys, self._keys, row)}"
        return self._wrong(f"{name!r} that is not {dtype}{position}: {error}")

    def _named(self, result: Any, name: str) -> str:
        """Return the name of an output, after checking that a result has it."""
        if name not in result:
            raise self._wrong(f"{sorted(map(str, result))}, without {name!r}")
        return name

    def _whole(self, columns: list[Any], size: int) -> list[Any]:
        for name, column in zip(self._step.features, columns, strict=True):
            if isinstance(column, _UNORDERED):
                kind = type(column).__name__
                raise self._wrong(f"a {kind} as {name!r}; rows need a list, in their order")
            try:
                length = len(column)
            except TypeError:
                raise self._wrong(f"{column!r} as {name!r}, which is not a list") from None
            if length != size:
                raise self._wrong(f"{length} values of {name!r} for {size} rows")
        return columns

    def _wrong(self, problem: str) -> TransformationError:
        label = self._label
        return TransformationError(
            f"{label} returned {problem}.", f"{label} returned what it does not declare"
        )


StepOf = Callable[[Transformation, Sequence[str]], Step]
"""Makes an on-demand view ready to run; with the join keys of the request."""


def widened(table: pa.Table) -> pa.Table:
    """Return integers and floats in 64 bits, so that all modes compute with the same numbers.

    Functions in mode `row` get Python's numbers; narrow ones would overflow or round on the way.
    """
    return table.cast(pa.schema([(f.name, widest(f.type)) for f in table.schema]))


def _copied(values: Sequence[Any]) -> Sequence[Any]:
    """Return a copy of values whose lists and dicts can be changed safely, at any depth."""
    if any(type(value) in _MUTABLE for value in values):
        return [_copy(value) if type(value) in _MUTABLE else value for value in values]
    return values


def _copy(value: Any) -> Any:
    if type(value) is dict:
        return dict(zip(value, _copied(list(value.values())), strict=True))
    copied = _copied(value)
    return list(value) if copied is value else copied


def _format_keys(keys: Any, names: Sequence[str], row: int) -> str:
    """Format the join keys of a row for messages."""
    present = {name: keys[name][row] for name in names if name in keys}
    plain = {n: v.as_py() if isinstance(v, pa.Scalar) else v for n, v in present.items()}
    return f" ({', '.join(f'{n}={v!r}' for n, v in plain.items())})" if plain else ""
