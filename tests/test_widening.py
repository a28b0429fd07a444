"""One table of widenings: contracts and stored rows follow it, each as strictly as it has to."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_platform.online.codec import convert_row
from feature_platform.types import (
    SCALARS,
    Array,
    Decimal,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
)
from feature_platform.types.arrow import arrow_type, feature_type
from feature_platform.types.widening import is_compatible, is_widening

decimals = st.integers(1, 38).flatmap(
    lambda precision: st.builds(Decimal, st.just(precision), st.integers(0, precision))
)
scalars = st.sampled_from(list(SCALARS.values())) | decimals
types = scalars | st.builds(Array, scalars)


def test_the_table() -> None:
    wider = {
        (a, b) for a, b in itertools.product(SCALARS.values(), repeat=2) if is_widening(a, b)
    } - {(a, a) for a in SCALARS.values()}
    assert wider == {(Int32, Int64), (Int32, Float64), (Float32, Float64)}


@pytest.mark.parametrize(
    ("before", "after", "widening", "compatible"),
    [
        (Decimal(9, 2), Decimal(12, 2), True, True),
        (Decimal(9, 2), Decimal(12, 4), True, False),  # readers would have to round
        (Decimal(9, 2), Decimal(9, 4), False, False),
        (Decimal(9, 2), Float64, False, False),
        (Array(Int32), Array(Int64), True, True),
        (Array(Decimal(9, 2)), Array(Decimal(12, 4)), True, False),
        (Array(Int32), Int64, False, False),
        (String, Int64, False, False),
    ],
)
def test_contracts_are_stricter_than_storage(before, after, widening, compatible) -> None:
    assert (is_widening(before, after), is_compatible(before, after)) == (widening, compatible)


@given(types, types, types)
def test_widening_is_an_order(a, b, c) -> None:
    assert is_widening(a, a)
    if is_widening(a, b) and is_widening(b, c):
        assert is_widening(a, c)
    if is_widening(a, b) and is_widening(b, a):
        assert a == b
    assert not is_compatible(a, b) or is_widening(a, b)


@given(types)
def test_every_type_is_read_back_from_the_name_of_its_arrow_type(dtype) -> None:
    carried = arrow_type(dtype)
    assert arrow_type(feature_type(str(carried))) == carried
    assert feature_type(str(carried)) == dtype or "Json" in str(dtype)  # text, as String is


@given(types, types)
def test_stored_rows_follow_the_table(stored, current) -> None:
    sample = {"Bool": True, "Bytes": b"x", "String": "x", "Decimal": "1"}
    item = sample.get((stored.item or stored).name, 1)
    value = [item, None] if stored.item else item
    names = {"f": str(arrow_type(stored))}, {"f": str(arrow_type(current))}
    [converted] = convert_row([value], *names)
    assert (converted is not None) == is_widening(stored, current)
