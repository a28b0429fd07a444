"""A point-in-time join over several offline stores: one join in each, side by side."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import pyarrow as pa

from feature_platform.errors import RequestError, StoreError
from feature_platform.offline import Deliver, EntityRows, OfflineStore, Progress, Query, Span
from feature_platform.table import EVENT_TIMESTAMP, ViewRead

Part = tuple[OfflineStore, Sequence[ViewRead]]


class SideBySideQuery(Query):
    """One query per store over the same entity rows, whose results are put side by side.

    No store sees another's features. Every store gets the keys and times of the entity rows, which
    are kept in memory, and answers one row for each, in order; the answers stream.

    Args:
        home: The reader's own store, which reads entity rows that are SQL or a file.
        rows: The entity rows.
        parts: Stores, and what to read from each.
        known_only: As for `OfflineStore.point_in_time`.

    Raises:
        RequestError: The rows are a span of history, which only one store can answer.
    """

    engine = "several stores"

    def __init__(
        self, home: OfflineStore, rows: EntityRows, parts: Sequence[Part], *, known_only: bool
    ) -> None:
        if isinstance(rows, Span):
            raise RequestError(
                "The features are in several offline stores, so start_date and end_date do not "
                "say which rows to return. Pass entity_df."
            )
        self._home = home
        self._rows = rows
        self._parts = parts
        self._known_only = known_only
        self._running: list[Query] = []

    def reader(self, progress: Progress | None = None) -> pa.RecordBatchReader:
        rows = self._entity_rows(progress)
        queries = []
        for number, (store, reads) in enumerate(self._parts):
            asked = rows if number == 0 else _keys_and_times(rows, reads)
            queries.append(store.point_in_time(asked, reads, known_only=self._known_only))
        self._running = queries
        readers: list[pa.RecordBatchReader] = []
        try:
            readers.extend(query.reader(progress) for query in queries)
        except BaseException:
            _close(readers)
            raise
        features = [
            [column for read in reads for column in read.columns.values()]
            for _, reads in self._parts
        ]
        first, *others = readers
        fields = list(first.schema)
        for reader, names in zip(others, features[1:], strict=True):
            fields += [reader.schema.field(name) for name in names]
        schema = pa.schema(fields)
        selected = [first.schema.names, *features[1:]]
        return pa.RecordBatchReader.from_batches(schema, _side_by_side(readers, selected, schema))

    def _entity_rows(self, progress: Progress | None) -> pa.Table:
        if isinstance(self._rows, pa.Table):
            return self._rows
        query = self._home.point_in_time(self._rows, [])
        self._running = [query]
        return query.reader(progress).read_all()

    def deliver(self, write: Deliver) -> int | None:
        return None

    def cancel(self) -> None:
        for query in self._running:
            query.cancel()

    def explain(self) -> str:
        parts = [
            f"offline store {number} of {len(self._parts)}, for "
            f"{', '.join(f'{read.table.project}/{read.table.name}' for read in reads)}:\n"
            f"{store.point_in_time(self._rows, reads, known_only=self._known_only).explain()}"
            for number, (store, reads) in enumerate(self._parts, start=1)
        ]
        return "\n".join([*parts, "the results side by side, row by row, in this process"])

    def statement(self, names: Mapping[str, str] | None = None) -> str:
        self._refuse("no statement of one engine gives the result")

    def frame(self, names: Mapping[str, str]) -> Any:
        self._refuse("no engine has a frame of the result")

    def create_table(self, table: str, names: Mapping[str, str]) -> None:
        self._refuse("no engine can write the whole result")

    def _refuse(self, so: str) -> NoReturn:
        projects = sorted({read.table.project for _, reads in self._parts for read in reads})
        raise RequestError(
            f"The features of projects {', '.join(projects)} are in {len(self._parts)} offline "
            f"stores, so {so}. Use to_arrow, to_df or to_parquet."
        )


def _keys_and_times(rows: pa.Table, reads: Sequence[ViewRead]) -> pa.Table:
    """Return the columns that a join needs; without `event_timestamp`, any of a time type."""
    keys = {name for read in reads for name in read.keys.values()}
    has_timestamp = EVENT_TIMESTAMP in rows.column_names
    names = [
        field.name
        for field in rows.schema
        if field.name in keys
        or (field.name == EVENT_TIMESTAMP if has_timestamp else pa.types.is_temporal(field.type))
    ]
    return rows.select(names)


def _side_by_side(
    readers: Sequence[pa.RecordBatchReader], selected: Sequence[Sequence[str]], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Put the rows of several readers side by side, whatever the sizes of their batches."""
    rest: list[pa.RecordBatch | None] = [None] * len(readers)
    try:
        while True:
            rest = [_rows(batch, reader) for batch, reader in zip(rest, readers, strict=True)]
            batches = [batch for batch in rest if batch is not None]
            if not batches:
                return
            if len(batches) < len(readers):
                raise StoreError(
                    "The offline stores answered with different numbers of rows. A source may have "
                    "changed in the meantime: retry."
                )
            size = min(batch.num_rows for batch in batches)
            columns = [
                batch.column(name).slice(0, size)
                for batch, names in zip(batches, selected, strict=True)
                for name in names
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
            rest = [batch.slice(size) for batch in batches]
    finally:
        _close(readers)


def _rows(batch: pa.RecordBatch | None, reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    """Return what is left of a batch, or the next one with rows; `None` at the end."""
    while batch is None or not batch.num_rows:
        batch = next(reader, None)
        if batch is None:
            return None
    return batch


def _close(readers: Sequence[pa.RecordBatchReader]) -> None:
    for reader in readers:
        reader.close()
