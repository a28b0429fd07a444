"""Training sets: what was known at each entity row's time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from feature_platform.errors import RequestError
from feature_platform.offline import EntityRows, OfflineStore, Span
from feature_platform.resolve import Retrieval
from feature_platform.retrieval.frames import to_arrow
from feature_platform.retrieval.job import RetrievalJob, stream
from feature_platform.retrieval.transform import Functions, Steps, check_request


def entity_rows(rows: object) -> EntityRows:
    """Read entity rows: a frame, a SQL query, a Parquet path or a span.

    Raises:
        RequestError: They are none of these, or empty of columns.
    """
    if isinstance(rows, (Span, Path)):
        return rows
    if isinstance(rows, str):
        return Path(rows) if rows.endswith(".parquet") else rows
    table = to_arrow(rows, "entity_df")
    if not table.num_columns:
        raise RequestError("entity_df has no columns.")
    return table


def historical(
    store: OfflineStore,
    retrieval: Retrieval,
    rows: EntityRows,
    functions: Functions,
    *,
    known_only: bool = False,
) -> RetrievalJob:
    """Prepare a training set; nothing is read before the job is asked for its result.

    Args:
        store: Where history is.
        retrieval: What was asked for.
        rows: The rows to answer.
        functions: Where the functions of on-demand views come from.
        known_only: Use only rows that had been created by each entity row's time.

    Raises:
        RequestError: An Arrow or pandas frame lacks a value that an on-demand view needs.
    """
    if isinstance(rows, pa.Table):
        check_request(rows.column_names, retrieval.transformations)
    query = store.point_in_time(rows, retrieval.reads, known_only=known_only)

    def answer(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
        return _answer(reader, retrieval, functions)

    return RetrievalJob(
        query,
        answer,
        registry_version=retrieval.version,
        outputs={column: name for name, column in retrieval.outputs.items()},
        computed=[step.view for step in retrieval.transformations],
        request={
            "features": dict(retrieval.outputs),
            "entity_rows": _described(rows),
            "filter_by_created_timestamp": known_only,
        },
    )


def _described(rows: EntityRows) -> dict[str, Any]:
    """Return what is recorded about entity rows."""
    if isinstance(rows, Span):
        return {"start": rows.start.isoformat(), "end": rows.end.isoformat()}
    if isinstance(rows, pa.Table):
        return {"rows": rows.num_rows, "columns": rows.column_names}
    return {"path": str(rows)} if isinstance(rows, Path) else {"sql": rows}


def _answer(
    reader: pa.RecordBatchReader, retrieval: Retrieval, functions: Functions
) -> pa.RecordBatchReader:
    found = {column for read in retrieval.reads for column in read.columns.values()}
    given = [field for field in reader.schema if field.name not in found]
    if taken := sorted({field.name for field in given} & retrieval.outputs.keys()):
        raise RequestError(
            f"The entity rows have a column {taken[0]!r}, which is also a feature asked for. "
            "Rename it, or pass full_feature_names=True."
        )
    check_request([field.name for field in given], retrieval.transformations)
    types = {field.name: field.type for field in reader.schema}
    types |= {field.name: field.type for t in retrieval.transformations for field in t.outputs}
    outputs = [pa.field(name, types[column]) for name, column in retrieval.outputs.items()]
    made_from = {"feature_platform.registry_version": str(retrieval.version)}
    schema = pa.schema([*given, *outputs], made_from)
    steps = Steps(retrieval.transformations, functions, retrieval.join_keys)
    columns = [field.name for field in given] + list(retrieval.outputs.values())

    def batches() -> Iterator[pa.RecordBatch]:
        with reader:
            for batch in reader:
                table = pa.Table.from_batches([batch])
                answer = steps.extend(table).select(columns).rename_columns(schema.names)
                yield from answer.replace_schema_metadata(made_from).to_batches()

    return stream(schema, batches())
