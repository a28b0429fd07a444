"""SQL expressions compiled to Python closures, for requests of a few rows.

DuckDB defines what an expression means, but it takes milliseconds to start a query. The closures
compute the same values for the common operators, and leave everything else to DuckDB: expressions
that they do not cover when they are compiled, and values that they do not cover, such as NaN,
overflow and text beyond ASCII, when they are computed. A property test compares the two.
"""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

from feature_platform.definitions import parse_expression
from feature_platform.types.arrow import widest

Row: TypeAlias = Sequence[Any]
Evaluate: TypeAlias = Callable[[Row], Any]
"""Computes a value from the inputs of a row; `None` is NULL."""
Compute: TypeAlias = Callable[[Any, Any], Any]

_SMALL = "small"
"""Integer literals, and what `CASE` makes of them: DuckDB's INTEGER."""
_INTEGER = "integer"
_DECIMAL = "decimal"
_DOUBLE = "double"
_TEXT = "text"
_BOOLEAN = "boolean"
_TYPES = {
    _SMALL: pa.int64(),
    _INTEGER: pa.int64(),
    _DOUBLE: pa.float64(),
    _TEXT: pa.string(),
    _BOOLEAN: pa.bool_(),
}
_KINDS = {dtype: kind for kind, dtype in _TYPES.items()}
_NUMBERS = [_SMALL, _INTEGER, _DECIMAL, _DOUBLE]

# Decimals are exact as long as they fit a double; DuckDB computes beyond.
_LARGEST = {_SMALL: 2**31 - 1, _INTEGER: 2**63 - 1, _DECIMAL: 2**53, _DOUBLE: math.inf}
_MOST_DIGITS = 15


class Uncovered(Exception):  # noqa: N818 - a signal, not an error
    """DuckDB has to evaluate the expression."""


class _Value(NamedTuple):
    """A compiled expression.

    Attributes:
        kind: Its type.
        evaluate: Computes it. Decimals are integers, to be divided by ten to the power of `scale`.
        scale: Digits after the decimal point.
        is_constant: Whether it is a literal.
    """

    kind: str
    evaluate: Evaluate
    scale: int = 0
    is_constant: bool = False


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
        self._doubles = [name for name, dtype in types.items() if _KINDS.get(dtype) == _DOUBLE]
        compiler = _Compiler({name: (n, dtype) for n, (name, dtype) in enumerate(types.items())})
        self._functions = []
        for name, text in expressions.items():
            value = compiler.compile(parse_expression(text))
            if value.kind == _DECIMAL:
                if not pa.types.is_floating(declared[name]):
                    raise Uncovered
                value = _to_double(value)
            self._functions.append((value.evaluate, declared[name] == _TYPES[value.kind]))

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

    def compile(self, node: Any) -> _Value:
        rule = _RULES.get(type(node).__name__)
        if rule is None:
            raise Uncovered
        return rule(self, node)

    def all(self, nodes: Iterable[Any], kinds: Sequence[str]) -> list[_Value]:
        """Compile nodes that must be of some kinds."""
        values = [self.compile(node) for node in nodes]
        if any(value.kind not in kinds for value in values):
            raise Uncovered
        return values

    def column(self, node: Any) -> _Value:
        position, dtype = self._inputs[node.name.casefold()]
        if dtype not in _KINDS:
            raise Uncovered
        return _Value(_KINDS[dtype], operator.itemgetter(position))

    def literal(self, node: Any) -> _Value:
        text = node.this
        if node.is_string:
            return _constant(_TEXT, text)
        if text.isdecimal() and int(text) <= _LARGEST[_INTEGER]:
            return _constant(_SMALL if int(text) <= _LARGEST[_SMALL] else _INTEGER, int(text))
        whole, point, fraction = text.partition(".")
        digits = whole + fraction
        if point and digits.isdecimal() and len(digits) <= _MOST_DIGITS:
            return _constant(_DECIMAL, int(digits), len(fraction))
        if not point and "e" in text.lower():
            return _constant(_DOUBLE, _finite(float(text)))
        raise Uncovered

    def arithmetic(self, node: Any, compute: Compute) -> _Value:
        left, right = self.all((node.this, node.expression), _NUMBERS)
        kind, scale = _wider([left, right]), 0
        if kind == _DOUBLE:
            return _double(_to_double(left), _to_double(right), compute)
        if kind == _DECIMAL and compute is operator.mul:
            scale = left.scale + right.scale
        elif kind == _DECIMAL:
            scale = max(left.scale, right.scale)
            left, right = _rescaled(left, scale), _rescaled(right, scale)
        if scale > _MOST_DIGITS:
            raise Uncovered
        limit = _LARGEST[kind]
        return _binary(kind, left, right, lambda a, b: _within(compute(a, b), limit), scale)

    def division(self, node: Any) -> _Value:
        left, right = map(_to_double, self.all((node.this, node.expression), _NUMBERS))
        return _double(left, right, operator.truediv)

    def truncated(self, node: Any, compute: Compute) -> _Value:
        """Compile integer division and modulo, which round towards zero."""
        left, right = self.all((node.this, node.expression), [_SMALL, _INTEGER])
        kind = _wider([left, right])
        limit = _LARGEST[kind]
        return _binary(kind, left, right, lambda a, b: _within(compute(a, b), limit))

    def signed(self, node: Any, compute: Callable[[Any], Any]) -> _Value:
        """Compile negation and absolute values."""
        [value] = self.all([node.this], _NUMBERS)
        limit = _LARGEST[value.kind]
        return _unary(value.kind, value, lambda a: _within(compute(a), limit), value.scale)

    def function(self, node: Any, compute: Callable[[float], float]) -> _Value:
        [value] = self.all([node.this], [_DOUBLE])
        return _unary(_DOUBLE, value, lambda a: _finite(compute(a)))

    def round(self, node: Any) -> _Value:
        digits = node.args.get("decimals")
        if digits is not None and not digits.is_int:
            raise Uncovered
        factor = 10.0 ** int(digits.this) if digits is not None else 1.0
        return self.function(node, lambda a: _round_half_up(a, factor))

    def comparison(self, node: Any, compute: Compute) -> _Value:
        left, right = _alike([self.compile(node.this), self.compile(node.expression)])
        return _binary(_BOOLEAN, left, right, compute)

    def between(self, node: Any) -> _Value:
        parts = (node.this, node.args["low"], node.args["high"])
        value, low, high = _alike([self.compile(part) for part in parts])
        above = _binary(_BOOLEAN, value, low, operator.ge)
        return _both(above, _binary(_BOOLEAN, value, high, operator.le))

    def contained(self, node: Any) -> _Value:
        choices = node.expressions
        if not choices or not all(choice.is_string or choice.is_int for choice in choices):
            raise Uncovered
        value, *listed = _alike(self.all((node.this, *choices), [_TEXT, _SMALL, _INTEGER]))
        return _unary(_BOOLEAN, value, {choice.evaluate(()) for choice in listed}.__contains__)

    def is_null(self, node: Any) -> _Value:
        if type(node.expression).__name__ != "Null":
            raise Uncovered
        evaluate = self.compile(node.this).evaluate
        return _Value(_BOOLEAN, lambda row: evaluate(row) is None)

    def negated(self, node: Any) -> _Value:
        [value] = self.all([node.this], [_BOOLEAN])
        return _unary(_BOOLEAN, value, operator.not_)

    def logic(self, node: Any, combine: Callable[[_Value, _Value], _Value]) -> _Value:
        return combine(*self.all((node.this, node.expression), [_BOOLEAN]))

    def case(self, node: Any) -> _Value:
        if node.this is not None:  # CASE x WHEN 1
            raise Uncovered
        return self.choice(node.args["ifs"], node.args.get("default"))

    def choice(self, branches: Sequence[Any], otherwise: Any) -> _Value:
        conditions = self.all((branch.this for branch in branches), [_BOOLEAN])
        results = [branch.args["true"] for branch in branches]
        if otherwise is not None and type(otherwise).__name__ != "Null":
            results.append(otherwise)
        values = _alike([self.compile(result) for result in results])
        tests = [condition.evaluate for condition in conditions]
        pairs = list(zip(tests, [value.evaluate for value in values], strict=False))
        default = values[-1].evaluate if len(values) > len(tests) else lambda _: None

        def choose(row: Row) -> Any:
            for test, result in pairs:
                if test(row):
                    return result(row)
            return default(row)

        return _Value(values[0].kind, choose, values[0].scale)

    def of_present(self, node: Any, choose: Callable[[list[Any]], Any]) -> _Value:
        """Compile COALESCE, GREATEST and LEAST, which ignore NULL."""
        values = _alike([self.compile(each) for each in (node.this, *node.expressions)])
        if choose is not _first and values[0].kind not in _NUMBERS:
            raise Uncovered
        functions = [value.evaluate for value in values]

        def chosen(row: Row) -> Any:
            present = [value for f in functions if (value := f(row)) is not None]
            return choose(present) if present else None

        return _Value(values[0].kind, chosen, values[0].scale)

    def text(self, node: Any, kind: str, compute: Callable[[str], Any]) -> _Value:
        [value] = self.all([node.this], [_TEXT])
        return _unary(kind, value, lambda text: compute(_ascii(text)))

    def texts(self, node: Any, kind: str, compute: Compute) -> _Value:
        left, right = self.all((node.this, node.expression), [_TEXT])
        return _binary(kind, left, right, compute)

    def cast(self, node: Any) -> _Value:
        value, target = self.compile(node.this), node.args["to"].sql("duckdb")
        if target == "DOUBLE" and value.kind in _NUMBERS:
            return _to_double(value)
        if target == "BIGINT" and value.kind in {_SMALL, _INTEGER}:
            return value._replace(kind=_INTEGER)
        raise Uncovered


def _first(values: list[Any]) -> Any:
    return values[0]


def _constant(kind: str, value: object, scale: int = 0) -> _Value:
    return _Value(kind, lambda _: value, scale, is_constant=True)


def _unary(kind: str, value: _Value, compute: Callable[[Any], Any], scale: int = 0) -> _Value:
    evaluate = value.evaluate

    def apply(row: Row) -> Any:
        a = evaluate(row)
        return None if a is None else compute(a)

    return _Value(kind, apply, scale)


def _binary(kind: str, left: _Value, right: _Value, compute: Compute, scale: int = 0) -> _Value:
    first, second = left.evaluate, right.evaluate

    def apply(row: Row) -> Any:
        a, b = first(row), second(row)
        return None if a is None or b is None else compute(a, b)

    return _Value(kind, apply, scale)


def _double(left: _Value, right: _Value, compute: Compute) -> _Value:
    """Return arithmetic with doubles; DuckDB computes infinity and NaN."""
    first, second = left.evaluate, right.evaluate

    def apply(row: Row) -> float | None:
        a, b = first(row), second(row)
        if a is None or b is None:
            return None
        number: float = compute(a, b)
        if number - number != 0.0:
            raise Uncovered
        return number

    return _Value(_DOUBLE, apply)


def _both(left: _Value, right: _Value) -> _Value:
    """Return AND. Both sides are computed: DuckDB may report an error of either."""
    first, second = left.evaluate, right.evaluate

    def both(row: Row) -> bool | None:
        a, b = first(row), second(row)
        if a is False or b is False:
            return False
        return None if a is None or b is None else True

    return _Value(_BOOLEAN, both)


def _either(left: _Value, right: _Value) -> _Value:
    """Return OR."""
    first, second = left.evaluate, right.evaluate

    def either(row: Row) -> bool | None:
        a, b = first(row), second(row)
        if a is True or b is True:
            return True
        return None if a is None or b is None else False

    return _Value(_BOOLEAN, either)


def _wider(values: Iterable[_Value]) -> str:
    return max((value.kind for value in values), key=_NUMBERS.index)


def _alike(values: Sequence[_Value]) -> list[_Value]:
    """Convert values to their common type."""
    kinds = {value.kind for value in values}
    if len(kinds) == 1 and kinds != {_DECIMAL}:
        return list(values)
    if not kinds.issubset(_NUMBERS):
        raise Uncovered
    kind = _wider(values)
    if kind == _DOUBLE:
        return [_to_double(value) for value in values]
    scale = max(value.scale for value in values)
    return [_rescaled(value, scale)._replace(kind=kind) for value in values]


def _to_double(value: _Value) -> _Value:
    if value.kind == _DOUBLE:
        return value
    if value.is_constant:
        return _constant(_DOUBLE, value.evaluate(()) / 10.0**value.scale)
    power = 10.0**value.scale
    return _unary(_DOUBLE, value, lambda a: a / power if value.scale else float(a))


def _rescaled(value: _Value, scale: int) -> _Value:
    if value.scale == scale:
        return value
    factor = 10 ** (scale - value.scale)
    limit = _LARGEST[_DECIMAL]
    return _unary(value.kind, value, lambda a: _within(a * factor, limit), scale)


def _within(number: Any, limit: float) -> Any:
    if -limit <= number <= limit:
        return number
    raise Uncovered


def _finite(number: float) -> float:
    if number - number == 0.0:
        return number
    raise Uncovered  # infinity or NaN


def _ascii(text: str) -> str:
    if text.isascii():
        return text
    raise Uncovered


def _quotient(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _remainder(a: int, b: int) -> int:
    return abs(a) % abs(b) * (-1 if a < 0 else 1)


def _round_half_up(number: float, factor: float) -> float:
    scaled = _within(abs(number) * factor, _LARGEST[_DECIMAL])
    whole = math.floor(scaled)
    return math.copysign((whole + (scaled - whole >= 0.5)) / factor, number)  # noqa: PLR2004


_Rule: TypeAlias = Callable[[_Compiler, Any], _Value]
_RULES: Mapping[str, _Rule] = {
    "Paren": lambda c, n: c.compile(n.this),
    "Column": _Compiler.column,
    "Literal": _Compiler.literal,
    "Boolean": lambda _, n: _constant(_BOOLEAN, bool(n.this)),
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
    "Between": _Compiler.between,
    "In": _Compiler.contained,
    "Is": _Compiler.is_null,
    "Not": _Compiler.negated,
    "And": lambda c, n: c.logic(n, _both),
    "Or": lambda c, n: c.logic(n, _either),
    "Case": _Compiler.case,
    "If": lambda c, n: c.choice([n], n.args.get("false")),
    "Coalesce": lambda c, n: c.of_present(n, _first),
    "Greatest": lambda c, n: c.of_present(n, max),
    "Least": lambda c, n: c.of_present(n, min),
    "DPipe": lambda c, n: c.texts(n, _TEXT, operator.add),
    "StartsWith": lambda c, n: c.texts(n, _BOOLEAN, str.startswith),
    "Contains": lambda c, n: c.texts(n, _BOOLEAN, operator.contains),
    "Lower": lambda c, n: c.text(n, _TEXT, str.lower),
    "Upper": lambda c, n: c.text(n, _TEXT, str.upper),
    "Length": lambda c, n: c.text(n, _INTEGER, len),
    "Cast": _Compiler.cast,
}
