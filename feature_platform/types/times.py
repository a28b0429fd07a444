"""Times: UTC, in microseconds since 1970."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final

from feature_platform.errors import RequestError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
MAX_AHEAD: Final = timedelta(days=366)
"""How far ahead a time may be: replays and tests set clocks, and wrong ones show 2100."""
MAX_BEHIND: Final = timedelta(days=20 * 366)
"""How far behind the newest commit a clock may be. Clocks without a battery show 1970."""


def microseconds(time: datetime) -> int:
    """Return the microseconds since 1970 UTC; a naive time counts as UTC."""
    aware = time if time.tzinfo else time.replace(tzinfo=UTC)
    return (aware - _EPOCH) // MICROSECOND


def from_microseconds(value: int) -> datetime:
    """Return the UTC time of a number of microseconds since 1970."""
    return _EPOCH + value * MICROSECOND


def later(time: datetime, by: timedelta) -> datetime:
    """Return an aware time plus a duration, at most the last time that can be represented."""
    return time + min(by, _LAST - time)


def earlier(time: datetime, by: timedelta | None) -> datetime:
    """Return an aware time minus a duration, at least the beginning of time; that for `None`."""
    return BEGINNING if by is None else time - min(by, time - BEGINNING)


def utc_now() -> datetime:
    return datetime.now(UTC)


def read_clock(clock: Callable[[], datetime]) -> datetime:
    """Return the time of a clock as UTC.

    Raises:
        RequestError: It returns no time, or one without a time zone.
    """
    time = clock()
    if isinstance(time, datetime) and time.tzinfo is None:
        raise RequestError(
            f"The clock returned {time.isoformat()} without a time zone. Return datetime.now(UTC)."
        )
    return utc_time(time, "The clock's time")


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
