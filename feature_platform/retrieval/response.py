"""The answer to an online request."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from feature_platform.retrieval.frames import to_pandas

if TYPE_CHECKING:
    import pandas as pd


class FieldStatus(Enum):
    """Why a value is what it is."""

    PRESENT = "PRESENT"
    NULL = "NULL"
    NOT_FOUND = "NOT_FOUND"
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"


class Rows(NamedTuple):
    """What is known about the rows behind a column.

    Attributes:
        statuses: PRESENT for a row that answers; why it does not, otherwise.
        events: When each was observed, microseconds since 1970 UTC; `None` where nothing was
            found or the value was computed.
    """

    statuses: Sequence[FieldStatus]
    events: Sequence[int | None]


class Column(NamedTuple):
    """One column of an answer: values, and where they come from."""

    values: Sequence[Any]
    type: pa.DataType | None
    rows: Rows


class OnlineResponse:
    """Features of the requested entities, in the order of the request.

    Attributes:
        registry_version: Registry version that the request was resolved from.

    Source: Feast's `OnlineResponse`.
    """

    def __init__(self, columns: Mapping[str, Column], *, registry_version: int) -> None:
        self._columns = columns
        self.registry_version = registry_version

    def to_dict(self, *, include_event_timestamps: bool = False) -> dict[str, list[Any]]:
        """Return join keys and features as lists.

        Args:
            include_event_timestamps: Add `<feature>__ts`, seconds since 1970 UTC; `None` where
                nothing was found.
        """
        answer = {name: list(column.values) for name, column in self._columns.items()}
        if include_event_timestamps:
            for name, column in self._columns.items():
                answer[f"{name}__ts"] = [e and e // 1_000_000 for e in column.rows.events]
        return answer

    def to_arrow(self) -> pa.Table:
        """Return join keys and features in their declared types."""
        return pa.table({n: pa.array(c.values, c.type) for n, c in self._columns.items()})

    def to_df(self) -> "pd.DataFrame":
        """Return join keys and features as pandas."""
        return to_pandas(self.to_arrow())

    def statuses(self) -> dict[str, list[FieldStatus]]:
        """Return the status of every value."""
        return {name: _statuses(column) for name, column in self._columns.items()}


def _statuses(column: Column) -> list[FieldStatus]:
    null, present = FieldStatus.NULL, FieldStatus.PRESENT
    return [
        null if value is None and status is present else status
        for value, status in zip(column.values, column.rows.statuses, strict=True)
    ]


def known(size: int) -> Rows:
    """Return what is known about values that were not looked up."""
    return Rows([FieldStatus.PRESENT] * size, [None] * size)
