"""What users pass to `apply`, and what of it can be registered."""

from collections.abc import Iterable

from feature_platform.definitions.base import Definition
from feature_platform.definitions.on_demand_view import OnDemandFeatureView
from feature_platform.definitions.source import RequestSource
from feature_platform.errors import DefinitionError


def applicable(objects: object) -> tuple[Definition, ...]:
    """Return what can be registered of one or several objects.

    Request sources are left out: they live in the views that list them.

    Raises:
        DefinitionError: Something is no definition, or an on-demand view has no function yet.
    """
    listed = [objects] if isinstance(objects, (Definition, RequestSource)) else objects
    if not isinstance(listed, Iterable):
        raise DefinitionError(f"apply takes definitions, not {objects!r}.")
    kept = [item for item in listed if not isinstance(item, RequestSource)]
    for item in kept:
        if not isinstance(item, Definition):
            raise DefinitionError(f"apply takes definitions, not {item!r}.")
        if isinstance(item, OnDemandFeatureView) and not item.is_complete:
            raise DefinitionError(
                f"OnDemandFeatureView {item.name!r} has no function: decorate one with it, or "
                "pass udf."
            )
    return tuple(kept)
