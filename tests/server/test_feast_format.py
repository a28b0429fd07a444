"""Rows as Feast's client writes them: JSON columns, read in their declared types."""

import base64
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from feature_platform.errors import SchemaError
from feature_platform.server.feast_format import rows_of
from feature_platform.types.arrow import TIMESTAMP

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BYTES = base64.b64encode(b"\x00\xff").decode()
FORMS = {
    "bytes": (pa.binary(), BYTES, b"\x00\xff"),
    "a time in seconds": (TIMESTAMP, int(NOON.timestamp()), NOON),
    "a time in words": (TIMESTAMP, "2026-01-01T12:00:00", NOON),
    "a decimal": (pa.decimal128(20, 2), "123456789012345678.91", Decimal("123456789012345678.91")),
    "a whole float": (pa.float32(), 3, 3.0),
    "an integer": (pa.int64(), 2**62, 2**62),
    "text": (pa.string(), "é", "é"),
    "a fraction": (pa.float64(), 0.1, 0.1),
    "an infinite float": (pa.float64(), "-Infinity", float("-inf")),
    "a struct": (
        pa.struct([("t", TIMESTAMP), ("b", pa.list_(pa.binary())), ("n", pa.int64())]),
        {"t": int(NOON.timestamp()), "b": [BYTES, None], "n": 2**62},
        {"t": NOON, "b": [b"\x00\xff", None], "n": 2**62},
    ),
    "a map as text": (pa.map_(pa.string(), pa.string()), '{"a": "b"}', [("a", "b")]),
    "a struct as text": (pa.struct([("n", pa.int64())]), '{"n": 7}', {"n": 7}),
    "a map": (pa.map_(pa.string(), pa.string()), {"a": "b"}, [("a", "b")]),
}


@pytest.mark.parametrize(("dtype", "sent", "read"), FORMS.values(), ids=FORMS)
def test_values_and_lists_of_them_have_the_declared_type(dtype, sent, read) -> None:
    types = {"one": dtype, "many": pa.list_(dtype)}
    rows = rows_of({"one": [sent, None], "many": [[sent, None], None]}, types)
    assert rows.to_pylist() == [{"one": read, "many": [read, None]}, {"one": None, "many": None}]


@pytest.mark.parametrize(
    ("dtype", "sent"),
    [(pa.binary(), "?"), (TIMESTAMP, "noon"), (TIMESTAMP, True), (pa.list_(TIMESTAMP), 5),
     (pa.list_(pa.binary()), "AA=="), (pa.list_(pa.float64()), [[1]]), (pa.decimal128(4, 2), "x"),
     (pa.float64(), 2**53 + 1), (pa.float64(), True), (pa.float64(), "1_0"), (pa.float64(), " 1 "),
     (pa.float64(), "nan"), (pa.struct([("t", TIMESTAMP)]), 5),
     (pa.struct([("t", TIMESTAMP)]), "{"), (pa.map_(pa.string(), pa.string()), "[]"),
     (pa.map_(pa.string(), pa.string()), '{"a":' * 20_000),
     (pa.struct([("t", TIMESTAMP)]), {"t": True}), (pa.struct([("t", TIMESTAMP)]), {"u": 1})],
)  # fmt: skip
def test_values_of_another_form_are_refused(dtype, sent) -> None:
    with pytest.raises(SchemaError):
        rows_of({"column": [sent]}, {"column": dtype})
