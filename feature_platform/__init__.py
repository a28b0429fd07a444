"""A federated feature store that runs on Dagster.

The names here are the public API, under the names Feast gives them; `feature_platform.checks` holds
the checks of rows, `feature_platform.dagster` the Dagster side. Everything else may change.

`__init__.pyi` lists the names; a module is imported when a name of it is used.
"""

from typing import Any

import lazy_loader

from feature_platform import feast_names

_of_stub, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
feast_names.install()


def __getattr__(name: str) -> Any:
    return feast_names.Absent(name) if name in feast_names.ABSENT else _of_stub(name)
