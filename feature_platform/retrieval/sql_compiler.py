"""SQL expressions compiled to Python closures, for requests of a few rows.

DuckDB defines what an expression means, but it takes milliseconds to start a query. The closures
compute the same values for the common operators, and leave everything else to DuckDB: expressions
that they do not cover when they are compiled, and values that they do not cover, such as NaN,
overflow and text beyond ASCII, when they are computed. A property test compares the two.
"""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import pyarrow as pa

from feature_platform.definitions import parse_expression
from feature_platform.retrieval.sql_closures import (
    BOOLEAN,
    DECIMAL,
    DOUBLE,
    INTEGER,
    KINDS,
    LARGEST,
    MOST_DIGITS,
    NUMBERS,
    SMALL,
    TEXT,
    TYPES,
    Compute,
    Row,
    Uncovered,
    Value,
    alike,
    ascii_only,
    binary,
    both,
    constant,
    doubles,
    either,
    finite,
    rescaled,
    to_double,
    unary,
    wider,
    within,
)
from feature_platform.types.arrow import widest


class CompiledExpressions:
    """Checked expressions of a view, compiled to functions of a row of inputs.

    Args:
        expressions: Output → expression.
        inputs: Input → its Arrow type.
        declared: Output → its Arrow type.

    Raises:
        Uncovered: An expression needs DuckDB.
    """

    def __init__(
        self,
        expressions: Mapping[str, str],
        inputs: Mapping[str, pa.DataType],
        declared: Mapping[str, pa.DataType],
    ) -> None:
        types = {name: widest(dtype) for name, dtype in inputs.items()}
        self._names = list(types)
        self._doubles = [name for name, dtype in types.items() if KINDS.get(dtype) == DOUBLE]
        compiler = _Compiler({name: (n, dtype) for n, (name, dtype) in enumerate(types.items())})
        self._functions = []
        for name, text in expressions.items():
            value = compiler.compile(parse_expression(text))
            if value.kind == DECIMAL:
                if not pa.types.is_floating(declared[name]):
                    raise Uncovered
                value = to_double(value)
            if value.kind in {SMALL, INTEGER} and pa.types.is_floating(declared[name]):
                limit = LARGEST[DECIMAL]
                value = unary(value.kind, value, partial(within, limit=limit))
            self._functions.append((value.evaluate, declared[name] == TYPES[value.kind]))

    def __call__(self, inputs: Mapping[str, Sequence[Any]]) -> list[tuple[list[Any], bool]]:
        """Return the values of each output, and whether they are of its declared type.

        Raises:
            Uncovered: A value needs DuckDB.
        """
        for name in self._doubles:
            for number in inputs[name]:
                if number is not None and number - number != 0.0:  # infinity or NaN
                    raise Uncovered
        rows = list(zip(*(inputs[name] for name in self._names), strict=True))
        try:
            return [([f(row) for row in rows], is_exact) for f, is_exact in self._functions]
        except (ArithmeticError, ValueError) as error:  # such as the square root of -1
            raise Uncovered from error


class _Compiler:
    """Compiles syntax trees over the inputs of one view.

    Args:
        inputs: Input → its position in the row and its Arrow type.
    """

    def __init__(self, inputs: Mapping[str, tuple[int, pa.DataType]]) -> None:
        self._inputs = {name.casefold(): position for name, position in inputs.items()}

    def compile(self, node: Any) -> Value:
        rule = _RULES.get(type(node).__name__)
        if rule is None:
            raise Uncovered
        return rule(self, node)

    def all(self, nodes: Iterable[Any], kinds: Sequence[str]) -> list[Value]:
        """Compile nodes that must be of some kinds."""
        values = [self.compile(node) for node in nodes]
        if any(value.kind not in kinds for value in values):
            raise Uncovered
        return values

    def column(self, node: Any) -> Value:
        position, dtype = self._inputs[node.name.casefold()]
        if dtype not in KINDS:
            raise Uncovered
        return Value(KINDS[dtype], operator.itemgetter(position))

    def literal(self, node: Any) -> Value:
        text = node.this
        if node.is_string:
            return constant(TEXT, text)
        if text.isdecimal() and int(text) <= LARGEST[INTEGER]:
            return constant(SMALL if int(text) <= LARGEST[SMALL] else INTEGER, int(text))
        whole, point, fraction = text.partition(".")
        digits = whole + fraction
        if point and digits.isdecimal() and len(digits) <= MOST_DIGITS:
            return constant(DECIMAL, int(digits), len(fraction))
        if not point and "e" in text.lower():
            return constant(DOUBLE, finite(float(text)))
        raise Uncovered

    def arithmetic(self, node: Any, compute: Compute) -> Value:
        left, right = self.all((node.this, node.expression), NUMBERS)
        kind, scale = wider([left, right]), 0
        if kind == DOUBLE:
            return doubles(to_double(left), to_double(right), compute)
        if kind == DECIMAL and compute is operator.mul:
            scale = left.scale + right.scale
        elif kind == DECIMAL:
            scale = max(left.scale, right.scale)
            left, right = rescaled(left, scale), rescaled(right, scale)
        if scale > MOST_DIGITS:
            raise Uncovered
        limit = LARGEST[kind]
        return binary(kind, left, right, lambda a, b: within(compute(a, b), limit), scale)

    def division(self, node: Any) -> Value:
        left, right = map(to_double, self.all((node.this, node.expression), NUMBERS))
        return doubles(left, right, operator.truediv)

    def truncated(self, node: Any, compute: Compute) -> Value:
        """Compile integer division and modulo, which round towards zero."""
        left, right = self.all((node.this, node.expression), [SMALL, INTEGER])
        kind = wider([left, right])
        limit = LARGEST[kind]

        def divided(a: Any, b: Any) -> Any:
            if b == -1:  # the quotient of the least integer is too large, also for a modulo
                within(-a, limit)
            return within(compute(a, b), limit)

        return binary(kind, left, right, divided)

    def signed(self, node: Any, compute: Callable[[Any], Any]) -> Value:
        """Compile negation and absolute values."""
        [value] = self.all([node.this], NUMBERS)
        if value.is_constant and value.kind == INTEGER:  # -2147483648 is an INTEGER again
            raise Uncovered
        limit = LARGEST[value.kind]
        return unary(value.kind, value, lambda a: within(compute(a), limit), value.scale)

    def function(self, node: Any, compute: Callable[[float], float]) -> Value:
        [value] = self.all([node.this], [DOUBLE])
        return unary(DOUBLE, value, lambda a: finite(compute(a)))

    def round(self, node: Any) -> Value:
        digits = node.args.get("decimals")
        text = "0" if digits is None else str(digits.this)
        is_negative = type(digits).__name__ == "Neg"
        if is_negative or not text.isdecimal() or int(text) > MOST_DIGITS:
            raise Uncovered
        factor = 10.0 ** int(text)
        return self.function(node, lambda a: _round_half_up(a, factor))

    def comparison(self, node: Any, compute: Compute) -> Value:
        _check_delimited(node.this, node.expression)
        left, right = alike([self.compile(node.this), self.compile(node.expression)])
        return binary(BOOLEAN, left, right, compute)

    def contained(self, node: Any) -> Value:
        choices = node.expressions
        if not choices or not all(choice.is_string or choice.is_int for choice in choices):
            raise Uncovered
        _check_delimited(node.this)
        value, *listed = alike(self.all((node.this, *choices), [TEXT, SMALL, INTEGER]))
        return unary(BOOLEAN, value, {choice.evaluate(()) for choice in listed}.__contains__)

    def logic(self, node: Any, combine: Callable[[Value, Value], Value]) -> Value:
        return combine(*self.all((node.this, node.expression), [BOOLEAN]))

    def case(self, node: Any) -> Value:
        if node.this is not None:  # CASE x WHEN 1
            raise Uncovered
        return self.choice(node.args["ifs"], node.args.get("default"))

    def choice(self, branches: Sequence[Any], otherwise: Any) -> Value:
        conditions = self.all((branch.this for branch in branches), [BOOLEAN])
        results = [branch.args["true"] for branch in branches]
        if otherwise is not None and type(otherwise).__name__ != "Null":
            results.append(otherwise)
        values = alike([self.compile(result) for result in results])
        tests = [condition.evaluate for condition in conditions]
        pairs = list(zip(tests, [value.evaluate for value in values], strict=False))
        default = values[-1].evaluate if len(values) > len(tests) else lambda _: None

        def choose(row: Row) -> Any:
            for test, result in pairs:
                if test(row):
                    return result(row)
            return default(row)

        return Value(values[0].kind, choose, values[0].scale)

    def of_present(self, node: Any, choose: Callable[[list[Any]], Any]) -> Value:
        """Compile COALESCE, GREATEST and LEAST, which ignore NULL."""
        values = alike([self.compile(each) for each in (node.this, *node.expressions)])
        if choose is not _first and values[0].kind not in NUMBERS:
            raise Uncovered
        functions = [value.evaluate for value in values]

        def chosen(row: Row) -> Any:
            present = [value for f in functions if (value := f(row)) is not None]
            return choose(present) if present else None

        return Value(values[0].kind, chosen, values[0].scale)

    def text(self, node: Any, kind: str, compute: Callable[[str], Any]) -> Value:
        [value] = self.all([node.this], [TEXT])
        return unary(kind, value, lambda text: compute(ascii_only(text)))

    def texts(self, node: Any, kind: str, compute: Compute) -> Value:
        left, right = self.all((node.this, node.expression), [TEXT])
        return binary(kind, left, right, compute)


_LOOSE = frozenset("EQ NEQ LT LTE GT GTE Is Not In Between And Or Like ILike".split())  # noqa: SIM905


def _check_delimited(*operands: Any) -> None:
    """Leave operands without parentheses to DuckDB: sqlglot binds some of them differently."""
    if any(type(operand).__name__ in _LOOSE for operand in operands):
        raise Uncovered


def _between(compiler: _Compiler, node: Any) -> Value:
    _check_delimited(node.this)
    parts = (node.this, node.args["low"], node.args["high"])
    value, low, high = alike([compiler.compile(part) for part in parts])
    above = binary(BOOLEAN, value, low, operator.ge)
    return both(above, binary(BOOLEAN, value, high, operator.le))


def _is_null(compiler: _Compiler, node: Any) -> Value:
    if type(node.expression).__name__ != "Null":
        raise Uncovered
    _check_delimited(node.this)
    evaluate = compiler.compile(node.this).evaluate
    return Value(BOOLEAN, lambda row: evaluate(row) is None)


def _negated(compiler: _Compiler, node: Any) -> Value:
    [value] = compiler.all([node.this], [BOOLEAN])
    return unary(BOOLEAN, value, operator.not_)


def _cast(compiler: _Compiler, node: Any) -> Value:
    value, target = compiler.compile(node.this), node.args["to"].sql("duckdb")
    if target == "DOUBLE" and value.kind in NUMBERS:
        return to_double(value)
    if target == "BIGINT" and value.kind in {SMALL, INTEGER}:
        return value._replace(kind=INTEGER)
    raise Uncovered


def _first(values: list[Any]) -> Any:
    return values[0]


def _quotient(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _remainder(a: int, b: int) -> int:
    return abs(a) % abs(b) * (-1 if a < 0 else 1)


def _round_half_up(number: float, factor: float) -> float:
    scaled = within(abs(number) * factor, LARGEST[DECIMAL])
    whole = math.floor(scaled)
    return math.copysign((whole + (scaled - whole >= 0.5)) / factor, number)  # noqa: PLR2004


_Rule: TypeAlias = Callable[[_Compiler, Any], Value]
_RULES: Mapping[str, _Rule] = {
    "Paren": lambda c, n: c.compile(n.this),
    "Column": _Compiler.column,
    "Literal": _Compiler.literal,
    "Boolean": lambda _, n: constant(BOOLEAN, bool(n.this)),
    "Add": lambda c, n: c.arithmetic(n, operator.add),
    "Sub": lambda c, n: c.arithmetic(n, operator.sub),
    "Mul": lambda c, n: c.arithmetic(n, operator.mul),
    "Div": _Compiler.division,
    "IntDiv": lambda c, n: c.truncated(n, _quotient),
    "Mod": lambda c, n: c.truncated(n, _remainder),
    "Neg": lambda c, n: c.signed(n, operator.neg),
    "Abs": lambda c, n: c.signed(n, abs),
    "Floor": lambda c, n: c.function(n, lambda a: math.copysign(math.floor(a), a)),
    "Ceil": lambda c, n: c.function(n, lambda a: math.copysign(math.ceil(a), a)),
    "Sqrt": lambda c, n: c.function(n, math.sqrt),
    "Ln": lambda c, n: c.function(n, math.log),
    "Exp": lambda c, n: c.function(n, math.exp),
    "Round": _Compiler.round,
    "EQ": lambda c, n: c.comparison(n, operator.eq),
    "NEQ": lambda c, n: c.comparison(n, operator.ne),
    "LT": lambda c, n: c.comparison(n, operator.lt),
    "LTE": lambda c, n: c.comparison(n, operator.le),
    "GT": lambda c, n: c.comparison(n, operator.gt),
    "GTE": lambda c, n: c.comparison(n, operator.ge),
    "Between": _between,
    "In": _Compiler.contained,
    "Is": _is_null,
    "Not": _negated,
    "And": lambda c, n: c.logic(n, both),
    "Or": lambda c, n: c.logic(n, either),
    "Case": _Compiler.case,
    "If": lambda c, n: c.choice([n], n.args.get("false")),
    "Coalesce": lambda c, n: c.of_present(n, _first),
    "Greatest": lambda c, n: c.of_present(n, max),
    "Least": lambda c, n: c.of_present(n, min),
    "DPipe": lambda c, n: c.texts(n, TEXT, operator.add),
    "StartsWith": lambda c, n: c.texts(n, BOOLEAN, str.startswith),
    "Contains": lambda c, n: c.texts(n, BOOLEAN, operator.contains),
    "Lower": lambda c, n: c.text(n, TEXT, str.lower),
    "Upper": lambda c, n: c.text(n, TEXT, str.upper),
    "Length": lambda c, n: c.text(n, INTEGER, len),
    "Cast": _cast,
}
