"""On-demand feature views: features computed at request time."""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self

import pydantic
from pydantic import PrivateAttr, model_validator

from feature_platform.definitions import feast_arguments
from feature_platform.definitions.base import NO_LABELS, Labels, Name
from feature_platform.definitions.code import Code
from feature_platform.definitions.field import Field, as_tuple, duplicate_names
from feature_platform.definitions.reference import References, View, ViewReference
from feature_platform.definitions.source import RequestSource
from feature_platform.definitions.sql_expressions import check_expressions
from feature_platform.errors import DefinitionError

Mode = Literal["row", "python", "pandas", "sql"]


class OnDemandFeatureView(View):
    """Features that a function or SQL computes from other features and request values.

    A view with `udf` or `expressions` is complete. Without them it is a decorator that takes name
    and description from the function. A complete view can be called directly, for example in tests.

    Attributes:
        sources: Views and features (objects, `view` or `view:feature` strings, other on-demand
            views) and request sources, in any order.
        schema: The computed features.
        mode: Argument and return type of the function. `row`: a dict of values, called once per
            row. `python`: a dict of lists. `pandas`: a DataFrame. Functions must treat rows
            independently, because offline rows come in batches. `sql`: `expressions` instead of a
            function, so readers need no code.
        udf: The function. Inputs have feature names, or `view__feature` where two share a name.
        expressions: For mode `sql`: feature → expression over the inputs of its row, in DuckDB's
            SQL.
        write_to_online_store: Precompute the features when rows of the view below are written.
            Stored features are served only if the current code computed them from the current
            inputs; otherwise they are computed at request time. Requires a view that reads one
            feature view and no request values.

    Raises:
        DefinitionError: Arguments are invalid; all of them are listed.

    Example:
        >>> from feature_platform.types import Int64
        >>> @OnDemandFeatureView(
        ...     sources=["user:age"], schema=[Field(name="years_left", dtype=Int64)]
        ... )
        ... def retirement(inputs):
        ...     return {"years_left": 65 - inputs["age"]}
        >>> retirement({"age": 40})
        {'years_left': 25}

    Source: Feast's `OnDemandFeatureView`, whose default mode is pandas.
    """

    kind: ClassVar[str] = "on_demand_view"
    feast_arguments: ClassVar = feast_arguments.ON_DEMAND_VIEW

    type: Literal["on_demand_feature_view"] = "on_demand_feature_view"
    name: Name | Literal[""] = ""
    inputs: References = pydantic.Field(default=(), alias="sources")
    request: tuple[Field, ...] = ()
    fields: tuple[Field, ...] = pydantic.Field(alias="schema", min_length=1)
    mode: Mode = "row"
    code: Code | None = None
    expressions: Labels = NO_LABELS
    write_to_online_store: bool = False
    _function: Callable[..., Any] | None = PrivateAttr(default=None)

    def __init__(self, **data: Any) -> None:
        function = data.pop("udf", None)
        if data.pop("singleton", None):
            if data.get("mode", "row") not in {"row", "python"}:
                message = f"singleton=True means mode='row', not {data['mode']!r}. Remove one."
                raise DefinitionError(f"OnDemandFeatureView: {message}")
            data["mode"] = "row"
        if "sources" in data:
            sources = as_tuple(data["sources"])
            data["sources"] = [s for s in sources if not isinstance(s, RequestSource)]
            if requests := [s for s in sources if isinstance(s, RequestSource)]:
                data["request"] = tuple(f for r in requests for f in r.fields)
        if function is not None:
            if not inspect.isfunction(function):
                raise DefinitionError(f"OnDemandFeatureView: udf {function!r} is not a function.")
            if _uses_dataframe(function) and data.setdefault("mode", "pandas") != "pandas":
                message = "the function takes a DataFrame. Pass mode='pandas'."
                raise DefinitionError(f"OnDemandFeatureView {function.__name__!r}: {message}")
            data["name"] = data.get("name") or function.__name__
            data["description"] = data.get("description") or inspect.getdoc(function) or ""
            data["code"] = Code.of(function)
        super().__init__(**data)
        self._function = function

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if not self.inputs and not self.request:
            raise ValueError("sources is empty. List a view, a feature or a RequestSource.")
        if self.write_to_online_store and self.request:
            message = "request values are not known when rows are written."
            raise ValueError(f"write_to_online_store: {message}")
        for argument, fields in (("schema", self.fields), ("sources", self.request)):
            if duplicates := duplicate_names(fields):
                raise ValueError(f"{argument} declares {duplicates} twice.")
        return self

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        if (self.mode == "sql") != bool(self.expressions):
            raise ValueError("mode='sql' and expressions must be used together.")
        if self.mode == "sql":
            if not self.name:
                raise ValueError("name is required with mode='sql'.")
            if self.code is not None:
                raise ValueError("mode='sql' takes expressions and no function. Remove udf.")
            names = [f.name for f in self.fields]
            if sorted(self.expressions) != sorted(names):
                raise ValueError(f"expressions: exactly {', '.join(names)} need one.")
            check_expressions(self.expressions)
        return self

    @property
    def references(self) -> tuple[ViewReference, ...]:
        return self.inputs

    @property
    def function(self) -> Callable[..., Any] | None:
        """The function; `None` in a process that read the view from the registry."""
        return self._function

    @property
    def is_complete(self) -> bool:
        """Whether the view has a function or expressions."""
        return self.code is not None or bool(self.expressions)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.is_complete and len(args) == 1 and inspect.isfunction(args[0]):
            arguments = {name: getattr(self, name) for name in self.model_fields_set}
            return OnDemandFeatureView(**arguments, udf=args[0])
        if self._function is None:
            reason = "it is SQL" if self.expressions else "the registry does not store code"
            raise DefinitionError(f"{self} cannot be called: {reason}.")
        return self._function(*args, **kwargs)


def _uses_dataframe(function: Callable[..., Any]) -> bool:
    return any("DataFrame" in str(hint) for hint in inspect.get_annotations(function).values())


def on_demand_feature_view(**arguments: Any) -> OnDemandFeatureView:
    """Return a decorator, like `OnDemandFeatureView(...)`; the name that Feast uses."""
    return OnDemandFeatureView(**arguments)
