"""Maps, structs, JSON and arrays of arrays, from the source to every answer."""

import json
import math
from datetime import timedelta
from decimal import Decimal as Exact
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from server.conftest import Served
from tests_support import HOUR, NOON, raises

from feature_platform import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    PushMode,
    PushSource,
    RepoConfig,
    RequestSource,
    SparkSource,
)
from feature_platform.errors import DefinitionError, RequestError, SchemaError, SourceError
from feature_platform.offline.snowflake.dialect import SnowflakeDialect
from feature_platform.retrieval import SavedDatasetFileStorage
from feature_platform.services.training import column_types as entity_types
from feature_platform.services.writing import column_types
from feature_platform.types import (
    Array,
    Decimal,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    String,
    Struct,
    UnixTimestamp,
    Uuid,
    ValueType,
    parse_type,
)
from feature_platform.types.arrow import arrow_type, feature_type, to_python
from feature_platform.types.values import exact_array

PROFILE = Struct(
    {"name": String, "age": Int32, "seen": UnixTimestamp, "paid": Array(Decimal(9, 2)), "more": Map}
)
FIELDS = [
    Field(name="profile", dtype=PROFILE),
    Field(name="labels", dtype=Map),
    Field(name="settings", dtype=Json),
    Field(name="grid", dtype=Array(Array(Int64))),
    Field(name="visits", dtype=Array(Struct({"at": UnixTimestamp, "page": String}))),
]
FULL: dict[str, Any] = {
    "profile": {
        "name": "é", "age": 2**31 - 1, "seen": NOON, "paid": [Exact("0.10"), None],
        "more": {"a": "b"},
    },
    "labels": {"vehicle": "truck", "": ""},
    "settings": json.dumps({"km": [1, None]}),
    "grid": [[2**53 + 1, None], [], None],
    "visits": [{"at": NOON - HOUR, "page": None}, None],
}  # fmt: skip
SPARSE: dict[str, Any] = {
    "profile": {"name": None, "age": None, "seen": None, "paid": None, "more": {}},
    "labels": {}, "settings": None, "grid": [], "visits": None,
}  # fmt: skip
NULLS = dict.fromkeys(FULL)
ROWS = {1: FULL, 2: SPARSE, 3: NULLS}


def table() -> pa.Table:
    rows = [{"id": key, "event_timestamp": NOON - HOUR, **row} for key, row in ROWS.items()]
    types = [("id", pa.int64()), ("event_timestamp", pa.timestamp("us", "UTC"))]
    types += [(field.name, arrow_type(field.dtype)) for field in FIELDS]
    columns = {name: exact_array([row[name] for row in rows], dtype) for name, dtype in types}
    return pa.table(columns, schema=pa.schema(types))


def opened(folder: Path, source: Any, **settings: Any) -> FeatureStore:
    config = RepoConfig(project="p", team="platform", registry="registry.db", **settings)
    store = FeatureStore(folder, config=config, clock=lambda: NOON)
    view = FeatureView(
        name="v", entities=[Entity(name="id", value_type=Int64)], schema=FIELDS, source=source
    )
    computed = OnDemandFeatureView(
        name="computed", sources=["v"], udf=flatten,
        schema=[Field(name="vehicle", dtype=String), Field(name="copy", dtype=PROFILE),
                Field(name="cells", dtype=Array(Array(Int64)))],
    )  # fmt: skip
    store.apply([view, computed])
    return store


def flatten(inputs: dict[str, Any]) -> dict[str, Any]:
    labels = inputs["labels"] or {}
    return {"vehicle": labels.get("vehicle"), "copy": inputs["profile"], "cells": inputs["grid"]}


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    (tmp_path / "rows").mkdir()
    parquet.write_table(table(), tmp_path / "rows" / "a.parquet")
    return opened(tmp_path, PushSource(name="push", batch_source=FileSource(path="rows")))


def answers(columns: dict[str, list[Any]]) -> dict[int, dict[str, Any]]:
    names = [field.name for field in FIELDS]
    return {
        key: {name: columns[name][row] for name in names} for row, key in enumerate(columns["id"])
    }


def test_history_and_online_give_back_every_value(store: FeatureStore, tmp_path: Path) -> None:
    asked = pd.DataFrame({"id": [3, 1, 2], "event_timestamp": NOON})
    job = store.get_historical_features(asked, ["v", "computed"])
    history = job.to_arrow()
    columns = {name: to_python(history[name]) for name in history.column_names}
    assert answers(columns) == ROWS
    assert columns["vehicle"] == [None, "truck", None]
    assert columns["copy"] == columns["profile"]
    assert columns["cells"] == columns["grid"]
    frame = job.to_df()
    assert list(frame["labels"]) == columns["labels"]
    assert list(frame["profile"]) == columns["profile"]
    saved = store.create_saved_dataset(job, "d", SavedDatasetFileStorage(path=str(tmp_path / "d")))
    assert saved.to_arrow().num_rows == 3

    assert store.materialize(NOON - 2 * HOUR, NOON) == {"v": 3}
    online = store.get_online_features(["v", "computed"], {"id": [3, 1, 2]})
    assert online.to_dict() == {name: columns[name] for name in online.to_dict()}
    served = online.to_arrow()
    assert served.schema.field("profile").type == arrow_type(PROFILE)
    assert {name: to_python(served[name]) for name in online.to_dict()} == online.to_dict()
    assert (
        store.verify_parity(["v", "computed"], asked.drop(columns="event_timestamp")).mismatches
        == 0
    )


def test_pushed_rows_are_checked_and_exact(store: FeatureStore) -> None:
    row = {"id": [7], "event_timestamp": [NOON], **{name: [v] for name, v in FULL.items()}}
    store.push("push", pd.DataFrame(row))
    assert answers(store.get_online_features(["v"], {"id": [7]}).to_dict()) == {7: FULL}
    for name, wrong in (
        ("profile", {"nam": "x"}), ("profile", {"age": 2**31}), ("profile", 3),
        ("labels", {"a": 1}), ("grid", [["1"]]), ("visits", [{"at": "no time"}]),
    ):  # fmt: skip
        with raises(SchemaError, name):
            store.push("push", pd.DataFrame({**row, name: [wrong]}))
    assert answers(store.get_online_features(["v"], {"id": [7]}).to_dict()) == {7: FULL}


def test_keys_of_maps_without_a_value_are_kept(store: FeatureStore) -> None:
    rows = [
        {"id": key, "event_timestamp": NOON, **FULL, "labels": labels}
        for key, labels in enumerate([{"a": None}, {"b": "c", "a": None}, {}, None], start=10)
    ]
    by_column = {name: [row[name] for row in rows] for name in rows[0]}
    for write in (rows, by_column, pd.DataFrame(rows)):
        store.push("push", write, to=PushMode.ONLINE_AND_OFFLINE)
        asked = {"id": [10, 11, 12, 13]}
        online = store.get_online_features(["v:labels"], asked).to_dict()
        assert online["labels"] == by_column["labels"]
        history = store.get_historical_features({**asked, "event_timestamp": [NOON] * 4}, ["v"])
        assert to_python(history.to_arrow()["labels"]) == by_column["labels"]


WITHOUT_VALUES: list[Any] = [{"a": None}, {"b": "c", "a": None}, {}, None]


def keep_map(inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "same": inputs["asked"],
        "size": -1 if inputs["asked"] is None else len(inputs["asked"]),
    }


def asks_for_maps(store: FeatureStore) -> None:
    asked = RequestSource(name="asked", schema=[Field(name="asked", dtype=Map)])
    schema = [Field(name="same", dtype=Map), Field(name="size", dtype=Int64)]
    store.apply([OnDemandFeatureView(name="kept", sources=[asked], udf=keep_map, schema=schema)])


@pytest.mark.parametrize("form", [dict, pd.DataFrame, pa.table])
def test_request_values_keep_their_keys_without_a_value(store: FeatureStore, form: Any) -> None:
    asks_for_maps(store)
    columns: dict[str, Any] = {"asked": WITHOUT_VALUES, "event_timestamp": [NOON] * 4}
    if form is pa.table:
        columns["asked"] = exact_array(WITHOUT_VALUES, arrow_type(Map))
    history = store.get_historical_features(form(columns), ["kept"]).to_arrow()
    assert to_python(history["same"]) == WITHOUT_VALUES
    assert history["size"].to_pylist() == [1, 2, 0, -1]
    online = store.get_online_features(["kept"], form({"asked": columns["asked"]})).to_dict()
    assert online["same"] == WITHOUT_VALUES


@pytest.mark.parametrize("mode", ["python", "pandas"])
def test_functions_of_other_modes_read_and_return_them(store: FeatureStore, mode: Any) -> None:
    copied = OnDemandFeatureView(
        name="copied", sources=["v"], mode=mode,
        udf=copy_python if mode == "python" else copy_pandas,
        schema=[Field(name="copy", dtype=PROFILE), Field(name="same", dtype=Map)],
    )  # fmt: skip
    store.apply([copied])
    store.materialize(NOON - 2 * HOUR, NOON)
    answer = store.get_online_features(["v", "copied"], {"id": [1, 2, 3]}).to_dict()
    assert answer["copy"] == answer["profile"]
    assert answer["same"] == answer["labels"]


def copy_python(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"copy": inputs["profile"], "same": inputs["labels"]}


def copy_pandas(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"copy": inputs["profile"], "same": inputs["labels"]})


def test_a_server_gives_them_to_its_clients(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    (folder / "rows").mkdir(parents=True)
    parquet.write_table(table(), folder / "rows" / "a.parquet")
    (folder / "feature_store.yaml").write_text(
        "project: p\nteam: platform\nregistry: registry.db\nserver: {keys: keys.db}\n"
    )
    local = opened(folder, PushSource(name="push", batch_source=FileSource(path="rows")))
    local.materialize(NOON - 2 * HOUR, NOON)
    served = Served(folder)
    client = served.client(tmp_path / "client", "p")
    keys = {"id": [1, 2, 3]}
    assert answers(client.get_online_features(["v"], keys).to_dict()) == ROWS
    asked = pd.DataFrame({"id": [1, 2, 3], "event_timestamp": NOON})
    history = client.get_historical_features(asked, ["v"]).to_arrow()
    assert answers({n: to_python(history[n]) for n in history.column_names}) == ROWS
    client.write_to_online_store("v", [{"id": 9, "event_timestamp": NOON, **FULL}])
    assert answers(client.get_online_features(["v"], {"id": [9]}).to_dict()) == {9: FULL}
    rows = [
        {"id": i, "event_timestamp": NOON, **FULL, "labels": labels, "profile": profile}
        for i, (labels, profile) in enumerate(
            [(each, {**FULL["profile"], "more": each}) for each in WITHOUT_VALUES], start=10
        )
    ]
    client.write_to_online_store("v", rows)
    served_rows = answers(client.get_online_features(["v"], {"id": [10, 11, 12, 13]}).to_dict())
    assert [served_rows[i]["labels"] for i in range(10, 14)] == WITHOUT_VALUES
    assert [served_rows[i]["profile"]["more"] for i in range(10, 14)] == WITHOUT_VALUES
    (folder / "kept.py").write_text(
        "from feature_platform import Field, OnDemandFeatureView, RequestSource\n"
        "from feature_platform.types import Map\n"
        "def same(inputs):\n    return {'same': inputs['asked']}\n"
        "asked = RequestSource(name='asked', schema=[Field(name='asked', dtype=Map)])\n"
        "kept = OnDemandFeatureView(name='kept', sources=[asked], udf=same, mode='row',\n"
        "    schema=[Field(name='same', dtype=Map)])\n"
    )
    FeatureStore(folder).apply()
    online = client.get_online_features(["kept"], [{"asked": each} for each in WITHOUT_VALUES])
    assert online.to_dict()["same"] == WITHOUT_VALUES
    # The command line reads files of rows in these types, through a server, too.
    assert column_types(client.call(), view="v")["labels"] == arrow_type(Map)
    assert entity_types(client.call(), ["kept"])["asked"] == arrow_type(Map)
    for wrong in ({"asked": 5}, {"asked": "text"}, [{"asked": {}}, {}], [5]):
        with raises(RequestError, "entity_rows"):
            client.get_online_features(["kept"], wrong)
    asked = pd.DataFrame({"asked": WITHOUT_VALUES, "event_timestamp": NOON})
    made = client.get_historical_features(asked, ["kept"]).to_arrow()
    assert to_python(made["same"]) == WITHOUT_VALUES
    served.stop()


def test_snowflake_says_that_it_has_none() -> None:
    for dtype in (PROFILE, Map, Array(Int64)):
        with raises(SchemaError, "DuckDB"):
            SnowflakeDialect().type_name(arrow_type(dtype))


@pytest.mark.slow
@pytest.mark.xdist_group("spark")
def test_spark_reads_and_loads_them(spark: Any, redis_server: str, tmp_path: Path) -> None:
    parquet.write_table(table(), tmp_path / "rows.parquet")
    store = opened(
        tmp_path,
        SparkSource(name="rows", path="rows.parquet"),
        offline_store={"type": "spark"},
        online_store={"type": "redis", "connection_string": redis_server},
    )
    asked = pd.DataFrame({"id": [3, 1, 2], "event_timestamp": NOON})
    history = store.get_historical_features(asked, ["v"]).to_arrow()
    assert answers({n: to_python(history[n]) for n in history.column_names}) == ROWS
    assert store.materialize(NOON - 2 * HOUR, NOON) == {"v": 3}
    assert answers(store.get_online_features(["v"], {"id": [1, 2, 3]}).to_dict()) == ROWS


STRUCTS = [{"a": "x", "b": "y"}, {"a": "it's", "b": None}, None, {"a": None, "b": None}]
MAPS = [{"a": "x", "b": "y"}, {"a": "it's"}, None, {}]


def _structs(folder: Path) -> pa.Table:
    """Rows as pandas writes dicts: a struct with the keys of all of them."""
    frame = pd.DataFrame({"id": [1, 2, 3, 4], "event_timestamp": [NOON] * 4, "m": STRUCTS})
    rows = pa.Table.from_pandas(frame)
    assert pa.types.is_struct(rows.schema.field("m").type)
    parquet.write_table(rows, folder / "rows.parquet", coerce_timestamps="us")
    return pa.table({"id": [1, 2, 3, 4], "event_timestamp": [NOON] * 4})


def test_dicts_that_pandas_wrote_are_maps(tmp_path: Path) -> None:
    asked = _structs(tmp_path)
    store = FeatureStore(tmp_path, config=RepoConfig(project="p", registry="r.db"))
    view = FeatureView(
        name="v", entities=[Entity(name="id", value_type=Int64)],
        schema=[Field(name="m", dtype=Map)], source=FileSource(path="rows.parquet"),
    )  # fmt: skip
    store.apply([view])
    assert to_python(store.get_historical_features(asked, ["v"]).to_arrow()["m"]) == MAPS
    store.materialize(NOON - HOUR, NOON)
    assert store.get_online_features(["v"], {"id": [1, 2, 3, 4]}).to_dict()["m"] == MAPS


@pytest.mark.slow
@pytest.mark.xdist_group("spark")
def test_dicts_that_pandas_wrote_are_maps_on_spark(spark: Any, tmp_path: Path) -> None:
    asked = _structs(tmp_path)
    config = RepoConfig(project="p", registry="r.db", offline_store={"type": "spark"})
    store = FeatureStore(tmp_path, config=config)
    view = FeatureView(
        name="v", entities=[Entity(name="id", value_type=Int64)],
        schema=[Field(name="m", dtype=Map)], source=SparkSource(name="s", path="rows.parquet"),
    )  # fmt: skip
    store.apply([view])
    assert to_python(store.get_historical_features(asked, ["v"]).to_arrow()["m"]) == MAPS


def test_narrower_stored_types_widen_inside(tmp_path: Path) -> None:
    stored = pa.struct([("name", pa.string()), ("x", pa.int8())])
    rows = {"id": [1], "event_timestamp": [NOON], "s": pa.array([{"name": "a", "x": 5}], stored)}
    parquet.write_table(pa.table(rows), tmp_path / "rows.parquet")
    store = FeatureStore(tmp_path, config=RepoConfig(project="p", team="platform", registry="r.db"))
    view = FeatureView(
        name="v", entities=[Entity(name="id", value_type=Int64)], ttl=timedelta(days=1),
        schema=[Field(name="s", dtype=Struct({"name": String, "x": Int64}))],
        source=FileSource(path="rows.parquet"),
    )  # fmt: skip
    store.apply([view])
    asked = pd.DataFrame({"id": [1], "event_timestamp": [NOON]})
    answer = store.get_historical_features(asked, ["v"]).to_arrow()
    assert to_python(answer["s"]) == [{"name": "a", "x": 5}]
    assert answer.schema.field("s").type == pa.struct([("name", pa.string()), ("x", pa.int64())])

    other = Struct({"name": String, "y": Int64})
    store.apply(
        [view.model_copy(update={"schema": [Field(name="s", dtype=other)]})], override="renamed"
    )
    with raises(SchemaError, "'s'", "x"):
        store.get_historical_features(asked, ["v"]).to_arrow()


SCALARS = st.sampled_from([Int64, Int32, Float32, String, UnixTimestamp, Decimal(9, 2), Json, Map])
TYPES = st.recursive(
    SCALARS,
    lambda inner: inner.map(Array)
    | st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True), inner, min_size=1,
                      max_size=3).map(Struct),
    max_leaves=6,
)  # fmt: skip


@given(TYPES)
def test_types_are_read_from_their_names(dtype: Any) -> None:
    assert parse_type(str(dtype)) == dtype
    carried = arrow_type(dtype)
    assert arrow_type(feature_type(str(carried))) == carried


@pytest.mark.parametrize("build", [
    lambda: Struct({}), lambda: Struct({"a b": Int64}), lambda: Struct({"a": "Int65"}),
    lambda: Struct({"a": Int64, "A": Int64}),
    lambda: parse_type("Array(" * 10_000), lambda: parse_type("Struct(a)"),
    lambda: Entity(name="e", value_type=Map), lambda: Entity(name="e", value_type=Json),
    lambda: Entity(name="e", value_type=PROFILE),
])  # fmt: skip
def test_what_is_no_type_or_no_key(build: Any) -> None:
    with pytest.raises((ValueError, DefinitionError)):
        build()


@pytest.mark.parametrize("mode", ["row", "python", "pandas"])
def test_what_a_function_changes_is_its_own(store: FeatureStore, mode: Any) -> None:
    """Neither the served features nor the inputs of another function are touched."""
    functions = {"row": change_row, "python": change_columns, "pandas": change_frame}
    changing = OnDemandFeatureView(
        name="a_changing", sources=["v"], mode=mode, udf=functions[mode],
        schema=[Field(name="done", dtype=Int64)],
    )  # fmt: skip
    reading = OnDemandFeatureView(
        name="b_reading", sources=["v"], mode="python", udf=copy_python,
        schema=[Field(name="copy", dtype=PROFILE), Field(name="same", dtype=Map)],
    )  # fmt: skip
    store.apply([changing, reading])
    store.materialize(NOON - 2 * HOUR, NOON)
    answer = store.get_online_features(["a_changing", "b_reading", "v"], {"id": [1]}).to_dict()
    assert answers({name: answer[name] for name in ["id", *FULL]}) == {1: ROWS[1]}
    assert answer["copy"] == [ROWS[1]["profile"]]
    assert answer["same"] == [ROWS[1]["labels"]]


def change_row(inputs: dict[str, Any]) -> dict[str, Any]:
    inputs["labels"]["hacked"] = "yes"
    inputs["profile"]["paid"].append(None)
    inputs["profile"]["more"]["hacked"] = "yes"
    inputs["grid"][0].clear()
    inputs["visits"][0]["page"] = "hacked"
    return {"done": 1}


def change_columns(inputs: dict[str, Any]) -> dict[str, Any]:
    rows = [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]
    return {"done": [change_row(row)["done"] for row in rows]}


def change_frame(inputs: pd.DataFrame) -> pd.DataFrame:
    inputs["labels"][0]["hacked"] = "yes"
    return pd.DataFrame({"done": [1] * len(inputs)})


NANOSECONDS = pa.array([1234567890123456789], pa.timestamp("ns"))


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        (pa.array([{"a": Exact("1.239")}]), Struct({"a": Decimal(5, 2)})),
        (pa.array([{"a": 1.239}]), Struct({"a": Decimal(5, 2)})),
        (pa.array([[{"a": Exact("1.239")}]]), Array(Struct({"a": Decimal(5, 2)}))),
        (pa.array([{"a": [Exact("0.005")]}]), Struct({"a": Array(Decimal(5, 2))})),
        (pa.StructArray.from_arrays([NANOSECONDS], ["a"]), Struct({"a": UnixTimestamp})),
        (pa.ListArray.from_arrays([0, 1], NANOSECONDS), Array(UnixTimestamp)),
    ],
    ids=str,
)  # fmt: skip
def test_digits_and_nanoseconds_inside_are_not_rounded(tmp_path: Path, column, dtype) -> None:
    """Engines do so silently; a source that has more than is declared is refused."""
    times = pa.array([NOON - HOUR], pa.timestamp("us", "UTC"))
    rows = pa.table({"id": [1], "event_timestamp": times, "x": column})
    parquet.write_table(rows, tmp_path / "rows.parquet")
    config = RepoConfig(project="p", team="platform", registry="registry.db")
    store = FeatureStore(tmp_path, config=config, clock=lambda: NOON)
    view = FeatureView(
        name="v", entities=[Entity(name="id", value_type=Int64)],
        schema=[Field(name="x", dtype=dtype)], source=FileSource(path="rows.parquet"),
    )  # fmt: skip
    store.apply([view])
    asked = [{"id": 1, "event_timestamp": NOON}]
    with raises(SourceError, "'x'", "declared"):
        store.get_historical_features(asked, ["v"]).to_arrow()
    with raises(SourceError, "'x'", "declared"):
        store.materialize(NOON - 2 * HOUR, NOON)


def test_decimals_inside_that_lose_nothing_are_read(tmp_path: Path) -> None:
    values = pa.array([Exact(3)], pa.decimal128(6, 1))
    times = pa.array([NOON - HOUR], pa.timestamp("us", "UTC"))
    inside = pa.StructArray.from_arrays([values], ["a"])
    rows = pa.table({"id": [1], "event_timestamp": times, "x": inside})
    parquet.write_table(rows, tmp_path / "rows.parquet")
    config = RepoConfig(project="p", team="platform", registry="registry.db")
    store = FeatureStore(tmp_path, config=config, clock=lambda: NOON)
    fits = Struct({"a": Decimal(9, 2)})
    store.apply([FeatureView(
        name="v", entities=[Entity(name="id", value_type=Int64)],
        schema=[Field(name="x", dtype=fits)], source=FileSource(path="rows.parquet"),
    )])  # fmt: skip
    answer = store.get_historical_features([{"id": 1, "event_timestamp": NOON}], ["v"]).to_arrow()
    assert to_python(answer["x"]) == [{"a": Exact("3.00")}]


def test_a_map_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    twice = pa.MapArray.from_arrays(pa.array([0, 2], pa.int32()), ["a", "a"], ["1", "2"])
    times = pa.array([NOON - HOUR], pa.timestamp("us", "UTC"))
    parquet.write_table(
        pa.table({"id": [1], "event_timestamp": times, "x": twice}), tmp_path / "rows.parquet"
    )
    config = RepoConfig(project="p", team="platform", registry="registry.db")
    store = FeatureStore(tmp_path, config=config, clock=lambda: NOON)
    store.apply([FeatureView(
        name="v", entities=[Entity(name="id", value_type=Int64)],
        schema=[Field(name="x", dtype=Map)], source=FileSource(path="rows.parquet"),
    )])  # fmt: skip
    with raises(SchemaError, "twice"):
        store.materialize(NOON - 2 * HOUR, NOON)
    with raises(SchemaError, "twice"):
        store.get_historical_features([{"id": 1, "event_timestamp": NOON}], ["v"]).to_df()
    with raises(SchemaError, "twice"):
        store.write_to_online_store(
            "v", pa.table({"id": [1], "event_timestamp": times, "x": twice})
        )
    with raises(ValueError, "twice"):
        exact_array([[("a", "1"), ("a", "2")]], twice.type)


def test_types_are_as_deep_as_they_can_be_read_again() -> None:
    deepest = Int64
    for _ in range(100):
        deepest = Array(deepest)
    assert parse_type(str(deepest)) == deepest
    for deeper in (lambda: Array(deepest), lambda: Struct({"a": deepest})):
        with raises(ValueError, "100"):
            deeper()


@pytest.mark.parametrize("wrong", [["a"], 5, None, "a"])
def test_fields_of_a_struct_are_a_mapping(wrong: Any) -> None:
    with raises(ValueError, "Struct"):
        Struct(wrong)


def test_uuids_are_their_text(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    config = RepoConfig(project="p", team="platform", registry="registry.db")
    store = FeatureStore(tmp_path, config=config, clock=lambda: NOON)
    store.apply([FeatureView(
        name="v", entities=[Entity(name="id", value_type=ValueType.UUID)],
        schema=[Field(name="u", dtype=Uuid), Field(name="us", dtype=Array(Uuid)),
                Field(name="deep", dtype=Struct({"u": Uuid}))],
        source=PushSource(name="push", batch_source=FileSource(path="rows")),
    )])  # fmt: skip
    number = UUID("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11")
    for n, key in enumerate((number, str(number))):
        values = {"u": key, "us": [key, None], "deep": {"u": key}}
        row = {"id": key, "event_timestamp": NOON + n * HOUR, **values}
        store.push("push", [row], to=PushMode.ONLINE_AND_OFFLINE)
    text = str(number)
    expected = {"id": text, "u": text, "us": [text, None], "deep": {"u": text}}
    for key in (number, text):
        online = store.get_online_features(["v"], {"id": [key]})
        assert online.to_dict() == {name: [value] for name, value in expected.items()}
        asked = pd.DataFrame({"id": [key], "event_timestamp": [NOON]})
        [row] = store.get_historical_features(asked, ["v"]).to_arrow().to_pylist()
        assert {name: row[name] for name in expected} == expected
    store.delete_from_online_store("v", [{"id": number, "event_timestamp": NOON + 2 * HOUR}])
    assert store.get_online_features(["v:u"], {"id": [text]}).to_dict()["u"] == [None]


def test_nan_inside_of_structs_is_no_mismatch(tmp_path: Path) -> None:
    config = RepoConfig(project="p", team="platform", registry="registry.db")
    store = FeatureStore(tmp_path, config=config, clock=lambda: NOON)
    dtype = Struct({"a": Float64, "b": Array(Float64)})
    (tmp_path / "rows").mkdir()
    store.apply([FeatureView(
        name="v", entities=[Entity(name="id", value_type=Int64)],
        schema=[Field(name="s", dtype=dtype)],
        source=PushSource(name="push", batch_source=FileSource(path="rows")),
    )])  # fmt: skip
    row = {"id": 1, "event_timestamp": NOON, "s": {"a": math.nan, "b": [math.nan, 1.0]}}
    store.push("push", [row], to=PushMode.ONLINE_AND_OFFLINE)
    parity = store.verify_parity(["v"], {"id": [1]})
    assert (parity.rows, parity.mismatches) == (1, 0)
