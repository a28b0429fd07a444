"""Folders named `column=value`, which add a column to their files."""

import re
from collections.abc import Iterable, Sequence

import pyarrow as pa

from feature_platform.errors import SourceError
from feature_platform.offline.dialect import Dialect
from feature_platform.table import SourceTable, Table

_PLAIN = (pa.types.is_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)


def partition_options(
    dialect: Dialect,
    table: Table,
    source: SourceTable,
    paths: Sequence[str],
    partitions: Sequence[str],
) -> list[str]:
    """Return the options of `read_parquet` for partition folders, after checking their names.

    Their columns have the declared types: DuckDB would guess one that fits all folders.

    Raises:
        SourceError: A folder is not named for a day, and its rows would be left out.
    """
    if source.day_column:
        _check_days(source.name, paths, source.day_column)
    declared = {source.column(key): dtype for key, dtype in table.keys.items()}
    declared |= {source.column(field.name): field.type for field in table.features}
    types = ", ".join(
        f"{dialect.literal(name)}: {dialect.type_name(dtype)}"
        for name in partitions
        if (dtype := declared.get(name)) is not None and any(test(dtype) for test in _PLAIN)
    )
    options = [f"hive_partitioning = {str(bool(partitions)).lower()}"]
    return [*options, f"hive_types = {{{types}}}"] if types else options


def _check_days(label: str, paths: Iterable[str], column: str) -> None:
    """Check that partition folders are named for days: reads skip those of other days.

    Raises:
        SourceError: One is not, and its rows would be left out.
    """
    for path in paths:
        if not re.search(rf"/{re.escape(column)}=\d{{4}}-\d\d-\d\d/", path):
            raise SourceError(
                f"Source {label!r}: {path} is not in a folder {column}=YYYY-MM-DD, which "
                "date_partition_column promises. Move it to the folder of its rows' UTC day."
            )
