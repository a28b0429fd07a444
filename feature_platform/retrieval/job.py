"""A retrieval that has been asked for and not yet run."""

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from feature_platform.errors import RequestError
from feature_platform.offline import Query
from feature_platform.retrieval.frames import to_pandas

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class RetrievalJob:
    """Historical features, computed when one of its methods is called.

    Attributes:
        registry_version: Registry version that the request was resolved from.

    Source: Feast's `RetrievalJob`.
    """

    def __init__(
        self,
        query: Query,
        stream: Callable[[pa.RecordBatchReader], pa.RecordBatchReader],
        *,
        registry_version: int,
        computed: Sequence[str],
    ) -> None:
        self._query = query
        self._stream = stream
        self._computed = computed
        self.registry_version = registry_version

    def to_batches(self) -> pa.RecordBatchReader:
        """Stream the result, for results larger than memory.

        Raises:
            RequestError: The entity rows lack something, or their SQL cannot run.
            SchemaError: A source and its declared schema disagree.
            StoreError: A source cannot be read.
            TransformationError: An on-demand view failed.
        """
        return self._stream(self._query.reader())

    def to_arrow(self) -> pa.Table:
        """Return the result as an Arrow table."""
        return self.to_batches().read_all()

    def to_df(self) -> "pd.DataFrame":
        """Return the result as pandas; integers stay integers where values are missing."""
        return to_pandas(self.to_arrow())

    def to_polars(self) -> "pl.DataFrame":
        """Return the result as polars."""
        import polars as pl

        return pl.DataFrame(self.to_arrow())

    def to_parquet(self, path: str | Path, *, partition_by: Sequence[str] = ()) -> Path:
        """Stream the result into Parquet and return the path.

        Args:
            path: A file that is replaced as a whole once it is complete; with `partition_by`, a
                directory.
            partition_by: Columns to make Hive partitions of.
        """
        from pyarrow import dataset, parquet

        target = Path(path)
        reader = self.to_batches()
        partition_by = [partition_by] if isinstance(partition_by, str) else partition_by
        if unknown := [name for name in partition_by if name not in reader.schema.names]:
            raise RequestError(f"partition_by: the result has no column {unknown[0]!r}.")
        if partition_by:
            hive = dataset.partitioning(
                pa.schema([reader.schema.field(name) for name in partition_by]), flavor="hive"
            )
            dataset.write_dataset(
                reader,
                target,
                format="parquet",
                partitioning=hive,
                existing_data_behavior="delete_matching",
            )
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with parquet.ParquetWriter(unfinished, reader.schema) as writer:
                for batch in reader:
                    writer.write_batch(batch)
            os.replace(unfinished, target)  # noqa: PTH105 - atomic, also where the target exists
        finally:
            unfinished.unlink(missing_ok=True)
        return target

    def to_sql(self) -> str:
        """Return the SQL that gives the result.

        Raises:
            RequestError: An on-demand view is asked for, which runs in Python.
        """
        if self._computed:
            raise RequestError(
                f"On-demand views {list(self._computed)} run in Python, so no SQL gives the whole "
                "result."
            )
        return self._query.sql

    def explain(self) -> str:
        """Describe how the result is computed."""
        steps = [self._query.explain()]
        steps += [f"then on-demand view {view!r}, in Python" for view in self._computed]
        return "\n".join(steps)


def stream(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatchReader:
    """Return batches as one stream."""
    return pa.RecordBatchReader.from_batches(schema, batches)
