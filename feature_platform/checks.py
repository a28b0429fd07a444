"""What owners declare of their rows: `checks=` of `Field`, `FeatureView` and `FeatureService`.

`FeatureStore.check`, `feature-platform check` and asset checks in Dagster evaluate it.

Example:
    >>> from feature_platform import Field, checks
    >>> from feature_platform.types import Float32
    >>> Field(name="conv_rate", dtype=Float32, checks=[checks.Between(min=0, max=1)]).checks
    (Between(min=0, max=1),)
"""

from feature_platform.definitions.checks import (
    Between,
    Drift,
    Fresh,
    NotNull,
    OneOf,
    Parity,
    RowCount,
    UniqueRows,
)

__all__ = ["Between", "Drift", "Fresh", "NotNull", "OneOf", "Parity", "RowCount", "UniqueRows"]
