"""No digit of a decimal is lost on the way in: what does not fit is refused, whatever holds it."""

import re
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests_support import raises

from feature_platform.values import exact_array, exact_cast


@st.composite
def decimals(draw: Any) -> Decimal:
    digits = draw(st.integers(0, 10 ** draw(st.integers(0, 39))))
    return Decimal(f"{draw(st.sampled_from('+-'))}{digits}e{draw(st.integers(-42, 4))}")


@st.composite
def types(draw: Any) -> pa.DataType:
    precision = draw(st.integers(1, 38))
    return pa.decimal128(precision, draw(st.integers(0, precision)))


def forms(value: Decimal) -> list[Any]:
    """Every way in which a number comes."""
    text = format(value, "f")
    found: list[Any] = [
        [value], [text], pd.Series([value]), pd.Series([text]), np.array([text]),
        pa.array([text]), pa.array([text]).dictionary_encode(),
    ]  # fmt: skip
    if value == value.to_integral_value():
        found.append([int(value)])
        if abs(value) < 2**63:
            found += [np.array([int(value)]), pa.array([int(value)])]
    with suppress(pa.ArrowException):  # it has more digits than Arrow
        found.append(pa.array([value]))
    return found


def outcome(form: Any, dtype: pa.DataType) -> Any:
    convert = exact_cast if isinstance(form, pa.Array) else exact_array
    try:
        [found] = convert(form, dtype).to_pylist()
    except ValueError as error:
        return str(error)
    return Fraction(found)


@settings(max_examples=300)
@given(decimals(), types())
@example(Decimal(37), pa.decimal128(38, 37))
@example(Decimal(4), pa.decimal128(38, 38))
@example(Decimal(340747645889149624904), pa.decimal128(38, 18))
@example(Decimal(3591022468923411728086196631545038818), pa.decimal128(38, 2))
@example(Decimal(340282366920938463463374607431768211457), pa.decimal128(9, 2))
@example(Decimal("0.0" + "9" * 40), pa.decimal128(9, 2))
@example(Decimal("9" * 37 + ".99"), pa.decimal128(38, 2))
def test_what_fits_arrives_and_what_does_not_is_refused(value: Decimal, dtype: Any) -> None:
    scaled = Fraction(value) * 10**dtype.scale
    fits = scaled.denominator == 1 and abs(scaled) < 10**dtype.precision
    for form in forms(value):
        result = outcome(form, dtype)
        assert result == Fraction(value) if fits else names_a_limit(result, dtype), (form, result)


def names_a_limit(message: Any, dtype: pa.DataType) -> bool:
    """Tell whether a refusal says how many digits there may be before or after the point."""
    limits = {str(dtype.scale), str(dtype.precision - dtype.scale)}
    return isinstance(message, str) and bool(limits & set(re.findall(r"(?<= )\d+(?= )", message)))


def test_what_is_huge_or_no_number_is_refused_in_few_words() -> None:
    thing = object()
    for value, name in (
        ("9" * 1_000_000, " 36 "),
        (10**5000, " 36 "),
        ("1e999", " 36 "),
        (Decimal("1E+999999"), " 36 "),
        (Decimal("sNaN"), "Decimal('sNaN')"),
        ([Decimal(1)], "[Decimal('1')]"),
        (b"1", "b'1'"),
        (thing, repr(thing)),
    ):
        with raises(ValueError, name) as caught:
            exact_array([value], pa.decimal128(38, 2))
        assert len(str(caught.value)) < 150


def test_what_pandas_means_by_missing_is_null() -> None:
    missing = pd.Series([Decimal("NaN"), Decimal("sNaN"), float("nan"), pd.NA, None, Decimal(1)])

    assert exact_array(missing, pa.decimal128(9, 2)).to_pylist() == [None] * 5 + [1]


def test_lists_hold_numbers_of_any_kind() -> None:
    dtype = pa.list_(pa.decimal128(38, 2))
    wanted = [[Decimal("1.50"), 1, None, 10**30], None, []]

    assert exact_array([["1.5", 1, None, 10**30], None, []], dtype).to_pylist() == wanted
    for wrong, *names in (
        (["1.5"], "'1.5'", "list"),
        ([[1.5]], "1.5", "float"),
        (["ab"], "'ab'", "list"),
        ([5], "5", "list"),
        ([{1, 2}], "{1, 2}", "list"),
        ([{"1": 2}], "{'1': 2}", "list"),
    ):
        with raises(ValueError, *names):
            exact_array(wrong, dtype)
