"""What one file alone is refused for is refused in a folder."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from tests_support import HOUR, NOON, raises

from feature_platform import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feature_platform.errors import SourceError, StoreError
from feature_platform.types import Array, FeatureType, Float64, Int64, Struct
from feature_platform.types import Decimal as DecimalOf


def decimal(value: object, precision: int, scale: int) -> pa.Scalar:
    return pa.scalar(Decimal(value), pa.decimal128(precision, scale))


AT = "2026-01-01T10:00:00Z"


def store_of(folder: Path, file_format: str, dtype: FeatureType = Int64) -> FeatureStore:
    (folder / "rows").mkdir()
    config = RepoConfig(project="p", team="platform", registry="r.db")
    store = FeatureStore(folder, config=config, clock=lambda: NOON)
    store.apply([FeatureView(
        name="v", entities=[Entity(name="k", value_type=Int64)],
        schema=[Field(name="x", dtype=dtype)],
        source=FileSource(name="s", path="rows", file_format=file_format),
    )])  # fmt: skip
    return store


def history(store: FeatureStore, *keys: int) -> list[Any]:
    asked = {"k": list(keys), "event_timestamp": [NOON] * len(keys)}
    return list(store.get_historical_features(asked, ["v"]).to_arrow()["x"].to_pylist())


@pytest.mark.parametrize(
    "text",
    [
        f"k,event_timestamp,x\n2,{AT},7\n3,{AT},8,9\n",  # one field too many
        f"2,{AT},7\n",  # no header
        f"key,event_timestamp,x\n2,{AT},7\n",
        f"k,at,x\n2,{AT},7\n",
    ],
)
def test_a_csv_file_whose_rows_would_be_lost_is_refused(tmp_path: Path, text: str) -> None:
    store = store_of(tmp_path, "csv")
    (tmp_path / "rows" / "a.csv").write_text(f"k,event_timestamp,x\n1,{AT},5\n")
    (tmp_path / "rows" / "b.csv").write_text(text)
    with raises(SourceError, "b.csv"):
        history(store, 1, 2)
    with raises(SourceError, "b.csv"):
        store.materialize(NOON - 9 * HOUR, NOON)
    assert store.online_windows("v") == []
    (tmp_path / "rows" / "b.csv").write_text("k,event_timestamp,x\n")  # it only has no rows
    (tmp_path / "rows" / "c.csv").write_text(f"x,event_timestamp,k\n7,{AT},2\n,{AT},\n")
    assert history(store, 1, 2) == [5, 7]


def table(key: str = "k", at: str = "event_timestamp", value: Any = 7) -> pa.Table:
    return pa.table(
        {key: [2], at: pa.array([NOON - HOUR], pa.timestamp("us", "UTC")), "x": [value]}
    )


@pytest.mark.parametrize("lacks", ["k", "event_timestamp"])
def test_a_parquet_file_whose_rows_would_be_lost_is_refused(tmp_path: Path, lacks: str) -> None:
    store = store_of(tmp_path, "parquet")
    parquet.write_table(table(), tmp_path / "rows" / "a.parquet")
    parquet.write_table(table().rename_columns({lacks: "other"}), tmp_path / "rows" / "b.parquet")
    with raises(SourceError, "b.parquet", lacks):
        history(store, 2)
    parquet.write_table(table().drop_columns("x"), tmp_path / "rows" / "b.parquet")
    assert history(store, 2) == [7]  # a feature that a file has not is null there


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (True, 5), (True, 5.5), (True, "x"), (5, "x"), ("x", b"x"), (Decimal("1.5"), "x"),
        ([1], ["x"]), ({"a": 1}, {"a": "x"}), ({"a": True}, {"a": 1}),
        ([{"a": [1]}], [{"a": ["x"]}]),
    ],
)  # fmt: skip
def test_types_that_do_not_go_together_are_refused(tmp_path: Path, one: Any, other: Any) -> None:
    store = store_of(tmp_path, "parquet")
    parquet.write_table(table(value=one), tmp_path / "rows" / "a.parquet")
    parquet.write_table(table(value=other), tmp_path / "rows" / "b.parquet")
    with raises(SourceError, "x", "a.parquet", "b.parquet"):
        history(store, 2)


@pytest.mark.parametrize(
    ("one", "other"), [(5, 5.0), (5, None), ([5], [None]), ({"a": 1}, {"a": 2, "b": "x"})]
)
def test_types_that_go_together_are_read(tmp_path: Path, one: Any, other: Any) -> None:
    store = store_of(tmp_path, "parquet")
    parquet.write_table(table(value=one), tmp_path / "rows" / "a.parquet")
    parquet.write_table(table(value=other), tmp_path / "rows" / "b.parquet")
    if isinstance(one, int):
        assert history(store, 2) == [5]
    else:  # not what is declared, but of one layout
        with raises(SourceError, "int64"):
            history(store, 2)


@pytest.mark.parametrize(
    ("one", "other", "dtype", "right"),
    [
        (5, 0.5, Float64, [5.0, 0.5]),
        (2**53, 0.5, Float64, [2.0**53, 0.5]),
        (2**53 + 1, 0.5, Float64, None),
        (2**24 + 1, pa.scalar(0.5, pa.float32()), Float64, None),
        (2**24, pa.scalar(0.5, pa.float32()), Float64, [2.0**24, 0.5]),
        ([2**53 + 1], [0.5], Array(Float64), None),
        ([5], [0.5], Array(Float64), [[5.0], [0.5]]),
        ({"a": 2**53 + 1}, {"a": 0.5}, Struct({"a": Float64}), None),
        (decimal("0.5", 38, 18), decimal("7", 38, 0), DecimalOf(38, 0), None),
        (decimal("0.5", 38, 37), 7, Float64, None),
        (decimal("0.5", 20, 2), decimal("7", 10, 0), DecimalOf(20, 2), [Decimal("0.50"), 7]),
        (decimal("0.5", 10, 2), 0.25, Float64, [0.5, 0.25]),
        (decimal("0.5", 20, 2), 0.25, Float64, None),
        (decimal("0.5", 10, 2), pa.scalar(0.25, pa.float32()), Float64, None),
        (decimal(2**53 + 1, 20, 0), decimal(1, 20, 0), Float64, None),
    ],
)
def test_numbers_of_two_types_are_exact_or_refused(
    tmp_path: Path, one: Any, other: Any, dtype: FeatureType, right: list[Any] | None
) -> None:
    store = store_of(tmp_path, "parquet", dtype)
    for key, value in enumerate((one, other)):
        rows = table(value=value).set_column(0, "k", pa.array([key]))
        parquet.write_table(rows, tmp_path / "rows" / f"{key}.parquet")
    if right is None:
        with raises(SourceError, "x"):
            history(store, 0, 1)
        with raises(SourceError, "x"):
            store.materialize(NOON - 9 * HOUR, NOON)
    else:
        assert history(store, 0, 1) == right


def test_a_parquet_file_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path, "parquet")
    twofold = table().append_column("x", pa.array([8]))
    parquet.write_table(twofold, tmp_path / "rows" / "a.parquet")
    with raises(SourceError, "'x'", "a.parquet"):
        history(store, 2)
    parquet.write_table(table(), tmp_path / "rows" / "b.parquet")
    with raises(SourceError, "'x'", "a.parquet"):
        history(store, 2)
    named = table().append_column("x_1", pa.array([8]))
    parquet.write_table(named, tmp_path / "rows" / "a.parquet")
    assert history(store, 2) == [7]
    inside = pa.array([{"x": 1, "k": [{"x": 1}]}])
    parquet.write_table(named.append_column("y", inside), tmp_path / "rows" / "a.parquet")
    assert history(store, 2) == [7]


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_endings_of_files_may_be_in_capitals(tmp_path: Path, file_format: str) -> None:
    store = store_of(tmp_path, file_format)
    file = tmp_path / "rows" / f"a.{file_format.upper()}"
    if file_format == "csv":
        file.write_text(f"k,event_timestamp,x\n1,{AT},5\n")
    else:
        parquet.write_table(pa.table({"k": [1], "event_timestamp": [AT], "x": [5]}), file)
    assert history(store, 1) == [5]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_csv_file_that_is_not_utf_8_is_named_with_a_remedy(tmp_path: Path, encoding: str) -> None:
    store = store_of(tmp_path, "csv")
    text = f"k,event_timestamp,x\n1,{AT},5\n\u00e9,,\n"
    (tmp_path / "rows" / "a.csv").write_bytes(text.encode(encoding))
    with raises(StoreError, "'s'", "UTF-8") as caught:
        history(store, 1)
    assert "\u00e9" not in str(caught.value)
