"""On-demand feature views: features computed when they are asked for."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Self

import pydantic
from pydantic import PrivateAttr, model_validator

from feature_platform.definitions.code import Code
from feature_platform.definitions.field import Field, as_tuple, repeated
from feature_platform.definitions.reference import References, View
from feature_platform.definitions.source import RequestSource
from feature_platform.errors import DefinitionError

Mode = Literal["row", "python", "pandas"]


class OnDemandFeatureView(View):
    """Features computed from other features and from the request by a function.

    Built with `udf` it is complete. Built without, it decorates a function: the view takes the
    function's name and docstring. Calling a complete view calls its function, as tests like to.

    Attributes:
        sources: Views and features it reads (objects, `view` or `view:feature` strings, other
            on-demand views) and request sources, in any order.
        schema: The features it returns.
        mode: What the function gets and returns. `row`: a dict of values, called once per row.
            `python`: a dict of lists. `pandas`: a DataFrame. Rows are independent: a function
            must not mix them, because offline they come in batches.
        udf: The function. Inputs go by feature name; where two inputs share one, each goes by
            `view__feature`.

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
            raise ValueError("sources is empty: name a view, a feature or a RequestSource.")
        for argument, fields in (("schema", self.fields), ("sources", self.request)):
            if twice := repeated(fields):
                raise ValueError(f"{argument} declares {twice} twice.")
        return self

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)

    @property
    def function(self) -> Callable[..., Any] | None:
        """The function, in the process that built the view."""
        return self._function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.code is None and len(args) == 1 and inspect.isfunction(args[0]):
            given = {name: getattr(self, name) for name in self.model_fields_set}
            return OnDemandFeatureView(**given, udf=args[0])
        if self._function is None:
            raise DefinitionError(f"{self} was read from the registry, which holds no code.")
        return self._function(*args, **kwargs)


def _takes_frame(function: Callable[..., Any]) -> bool:
    return any("DataFrame" in str(hint) for hint in inspect.get_annotations(function).values())


def on_demand_feature_view(**arguments: Any) -> OnDemandFeatureView:
    """Decorate a function: Feast's spelling of `OnDemandFeatureView(...)` as a decorator."""
    return OnDemandFeatureView(**arguments)
