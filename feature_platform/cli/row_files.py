"""Files of rows: read in the declared types, and written."""

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from feature_platform.cli.base import writing
from feature_platform.errors import RequestError
from feature_platform.retrieval import RetrievalJob, to_arrow
from feature_platform.types.arrow import is_pandas_index
from feature_platform.types.text import from_text, inferred

Types: TypeAlias = Mapping[str, pa.DataType | None]
"""Column → declared type."""


def read_rows(file: Path, types: Types) -> pa.Table:
    """Read rows by the file's ending: `.csv`, `.json` or `.jsonl`, or else Parquet.

    Args:
        file: The file.
        types: Column → declared type, for text of CSV files. Columns without one are integers,
            numbers, booleans or times if all of their values are beyond doubt.

    Raises:
        RequestError: It is no such file.
    """
    from pyarrow import parquet

    try:
        if file.suffix == ".csv":
            return _read_csv(file, types)
        if file.suffix in {".json", ".jsonl"}:
            lines = file.read_text("utf-8").splitlines()
            return to_arrow([json.loads(line) for line in lines if line.strip()], str(file))
        table = parquet.read_table(file)
        return table.select([n for n in table.column_names if not is_pandas_index(n)])
    except RequestError:  # it names the column
        raise
    except (pa.ArrowException, ValueError, RecursionError) as error:
        kind = {".csv": "CSV", ".json": "JSON lines", ".jsonl": "JSON lines"}.get(file.suffix)
        raise RequestError(f"{file} is not a {kind or 'Parquet'} file: {error}") from None


def _read_csv(file: Path, types: Types) -> pa.Table:
    from pyarrow import csv

    with csv.open_csv(file) as reader:
        names = reader.schema.names
    # An empty field is null, and NA is a text, as in sources.
    options = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True,
        null_values=[""], quoted_strings_can_be_null=False,
    )  # fmt: skip
    text = csv.read_csv(file, convert_options=options)
    columns = []
    for name, column in zip(names, text.columns, strict=True):
        dtype = types.get(name)
        try:
            columns.append(inferred(column) if dtype is None else from_text(column, dtype))
        except (ValueError, RecursionError) as error:
            raise RequestError(f"{file}, column {name!r}: {error}.") from None
    return pa.table(columns, names)


def write_rows(job: RetrievalJob, file: Path) -> int:
    """Stream the rows of a job into a file, which is there as a whole or not at all.

    Raises:
        RequestError: A column cannot be written as CSV.
    """
    from pyarrow import csv, parquet

    if file.suffix != ".csv":
        job.to_parquet(file)
        return int(parquet.read_metadata(file).num_rows)
    count = 0
    with closing(job.to_batches()) as reader, writing(file) as target:
        try:
            with csv.CSVWriter(target, reader.schema) as writer:
                for batch in reader:
                    writer.write_batch(batch)
                    count += batch.num_rows
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise RequestError(f"{file}: {error}. Write a .parquet file instead.") from None
    return count
