"""On-demand views: the same values in training and in serving, and clear words when code fails."""

import json
import math
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from tests_support import HOUR, NOON, assert_names, raises

from feature_platform import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FieldStatus,
    OnDemandFeatureView,
    PushSource,
    RequestSource,
)
from feature_platform.errors import DefinitionError, RequestError, TransformationError
from feature_platform.types import (
    Array,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    Map,
    String,
    Struct,
    UnixTimestamp,
)  # fmt: skip

REQUEST = RequestSource(
    schema=[Field(name="extra", dtype=Float32), Field(name="at", dtype=UnixTimestamp)]
)
SCHEMA = [
    Field(name="total", dtype=Float32),
    Field(name="count", dtype=Int64),
    Field(name="label", dtype=String),
    Field(name="when", dtype=UnixTimestamp),
]
SOURCES = ["driver_stats:trips", "driver_stats:rate", REQUEST]


def by_row(inputs: dict[str, Any]) -> dict[str, Any]:
    trips, rate = inputs["trips"], inputs["rate"]
    known = trips is not None
    return {
        "total": trips * rate + inputs["extra"] if known else None,
        "count": trips + 1 if known else None,
        "label": f"{trips}" if known else None,
        "when": inputs["at"],
    }


def by_list(inputs: dict[str, list[Any]]) -> dict[str, list[Any]]:
    rows = [
        by_row(dict(zip(inputs, values, strict=True)))
        for values in zip(*inputs.values(), strict=True)
    ]
    return {field.name: [row[field.name] for row in rows] for field in SCHEMA}


def by_frame(inputs: pd.DataFrame) -> pd.DataFrame:
    trips = inputs["trips"].astype("Float64")
    return pd.DataFrame(
        {
            "total": trips * inputs["rate"] + inputs["extra"],
            "count": inputs["trips"] + 1,
            "label": inputs["trips"].astype("string"),
            "when": inputs["at"],
        }
    )


def view(function: Callable[..., Any], mode: str, name: str = "derived") -> OnDemandFeatureView:
    return OnDemandFeatureView(name=name, sources=SOURCES, schema=SCHEMA, mode=mode, udf=function)


MODES = [(by_row, "row"), (by_list, "python"), (by_frame, "pandas")]


@pytest.fixture
def store(platform: FeatureStore) -> FeatureStore:
    platform.materialize(NOON - 3 * HOUR, NOON)
    return platform


def rows(*drivers: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "driver_id": drivers,
            "event_timestamp": NOON,
            "extra": [0.1 * n for n in drivers],
            "at": NOON,
        }
    )


@pytest.mark.parametrize(("function", "mode"), MODES, ids=["row", "python", "pandas"])
def test_training_and_serving_give_the_same_values(store, function, mode) -> None:
    store.apply([view(function, mode), FeatureService(name="m", features=["derived"])])
    asked = rows(1, 2, 404)

    names = [field.name for field in SCHEMA]
    offline = store.get_historical_features(asked, "m").to_arrow().select(names)
    online = store.get_online_features("m", asked.drop(columns="event_timestamp")).to_arrow()

    assert online.select(offline.column_names).equals(offline)
    assert offline["count"].to_pylist() == [12, 21, None]
    assert offline["total"].to_pylist()[0] == pytest.approx(11 * 0.25 + 0.1, rel=1e-6)
    assert [str(f.type) for f in offline.schema] == [
        "float", "int64", "string", "timestamp[us, tz=UTC]",
    ]  # fmt: skip


def test_all_modes_agree(store: FeatureStore) -> None:
    store.apply([view(function, mode, f"by_{mode}") for function, mode in MODES])
    names = [f"by_{mode}" for _, mode in MODES]
    answer = store.get_historical_features(rows(1, 2, 404), names, full_feature_names=True)
    table = answer.to_arrow()

    for field in SCHEMA:
        columns = [table[f"{name}__{field.name}"] for name in names]
        assert columns[0].equals(columns[1])
        assert columns[0].equals(columns[2])


def test_only_what_was_asked_for_comes_back(store: FeatureStore) -> None:
    store.apply([view(by_row, "row")])

    offline = store.get_historical_features(rows(1), ["derived:count"]).to_arrow()
    online = store.get_online_features(["derived:count"], rows(1).drop(columns="event_timestamp"))
    assert offline.column_names == ["driver_id", "event_timestamp", "extra", "at", "count"]
    assert online.to_dict() == {"driver_id": [1], "count": [12]}
    assert online.statuses()["count"] == [FieldStatus.PRESENT]


def test_only_declared_columns_are_visible(store: FeatureStore) -> None:
    seen: list[set[str]] = []

    def spy(inputs: dict[str, Any]) -> dict[str, Any]:
        seen.append(set(inputs))
        return {"y": 1}

    spying = OnDemandFeatureView(
        name="spy", sources=["driver_stats:trips"], schema=[Field(name="y", dtype=Int64)], udf=spy
    )
    store.apply([spying], try_functions=False)
    store.get_historical_features(rows(1), ["spy", "driver_stats"]).to_arrow()

    assert seen == [{"trips"}]


def test_views_build_on_views(store: FeatureStore) -> None:
    def twice(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"double": None if inputs["count"] is None else 2 * inputs["count"]}

    second = OnDemandFeatureView(
        name="second",
        sources=["derived:count"],
        schema=[Field(name="double", dtype=Int64)],
        udf=twice,
    )
    store.apply([second, view(by_row, "row")])

    answer = store.get_online_features(["second"], rows(1, 404).drop(columns="event_timestamp"))
    assert answer.to_dict() == {"driver_id": [1, 404], "double": [24, None]}


def test_inputs_of_one_name_go_by_their_views_name(store: FeatureStore, driver_view) -> None:
    other = driver_view.model_copy(update={"name": "other"})

    def compare(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"same": int(inputs["driver_stats__trips"] == inputs["other__trips"])}

    compared = OnDemandFeatureView(
        name="compared",
        sources=["driver_stats:trips", "other:trips"],
        schema=[Field(name="same", dtype=Int64)],
        udf=compare,
    )
    store.apply([other, compared])

    assert store.get_historical_features(rows(1), ["compared"]).to_arrow()["same"][0].as_py() == 1


def test_a_function_sees_a_join_key_that_it_asks_for(store: FeatureStore) -> None:
    """As a request value of its name and type; there is one column for both."""
    key = RequestSource(name="key", schema=[Field(name="driver_id", dtype=Int64)])
    keyed = OnDemandFeatureView(
        name="keyed", sources=[key, "driver_stats:trips"], schema=[Field(name="y", dtype=Int64)],
        udf=lambda inputs: {"y": inputs["driver_id"] * 1000},
    )  # fmt: skip
    store.apply([keyed], try_functions=False)
    asked = [{"driver_id": 1}, {"driver_id": 404}]
    online = store.get_online_features(["keyed"], asked).to_dict()
    assert online == {"driver_id": [1, 404], "y": [1000, 404_000]}
    history = store.get_historical_features(rows(1, 404)[["driver_id", "event_timestamp"]],
                                            ["keyed"]).to_arrow()  # fmt: skip
    assert history["y"].to_pylist() == [1000, 404_000]


def test_a_missing_request_value_is_named_before_anything_runs(store: FeatureStore) -> None:
    store.apply([view(by_row, "row")])

    with raises(RequestError, "'extra'", "'derived'"):
        store.get_historical_features(rows(1).drop(columns="extra"), ["derived"])
    with raises(RequestError, "'at'", "'derived'"):
        store.get_online_features(["derived"], [{"driver_id": 1, "extra": 1.0}])
    with raises(RequestError, "'extra'", "'derived'", "string", "float"):
        store.get_online_features(["derived"], [{"driver_id": 1, "extra": "x", "at": NOON}])


def test_functions_are_tried_before_they_are_registered(store: FeatureStore) -> None:
    schema = [Field(name="y", dtype=Int64)]
    wrong: dict[str, tuple[str, Any]] = {
        "a key that is no input": ("row", lambda inputs: {"y": inputs["tripps"]}),
        "a column that is no input": ("pandas", lambda frame: frame[["tripps"]]),
        "no input of lists": ("python", lambda inputs: {"y": inputs["tripps"]}),
        "another output": ("row", lambda inputs: {"z": inputs["trips"]}),
        "another type": ("row", lambda inputs: {"y": "text"}),
        "a fraction": ("python", lambda inputs: {"y": [0.5 for _ in inputs["trips"]]}),
        "fewer rows": ("python", lambda inputs: {"y": inputs["trips"][1:]}),
        "no frame": ("pandas", lambda inputs: inputs["trips"]),
        "an exit": ("row", lambda _: sys.exit(1)),
    }
    for mode, function in wrong.values():
        view = OnDemandFeatureView(
            name="bad", sources=["driver_stats:trips"], schema=schema, mode=mode, udf=function
        )
        before = store.snapshot().version
        for call in (store.plan, store.apply):
            with raises(DefinitionError, "'bad'"):
                call([view])
        assert store.snapshot().version == before
        assert store.plan([view], try_functions=False)


def test_what_depends_on_values_is_registered(store: FeatureStore, caplog) -> None:
    picky = OnDemandFeatureView(
        name="picky", sources=["driver_stats:trips"], schema=[Field(name="y", dtype=Int64)],
        udf=only_large,
    )  # fmt: skip
    fares = {"yes": {"x": 1}}
    tables = {
        "row": lambda inputs: {"y": fares[f"zone {inputs['trips']}"]["x"]},
        "python": lambda inputs: {"y": [[5, 6][10 * n] for n in inputs["trips"]]},
        "pandas": lambda inputs: pd.DataFrame({"y": [fares[str(n)] for n in inputs["trips"]]}),
    }
    for mode, function in tables.items():
        store.apply([
            OnDemandFeatureView(
                name=f"table_{mode}", sources=["driver_stats:trips"], mode=mode, udf=function,
                schema=[Field(name=f"y_{mode}", dtype=Int64)],
            )
        ])  # fmt: skip
    assert len(caplog.records) == len(tables)
    caplog.clear()
    nested = OnDemandFeatureView(
        name="nested", sources=["picky"], schema=[Field(name="z", dtype=Int64)],
        udf=lambda inputs: {"z": inputs["y"] + 1},
    )  # fmt: skip
    store.apply([picky, nested])
    [warning] = [record.getMessage() for record in caplog.records]
    assert_names(warning, "'picky'", "ValueError", "test_on_demand.py")


def test_a_table_of_the_function_or_json_may_not_fit_the_samples(store, caplog) -> None:
    """What a frame of the function lacks, or JSON of another form, is no fault of the view."""
    table = pd.DataFrame({"c": [1.5]}, index=["zone"])
    asked = RequestSource(name="asked", schema=[Field(name="text", dtype=Json)])
    functions = {
        "frame": lambda inputs: {"y": table.loc[inputs["trips"], "c"]},
        "json": lambda inputs: {"y": json.loads(inputs["text"])["a"]["b"]},
        "guarded": guarded,
    }
    for name, function in functions.items():
        caplog.clear()
        store.apply([
            OnDemandFeatureView(
                name=name, sources=["driver_stats:trips", asked], udf=function,
                schema=[Field(name=f"y_{name}", dtype=Float64)],
            )
        ])  # fmt: skip
        assert [record.levelname for record in caplog.records] == ["WARNING"]


def guarded(inputs: dict[str, Any]) -> dict[str, Any]:
    with suppress(KeyError):
        inputs["not there"]
    return {"y_guarded": 1 / (inputs["trips"] - inputs["trips"])}


def endless(_: object) -> dict[str, Any]:
    value: list[Any] = []
    value.append(value)
    return {"y": value}


def deep(_: object) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _number in range(100_000):
        value = {"a": value}
    return {"y": value}


@pytest.mark.parametrize("dtype", [Int64, String, Array(Int64), Map, Struct({"a": Map})], ids=str)
@pytest.mark.parametrize("function", [endless, deep])
def test_a_result_without_end_is_refused(store: FeatureStore, function, dtype) -> None:
    """It would end the process of every reader."""
    bad = OnDemandFeatureView(
        name="bad", sources=["driver_stats:trips"], schema=[Field(name="y", dtype=dtype)],
        udf=function,
    )  # fmt: skip
    with raises(DefinitionError, "'bad'", "'y'"):
        store.apply([bad])
    store.apply([bad], try_functions=False)
    with raises(TransformationError, "'bad'", "'y'"):
        store.get_online_features(["bad"], [{"driver_id": 1}])
    with raises(TransformationError, "'bad'", "'y'"):
        store.get_historical_features(rows(1), ["bad"]).to_arrow()


def only_large(inputs: dict[str, Any]) -> dict[str, Any]:
    if inputs["trips"] < 10:
        raise ValueError("too few trips")
    return {"y": inputs["trips"]}


@pytest.mark.parametrize(
    ("mode", "function", "names"),
    [
        (
            "row",
            lambda i: 1 / 0,
            ["row 0", "driver_id=1", "ZeroDivisionError", Path(__file__).name],
        ),
        ("row", lambda i: [1], ["[1]", "'row'", "dict"]),
        ("row", lambda i: {"z": 1}, ["['z']", "'y'"]),
        ("row", lambda i: {"y": "text"}, ["'y'", "int64", "row 0", "driver_id=1", "string"]),
        ("row", lambda i: {"y": 1.5}, ["'y'", "int64", "row 0", "driver_id=1", "1.5"]),
        ("python", lambda i: {"y": [1, 2, 3]}, ["'y'", "3", "1"]),
        ("python", lambda i: [1], ["[1]", "'python'", "dict", "list"]),
        ("pandas", lambda i: {"y": [1]}, ["dict", "'pandas'", "DataFrame"]),
        ("pandas", lambda i: i[["trips"]], ["['trips']", "'y'"]),
    ],
)
def test_code_that_misbehaves_is_named(store, mode, function, names) -> None:
    bad = OnDemandFeatureView(
        name="bad",
        sources=["driver_stats:trips"],
        schema=[Field(name="y", dtype=Int64)],
        mode=mode,
        udf=function,
    )
    store.apply([bad], try_functions=False)

    with raises(TransformationError, "'bad'", "'platform'", *names):
        store.get_historical_features(rows(1), ["bad"]).to_arrow()
    with raises(TransformationError, "'bad'", "'platform'", *names):
        store.get_online_features(["bad"], [{"driver_id": 1}])


def fails_by_row(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"y": 1 // (inputs["trips"] - 20)}


def fails_by_list(inputs: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {"y": [1 // (trips - 20) for trips in inputs["trips"]]}


def fails_by_frame(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"y": [1 // (int(trips) - 20) for trips in inputs["trips"]]})


@pytest.mark.parametrize(
    ("mode", "function"),
    [("row", fails_by_row), ("python", fails_by_list), ("pandas", fails_by_frame)],
)
def test_an_error_names_the_row_its_keys_and_the_line(store, mode, function) -> None:
    view = OnDemandFeatureView(
        name="bad",
        sources=["driver_stats:trips"],
        schema=[Field(name="y", dtype=Int64)],
        mode=mode,
        udf=function,
    )
    store.apply([view])
    line = function.__code__.co_firstlineno + 1
    names = ["'bad'", "row 1", "driver_id=2", "ZeroDivisionError", f"{Path(__file__).name}:{line}"]

    with raises(TransformationError, *names):
        store.get_historical_features(rows(1, 2), ["bad"]).to_arrow()
    with raises(TransformationError, *names):
        store.get_online_features(["bad"], [{"driver_id": 1}, {"driver_id": 2}])


def test_float_outputs_are_rounded_once(store: FeatureStore) -> None:
    def third(inputs: dict[str, Any]) -> dict[str, float]:
        return {"narrow": 1 / 3, "wide": 1 / 3}

    thirds = OnDemandFeatureView(
        name="thirds",
        sources=["driver_stats:trips"],
        schema=[Field(name="narrow", dtype=Float32), Field(name="wide", dtype=Float64)],
        udf=third,
    )
    store.apply([thirds])

    answer = store.get_online_features(["thirds"], [{"driver_id": 1}]).to_dict()
    assert answer["wide"] == [1 / 3]
    assert answer["narrow"][0] != 1 / 3


def test_functions_that_look_alike_are_told_apart(store: FeatureStore) -> None:
    def make(name: str, function: Callable[..., Any]) -> OnDemandFeatureView:
        schema = [Field(name=name, dtype=Float64)]
        return OnDemandFeatureView(
            name=f"{name}_view", sources=["driver_stats:trips"], schema=schema, udf=function
        )

    views = [make("a", lambda i: {"a": 1.0}), make("b", lambda i: {"b": 2.0})]
    for name, value in (("c", 3.0), ("d", 4.0)):

        def one(inputs: dict[str, Any], name: str = name, value: float = value) -> dict[str, float]:
            return {name: value}

        views.append(make(name, one))
    store.apply(views)

    answer = store.get_online_features([v.name for v in views], [{"driver_id": 1}]).to_dict()
    assert [answer[name] for name in "abcd"] == [[1.0], [2.0], [3.0], [4.0]]


@pytest.mark.parametrize("mode", ["row", "python"])
def test_functions_cannot_change_other_values(open_store, mode: str) -> None:
    def spoil(inputs: dict[str, Any]) -> dict[str, Any]:
        if mode == "row":
            inputs["many"].clear()
            return {"n": 0}
        for values in inputs["many"]:
            values.clear()
        return {"n": [0] * len(inputs["many"])}

    def count(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"size": len(inputs["many"])}

    item = Entity(name="item", join_keys=["item_id"], value_type=Int64)
    source = PushSource(name="v_source")
    fields = [Field(name="many", dtype=Array(Int64))]
    store = open_store()
    store.apply([item, FeatureView(name="v", entities=[item], schema=fields, source=source)])
    store.apply(
        [
            OnDemandFeatureView(
                name="spoiling", sources=["v"], schema=[Field(name="n", dtype=Int64)], udf=spoil,
                mode=mode,
            ),
            OnDemandFeatureView(
                name="counting", sources=["v"], schema=[Field(name="size", dtype=Int64)], udf=count
            ),
        ]
    )  # fmt: skip
    store.push("v_source", pd.DataFrame(
        {"item_id": [1], "event_timestamp": [NOON], "many": [[3, 1, 2]]}))  # fmt: skip

    answer = store.get_online_features(["spoiling", "v", "counting"], [{"item_id": 1}]).to_dict()
    assert (answer["many"], answer["size"]) == ([[3, 1, 2]], [3])


def of_request(dtype: Any, function: Any) -> OnDemandFeatureView:
    return OnDemandFeatureView(
        name="od",
        sources=[RequestSource(schema=[Field(name="x", dtype=dtype)]), "driver_stats:trips"],
        schema=[Field(name="y", dtype=Float32)],
        udf=function,
    )


def test_what_overflows_is_refused_on_both_sides(platform: FeatureStore) -> None:
    platform.apply([of_request(Float32, lambda i: {"y": i["x"]})])
    asked = pa.table({"driver_id": [1], "event_timestamp": [NOON], "x": [1e39]})
    with raises(RequestError, "'x'", "'od'", "float"):
        platform.get_online_features(["od"], [{"driver_id": 1, "x": 1e39}])
    with raises(RequestError, "'x'", "'od'", "float"):
        platform.get_historical_features(asked, ["od"]).to_arrow()
    platform.apply([of_request(Float64, lambda i: {"y": 1e300})], try_functions=False)
    with raises(TransformationError, "'od'", "'y'", "float", "row 0", "driver_id=1"):
        platform.get_online_features(["od"], [{"driver_id": 1, "x": 1.0}])


def test_nan_in_a_request_is_the_same_on_both_sides(platform: FeatureStore) -> None:
    platform.apply([of_request(Float64, lambda i: {"y": 1.0 if i["x"] is None else 2.0})])
    rows = pa.table({"driver_id": [1], "x": [math.nan]})

    assert platform.get_online_features(["od"], rows).to_dict()["y"] == [2.0]
    assert platform.verify_parity(["od"], rows).features == {"y": 0}


PRODUCT: dict[str, Any] = {
    "row": lambda inputs: {"y": inputs["x"] * 4},
    "python": lambda inputs: {"y": [x * 4 for x in inputs["x"]]},
    "pandas": lambda frame: pd.DataFrame({"y": frame["x"] * 4}),
}


@pytest.mark.parametrize("mode", ["row", "python", "pandas", "sql"])
@pytest.mark.parametrize("value", [2**62, -(2**62), 2**61 + 1, 2**63 - 1])
def test_integers_that_overflow_are_refused_in_every_mode(
    open_store, mode: str, value: int
) -> None:
    """pandas itself wraps around: 2⁶² times 4 is 0."""
    store = open_store()
    computed = {"expressions": {"y": "x * 4"}} if mode == "sql" else {"udf": PRODUCT[mode]}
    source = RequestSource(schema=[Field(name="x", dtype=Int64)])
    fields = [Field(name="y", dtype=Int64)]
    view = OnDemandFeatureView(name="od", sources=[source], schema=fields, mode=mode, **computed)
    store.apply([view])

    with raises(TransformationError, "'od'"):
        store.get_online_features(["od"], [{"x": 1}, {"x": value}])
    rows = pa.table({"event_timestamp": [NOON], "x": [value]})
    with raises(TransformationError, "'od'"):
        store.get_historical_features(rows, ["od"]).to_arrow()
    fits = store.get_online_features(["od"], [{"x": 2**60 + 1}]).to_dict()["y"]
    assert fits == [2**62 + 4]


def test_functions_that_need_integers_keep_their_results(open_store) -> None:
    store = open_store()
    source = RequestSource(schema=[Field(name="x", dtype=Int64)])

    def low_bits(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"y": frame["x"] & 255, "z": (frame["x"] + 1) % 10})

    fields = [Field(name=name, dtype=Int64) for name in "yz"]
    store.apply([OnDemandFeatureView(name="od", sources=[source], schema=fields, mode="pandas",
                                     udf=low_bits)])  # fmt: skip

    answer = store.get_online_features(["od"], [{"x": 2**62 + 7}]).to_dict()
    assert (answer["y"], answer["z"]) == ([7], [(2**62 + 8) % 10])


@pytest.mark.parametrize("mode", ["row", "python", "pandas", "sql"])
@pytest.mark.parametrize(
    ("dtype", "value", "declared", "expected"),
    [
        (Int32, 2_000_000_000, Int64, 4_000_000_000),
        (Int32, -2_000_000_000, Int64, -4_000_000_000),
        (Float32, 16_777_216.0, Float64, 33_554_432.0),
        (Float32, 3.0e38, Float64, 2 * pa.scalar(3.0e38, pa.float32()).as_py()),
    ],
    ids=str,
)
def test_modes_compute_with_the_same_numbers(
    open_store, mode: str, dtype, value, declared, expected
) -> None:
    def double(given: Any) -> Any:
        if mode == "pandas":
            return pd.DataFrame({"o": given["n"] * 2})
        return {"o": [n * 2 for n in given["n"]] if mode == "python" else given["n"] * 2}

    store: FeatureStore = open_store()
    key = Entity(name="k", value_type=Int64)
    schema = [Field(name="n", dtype=dtype)]
    base = FeatureView(name="base", entities=[key], schema=schema, source=PushSource(name="p"))
    code = {"expressions": {"o": "n * 2"}} if mode == "sql" else {"udf": double}
    doubled = OnDemandFeatureView(
        name="doubled",
        sources=["base:n"],
        schema=[Field(name="o", dtype=declared)],
        mode=mode,
        **code,
    )
    store.apply([key, base, doubled])
    store.push("p", pd.DataFrame({"k": [1], "event_timestamp": [NOON], "n": [value]}))

    assert store.get_online_features(["doubled"], [{"k": 1}]).to_dict()["o"] == [expected]


def test_rows_that_a_function_puts_into_another_order_find_theirs(open_store) -> None:
    def sort(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.sort_values("asked").rename(columns={"asked": "answer"})[["answer"]]

    asked = RequestSource(name="request", schema=[Field(name="asked", dtype=Int64)])
    store = open_store()
    store.apply([OnDemandFeatureView(
        name="sorted", mode="pandas", sources=[asked], udf=sort,
        schema=[Field(name="answer", dtype=Int64)],
    )])  # fmt: skip
    answer = store.get_online_features(["sorted"], {"asked": [6, 5, 7]}).to_dict()
    assert answer["answer"] == [6, 5, 7]
    rows = {"asked": [6, 5, 7], "event_timestamp": [NOON] * 3}
    history = store.get_historical_features(rows, ["sorted"]).to_arrow()
    assert history["answer"].to_pylist() == [6, 5, 7]


@pytest.mark.parametrize("mode", ["row", "python", "pandas", "sql"])
def test_times_that_no_store_can_give_back_are_refused(store: FeatureStore, mode: str) -> None:
    def late(inputs: Any) -> Any:
        value = np.datetime64("20000-01-01")
        return pd.DataFrame({"u": pd.Series([value])}) if mode == "pandas" else {
            "u": value if mode == "row" else [value]
        }  # fmt: skip

    code: dict[str, Any] = {"udf": late}
    if mode == "sql":
        code = {"expressions": {"u": "TIMESTAMPTZ '9999-12-31 00:00:00+00' + INTERVAL 1 YEAR"}}
    field = Field(name="u", dtype=UnixTimestamp)
    late_view = OnDemandFeatureView(
        name="late", sources=["driver_stats:trips"], schema=[field], mode=mode, **code
    )
    store.apply([late_view], try_functions=False)
    with raises(TransformationError, "'late'", "'u'"):
        store.get_online_features(["late"], [{"driver_id": 1}])
    with raises(TransformationError, "'late'", "'u'"):
        store.get_historical_features(rows(1)[["driver_id", "event_timestamp"]], ["late"]).to_df()


def test_a_request_value_before_the_first_year_is_refused(store: FeatureStore) -> None:
    store.apply([view(by_row, "row")])
    asked = {"driver_id": [1], "extra": [1.0], "at": ["0001-01-01T00:00:00+14:00"]}
    with raises(RequestError, "'at'"):
        store.get_online_features(["derived"], asked)


@pytest.mark.parametrize("make", [set, frozenset, dict.fromkeys, lambda values: "abc"])
def test_what_is_not_in_the_order_of_rows_is_refused(store: FeatureStore, make: Any) -> None:
    field = Field(name="o", dtype=Int64)
    odd = OnDemandFeatureView(
        name="odd", sources=["driver_stats:trips"], schema=[field], mode="python",
        udf=lambda inputs: {"o": make(inputs["trips"])},
    )  # fmt: skip
    store.apply([odd], try_functions=False)
    with raises(TransformationError, "'odd'", "'o'"):
        store.get_online_features(["odd"], [{"driver_id": 1}])
