"""Compiled SQL expressions: the same values as DuckDB, or DuckDB itself."""

import math
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_platform.definitions import check_expressions
from feature_platform.retrieval.sql_closures import Uncovered
from feature_platform.retrieval.sql_compiler import CompiledExpressions
from feature_platform.retrieval.sql_evaluator import SqlEvaluator

INPUTS = {
    "i": pa.int64(), "j": pa.int32(), "x": pa.float64(), "y": pa.float32(),
    "s": pa.string(), "t": pa.string(), "b": pa.bool_(),
}  # fmt: skip
WIDE = {name: {pa.int32(): pa.int64(), pa.float32(): pa.float64()}.get(t, t)
        for name, t in INPUTS.items()}  # fmt: skip

COVERED = [
    "i + 1", "i * j - 3", "x * 2 + i", "x * 0.1", "i * 0.5", "i / j", "x / 0.25", "i // 3",
    "i % 7", "-i", "abs(x)", "round(x, 2)", "floor(x)", "ceil(y)", "sqrt(x * x)", "exp(y / 1e6)",
    "i > 3 and not b", "i = 1 or x < 0.5", "i between 1 and 10", "i in (1, 2, 3)",
    "s in ('a', 'b')", "x is null", "x is not null", "coalesce(x, 0)", "coalesce(i, 0)",
    "greatest(x, i, 1)", "least(i, 10)", "case when i > 3 then 'high' when i > 1 then 'mid' end",
    "case when x > 0.5 then 1 else 0 end", "if(b, x, y)", "s || '-' || t", "lower(s)", "upper(t)",
    "length(s)", "starts_with(s, 'a')", "contains(s, t)", "cast(i as double) / j",
    "cast(j as bigint)", "i * 1.5 + 0.25 > 3", "i < 2.5", "case when b then 1 else 0.5 end",
]  # fmt: skip


FUNCTIONS = "abs floor ceil round sqrt ln exp lower upper length not -".split()  # noqa: SIM905


def rows_of(size: int, **options: Any) -> st.SearchStrategy[dict[str, list[Any]]]:
    values = {
        "i": st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1),
        "j": st.integers(-5, 5) | st.integers(-(2**31), 2**31 - 1),
        "x": st.sampled_from([0.0, 0.5, -0.5, 1.0, 2.675, 1e308]) | st.floats(),
        "y": st.sampled_from([0.0, 0.5, -1.5, 3.0]) | st.floats(width=32),
        "s": st.sampled_from(["", "a", "Ab", "b"]) | st.text(max_size=5),
        "t": st.sampled_from(["", "a", "B"]) | st.text(max_size=5),
        "b": st.booleans(),
    }
    return st.fixed_dictionaries(
        {n: st.lists(st.none() | v, min_size=size, max_size=size) for n, v in values.items()}
    )


def combined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def form(text: str, *arguments: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.tuples(*arguments).map(lambda values: "(" + text.format(*values) + ")")

    binary = st.sampled_from(
        ["+", "-", "*", "/", "//", "%", "=", "<>", "<", "<=", ">", ">=", "and", "or"]
    )  # fmt: skip
    function = st.sampled_from(FUNCTIONS)
    return st.one_of(
        form("{0} {1} {2}", parts, binary, parts),
        form("{0}({1})", function, parts),
        form("round({0}, {1})", parts, st.sampled_from(["0", "1", "2", "3"])),
        form("case when {0} then {1} else {2} end", parts, parts, parts),
        form("case when {0} then {1} end", parts, parts),
        form("coalesce({0}, {1})", parts, parts),
        form("greatest({0}, {1})", parts, parts),
        form("least({0}, {1}, {2})", parts, parts, parts),
        form("{0} between {1} and {2}", parts, parts, parts),
        form("{0} is null", parts),
        form("{0} in (1, 2)", parts),
        form("{0} || {1}", parts, parts),
        form("cast({0} as double)", parts),
    )


COLUMNS = ["i", "i", "j", "x", "x", "y", "s", "t", "b"]
NUMBERS = ["0", "1", "2", "7", "0.5", "0.1", "2.50", "1e3", "3000000000", "9007199254740993"]
LEAVES = st.sampled_from([*COLUMNS, *NUMBERS, "'a'", "''", "true"])
EXPRESSIONS = st.recursive(LEAVES, combined, max_leaves=6)


def by_duckdb(text: str, rows: dict[str, list[Any]]) -> pa.ChunkedArray:
    table = pa.table({name: pa.array(rows[name], dtype) for name, dtype in WIDE.items()})
    return SqlEvaluator({"v": text}, {"v": pa.float64()})(table)["v"]


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and (a == b or (isinstance(a, float) and math.isnan(a + b)))


@settings(max_examples=300)
@given(EXPRESSIONS, rows_of(2))
def test_closures_and_duckdb_agree(text: str, rows: dict[str, list[Any]]) -> None:
    try:
        check_expressions({"v": text})
        result = by_duckdb(text, rows)
    except (ValueError, duckdb.Error):
        result = None
    rows["y"] = pa.array(rows["y"], pa.float32()).to_pylist()
    declared = {"v": pa.float64() if result is None else result.type}
    try:
        [(values, _)] = CompiledExpressions({"v": text}, INPUTS, declared)(rows)
    except (Uncovered, ValueError):
        return
    assert result is not None, values
    assert all(map(same, values, result.to_pylist())), (values, result)


@pytest.mark.parametrize("text", COVERED)
def test_common_expressions_do_without_duckdb(text: str) -> None:
    rows = {
        "i": [1, 4, None], "j": [2, 3, 5], "x": [0.25, -7.5, None], "y": [1.5, 2.0, 3.0],
        "s": ["a", "Bc", None], "t": ["a", "", "x"], "b": [True, False, None],
    }  # fmt: skip
    check_expressions({"v": text})
    result = by_duckdb(text, rows)
    [(values, is_exact)] = CompiledExpressions({"v": text}, INPUTS, {"v": result.type})(rows)
    assert all(map(same, values, result.to_pylist())), (values, result)
    assert is_exact == (result.type != pa.int32())


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("i + 1", {"i": [2**63 - 1]}),
        ("i // j", {"i": [1], "j": [0]}),
        ("x + 1", {"x": [math.nan]}),
        ("x * 10", {"x": [1e308]}),
        ("ln(x)", {"x": [-1.0]}),
        ("upper(s)", {"s": ["ß"]}),
        ("i", {"i": [2**60]}),
        ("i * 0.5", {"i": [2**60]}),
    ],
)
def test_what_closures_do_not_cover_is_left_to_duckdb(text: str, rows: dict[str, Any]) -> None:
    inputs = {name: INPUTS[name] for name in rows}
    compiled = CompiledExpressions({"v": text}, inputs, {"v": pa.float64()})
    with pytest.raises(Uncovered):
        compiled(rows)


@pytest.mark.parametrize(
    "text",
    [
        "round(x, -1)", "round(x, 400)", "0.5 is not null <> (-0.5 is null)",
        "if(b = b isnull, 1, i)", "x is null = b", "b = (not b) is null", "-2147483648 * 7 + i",
        "not i in (1, 3) = b",
    ],
)  # fmt: skip
def test_what_compilers_may_read_differently_is_left_to_duckdb(text: str) -> None:
    with pytest.raises(Uncovered):
        CompiledExpressions({"v": text}, INPUTS, {"v": pa.float64()})


def test_decimals_are_the_same_numbers_for_few_rows_and_for_many() -> None:
    numbers = list(range(-50, 50))
    compiled = CompiledExpressions({"v": "i * 0.1"}, {"i": pa.int64()}, {"v": pa.float64()})
    [(values, _)] = compiled({"i": numbers})
    by_duckdb_ = SqlEvaluator({"v": "i * 0.1"}, {"v": pa.float64()})(pa.table({"i": numbers}))
    assert values == by_duckdb_["v"].to_pylist()
    assert values[53] == 0.3


@pytest.mark.parametrize("text", ["i // -1", "i % -1", "i % j", "i // j"])
def test_the_least_integer_has_no_quotient_with_minus_one(text: str) -> None:
    compiled = CompiledExpressions({"v": text}, INPUTS, {"v": pa.int64()})
    rows: dict[str, list[Any]] = {name: [None] for name in INPUTS} | {"i": [-(2**63)], "j": [-1]}
    with pytest.raises(Uncovered):  # DuckDB decides
        compiled(rows)
    with pytest.raises(duckdb.Error):
        by_duckdb(text, rows)


@pytest.mark.parametrize("text", ["list_min(l)", "list_max(l)", "isodow(t)"])
def test_functions_that_the_docs_list_are_allowed(text: str) -> None:
    check_expressions({"v": text})
