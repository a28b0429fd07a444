"""SQL expressions of on-demand views: checks, input columns and types."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pyarrow as pa

from feature_platform.definitions.sql_size import check_size
from feature_platform.types import Array, Decimal, FeatureType
from feature_platform.types.arrow import arrow_type, widest
from feature_platform.types.values import fits

_MAX_LENGTH = 10_000
_OPERATORS = """
    Add Sub Mul Div IntDiv Mod Neg Paren And Or Not EQ NEQ GT GTE LT LTE Is NullSafeEQ NullSafeNEQ
    In Between Like ILike DPipe BitwiseAnd BitwiseOr BitwiseXor BitwiseNot BitwiseLeftShift
    BitwiseRightShift Case If Cast TryCast DataType DataTypeParam Literal Boolean Null Column
    Identifier Var Interval IntervalSpan Tuple Escape
"""
_FUNCTIONS = """
    Abs Sign Ceil Floor Round Trunc Sqrt Cbrt Exp Ln Log Pow Sin Cos Tan Asin Acos Atan Atan2
    Degrees Radians Greatest Least Coalesce Nullif IsNan IsInf Lower Upper Trim Length Substring
    Left Right Replace Concat StartsWith EndsWith Contains StrPosition Reverse RegexpLike Extract
    TimestampTrunc DateTrunc DateDiff TimestampDiff Year Quarter Month Day Hour Minute Second
    DayOfWeek DayOfWeekIso DayOfYear WeekOfYear
    ArrayMax ArrayMin ArraySize ArrayContains TimeToUnix UnixToTime
"""
_ALLOWED_FUNCTIONS = """
    epoch epoch_ms epoch_us isfinite log2 dayofweek even gamma ltrim rtrim lpad rpad
    list_sum list_avg list_count pi cot
"""
_NODE_KINDS = frozenset((_OPERATORS + _FUNCTIONS).split())
_FUNCTION_NAMES = frozenset(_ALLOWED_FUNCTIONS.split())


def check_expression(text: str) -> frozenset[str]:
    """Check an expression and return the names of its input columns.

    An expression computes one value from the values of its row. Statements, subqueries, aggregates
    and windows are not allowed, nor are functions that read a clock, files, settings or randomness.

    Raises:
        ValueError: The expression is not allowed, or sqlglot or duckdb is not installed.
    """
    try:
        import duckdb  # noqa: F401 - `_check_duckdb` needs it
        from sqlglot import exp
        from sqlglot.errors import SqlglotError
    except ImportError as error:
        raise ValueError(
            f"it needs the package {error.name}: install feature-platform, or "
            "feature-platform-client[sql]."
        ) from error

    if "\0" in text:
        raise ValueError("it contains a NUL character.")
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"{len(text):,} characters long; the maximum is {_MAX_LENGTH:,}.")
    try:
        tree = parse_expression(text)
        check_size(tree)
        nodes = list(tree.walk())
    except (SqlglotError, RecursionError) as error:
        is_syntax = isinstance(error, SqlglotError)
        message = str(error).splitlines()[0] if is_syntax else "nested too deeply"
        reason = re.sub(r"<class '[\w.]+\.(\w+)'>| Line \d+, Col: \d+\.?", r"\1", message)
        raise ValueError(f"not a SQL expression: {reason.strip()}") from None
    for node in nodes:
        _check_node(node)
    _check_duckdb(text)
    columns = {node.name for node in nodes if isinstance(node, exp.Column)}
    return frozenset(columns)


def check_expressions(expressions: Mapping[str, str]) -> frozenset[str]:
    """Check the expressions of a view (output → expression) and return all input columns.

    Raises:
        ValueError: An expression is not allowed.
    """
    columns: frozenset[str] = frozenset()
    for name, text in expressions.items():
        try:
            columns |= check_expression(text)
        except ValueError as error:
            raise ValueError(f"expressions: {name!r}: {error}") from None
    return columns


def type_errors(
    expressions: Mapping[str, str],
    inputs: Mapping[str, FeatureType],
    declared: Mapping[str, FeatureType],
) -> Iterator[str]:
    """Yield errors of checked expressions (output → expression) that lack their declared type."""
    import duckdb

    for name, text in expressions.items():
        try:
            value, label = _result_type(text, inputs)
            widest, _ = _result_type(text, {n: _widest_type(t) for n, t in inputs.items()})
        except duckdb.Error as error:
            yield f"expressions: {name!r}: {str(error).splitlines()[0]}"
            continue
        if not _may_convert(widest, arrow_type(declared[name])):
            message = f"is {label} and is declared {declared[name]}"
            yield f"expressions: {name!r} {message}. Cast it or change the declared type."
        elif getattr(widest, "scale", 0) > getattr(value, "scale", 0):
            yield f"expressions: {name!r} needs more than the maximum of 38 digits. Cast its parts."


def _result_type(text: str, inputs: Mapping[str, FeatureType]) -> tuple[pa.DataType, str]:
    """Return the Arrow type of an expression and the name of its DuckDB type."""
    cursor = _db().cursor()
    types = [(name, widest(arrow_type(dtype))) for name, dtype in inputs.items()]
    cursor.register("inputs", pa.schema(types).empty_table())
    result = cursor.sql(f"SELECT ({text}) AS value FROM inputs")  # noqa: S608 - it was checked
    return result.to_arrow_table().schema.field("value").type, str(result.types[0])


def _widest_type(dtype: FeatureType) -> FeatureType:
    """Return a type with few integer digits; DuckDB rounds silently if the scale does not fit."""
    if dtype.item:
        return Array(_widest_type(dtype.item))
    return Decimal(min(38, dtype.digits[1] + 4), dtype.digits[1]) if dtype.digits else dtype


@cache
def _db() -> Any:
    import duckdb

    db = duckdb.connect(config={"enable_external_access": "false", "threads": "1"})
    db.execute("SET TimeZone = 'UTC'")
    db.execute("PRAGMA disable_optimizer")  # it would compute constants; only types are needed
    return db


def _may_convert(value: Any, declared: Any) -> bool:
    """Return whether the Arrow type of an expression can be converted to the declared type.

    Decimals convert to floats, because literals such as 0.5 are decimals. Scale is never reduced;
    overflow of the integer digits is detected per value.
    """
    pt = pa.types
    if pt.is_decimal(value):
        scale = declared.scale if pt.is_decimal(declared) else 0
        numeric = pt.is_decimal(declared) or pt.is_integer(declared)
        return bool(pt.is_floating(declared) or (numeric and value.scale <= scale))
    return fits(value, declared) and not (pt.is_decimal(declared) and pt.is_string(value))


def parse_expression(text: str) -> Any:
    """Return the syntax tree of an expression.

    Raises:
        ValueError: It is not one expression.
    """
    import sqlglot

    statements = sqlglot.parse(f"SELECT ({text}\n)", read="duckdb")
    select = statements[0] if len(statements) == 1 else None
    columns = select.args.get("expressions", []) if select is not None else []
    clauses = [name for name, value in select.args.items() if value] if select is not None else []
    if len(columns) != 1 or clauses != ["expressions"] or type(columns[0]).__name__ != "Paren":
        raise ValueError("not one SQL expression.")
    return columns[0].this


def _check_duckdb(text: str) -> None:
    """Check that DuckDB, which evaluates the expression, can parse it, too."""
    import duckdb

    try:
        _db().extract_statements(f"SELECT ({text})")
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f'{reason}. Put keywords in double quotes, such as "at".') from None


def _check_node(node: Any) -> None:
    from sqlglot import exp

    kind = type(node).__name__
    if isinstance(node, exp.Column) and (node.table or isinstance(node.this, exp.Star)):
        raise ValueError(f"{node.sql('duckdb')!r}: name an input column, without a table.")
    if node.comments:
        raise ValueError("comments are not allowed.")
    function = node.name if isinstance(node, exp.Anonymous) else ""
    if isinstance(node, exp.Func) and not function:
        function = node.sql_name()
    if kind in _NODE_KINDS or function.lower() in _FUNCTION_NAMES:
        return
    label = "a function" if isinstance(node, exp.Func) else "syntax"
    raise ValueError(
        f"{node.sql('duckdb')!r} is {label} that expressions do not have here. Use arithmetic, "
        "comparisons, CASE and functions without side effects over the inputs of the row."
    )
