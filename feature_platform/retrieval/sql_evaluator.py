"""Evaluate SQL expressions of on-demand views without importing their code."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import pyarrow as pa

from feature_platform.retrieval.sql_closures import Uncovered
from feature_platform.retrieval.sql_compiler import CompiledExpressions

Types: TypeAlias = Mapping[str, pa.DataType]

_SANDBOX: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "threads": "1",
    "memory_limit": "1GB",
    "max_execution_time": "60000",  # milliseconds
}

_MOST_ROWS = 500
"""DuckDB computes more rows in less time."""


class SqlEvaluator:
    """SQL expressions, evaluated by an isolated DuckDB, or without it for a few rows.

    Args:
        expressions: Output → expression; they were checked when the view was declared.
        declared: Output → its type.
    """

    def __init__(self, expressions: Mapping[str, str], declared: Mapping[str, pa.DataType]) -> None:
        self._expressions = expressions
        self._declared = declared
        self._types: Types | None = None
        self._compiled: CompiledExpressions | None = None
        listed = ", ".join(f'({sql}) AS "{name}"' for name, sql in expressions.items())
        self._sql = f"SELECT {listed} FROM inputs"  # noqa: S608 - expressions, not values

    def __call__(self, inputs: pa.Table) -> pa.Table:
        """Return one column per expression, in the order of the rows.

        Raises:
            TimeoutError: It takes more than a minute.
        """
        from duckdb import InterruptException

        cursor = self._db.cursor()
        try:
            cursor.register("inputs", inputs)  # a statement too
            computed = cursor.sql(self._sql)
            result = computed.project(", ".join(self._outputs(computed))).to_arrow_table()
        except InterruptException as error:
            raise TimeoutError(str(error)) from error
        columns = zip(result.column_names, result.columns, strict=True)
        return pa.table({name: _plain(c, self._declared[name]) for name, c in columns})

    def _outputs(self, computed: Any) -> Iterator[str]:
        """Yield what to select. Undeclared decimals, which literals such as 0.5 yield, are cast."""
        for name, dtype in zip(computed.columns, computed.types, strict=True):
            is_decimal = str(dtype).startswith("DECIMAL")
            if is_decimal and pa.types.is_floating(self._declared[name]):
                yield f'CAST("{name}" AS DOUBLE) AS "{name}"'
            else:
                yield f'"{name}"'

    def lists(
        self, inputs: Mapping[str, Sequence[Any]], types: Types
    ) -> list[tuple[list[Any], bool]] | None:
        """Compute a few rows without DuckDB.

        Returns:
            For each expression its values, and whether they are of its declared type; `None` if
            only DuckDB can.

        Args:
            inputs: Input → its values.
            types: Input → its type; the same object for the same types.
        """
        if types is not self._types:
            try:
                self._compiled = CompiledExpressions(self._expressions, types, self._declared)
            except Uncovered:
                self._compiled = None
            self._types = types
        if self._compiled is None or len(next(iter(inputs.values()))) > _MOST_ROWS:
            return None
        try:
            return self._compiled(inputs)
        except Uncovered:
            return None

    @cached_property
    def _db(self) -> Any:
        import duckdb

        db = duckdb.connect(config=_SANDBOX)
        db.execute("SET TimeZone = 'UTC'")
        db.execute("SET enable_progress_bar = false")
        db.execute("SET lock_configuration = true")
        return db


def _plain(column: pa.ChunkedArray, declared: pa.DataType) -> pa.ChunkedArray:
    """Return undeclared decimals, which literals such as 0.5 yield, as floats."""
    if not pa.types.is_decimal(column.type) or pa.types.is_decimal(declared):
        return column
    return column.cast(pa.float64() if pa.types.is_floating(declared) else pa.int64())
