"""A federated feature store that runs on Dagster.

The names here are the public API, under the names Feast gives them; `feature_platform.checks` holds
the checks of rows, `feature_platform.dagster` the Dagster side. Everything else may change.

`__init__.pyi` lists the names; a module is imported when a name of it is used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
