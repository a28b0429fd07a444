"""Times: UTC, in microseconds since 1970."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

from feature_platform.errors import RequestError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


def microseconds(time: datetime) -> int:
    """Return the microseconds since 1970 UTC; a naive time counts as UTC."""
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (aware - _EPOCH) // MICROSECOND


def from_microseconds(value: int) -> datetime:
    """Return the UTC time of a number of microseconds since 1970."""
    return _EPOCH + value * MICROSECOND


def utc_time(value: object, argument: str) -> datetime:
    """Return a time as UTC; a naive time counts as UTC.

    Args:
        value: The time.
        argument: What it was passed as, for messages.

    Raises:
        RequestError: It is not a `datetime`, or cannot be represented in UTC.
    """
    if not isinstance(value, datetime):
        hint = " (a date has no time of day)" if isinstance(value, date) else ""
        raise RequestError(f"{argument} must be a datetime, not {value!r}{hint}.")
    try:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except OverflowError:
        raise RequestError(f"{argument} {value.isoformat()} is out of range in UTC.") from None
