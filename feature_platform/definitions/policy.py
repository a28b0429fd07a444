"""Policy: which kinds and names teams may register in a project."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from feature_platform.definitions.base import NO_LABELS, Definition, FrozenDict, Identifier, Name

TeamKind = Literal["on_demand_view", "feature_service"]


class Policy(Definition):
    """Rules of one project, set by the platform team. Without a policy, names are unrestricted.

    Attributes:
        name: Always `policy`; a project has only one.
        team_kinds: Kinds that teams may register.
        prefixes: Team → required name prefixes of its objects, such as `{"risk": ["risk_"]}`.
            Other owners cannot use these prefixes.
        teams_need_prefix: Refuse teams without an entry in `prefixes`.
        reserved: Names that teams cannot use, ignoring case.
        max_objects: Maximum number of objects per team; `None` for no limit.
        notice_days: Minimum number of days between a deprecation and its `remove_after`.

    Example:
        >>> Policy(prefixes={"risk": ["risk_"]}).name
        'policy'

    Source: the naming and validation strategies of Feast's federated guide, enforced.
    """

    if TYPE_CHECKING:  # lists are tuples, objects are names

        def __init__(self, **data: Any) -> None: ...

    kind: ClassVar[str] = "policy"

    type: Literal["policy"] = "policy"
    name: Name = "policy"
    team_kinds: tuple[TeamKind, ...] = ("on_demand_view", "feature_service")
    prefixes: Annotated[dict[Identifier, tuple[str, ...]], AfterValidator(FrozenDict)] = NO_LABELS
    teams_need_prefix: bool = False
    reserved: tuple[Name, ...] = ()
    max_objects: PositiveInt | None = None
    notice_days: Annotated[int, Field(ge=0, le=3650)] = 14

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        if self.name != "policy":
            raise ValueError(f"name: the policy of a project is named 'policy', not {self.name!r}.")
        return self
