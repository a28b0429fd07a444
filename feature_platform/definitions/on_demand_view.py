"""On-demand feature views: features computed at request time."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Self

import pydantic
from pydantic import PrivateAttr, model_validator

from feature_platform.definitions.base import NO_LABELS, Labels
from feature_platform.definitions.code import Code
from feature_platform.definitions.field import Field, as_tuple, repeated
from feature_platform.definitions.reference import References, View, ViewReference
from feature_platform.definitions.source import RequestSource
from feature_platform.definitions.sql_expressions import check_expressions
from feature_platform.errors import DefinitionError

Mode = Literal["row", "python", "pandas", "sql"]


class OnDemandFeatureView(View):
    """Features computed from other features and from the request, by a function or by SQL.

    With `udf` or `expressions` the view is complete. Without, it is a decorator: the view takes the
    function's name and docstring. A complete view can be called directly, which is convenient in
    tests.

    Attributes:
        sources: Views and features it reads (objects, `view` or `view:feature` strings, other
            on-demand views) and request sources, in any order.
        schema: The features it returns.
        mode: What the function takes and returns. `row`: a dict of values, for each row.
            `python`: a dict of lists. `pandas`: a DataFrame. Rows must not depend on each other,
            because offline they come in batches. `sql`: `expressions` instead of a function, so
            readers need no code.
        udf: The function. Inputs are named by feature, or `view__feature` if two share a name.
        expressions: For mode `sql`: feature → expression over the inputs of a row, in DuckDB's SQL.
        write_to_online_store: Precompute the features when rows of the view below are written. A
            precomputed value is used if it was computed by the current code from the current
            inputs; otherwise it is computed at request time. For views that read one feature view
            and no request values.

    Raises:
        DefinitionError: An argument is wrong; every wrong one is listed.

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

    type: Literal["on_demand_feature_view"] = "on_demand_feature_view"
    name: Annotated[str, pydantic.Field(pattern=r"^([A-Za-z][A-Za-z0-9_]{0,62})?$")] = ""
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
        if "sources" in data:
            sources = as_tuple(data["sources"])
            data["sources"] = [s for s in sources if not isinstance(s, RequestSource)]
            if requests := [s for s in sources if isinstance(s, RequestSource)]:
                data["request"] = tuple(f for r in requests for f in r.fields)
        if function is not None:
            if not inspect.isfunction(function):
                raise DefinitionError(f"OnDemandFeatureView: udf {function!r} is not a function.")
            if data.get("mode", "row") != "pandas" and _takes_frame(function):
                raise DefinitionError(
                    f"OnDemandFeatureView {function.__name__!r}: the function takes a DataFrame; "
                    "pass mode='pandas'."
                )
            data["name"] = data.get("name") or function.__name__
            data["description"] = data.get("description") or inspect.getdoc(function) or ""
            data["code"] = Code.of(function)
        super().__init__(**data)
        self._function = function

    @model_validator(mode="after")
    def _columns_are_unique(self) -> Self:
        if not self.inputs and not self.request:
            raise ValueError("sources is empty: add a view, a feature or a RequestSource.")
        if self.write_to_online_store and self.request:
            raise ValueError(
                "write_to_online_store: request values are not available when rows are written."
            )
        for argument, fields in (("schema", self.fields), ("sources", self.request)):
            if twice := repeated(fields):
                raise ValueError(f"{argument} declares {twice} twice.")
        return self

    @model_validator(mode="after")
    def _has_one_way_to_compute(self) -> Self:
        if (self.mode == "sql") != bool(self.expressions):
            raise ValueError("mode='sql' and expressions must be used together.")
        if self.mode == "sql":
            if not self.name:
                raise ValueError("name is missing: SQL views have no function to take it from.")
            if self.code is not None:
                raise ValueError("mode='sql' takes expressions, not a function.")
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
        """The function, in the process that built the view."""
        return self._function

    @property
    def is_complete(self) -> bool:
        """Whether it has a function or expressions."""
        return self.code is not None or bool(self.expressions)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.is_complete and len(args) == 1 and inspect.isfunction(args[0]):
            given = {name: getattr(self, name) for name in self.model_fields_set}
            return OnDemandFeatureView(**given, udf=args[0])
        if self._function is None:
            why = (
                "is SQL"
                if self.expressions
                else "was read from the registry, which contains no code"
            )
            raise DefinitionError(f"{self} {why}: it cannot be called.")
        return self._function(*args, **kwargs)


def _takes_frame(function: Callable[..., Any]) -> bool:
    return any("DataFrame" in str(hint) for hint in inspect.get_annotations(function).values())


def on_demand_feature_view(**arguments: Any) -> OnDemandFeatureView:
    """Decorate a function: Feast's spelling of `OnDemandFeatureView(...)` as a decorator."""
    return OnDemandFeatureView(**arguments)
