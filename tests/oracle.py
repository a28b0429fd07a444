"""The point-in-time join, said in a few lines of plain Python."""

from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]


def newest_known(
    asked: Row,
    history: list[Row],
    keys: list[str],
    ttl: timedelta | None,
    *,
    known_only: bool = False,
) -> Row | None:
    """Return the history row that answers one entity row."""
    time: datetime | None = asked["event_timestamp"]
    if time is None or any(asked[key] is None for key in keys):
        return None
    fitting = [
        row
        for row in history
        if row["event_timestamp"] is not None
        and all(row[key] == asked[key] for key in keys)
        and row["event_timestamp"] <= time
        and (ttl is None or row["event_timestamp"] >= time - ttl)
        and (not known_only or (row["created"] is not None and row["created"] <= time))
    ]
    return max(fitting, key=_order, default=None)


def _order(row: Row) -> tuple[Any, ...]:
    """Newest event, then newest creation (null loses), then greatest values (null loses)."""
    return tuple(
        (row[name] is not None, row[name] if row[name] is not None else 0)
        for name in ("event_timestamp", "created", "value")
    )
