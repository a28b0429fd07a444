"""Declared checks: what owners say of their rows, evaluated over a window."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tests_support import HOUR, NOON, raises

from feature_platform import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    PushSource,
    RequestSource,
    checks,
)
from feature_platform.cli import main
from feature_platform.definitions import from_json
from feature_platform.errors import DefinitionError, NotFoundError, RequestError
from feature_platform.offline import Histogram
from feature_platform.services.checking import js_distance, psi
from feature_platform.types import Array, Float64, Int64, String, UnixTimestamp

DAY = timedelta(days=1)
KEY = Entity(name="k", value_type=Int64)
PARITY = checks.Parity()
DRIFT = checks.Drift(feature="x", reference=DAY)


def view(fields: dict[str, tuple[Any, list[Any]]], *declared: Any, name: str = "v") -> FeatureView:
    schema = [Field(name=n, dtype=dtype, checks=c) for n, (dtype, c) in fields.items()]
    source = FileSource(name="rows", path="rows.parquet")
    return FeatureView(
        name=name, entities=[KEY], schema=schema, source=source, checks=list(declared)
    )


@pytest.fixture
def store(open_store, tmp_path: Path) -> FeatureStore:
    """A store over 48 hourly rows before noon; row `i` is `i` hours old."""
    count = 48
    frame = pd.DataFrame(
        {
            "k": range(count),
            "event_timestamp": [NOON - i * HOUR for i in range(count)],
            "n": pd.array([None if i % 4 == 0 else i for i in range(count)], dtype="Int64"),
            "x": [i / count for i in range(count)],
            "t": ["a" if i < 24 else "b" for i in range(count)],
        }
    )
    frame.to_parquet(tmp_path / "rows.parquet")
    return open_store()


def outcomes(
    store: FeatureStore, start: datetime | None = None, end: datetime | None = None
) -> dict[str, tuple[bool, float | None]]:
    return {r.check: (r.passed, r.value) for r in store.check(["v"], start, end)}


def test_fields_are_checked_over_all_rows(store: FeatureStore) -> None:
    fields = {
        "n": (Int64, [checks.NotNull(max_share=0.25), checks.Between(min=1, max=40)]),
        "x": (Float64, [checks.NotNull(), checks.Between(max=0.5)]),
        "t": (String, [checks.OneOf(values=["a"])]),
    }
    store.apply([KEY, view(fields)])

    assert outcomes(store, end=NOON + HOUR) == {
        "schema": (True, None),
        "n_not_null": (True, 0.25),
        "n_between": (False, 6 / 48),  # 41, 42, 43, 45, 46, 47
        "x_not_null": (True, 0.0),
        "x_between": (False, 23 / 48),
        "t_one_of": (False, 0.5),
    }


def test_a_window_is_half_open(store: FeatureStore) -> None:
    declared = checks.RowCount(min=24, max=24), checks.UniqueRows(), checks.Fresh(within=2 * HOUR)
    store.apply([KEY, view({"x": (Float64, [])}, *declared)])

    assert outcomes(store, NOON - 24 * HOUR, NOON) == {
        "schema": (True, None), "row_count": (True, 24), "unique_rows": (True, 0.0),
        "fresh": (True, 3600.0),
    }  # fmt: skip
    assert outcomes(store, NOON - 24 * HOUR, NOON + HOUR)["row_count"] == (False, 25)
    later = outcomes(store, NOON + HOUR, NOON + 5 * HOUR)
    assert later["row_count"] == (False, 0)
    assert later["fresh"] == (False, None)
    assert later["unique_rows"] == (True, 0.0)


def test_drift_compares_a_window_with_the_time_before(store: FeatureStore) -> None:
    declared = [
        checks.Drift(feature="x", reference=DAY),
        checks.Drift(feature="t", reference=DAY, method="js", max=0.9, severity="warn"),
    ]
    store.apply([KEY, view({"x": (Float64, []), "t": (String, [])}, *declared)])

    results = {r.check: r for r in store.check(["v"], NOON - 23 * HOUR, NOON + HOUR)}
    assert not results["drift_x"].passed
    assert results["drift_x"].value > 1
    assert results["drift_t"].value == pytest.approx(1.0)
    assert (results["drift_t"].passed, results["drift_t"].severity) == (False, "warn")
    histogram = results["drift_t"].histogram
    assert (histogram.labels, histogram.reference, histogram.window) == (
        ("a", "b"), (0, 24), (24, 0),
    )  # fmt: skip
    same = outcomes(store, NOON - 11 * HOUR, NOON + HOUR)
    assert same["drift_t"] == (True, pytest.approx(0.0, abs=0.6))


def test_a_source_that_lost_a_column_fails_its_schema_and_no_other_view(
    store: FeatureStore, tmp_path: Path
) -> None:
    other = FeatureView(
        name="w", entities=[KEY], schema=[Field(name="x", dtype=Float64)],
        source=FileSource(name="rows", path="rows.parquet"),
    )  # fmt: skip
    store.apply([KEY, view({"n": (Int64, [checks.NotNull()])}), other])
    pd.read_parquet(tmp_path / "rows.parquet").drop(columns="n").to_parquet(
        tmp_path / "rows.parquet"
    )

    results = {(r.view, r.check): r for r in store.check()}
    assert results.keys() == {("v", "schema"), ("w", "schema")}
    assert not results["v", "schema"].passed
    assert results["v", "schema"].blocking
    assert "'n'" in results["v", "schema"].message
    assert results["w", "schema"].passed


def test_views_without_history_have_nothing_to_check(store: FeatureStore) -> None:
    pushed = FeatureView(name="p", entities=[KEY], schema=[Field(name="x", dtype=Float64)],
                         source=PushSource(name="ps"))  # fmt: skip
    store.apply([KEY, pushed, view({"x": (Float64, [])})])

    assert {r.view for r in store.check()} == {"v"}
    with raises(NotFoundError, "'nope'"):
        store.check(["nope"])
    with raises(RequestError, "empty"):
        store.check(["v"], NOON, NOON)


def test_checks_are_registered_and_compared(store: FeatureStore) -> None:
    declared = view({"x": (Float64, [checks.Between(min=0)])}, checks.RowCount())
    store.apply([KEY, declared])
    assert store.get_feature_view("v") == declared
    assert from_json(declared.to_json()) == declared
    plain = view({"x": (Float64, [])})
    assert "checks" not in plain.to_json()  # what was registered before stays as it is
    [change] = store.plan([plain]).changes
    assert {name for name, *_ in change.differences()} == {"checks", "schema"}


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: Field(name="t", dtype=String, checks=[checks.Between(min=0)]), "between"),
        (lambda: Field(name="t", dtype=Float64, checks=[checks.OneOf(values=["a"])]), "one_of"),
        (lambda: Field(name="t", dtype=Int64, checks=[checks.OneOf(values=["a"])]), "'a'"),
        (lambda: Field(name="t", dtype=Int64, checks=[checks.OneOf(values=[])]), "values"),
        (lambda: Field(name="t", dtype=Int64, checks=[checks.NotNull()] * 2), "twice"),
        (lambda: Field(name="t", dtype=Int64, checks=[checks.RowCount()]), "checks"),
        (lambda: Field(name="t", dtype=Int64, checks=["not_null"]), "checks"),
        (checks.Between, "min"),
        (lambda: checks.Between(min=2, max=1), "min"),
        (lambda: checks.Between(min=float("nan")), "min"),
        (lambda: checks.Between(max=10**400), "max"),
        (lambda: checks.NotNull(max_share=1.5), "max_share"),
        (lambda: checks.RowCount(min=-1), "min"),
        (lambda: checks.Fresh(within=timedelta(0)), "within"),
        (lambda: checks.NotNull(severity="fatal"), "severity"),
        (lambda: view({"x": (Float64, [])}, checks.Drift(feature="y", reference=DAY)), "'y'"),
        (lambda: view({"x": (Array(Int64), [])}, DRIFT), "drift"),
        (lambda: view({"x": (UnixTimestamp, [])}, DRIFT), "drift"),
        (lambda: view({"x": (Float64, [])}, checks.NotNull()), "checks"),
    ],
)  # fmt: skip
def test_a_check_that_cannot_hold_is_refused_when_it_is_declared(build, named: str) -> None:
    with raises(DefinitionError, named):
        build()


def test_the_command_line_prints_results_and_fails_on_errors_only(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text("project: p\nregistry: r.db\n")
    rows = pd.DataFrame({"k": [1], "event_timestamp": [NOON], "x": [2.0]})
    rows.to_parquet(tmp_path / "rows.parquet")
    store = FeatureStore(tmp_path)

    def run(*arguments: str, severity: str) -> Any:
        bound = checks.Between(max=1, severity=severity)
        store.apply([KEY, view({"x": (Float64, [bound])})])
        return CliRunner().invoke(main, ["-C", str(tmp_path), "check", *arguments])

    assert run(severity="warn").exit_code == 0
    failed = run("v", severity="error")
    assert failed.exit_code == 1
    assert "x_between" in failed.output
    found = json.loads(run("--json", severity="error").stdout)
    assert [(r["check"], r["passed"]) for r in found] == [("schema", True), ("x_between", False)]


COUNTS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=12)


@given(COUNTS)
def test_drifts_are_symmetric_not_negative_and_zero_for_the_same(pairs) -> None:
    reference, window = ([pair[i] for pair in pairs] for i in (0, 1))
    if not sum(reference) or not sum(window):
        return
    labels = tuple(range(len(pairs)))
    there = Histogram(labels, tuple(reference), tuple(window))
    back = Histogram(labels, tuple(window), tuple(reference))
    for drift in (psi, js_distance):
        assert drift(there) == pytest.approx(drift(back), abs=1e-9)
        assert drift(there) >= 0
        assert drift(Histogram(labels, tuple(window), tuple(window))) == pytest.approx(0, abs=1e-9)
    assert js_distance(there) <= 1 + 1e-9


@pytest.fixture
def served(store: FeatureStore) -> FeatureStore:
    """The store with the view loaded."""
    store.apply([KEY, view({"x": (Float64, []), "t": (String, [])})])
    store.materialize(NOON - 3 * DAY, NOON)
    return store


def test_parity_of_a_service_is_checked_on_a_sample_of_its_keys(served: FeatureStore) -> None:
    declared = [checks.Parity(rows=10, max_share=0.2)]
    served.apply(FeatureService(name="s", features=["v"], checks=declared))
    [result] = [r for r in served.check() if r.view == "s"]
    assert (result.check, result.passed, result.value, result.rows) == ("parity", True, 0.0, 10)

    wrong = {"k": [*range(48)], "event_timestamp": [NOON] * 48, "x": [9.0] * 48, "t": ["a"] * 48}
    served.write_to_online_store("v", pd.DataFrame(wrong))
    [result] = served.check(["s"])
    assert not result.passed
    assert result.value is not None
    assert result.value >= 0.5
    for part in ("x", "9.0", "10"):
        assert part in result.message


def test_keys_of_several_tables_are_asked_side_by_side(served: FeatureStore, tmp_path) -> None:
    pairs = pd.DataFrame(
        {"k": [1, 2, 3], "p": ["a", "b", "c"], "event_timestamp": [NOON] * 3, "y": [1.0, 2.0, 3.0]}
    )
    pairs.to_parquet(tmp_path / "pairs.parquet")
    other = Entity(name="p", value_type=String)
    of_pairs = FeatureView(
        name="w",
        entities=[KEY, other],
        schema=[Field(name="y", dtype=Float64)],
        source=FileSource(name="pairs", path="pairs.parquet"),
    )
    service = FeatureService(name="s", features=["v", "w"], checks=[checks.Parity()])
    served.apply([other, of_pairs, service])
    served.materialize(NOON - 3 * DAY, NOON, ["w"])

    [result] = served.check(["s"])
    assert (result.passed, result.rows) == (True, 3)  # only keys that exist together


def test_parity_samples_all_keys(served: FeatureStore, tmp_path: Path) -> None:
    rows = pd.read_parquet(tmp_path / "rows.parquet")
    more = rows.assign(k=rows["k"] + 1000)  # as many that were never loaded, after the others
    pd.concat([rows, more]).to_parquet(tmp_path / "rows.parquet")
    served.apply(FeatureService(name="s", features=["v:x"], checks=[checks.Parity(rows=20)]))
    [result] = served.check(["s"])
    assert (result.passed, result.rows) == (False, 20)
    assert result.value is not None
    assert 0.1 < result.value < 0.9


def test_parity_of_views_without_keys_compares_one_row(served: FeatureStore, tmp_path) -> None:
    row = {"event_timestamp": [NOON - HOUR], "g": [5]}
    pd.DataFrame(row).to_parquet(tmp_path / "all.parquet")
    source = FileSource(name="all", path="all.parquet")
    of_all = FeatureView(name="w", schema=[Field(name="g", dtype=Int64)], source=source)
    served.apply([of_all, FeatureService(name="s", features=["w"], checks=[PARITY])])
    [result] = served.check(["s"])
    assert (result.passed, result.value) == (False, 1.0)  # it was not loaded

    served.materialize(NOON - DAY, NOON, ["w"])
    [result] = served.check(["s"])
    assert (result.passed, result.rows) == (True, 1)


def test_a_check_of_a_field_and_one_of_its_view_have_two_names() -> None:
    with raises(DefinitionError, "drift_a_not_null"):
        view(
            {"drift_a": (Float64, [checks.NotNull()]), "a_not_null": (Float64, [])},
            checks.Drift(feature="a_not_null", reference=DAY),
        )


@pytest.mark.parametrize("missing", ["request", "history", "rows"])
def test_parity_that_cannot_be_checked_fails_with_the_reason(
    served: FeatureStore, missing: str
) -> None:
    if missing == "request":
        on_demand = OnDemandFeatureView(
            name="o",
            sources=[RequestSource(name="r", schema=[Field(name="now", dtype=Float64)])],
            schema=[Field(name="z", dtype=Float64)],
            mode="sql",
            expressions={"z": "now + 1"},
        )
        served.apply([on_demand, FeatureService(name="s", features=["v", "o"], checks=[PARITY])])
    elif missing == "history":
        pushed = FeatureView(
            name="o",
            entities=[KEY],
            schema=[Field(name="z", dtype=Float64)],
            source=PushSource(name="p"),
        )
        served.apply([pushed, FeatureService(name="s", features=["o"], checks=[PARITY])])
    else:
        served.apply(FeatureService(name="s", features=["v"], checks=[PARITY]))
    window = (NOON - 900 * DAY, NOON - 800 * DAY) if missing == "rows" else ()
    [result] = served.check(["s"], *window)

    assert not result.passed
    assert {"request": "now", "history": "o", "rows": "no row"}[missing] in result.message


def test_a_service_keeps_its_checks_in_the_registry(served: FeatureStore) -> None:
    service = FeatureService(name="s", features=["v"], checks=[checks.Parity(rows=5)])
    served.apply(service)
    assert served.get_feature_service("s") == service
    assert from_json(service.model_dump_json()) == service
    with raises(DefinitionError, "parity"):
        FeatureService(name="s", features=["v"], checks=[checks.Parity(), checks.Parity(rows=2)])
    with raises(DefinitionError, "checks"):
        FeatureService(name="s", features=["v"], checks=[checks.RowCount()])
