"""SQL expressions of on-demand views: what is allowed, and what they read."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pyarrow as pa

from feature_platform.types import Array, Decimal, FeatureType
from feature_platform.types.arrow import arrow_type
from feature_platform.types.values import fits

_LARGEST = 10_000
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
    DayOfWeek DayOfYear WeekOfYear ArraySize ArrayContains TimeToUnix UnixToTime
"""
_BY_NAME = """
    epoch epoch_ms epoch_us isfinite log2 isodow dayofweek even gamma ltrim rtrim lpad rpad
    list_sum list_avg list_min list_max list_count pi cot
"""
_NODES = frozenset((_OPERATORS + _FUNCTIONS).split())
_NAMED = frozenset(_BY_NAME.split())


def check_expression(text: str) -> frozenset[str]:
    """Check an expression and return the names of the columns that it reads.

    An expression computes a value from the values of one row: no statements, subqueries,
    aggregates or windows, and no function that reads a clock, a file, a setting or random numbers.

    Raises:
        ValueError: It is not such an expression, or cannot be checked without sqlglot and duckdb.
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

    if len(text) > _LARGEST:
        raise ValueError(f"it is longer than {_LARGEST:,} characters.")
    try:
        tree = _parsed(text)
        nodes = list(tree.walk())
    except (SqlglotError, RecursionError) as error:
        message = (
            str(error).splitlines()[0] if isinstance(error, SqlglotError) else "too deeply nested"
        )
        reason = re.sub(r"<class '[\w.]+\.(\w+)'>| Line \d+, Col: \d+\.?", r"\1", message)
        raise ValueError(f"it is not a SQL expression: {reason.strip()}") from None
    for node in nodes:
        _check_node(node)
    _check_duckdb(text)
    columns = {node.name for node in nodes if isinstance(node, exp.Column)}
    return frozenset(columns)


def check_expressions(expressions: Mapping[str, str]) -> frozenset[str]:
    """Check several expressions, by output, and return all columns that they read.

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
    """Yield the type errors of expressions.

    Args:
        expressions: Output → expression; each was checked, and reads inputs only.
        inputs: Input → its type.
        declared: Output → its type.
    """
    import duckdb

    for name, text in expressions.items():
        try:
            value, called = _bound(text, inputs)
            roomy, _ = _bound(text, {n: _roomy(dtype) for n, dtype in inputs.items()})
        except duckdb.Error as error:
            yield f"expressions: {name!r}: {str(error).splitlines()[0]}"
            continue
        if not _delivers(roomy, arrow_type(declared[name])):
            mismatch = f"is {called} but declared {declared[name]}"
            yield f"expressions: {name!r} {mismatch}. Cast it, or change the declaration."
        elif getattr(roomy, "scale", 0) > getattr(value, "scale", 0):
            yield f"expressions: {name!r} needs more than 38 digits. Cast its operands."


def _bound(text: str, inputs: Mapping[str, FeatureType]) -> tuple[pa.DataType, str]:
    """Return the Arrow type of an expression, and DuckDB's name of it."""
    cursor = _db().cursor()
    types = [(name, arrow_type(dtype)) for name, dtype in inputs.items()]
    cursor.register("inputs", pa.schema(types).empty_table())
    found = cursor.sql(f"SELECT ({text}) AS value FROM inputs")  # noqa: S608 - it was checked
    return found.to_arrow_table().schema.field("value").type, str(found.types[0])


def _roomy(dtype: FeatureType) -> FeatureType:
    """Return a decimal type with few digits before the point, to leave room for those after it.

    If 38 digits do not suffice for both, DuckDB silently rounds.
    """
    if dtype.item:
        return Array(_roomy(dtype.item))
    return Decimal(min(38, dtype.digits[1] + 4), dtype.digits[1]) if dtype.digits else dtype


@cache
def _db() -> Any:
    import duckdb

    db = duckdb.connect(config={"enable_external_access": "false", "threads": "1"})
    db.execute("SET TimeZone = 'UTC'")
    return db


def _delivers(value: Any, wanted: Any) -> bool:
    """Return whether values of an expression's Arrow type can be converted to the declared one.

    Literals such as 0.5 are decimals, so decimals may become floats. Digits after the point are
    never dropped; digits before it are checked for each value.
    """
    pt = pa.types
    if pt.is_decimal(value):
        fraction = wanted.scale if pt.is_decimal(wanted) else 0
        numeric = pt.is_decimal(wanted) or pt.is_integer(wanted)
        return bool(pt.is_floating(wanted) or (numeric and value.scale <= fraction))
    return fits(value, wanted) and not (pt.is_decimal(wanted) and pt.is_string(value))


def _parsed(text: str) -> Any:
    import sqlglot

    statements = sqlglot.parse(f"SELECT ({text}\n)", read="duckdb")
    select = statements[0] if len(statements) == 1 else None
    listed = select.args.get("expressions", []) if select is not None else []
    used = [name for name, value in select.args.items() if value] if select is not None else []
    if len(listed) != 1 or used != ["expressions"] or type(listed[0]).__name__ != "Paren":
        raise ValueError("it is not one SQL expression.")
    return listed[0].this


def _check_duckdb(text: str) -> None:
    """Check that the evaluator parses what sqlglot accepts."""
    import duckdb

    try:
        _db().extract_statements(f"SELECT ({text})")
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f'{reason}. Quote names that are keywords: "at".') from None


def _check_node(node: Any) -> None:
    from sqlglot import exp

    kind = type(node).__name__
    if isinstance(node, exp.Column) and (node.table or isinstance(node.this, exp.Star)):
        raise ValueError(f"{node.sql('duckdb')!r}: use a column of the inputs, without a table.")
    if node.comments:
        raise ValueError("comments are not allowed.")
    named = node.name if isinstance(node, exp.Anonymous) else ""
    if isinstance(node, exp.Func) and not named:
        named = node.sql_name()
    if kind in _NODES or named.lower() in _NAMED:
        return
    subject = "the function " if isinstance(node, exp.Func) else ""
    raise ValueError(
        f"{subject}{node.sql('duckdb')!r} is not supported: expressions use arithmetic, "
        "comparisons, CASE and functions without side effects on the inputs of one row."
    )
