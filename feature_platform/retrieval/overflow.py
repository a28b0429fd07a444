"""Find integers that overflowed inside pandas, which wraps around without an error."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_platform.retrieval.convert import to_pandas

if TYPE_CHECKING:
    import pandas as pd

_LARGE = 2**31
"""The product of two smaller integers fits into 64 bits."""


def overflowed(
    function: Callable[[Any], Any], inputs: pa.Table, result: "pd.DataFrame", names: Iterable[str]
) -> str:
    """Return the first output whose integers overflowed; empty if none is seen to.

    If an input has large integers, the function is run again with doubles in their place, which
    do not wrap around. A double beyond 64 bits beside an integer means an overflow. Overflows
    whose result is small again, and those of small inputs times large constants, are not seen.

    Args:
        function: The function of the on-demand view.
        inputs: Its inputs.
        result: What it returned.
        names: The outputs.
    """
    large = [f.name for f in inputs.schema if _has_large_integers(inputs[f.name])]
    if not large:
        return ""
    import pandas as pd

    integers = [name for name in names if pd.api.types.is_integer_dtype(result[name])]
    if not integers:
        return ""
    frame = to_pandas(inputs, nullable=True)
    frame[large] = frame[large].astype("Float64")
    try:
        doubles = function(frame)
        for name in integers:
            values = pd.to_numeric(doubles[name]).astype("Float64").abs()
            if bool((values >= 2.0**63).any()):
                return name
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - the function needs integers; its result stands
        return ""
    return ""


def _has_large_integers(column: pa.ChunkedArray) -> bool:
    if column.type != pa.int64():
        return False
    from pyarrow import compute

    extremes = compute.min_max(column).as_py()
    return any(value is not None and not -_LARGE < value < _LARGE for value in extremes.values())
