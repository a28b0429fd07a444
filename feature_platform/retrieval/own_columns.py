"""Columns of entity rows that nothing reads: engines do not see them, nor change them."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import pyarrow as pa

from feature_platform.offline import Deliver, Progress, Query
from feature_platform.table import EVENT_TIMESTAMP


def around(rows: pa.Table, read: Collection[str], query: Callable[[pa.Table], Query]) -> Query:
    """Return the query of entity rows, without what it does not read of them.

    An engine would change columns whose types it has not, such as durations and half floats, and
    would carry the others for nothing. A result has the entity rows in their order, so these are
    put beside it again.

    Args:
        rows: The entity rows.
        read: The columns that are read, besides the time.
        query: Makes the query of entity rows.
    """
    names = rows.column_names
    whole = query(rows)
    times = {EVENT_TIMESTAMP} & {*names} or {f.name for f in rows.schema if _is_time(f.type)}
    needed = [name for name in names if name in times or name in read]
    lacks_some = not times or any(name not in names for name in read)
    if lacks_some or len(needed) == len(names) or len({*names}) < len(names):
        return whole  # which says what is wrong
    return _OwnColumnsQuery(whole, query(rows.select(needed)), rows)


def _is_time(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(dtype) or pa.types.is_date(dtype))


class _OwnColumnsQuery(Query):
    """A query whose rows are put together from an engine's and the entity rows.

    Args:
        whole: The query of all columns, for what an engine writes itself.
        needed: The query of the columns that are read.
        rows: The entity rows.
    """

    def __init__(self, whole: Query, needed: Query, rows: pa.Table) -> None:
        self._whole = whole
        self._needed = needed
        self._rows = rows
        self.engine = whole.engine

    def reader(self, progress: Progress | None = None) -> pa.RecordBatchReader:
        reader = self._needed.reader(progress)
        read = {field.name: field for field in reader.schema}
        asked = {field.name: field for field in self._rows.schema}
        added = [name for name in read if name not in asked]
        schema = pa.schema([(asked | read)[name] for name in (*asked, *added)])

        def batches() -> Iterator[pa.RecordBatch]:
            start = 0
            with reader:
                for batch in reader:
                    rows = self._rows.slice(start, batch.num_rows)
                    start += batch.num_rows
                    columns = [
                        batch[name] if name in read else rows[name].combine_chunks()
                        for name in schema.names
                    ]
                    yield from pa.table(columns, schema=schema).to_batches()

        return pa.RecordBatchReader.from_batches(schema, batches())

    def deliver(self, write: Deliver) -> int | None:
        return self._whole.deliver(write)

    def cancel(self) -> None:
        self._needed.cancel()

    def explain(self) -> str:
        return self._needed.explain()

    def statement(self, names: Mapping[str, str] | None = None) -> str:
        return self._whole.statement(names)

    def frame(self, names: Mapping[str, str]) -> Any:
        return self._whole.frame(names)

    def create_table(self, table: str, names: Mapping[str, str]) -> None:
        self._whole.create_table(table, names)
