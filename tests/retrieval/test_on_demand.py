"""On-demand views: the same values in training and in serving, and clear words when code fails."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests_support import HOUR, NOON, raises

from feature_platform import (
    FeatureService,
    FeatureStore,
    Field,
    FieldStatus,
    OnDemandFeatureView,
    RequestSource,
)
from feature_platform.errors import RequestError, TransformationError
from feature_platform.types import Float32, Float64, Int64, String, UnixTimestamp

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
    store.apply([spying])
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


def test_a_missing_request_value_is_named_before_anything_runs(store: FeatureStore) -> None:
    store.apply([view(by_row, "row")])

    with raises(RequestError, "'extra'", "'derived'"):
        store.get_historical_features(rows(1).drop(columns="extra"), ["derived"])
    with raises(RequestError, "'at'", "'derived'"):
        store.get_online_features(["derived"], [{"driver_id": 1, "extra": 1.0}])
    with raises(RequestError, "'extra'", "'derived'", "string", "float"):
        store.get_online_features(["derived"], [{"driver_id": 1, "extra": "x", "at": NOON}])


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
    store.apply([bad])

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


VIEWS = """
from feature_platform import Field, OnDemandFeatureView
from feature_platform.types import Float64

FACTOR = 2

@OnDemandFeatureView(sources=["driver_stats:trips"], schema=[Field(name="y", dtype=Float64)])
def risk_factor(inputs):
    return {"y": inputs["trips"] * FACTOR}
"""


def write_team(folder: Path, views: str = VIEWS) -> Path:
    repo = folder / "risk"
    repo.mkdir(exist_ok=True)
    (repo / "feature_store.yaml").write_text(
        "project: shop\nteam: risk\nregistry: ../registry.db\n"
        "online_store: {type: sqlite, path: ../online.db}\n"
        "offline_store: {type: duckdb, root: ..}\n"
    )
    (repo / "on_demand_views.py").write_text(views)
    return repo


def test_another_process_imports_the_code_from_the_owners_repo(store, tmp_path: Path) -> None:
    repo = write_team(tmp_path)
    FeatureStore(repo).apply()

    fresh = FeatureStore(repo, clock=lambda: NOON)
    answer = fresh.get_online_features(["risk_factor"], [{"driver_id": 1}])
    assert answer.to_dict()["y"] == [22.0]


def test_code_that_is_not_what_was_registered_is_not_run(store, tmp_path: Path) -> None:
    repo = write_team(tmp_path)
    FeatureStore(repo).apply()
    write_team(tmp_path, VIEWS.replace("FACTOR = 2", "FACTOR = 3"))

    fresh = FeatureStore(repo, clock=lambda: NOON)
    with raises(TransformationError, "on_demand_views:risk_factor", "'risk'") as error:
        fresh.get_online_features(["risk_factor"], [{"driver_id": 1}])
    assert "repos" not in str(error.value)  # it was not looked for in vain


def test_code_of_another_repo_is_asked_for_by_name(store, tmp_path: Path, open_store) -> None:
    FeatureStore(write_team(tmp_path)).apply()

    with raises(TransformationError, "'risk_factor'", "'risk'", "repos: {risk: ../risk}"):
        open_store().get_online_features(["risk_factor"], [{"driver_id": 1}])


def test_code_of_another_repo_is_found_where_the_settings_say(store, tmp_path: Path) -> None:
    """Both repos have a module of the same name, as repos made from one template do."""
    FeatureStore(write_team(tmp_path)).apply()
    growth = tmp_path / "growth"
    growth.mkdir()
    settings = (tmp_path / "risk" / "feature_store.yaml").read_text()
    (growth / "feature_store.yaml").write_text(
        settings.replace("team: risk", "team: growth\nrepos: {risk: ../risk}")
    )
    (growth / "on_demand_views.py").write_text("FACTOR = 1\n")

    mine = FeatureStore(growth, clock=lambda: NOON)
    answer = mine.get_online_features(["risk_factor"], [{"driver_id": 1}])
    assert answer.to_dict()["y"] == [22.0]


def test_many_threads_may_need_the_code_at_once(store, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    repo = write_team(tmp_path)
    FeatureStore(repo).apply()
    fresh = FeatureStore(repo, clock=lambda: NOON)

    def ask(_: int) -> list[float]:
        return fresh.get_online_features(["risk_factor"], [{"driver_id": 1}]).to_dict()["y"]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(64))) == [[22.0]] * 64


def test_listing_and_planning_never_run_code(store, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    bomb = VIEWS.replace(
        "FACTOR = 2", f"FACTOR = 2\nimport pathlib\npathlib.Path({str(marker)!r}).touch()"
    )
    FeatureStore(write_team(tmp_path, bomb)).apply()
    marker.unlink()

    store.list_on_demand_feature_views()
    store.plan([], partial=False)
    store.get_on_demand_feature_view("risk_factor")
    assert not marker.exists()


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


def test_a_module_that_no_longer_imports_is_named(store, tmp_path: Path) -> None:
    repo = write_team(tmp_path)
    FeatureStore(repo).apply()
    write_team(tmp_path, VIEWS + "1 / 0\n")

    with raises(TransformationError, "'risk_factor'", "'on_demand_views'", "ZeroDivisionError"):
        FeatureStore(repo, clock=lambda: NOON).get_online_features(
            ["risk_factor"], [{"driver_id": 1}]
        )
