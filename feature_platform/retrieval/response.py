"""Responses to online requests."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from feature_platform.definitions import feast_arguments
from feature_platform.display import html_table, text_table
from feature_platform.errors import needing
from feature_platform.retrieval.convert import to_pandas

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class FieldStatus(Enum):
    """Status of a served value."""

    PRESENT = "PRESENT"
    NULL = "NULL"
    NOT_FOUND = "NOT_FOUND"
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"


class Rows(NamedTuple):
    """Statuses and event timestamps of the rows behind a column.

    Attributes:
        statuses: PRESENT for a row that answers; why it does not, otherwise.
        events: When each was observed, microseconds since 1970 UTC; `None` where nothing was
            found or the value was computed.
    """

    statuses: Sequence[FieldStatus]
    events: Sequence[int | None]


class Shape(NamedTuple):
    """What all responses to one request share.

    Attributes:
        version: Registry version that the request was resolved from.
        types: Name in the answer → type of its values; `None` where none is declared.
        origins: Name in the answer → which of its `rows` it comes from: 0 for what was not looked
            up, and one more than the number of the table for what was.
    """

    version: int
    types: Mapping[str, pa.DataType | None]
    origins: Mapping[str, int]


class OnlineResponse:
    """Features of the requested entities, in the order of the request.

    Attributes:
        registry_version: Registry version that the request was resolved from.
        shape: What all responses to the request share.
        values: Name → values.
        rows: Statuses and times of the rows that the values come from.

    Source: Feast's `OnlineResponse`.
    """

    def __init__(
        self, shape: Shape, values: Mapping[str, Sequence[Any]], rows: Sequence[Rows]
    ) -> None:
        self.shape = shape
        self.values = values
        self.rows = rows
        self.registry_version = shape.version

    def to_dict(
        self,
        include_event_timestamps: bool = False,  # noqa: FBT001, FBT002 - by position, as in Feast
    ) -> dict[str, list[Any]]:
        """Return join keys and features as lists.

        Args:
            include_event_timestamps: Add `<feature>__ts`, seconds since 1970 UTC; `None` where
                nothing was found.
        """
        answer = {name: list(values) for name, values in self.values.items()}
        if include_event_timestamps:
            for name in self.values:
                events = self.of(name).events
                answer[f"{name}__ts"] = [event and event // 1_000_000 for event in events]
        return answer

    def to_arrow(
        self,
        include_event_timestamps: bool = False,  # noqa: FBT001, FBT002 - by position, as in Feast
    ) -> pa.Table:
        """Return join keys and features in their declared types.

        Args:
            include_event_timestamps: As for `to_dict`.
        """
        types = self.shape.types
        columns = {name: pa.array(v, types[name]) for name, v in self.values.items()}
        if include_event_timestamps:
            for name, times in self.to_dict(include_event_timestamps=True).items():
                if name not in columns:
                    columns[name] = pa.array(times, pa.int64())
        return pa.table(columns)

    def to_df(
        self,
        include_event_timestamps: bool = False,  # noqa: FBT001, FBT002 - by position, as in Feast
    ) -> "pd.DataFrame":
        """Return join keys and features as pandas.

        Args:
            include_event_timestamps: As for `to_dict`.
        """
        return to_pandas(self.to_arrow(include_event_timestamps))

    def to_polars(self) -> "pl.DataFrame":
        """Return join keys and features as a polars frame.

        Raises:
            ModuleNotFoundError: polars is not installed.
        """
        with needing("polars", "to_polars"):
            import polars as pl

        return pl.DataFrame(self.to_arrow())

    def __repr__(self) -> str:
        return text_table(*self._cells())

    def _repr_html_(self) -> str:
        return html_table(*self._cells())

    def _cells(self) -> tuple[list[str], list[list[object]]]:
        """Return names, and a cell for each value; it has the status where that says more."""
        statuses = self.statuses()
        columns = [
            [
                status.value if value is None else value
                for value, status in zip(values, statuses[name], strict=True)
            ]
            for name, values in self.values.items()
        ]
        return list(self.values), [list(row) for row in zip(*columns, strict=True)]

    def statuses(self) -> dict[str, list[FieldStatus]]:
        """Return the status of every value."""
        null, present = FieldStatus.NULL, FieldStatus.PRESENT
        return {
            name: [
                null if value is None and status is present else status
                for value, status in zip(values, self.of(name).statuses, strict=True)
            ]
            for name, values in self.values.items()
        }

    def of(self, name: str) -> Rows:
        """Return statuses and timestamps of the rows behind a name."""
        return self.rows[self.shape.origins[name]]

    def origin(self, read: int) -> Rows:
        """Return statuses and timestamps of the rows of the nth table."""
        return self.rows[read + 1]


feast_arguments.explain_attributes(OnlineResponse)


def known(size: int) -> Rows:
    """Return the status of values that were not looked up."""
    return Rows([FieldStatus.PRESENT] * size, [None] * size)
