"""The project's policy: what teams may register, under which names."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from feature_platform.definitions.base import NO_LABELS, Definition, FrozenDict, Name

TeamKind = Literal["on_demand_view", "feature_service"]


class Policy(Definition):
    """Rules of a project, set by the platform team.

    Attributes:
        name: Always `policy`: a project has one.
        team_kinds: Kinds that teams may register.
        prefixes: Team → prefixes of its objects' names, such as `{"risk": ["risk_"]}`, reserved for
            the team.
        teams_need_prefix: Refuse teams without prefixes.
        reserved: Names that teams cannot use, ignoring case.
        max_objects: Maximum number of objects per team; `None` for any.
        notice_days: Minimum notice of a deprecation, in days before `remove_after`.

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
            raise ValueError(f"name: the policy of a project is named 'policy', not {self.name!r}.")
        return self
