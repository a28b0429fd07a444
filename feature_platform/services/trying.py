"""On-demand functions are tried on sample values before they are registered."""

import logging
import traceback
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

from feature_platform.definitions import OnDemandFeatureView
from feature_platform.errors import (
    DefinitionError,
    FeaturePlatformError,
    RequestError,
    TransformationError,
)
from feature_platform.project import ProjectSnapshot, Transformation, resolve
from feature_platform.project.interface import inputs_of
from feature_platform.retrieval import Step
from feature_platform.types import Json
from feature_platform.types.arrow import arrow_type
from feature_platform.types.values import exact_array

_log = logging.getLogger(__name__)
_ROWS: Final = 3
_DEPEND_ON_VALUES: Final = (ArithmeticError, AssertionError, LookupError, ValueError)
"""What functions rightly raise for values that they do not take, such as the samples."""
_DEPEND_ON_FORM: Final = (AttributeError, TypeError)
"""What they rightly raise for JSON of another form."""
_REMEDY: Final = (
    "If the sample values are at fault, apply it with --skip-trials (try_functions=False)."
)


def try_functions(project: ProjectSnapshot, views: Iterable[OnDemandFeatureView]) -> None:
    """Compute on-demand views on three rows of sample values of the declared types.

    Args:
        project: The project with the views and what they read.
        views: Views that were built in this process.

    Raises:
        DefinitionError: A function fails, or does not return what its view declares; all are
            listed. What may be due to the values is only logged, such as a `ValueError`, or a key
            that a table of the function lacks.
    """
    problems = [problem for view in views if (problem := _problem(project, view))]
    if problems:
        raise DefinitionError("\n".join([*problems, _REMEDY]))


def _problem(project: ProjectSnapshot, view: OnDemandFeatureView) -> str:
    function = view.function
    if function is None:
        return ""
    try:
        *_, transformation = resolve(project, [view.reference()]).transformations
    except (FeaturePlatformError, ValueError, RecursionError):
        return ""  # what it reads is missing, or reads it: rules report that
    types = [each.dtype for each in inputs_of(project, view)] + [f.dtype for f in view.request]
    recorded = _Recorded(function, _DEPEND_ON_VALUES + (_DEPEND_ON_FORM if Json in types else ()))
    try:
        Step(transformation, lambda _: recorded, []).arrays(_samples(project, view, transformation))
    except RequestError:
        return ""
    except TransformationError as error:
        if recorded.may_be_due_to_values:
            _log.warning(
                "Failed on sample values, which may be at fault, so the plan goes on: %s", error
            )
            return ""
        return f"Failed on sample values: {error}"
    return ""


class _Recorded:
    """A function, and what it raised."""

    def __init__(
        self, function: Callable[..., Any], kinds: tuple[type[BaseException], ...]
    ) -> None:
        self._function = function
        self.__code__ = function.__code__  # for the line in messages
        self._kinds = kinds
        self._error: BaseException | None = None
        self._lacks_input = False

    def __call__(self, argument: Any) -> Any:
        inputs = _Inputs(argument) if isinstance(argument, dict) else argument
        try:
            return self._function(inputs)
        except BaseException as error:
            self._error = error
            self._lacks_input |= isinstance(error, KeyError) and _is_of(error, inputs)
            raise

    @property
    def may_be_due_to_values(self) -> bool:
        return isinstance(self._error, self._kinds) and not self._lacks_input


class _Inputs(dict[str, Any]):
    """Inputs whose frame is in the trace when a function asks for one that is not declared."""

    def __missing__(self, name: str) -> Any:
        raise KeyError(name)


def _is_of(error: BaseException, inputs: Any) -> bool:
    """Return whether the inputs lack something, and not a table of the function itself."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(frame.f_locals.get("self") is inputs for frame in frames)


def _samples(
    project: ProjectSnapshot, view: OnDemandFeatureView, transformation: Transformation
) -> pa.Table:
    """Return a table with a column for each input."""
    types = {each.name: arrow_type(each.dtype) for each in inputs_of(project, view)}
    types |= {field.name: field.type for field in transformation.request}
    return pa.table(
        {
            column: exact_array(
                [_sample(types[name], row) for row in range(1, _ROWS + 1)], types[name]
            )
            for name, column in transformation.inputs.items()
        }
    )


def _sample(dtype: pa.DataType, number: int) -> Any:
    if pa.types.is_list(dtype):
        return [_sample(dtype.value_type, number)]
    if pa.types.is_struct(dtype):
        return {field.name: _sample(field.type, number) for field in dtype}
    if pa.types.is_map(dtype):
        return {"a": str(number)}
    kinds: Mapping[Callable[[pa.DataType], bool], Callable[[int], Any]] = {
        pa.types.is_boolean: bool,
        pa.types.is_floating: float,
        pa.types.is_integer: int,
        pa.types.is_string: str,
        pa.types.is_binary: lambda n: str(n).encode(),
        pa.types.is_decimal: lambda n: Decimal(n).scaleb(-dtype.scale),
        pa.types.is_timestamp: lambda n: datetime(2026, 1, n, tzinfo=UTC),
    }
    return next(make(number) for is_kind, make in kinds.items() if is_kind(dtype))
