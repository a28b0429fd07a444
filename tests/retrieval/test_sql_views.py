"""On-demand views in mode `sql`: checked when declared, the same values everywhere, no code."""

import math
from contextlib import suppress

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests_support import HOUR, NOON, raises

from feature_platform import (
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    OnDemandFeatureView,
    PushSource,
    RequestSource,
)
from feature_platform.definitions import check_expressions
from feature_platform.errors import DefinitionError, RefusedError, TransformationError
from feature_platform.retrieval import sql_evaluator
from feature_platform.types import (
    Decimal,
    FeatureType,
    Float64,
    Int64,
    String,
    UnixTimestamp,
)

DERIVED = [("reference", "on-demand view 'derived'")]  # the one problem of a refused plan
REQUEST = RequestSource(schema=[Field(name="extra", dtype=Float64)])


@pytest.fixture
def store(platform: FeatureStore) -> FeatureStore:
    platform.materialize(NOON - 3 * HOUR, NOON)
    return platform


def sql_view(expressions: dict[str, str], dtype=Float64, **options) -> OnDemandFeatureView:
    options.setdefault("sources", ["driver_stats", REQUEST])
    schema = [Field(name=name, dtype=dtype) for name in expressions]
    return OnDemandFeatureView(
        name="derived", schema=schema, mode="sql", expressions=expressions, **options
    )


def asked(*drivers: int) -> pd.DataFrame:
    return pd.DataFrame({"driver_id": drivers, "event_timestamp": NOON, "extra": 0.5})


def test_training_and_serving_give_the_same_values(store: FeatureStore) -> None:
    view = sql_view({"ratio": "trips * rate / nullif(extra, 0)", "half": "trips * 0.5"})
    store.apply([view, FeatureService(name="m", features=["derived"])])
    rows = asked(1, 2, 404)

    offline = store.get_historical_features(rows, "m").to_arrow().select(["ratio", "half"])
    online = store.get_online_features("m", rows.drop(columns="event_timestamp")).to_arrow()
    assert online.select(["ratio", "half"]).equals(offline)
    assert offline.to_pydict() == {"ratio": [5.5, 30.0, None], "half": [5.5, 10.0, None]}


def test_other_teams_need_no_code(store: FeatureStore, open_store) -> None:
    team = open_store("risk")
    team.apply([sql_view({"ratio": "trips / extra"})])

    answer = open_store("growth").get_online_features(["derived"], asked(1).drop(
        columns="event_timestamp"))  # fmt: skip
    assert answer.to_dict()["ratio"] == [22.0]


def test_every_type_is_computed_in_its_own(store: FeatureStore) -> None:
    view = OnDemandFeatureView(
        name="typed",
        sources=["driver_stats", RequestSource(schema=[Field(name="at", dtype=UnixTimestamp)])],
        schema=[
            Field(name="label", dtype=String),
            Field(name="day", dtype=Int64),
            Field(name="whole", dtype=Int64),
            Field(name="later", dtype=UnixTimestamp),
        ],
        mode="sql",
        expressions={
            "label": "case when trips > 10 then 'many' else 'few' end",
            "day": 'day("at")',
            "whole": "trips + 1",
            "later": '"at" + interval 1 day',
        },
    )
    store.apply([view])
    answer = store.get_online_features(["typed"], [{"driver_id": 1, "at": NOON}]).to_dict()

    assert answer == {
        "driver_id": [1], "label": ["many"], "day": [1], "whole": [12], "later": [NOON + 24 * HOUR],
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "random()", "now()", "current_date", "(select 1)", "sum(trips)", "row_number() over ()",
        "read_csv('x')", "getenv('HOME')", "trips; drop table x", "trips) from x --", "*",
        "x.trips", "$1", "?", "1 from inputs", "trips /* c */", "list_transform(l, x -> x)", "a, b",
        "", "day(at)", "exists(select 1)", "uuid()", "columns('a')", "current_setting('threads')",
        "query('x')",
        "(" * 5000 + "1" + ")" * 5000, "trips " * 3000,
    ],
)  # fmt: skip
def test_what_is_more_than_a_value_of_the_row_is_refused(text: str) -> None:
    with raises(DefinitionError, "OnDemandFeatureView 'derived'", "expressions", "'y'"):
        sql_view({"y": text})


@settings(max_examples=300)
@given(st.text(alphabet="ab1()+*,;'\"-/ $?selctfrom", max_size=30))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    with suppress(ValueError):  # and nothing else
        check_expressions({"y": text})


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"mode": "sql"}, ["mode='sql'", "expressions"]),
        ({"mode": "row", "expressions": {"y": "1"}}, ["mode='sql'", "expressions"]),
        ({"mode": "sql", "expressions": {"z": "1"}}, ["expressions", "y"]),
        (
            {"mode": "sql", "expressions": {"y": "1"}, "udf": lambda i: i},
            ["mode='sql'", "expressions"],
        ),
    ],
)
def test_a_view_is_computed_in_one_way(arguments, names) -> None:
    def build(**computed) -> OnDemandFeatureView:
        fields = [Field(name="y", dtype=Int64)]
        return OnDemandFeatureView(name="v", sources=["a:b"], schema=fields, **computed)

    build(mode="sql", expressions={"y": "1"})
    build(mode="row", udf=lambda i: i)
    with raises(DefinitionError, "OnDemandFeatureView 'v'", *names):
        build(**arguments)


def test_columns_that_are_no_inputs_are_refused_when_applied(store: FeatureStore) -> None:
    for expression, *names in (("trip + 1", "'trip'", "'trips'"), ("driver_id + 1", "'driver_id'")):
        with raises(RefusedError, *names) as error:
            store.apply([sql_view({"y": expression})])
        assert [(p.rule, p.subject) for p in error.value.problems] == DERIVED


@pytest.mark.parametrize(
    ("text", "dtype", "names"),
    [
        ("trips || 'x'", Float64, ["VARCHAR", "Float64"]),
        ("trips > 1", Int64, ["BOOLEAN", "Int64"]),
        ("trips / 2", Decimal(9, 2), ["DOUBLE", "Decimal(9, 2)"]),
        ("upper(trips)", String, ["upper(BIGINT)"]),
        ("trips + interval 1 day", UnixTimestamp, ["+(BIGINT, INTERVAL)"]),
    ],
)
def test_an_expression_of_another_type_is_refused_when_applied(
    store: FeatureStore, text: str, dtype: FeatureType, names: list[str]
) -> None:
    with raises(RefusedError, "'y'", *names) as error:
        store.apply([sql_view({"y": text}, dtype)])
    assert [(p.rule, p.subject) for p in error.value.problems] == DERIVED


def test_an_expression_that_makes_a_list_is_refused_at_once() -> None:
    with raises(DefinitionError, "expressions", "'y'", "'[trips]'"):
        sql_view({"y": "[trips]"}, Int64)


def test_what_fails_names_the_view_and_the_entity(store: FeatureStore) -> None:
    store.apply([sql_view({"y": "cast('x' || trips as bigint)"}, Int64)])

    names = ["'derived'", "'platform'", "row 0", "driver_id=2", "ConversionException", "'x20'"]
    with raises(TransformationError, *names):
        store.get_online_features(["derived"], [{"driver_id": 2, "extra": 1.0}])
    with raises(TransformationError, *names):
        store.get_historical_features(asked(2), ["derived"]).to_arrow()


def test_the_evaluator_reaches_nothing_but_its_inputs() -> None:
    """A second fence, behind the check of the declaration."""
    import duckdb
    import pyarrow as pa

    from feature_platform.retrieval.sql_evaluator import SqlEvaluator

    for text, error, name in (
        ("read_text('/etc/hostname').content", duckdb.BinderException, '"read_text"'),
        ("(select count(*) from other)", duckdb.CatalogException, "other"),
    ):
        with raises(error, name):
            SqlEvaluator({"y": text}, {"y": pa.int64()})(pa.table({"a": [1]}))
    with raises(duckdb.InvalidInputException, "enable_external_access"):
        SqlEvaluator({"y": "1"}, {"y": pa.int64()})._db.execute("SET enable_external_access = true")


def test_special_floats_are_the_same_on_both_sides(store: FeatureStore) -> None:
    store.apply([sql_view({"y": "extra / (trips - 11)"})])
    rows = asked(1, 2).assign(extra=[1.0, -0.0])

    offline = store.get_historical_features(rows, ["derived"]).to_arrow()["y"].to_pylist()
    online = store.get_online_features(["derived"], rows.drop(columns="event_timestamp"))
    assert str(online.to_dict()["y"]) == str(offline)
    assert offline[0] is None or math.isinf(offline[0])


def test_inputs_that_sql_cannot_tell_apart_are_refused(store: FeatureStore, driver) -> None:
    views = [
        FeatureView(
            name=name, entities=[driver], schema=[Field(name=feature, dtype=Int64)],
            source=PushSource(name=f"{name}_source"),
        )
        for name, feature in (("v1", "Trips"), ("v2", "trips"))
    ]  # fmt: skip
    store.apply(views)

    with raises(RefusedError, "mode='sql'", "Trips, trips") as error:
        store.apply([sql_view({"y": "trips + 0"}, Int64, sources=["v1", "v2"])])
    assert [(p.rule, p.subject) for p in error.value.problems] == DERIVED


def nested(function: str, times: int) -> str:
    text = "label"
    for _ in range(times):
        text = function.format(text)
    return text


BOMBS = {
    "nested replacements": nested("replace({}, 'a', 'aaaaaaaaaaaaaaaa')", 8),
    "a replacement by itself": "replace(label, '', replace(label, 'a', repeat_me))",
    "many wildcards": "label like '%a%a%a%a%a%a%a%a%a%a%a%b'",
    "deep nesting": nested("upper({})", 100),
    "many parts": " + ".join(["trips"] * 600),
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_an_expression_cannot_ask_for_too_much(text: str) -> None:
    """Everybody's `plan` would pay for it."""
    with raises(DefinitionError, "expressions", "'y'"):
        OnDemandFeatureView(
            name="bomb",
            sources=["driver_stats"],
            schema=[Field(name="y", dtype=String)],
            mode="sql",
            expressions={"y": text},
        )


@pytest.mark.parametrize(
    "text",
    [
        "replace(replace(replace(label, '-', ''), ' ', ''), '+', '00')",
        "concat(label, '-', label)",
        "label like '%a%b%'",
        "case when trips > 1 then upper(trim(label)) else 'none' end",
    ],
)
def test_ordinary_text_functions_are_allowed(text: str) -> None:
    assert OnDemandFeatureView(
        name="text",
        sources=["driver_stats"],
        schema=[Field(name="y", dtype=String)],
        mode="sql",
        expressions={"y": text},
    ).is_complete


def test_an_evaluation_is_stopped_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sql_evaluator._SANDBOX, "max_execution_time", "250")
    counting = "select count(*) from range(1000000) a, range(1000000) b where a.range < b.range"
    slow = sql_evaluator.SqlEvaluator({"y": counting}, {"y": pa.int64()})
    with pytest.raises(TimeoutError):
        slow(pa.table({"label": ["a"]}))
