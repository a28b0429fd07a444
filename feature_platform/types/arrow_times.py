"""Columns of times: read from ISO 8601 text, and checked."""

import pyarrow as pa

from feature_platform.types.arrow import Column, is_list

_FIRST_S, _END_S = -62_135_596_800, 253_402_300_800  # of what Python has, since 1970
_PARTS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def check_times(column: Column) -> None:
    """Check that times are of the years 1 to 9999, which Python and every store can give back.

    Raises:
        ValueError: One is not.
    """
    from pyarrow import compute

    while is_list(column.type):
        column = compute.list_flatten(column)
    parts = _PARTS[column.type.unit]
    limits = compute.min_max(column.cast(pa.int64())).as_py()
    if limits["min"] is not None and (
        limits["min"] < _FIRST_S * parts or limits["max"] >= _END_S * parts
    ):
        raise ValueError("a time is outside of the years 1 to 9999 in UTC")


def parse_times(column: Column) -> Column:
    """Parse ISO 8601 text; times without an offset are UTC.

    Raises:
        ValueError: A value is not such a text.
    """
    from pyarrow import compute

    text = column.cast(pa.string())
    for pattern, replacement in _AS_ARROW_READS_TIMES:
        text = compute.replace_substring_regex(text, pattern, replacement)
    reason: Exception | None = None
    for unit in ("us", "ns"):
        try:
            return text.cast(pa.timestamp(unit, "UTC"))
        except pa.ArrowException as error:
            reason = reason or error
    raise ValueError(f"{str(reason).partition(' as a scalar')[0]} as an ISO 8601 time")


_AS_ARROW_READS_TIMES = (
    ("^([0-9]{4}-[0-9]{2}-[0-9]{2})$", r"\1T00:00Z"),
    (r"([0-9]) ?([zZ]|[+-][0-9:]{2,5})$", r"\1\2"),
    ("z$", "Z"),
    (r"^([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+)$", r"\1Z"),
)
