"""CSV files give what Parquet files of the same values give, or are refused like them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from tests_support import HOUR, NOON, raises

from feature_platform.errors import SchemaError
from feature_platform.table import SourceTable, Table
from feature_platform.types.arrow import TIMESTAMP
from feature_platform.types.times import from_microseconds
from offline.engines import Files

MANY = 25_000  # more than DuckDB looks at before it guesses types
MICROSECOND = timedelta(microseconds=1)


def table_at(path: str, dtype: pa.DataType, file_format: str = "csv") -> Table:
    location = {"path": path, "format": file_format, "endpoint": ""}
    source = SourceTable("s", location, "event_timestamp")
    return Table("p", "v", {"k": pa.int64()}, pa.schema([("v", dtype)]), None, source)


def newest(folder: Path, table: Table) -> dict[int, tuple[datetime, Any]]:
    """Return key → time and value of its newest row."""
    beginning, end = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
    rows = Files(folder).store.latest(table, beginning, end).reader().read_all().to_pylist()
    return {row["k"]: (row["event_timestamp"], row["v"]) for row in rows}


def write_csv(path: Path, *odd: tuple[str, str, str], many: int = MANY) -> None:
    """Write many plain rows, and then odd ones, as text."""
    plain = (f"{key},2026-01-01T11:00:00Z,1\n" for key in range(many))
    lines = ["k,event_timestamp,v\n", *plain, *(",".join(row) + "\n" for row in odd)]
    path.write_text("".join(lines))


AT = "2026-01-01T11:00:00Z"
READ = {
    "a fraction": (pa.float64(), "1.5", 1.5),
    "an exponent": (pa.float64(), "1e-3", 0.001),
    "a large exponent": (pa.float64(), "-2.5E+300", -2.5e300),
    "infinity": (pa.float64(), "-inf", float("-inf")),
    "a narrow float": (pa.float32(), "0.1", pa.scalar(0.1, pa.float32()).as_py()),
    "an integer that pandas wrote": (pa.int64(), "7.0", 7),
    "the largest integer": (pa.int64(), str(2**63 - 1), 2**63 - 1),
    "a negative integer": (pa.int32(), "-2147483648", -(2**31)),
    "text of digits": (pa.string(), "007", "007"),
    "text of a time": (pa.string(), "2026-01-01", "2026-01-01"),
    "true": (pa.bool_(), "True", True),
    "a time with an offset": (TIMESTAMP, "2026-01-01 14:00+02:00", NOON),
    "a day": (TIMESTAMP, "2026-01-01", NOON - 12 * HOUR),
    "nanoseconds": (TIMESTAMP, "2026-01-01T12:00:00.000001999", NOON + MICROSECOND),
    "a list": (pa.list_(pa.int64()), '"[1, 2]"', [1, 2]),
    "nothing": (pa.int64(), "", None),
    "no text": (pa.string(), "", None),
    "empty text": (pa.string(), '""', ""),
}  # fmt: skip
REFUSED = {
    "a fraction as an integer": (pa.int64(), "1.5"),
    "an exponent as an integer": (pa.int64(), "1e3"),
    "too large an integer": (pa.int64(), str(2**63)),
    "too large for 32 bits": (pa.int32(), str(2**31)),
    "text as a number": (pa.float64(), "1,5".replace(",", ";")),
    "a separator of thousands": (pa.float64(), "1_000"),
    "hexadecimal": (pa.int64(), "0x10"),
    "text as a boolean": (pa.bool_(), "yes"),
    "a day of an unknown order": (TIMESTAMP, "02/11/2026"),
    "a year of two digits": (TIMESTAMP, "26-01-01"),
    "a day that is not": (TIMESTAMP, "2026-02-30"),
    "an epoch": (TIMESTAMP, "1767268800"),
    "a named time": (TIMESTAMP, "infinity"),
    "a number beyond all": (pa.float64(), "1e400"),
    "a number beyond narrow floats": (pa.float32(), "1e39"),
    "an offset that no place has": (TIMESTAMP, "2026-01-01T11:00:00+25:00"),
    "a list with a fraction": (pa.list_(pa.int64()), '"[1.5]"'),
}


@pytest.mark.parametrize("many", [0, MANY], ids=["alone", "late"])
@pytest.mark.parametrize(("dtype", "text", "expected"), READ.values(), ids=READ)
def test_a_value_is_read_wherever_it_stands(tmp_path: Path, dtype, text, expected, many) -> None:
    is_number = pa.types.is_integer(dtype) or pa.types.is_floating(dtype)
    write_csv(tmp_path / "v.csv", ("-1", AT, text), many=many if is_number else 0)

    assert newest(tmp_path, table_at("v.csv", dtype))[-1][1] == expected


@pytest.mark.parametrize("many", [0, MANY], ids=["alone", "late"])
@pytest.mark.parametrize(("dtype", "text"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_would_change_is_refused(tmp_path: Path, dtype, text, many) -> None:
    is_number = pa.types.is_integer(dtype) or pa.types.is_floating(dtype)
    write_csv(tmp_path / "v.csv", ("-1", AT, text), many=many if is_number else 0)

    with raises(SchemaError, "'s'", "'v'", text.strip('"[]')):
        newest(tmp_path, table_at("v.csv", dtype))


@pytest.mark.parametrize(
    ("key", "at", "column"),
    [("30000.7", AT, "'k'"), ("-1", "01/02/2026", "'event_timestamp'"), ("x", AT, "'k'")],
)
def test_keys_and_times_are_not_guessed(tmp_path: Path, key: str, at: str, column: str) -> None:
    write_csv(tmp_path / "v.csv", (key, at, "5"))

    with raises(SchemaError, "'s'", column):
        newest(tmp_path, table_at("v.csv", pa.int64()))


def test_times_keep_their_hours_and_offsets_after_many_without(tmp_path: Path) -> None:
    plain = [f"{key},2026-01-01,1\n" for key in range(MANY)]
    odd = ["-1,2026-01-01 11:30:00,5\n", "-2,2026-01-01 13:00:00+02:00,5\n"]
    (tmp_path / "v.csv").write_text("".join(["k,event_timestamp,v\n", *plain, *odd]))

    rows = newest(tmp_path, table_at("v.csv", pa.int64()))
    assert rows[-1][0] == datetime(2026, 1, 1, 11, 30, tzinfo=UTC)
    assert rows[-2][0] == datetime(2026, 1, 1, 11, tzinfo=UTC)


def test_keys_without_a_type_are_integers_only_if_all_are(tmp_path: Path) -> None:
    from dataclasses import replace

    untyped = replace(table_at("v.csv", pa.int64()), keys={"k": None})
    write_csv(tmp_path / "v.csv")
    assert set(newest(tmp_path, untyped)) == set(range(MANY))
    write_csv(tmp_path / "v.csv", ("007", AT, "1"))
    assert {"7", "007"} < set(newest(tmp_path, untyped))


def test_a_column_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text(f"k,event_timestamp,v,v\n1,{AT},1,2\n")
    with raises(SchemaError, "'s'", "'v'", "v.csv"):
        newest(tmp_path, table_at("v.csv", pa.int64()))
    (tmp_path / "v.csv").write_text(f"k,event_timestamp,v,v_1\n1,{AT},1,2\n")
    assert newest(tmp_path, table_at("v.csv", pa.int64()))[1][1] == 1


VALUES = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(allow_nan=False),
    pa.string(): st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1),
    pa.bool_(): st.booleans(),
    TIMESTAMP: st.integers(-(10**16), 10**16).map(from_microseconds),
}  # fmt: skip


@settings(max_examples=6)
@given(st.data())
@pytest.mark.parametrize("dtype", VALUES, ids=str)
def test_csv_is_what_parquet_is(tmp_path_factory, dtype: pa.DataType, data: Any) -> None:
    """Over 25,000 rows, with the odd values late and in a second file of the folder."""
    folder = tmp_path_factory.mktemp("both")
    values = data.draw(st.lists(st.none() | VALUES[dtype], min_size=2, max_size=20))
    column = [values[0]] * MANY + values
    frame = pa.table({
        "k": range(len(column)),
        "event_timestamp": pa.array([NOON] * len(column), TIMESTAMP),
        "v": pa.array(column, dtype),
    })  # fmt: skip
    for name in ("csv", "parquet"):
        (folder / name).mkdir()
    half = MANY + len(values) // 2
    for number, part in enumerate((frame.slice(0, half), frame.slice(half))):
        parquet.write_table(part, folder / "parquet" / f"{number}.parquet")
        text = part.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
        text.to_csv(folder / "csv" / f"{number}.csv", index=False)

    csv = newest(folder, table_at("csv", dtype))
    assert csv == newest(folder, table_at("parquet", dtype, "parquet"))
