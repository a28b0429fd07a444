"""Feature services: the features of one model."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import BeforeValidator, field_validator

from feature_platform.definitions import feast_arguments
from feature_platform.definitions.base import Definition
from feature_platform.definitions.checks import ServiceCheck
from feature_platform.definitions.field import as_tuple, check_labels
from feature_platform.definitions.reference import References, ViewReference


class FeatureService(Definition):
    """The named list of features that one version of a model reads.

    Attributes:
        features: Views, `view` or `view:feature` strings, or `view[["a", "b"]]`, in order.
        checks: What is expected of served values: `Parity`.

    Raises:
        DefinitionError: Arguments are invalid; all of them are listed.

    Example:
        >>> service = FeatureService(name="model_v1", features=["user", "driver:conv_rate"])
        >>> [str(reference) for reference in service.features]
        ['user', 'driver:conv_rate']

    Source: Feast's `FeatureService`.
    """

    if TYPE_CHECKING:  # lists are tuples, objects are names

        def __init__(self, **data: Any) -> None: ...

    kind: ClassVar[str] = "feature_service"
    feast_arguments: ClassVar = feast_arguments.SERVICE

    type: Literal["feature_service"] = "feature_service"
    features: References = pydantic.Field(min_length=1)
    checks: Annotated[tuple[ServiceCheck, ...], BeforeValidator(as_tuple)] = ()

    @field_validator("checks")
    @classmethod
    def _check_checks(cls, checks: tuple[ServiceCheck, ...]) -> tuple[ServiceCheck, ...]:
        check_labels(check.label for check in checks)
        return checks

    @property
    def references(self) -> tuple[ViewReference, ...]:
        return self.features
