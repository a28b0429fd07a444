"""The project's policy: what teams may register, under which names."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from feature_platform.definitions.base import NO_LABELS, Definition, FrozenDict, Name

TeamKind = Literal["on_demand_view", "feature_service"]


class Policy(Definition):
    """Rules of one project that the platform team sets; without one, names are free.

    Attributes:
        name: Always `policy`: a project has one.
        team_kinds: Kinds that teams may register.
        prefixes: Team → prefixes its objects' names must start with, such as
            `{"risk": ["risk_"]}`. Listed prefixes are reserved: nobody else may use them.
        teams_need_prefix: Refuse teams that `prefixes` does not list.
        reserved: Names that teams cannot take, whatever their case.
        max_objects: How many objects one team may have registered; `None` for any number.
        notice_days: How long before `remove_after` a deprecation has to be registered.

    Example:
        >>> Policy(prefixes={"risk": ["risk_"]}).name
        'policy'

    Source: the naming and validation strategies of Feast's federated guide, enforced.
    """

    kind: ClassVar[str] = "policy"

    type: Literal["policy"] = "policy"
    name: Name = "policy"
    team_kinds: tuple[TeamKind, ...] = ("on_demand_view", "feature_service")
    prefixes: Annotated[dict[Name, tuple[str, ...]], AfterValidator(FrozenDict)] = NO_LABELS
    teams_need_prefix: bool = False
    reserved: tuple[Name, ...] = ()
    max_objects: PositiveInt | None = None
    notice_days: Annotated[int, Field(ge=0, le=3650)] = 14

    @model_validator(mode="after")
    def _is_the_only_one(self) -> Self:
        if self.name != "policy":
            raise ValueError(f"name: a project has one policy, named 'policy', not {self.name!r}.")
        return self
