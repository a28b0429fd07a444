"""Evaluating the expressions of on-demand views in mode `sql`, without anybody's code."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import pyarrow as pa

_SANDBOX: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "threads": "1",
    "memory_limit": "1GB",
}


class Expressions:
    """SQL expressions over the rows of a table, evaluated by a DuckDB that reaches nothing else.

    Args:
        expressions: Output → expression; they were checked when the view was declared.
    """

    def __init__(self, expressions: Mapping[str, str]) -> None:
        listed = ", ".join(f'({sql}) AS "{name}"' for name, sql in expressions.items())
        self._sql = f"SELECT {listed} FROM inputs"  # noqa: S608 - expressions, not values

    def __call__(self, inputs: pa.Table) -> pa.Table:
        """Return one column per expression, in the order of the rows."""
        cursor = self._db.cursor()
        cursor.register("inputs", inputs)
        found = cursor.sql(self._sql).to_arrow_table()
        return pa.table(
            {n: _plain(c) for n, c in zip(found.column_names, found.columns, strict=True)}
        )

    @cached_property
    def _db(self) -> Any:
        import duckdb

        db = duckdb.connect(config=_SANDBOX)
        db.execute("SET TimeZone = 'UTC'")
        db.execute("SET enable_progress_bar = false")
        db.execute("SET lock_configuration = true")
        return db


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return decimals, which literals such as 0.5 lead to, as the numbers that features are."""
    if not pa.types.is_decimal(column.type):
        return column
    return column.cast(pa.float64() if column.type.scale else pa.int64())
