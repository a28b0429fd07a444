"""The definitions among the arguments of `apply`."""

from collections.abc import Iterable

from feature_platform.definitions.base import Definition
from feature_platform.definitions.on_demand_view import OnDemandFeatureView
from feature_platform.definitions.source import RequestSource
from feature_platform.errors import DefinitionError


def applicable(objects: object) -> tuple[Definition, ...]:
    """Return the definitions to register among one or several objects.

    Request sources are left out: they are stored in the views that list them.

    Raises:
        DefinitionError: An object is not a definition, or an on-demand view has no function.
    """
    listed = [objects] if isinstance(objects, (Definition, RequestSource)) else objects
    if not isinstance(listed, Iterable):
        raise DefinitionError(f"apply takes definitions, not {objects!r}.")
    definitions = [item for item in listed if not isinstance(item, RequestSource)]
    for item in definitions:
        if not isinstance(item, Definition):
            raise DefinitionError(f"apply takes definitions, not {item!r}.")
        if isinstance(item, OnDemandFeatureView) and not item.is_complete:
            raise DefinitionError(f"{item} has no function. Use it as a decorator or pass udf.")
    return tuple(definitions)
