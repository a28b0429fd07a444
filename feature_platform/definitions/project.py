"""The description of a project, for its catalog."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from feature_platform.definitions.base import Definition


class Project(Definition):
    """What a project is about; its name is that of the project in `feature_store.yaml`.

    Example:
        >>> Project(name="flights", description="Delays of flights", owner="data@example.com").name
        'flights'

    Source: Feast's `Project`.
    """

    if TYPE_CHECKING:  # lists are tuples, objects are names

        def __init__(self, **data: Any) -> None: ...

    kind: ClassVar[str] = "project"

    type: Literal["project"] = "project"
