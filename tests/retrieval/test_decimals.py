"""Amounts of money: every digit from the source to the model, offline and online."""

from decimal import Decimal as Number
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from tests_support import HOUR, NOON, raises

from feature_platform import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    RequestSource,
)
from feature_platform.errors import (
    DefinitionError,
    RefusedError,
    RequestError,
    SchemaError,
    TransformationError,
)
from feature_platform.retrieval.on_demand import Step
from feature_platform.types import Array, Bool, Decimal, FeatureType, Float64, Int64, String

MONEY = Decimal(38, 2)
MOST = Number("9" * 36 + ".99")
AMOUNT = RequestSource(schema=[Field(name="amount", dtype=Decimal(9, 2))])
ASKED = pd.DataFrame({"account": [2, 1, 404], "amount": [Number("0.10"), Number(3), None]})


@pytest.fixture
def store(open_store, tmp_path: Path) -> FeatureStore:
    rows = {
        "account": [1, 2],
        "event_timestamp": pa.array([NOON - HOUR] * 2, pa.timestamp("us", "UTC")),
        "balance": pa.array([MOST, Number("0.30")], pa.decimal128(38, 2)),
        "parts": pa.array([[Number("1.10"), None], None], pa.list_(pa.decimal128(9, 2))),
    }
    parquet.write_table(pa.table(rows), tmp_path / "balances.parquet")
    account = Entity(name="account", value_type=Int64)
    fields = [Field(name="balance", dtype=MONEY), Field(name="parts", dtype=Array(Decimal(9, 2)))]
    source = FileSource(name="balances_source", path="balances.parquet")
    view = FeatureView(name="balances", entities=[account], schema=fields, source=source)
    opened: FeatureStore = open_store()
    opened.apply([account, source, view])
    opened.materialize(NOON - 2 * HOUR, NOON)
    return opened


def after_row(inputs):
    known = None not in inputs.values()
    return {"after": inputs["balance"] - inputs.get("amount", 1) if known else None}


def after_python(inputs):
    rows = [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]
    return {"after": [after_row(row)["after"] for row in rows]}


def after_pandas(frame):
    return pd.DataFrame({"after": [after_row(row)["after"] for row in frame.to_dict("records")]})


UDFS = {"row": after_row, "python": after_python, "pandas": after_pandas}
MODES = (*UDFS, "sql")


def after(mode: str, expression: str, sources: list, **options) -> OnDemandFeatureView:
    code = {"udf": UDFS[mode]} if mode in UDFS else {"expressions": {"after": expression}}
    schema = [Field(name="after", dtype=MONEY)]
    return OnDemandFeatureView(
        name="less", sources=sources, mode=mode, schema=schema, **code, **options
    )


def test_served_as_loaded(store: FeatureStore) -> None:
    answer = store.get_online_features("balances", [{"account": 1}, {"account": 2}])

    assert answer.to_dict() == {
        "account": [1, 2], "balance": [MOST, Number("0.30")],
        "parts": [[Number("1.10"), None], None],
    }  # fmt: skip
    assert answer.to_arrow().schema.field("balance").type == pa.decimal128(38, 2)
    assert list(answer.to_df()["balance"]) == [MOST, Number("0.30")]


@pytest.mark.parametrize("mode", MODES)
def test_on_demand_views_compute_them_the_same_everywhere(store: FeatureStore, mode: str) -> None:
    store.apply([after(mode, "balance - amount", ["balances:balance", AMOUNT])])
    features = ["less:after", "balances:balance"]
    online = store.get_online_features(features, ASKED).to_arrow()
    rows = ASKED.assign(event_timestamp=NOON)
    offline = store.get_historical_features(rows, features).to_arrow()

    assert online["after"].to_pylist() == [Number("0.20"), Number("9" * 35 + "6.99"), None]
    assert online.select(["after", "balance"]).equals(offline.select(["after", "balance"]))
    assert store.verify_parity(features, ASKED).mismatches == 0


@pytest.mark.parametrize("mode", MODES)
def test_answers_are_stored_with_every_digit(
    store: FeatureStore, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = after(mode, "balance - 1", ["balances:balance"], write_to_online_store=True)
    store.apply([view])
    store.materialize(NOON - 2 * HOUR, NOON)
    monkeypatch.setattr(Step, "lists", None)  # nothing is computed when asked
    asked = [{"account": 1}, {"account": 2}]

    assert store.get_online_features(["less"], asked).to_dict()["after"] == [
        Number("9" * 35 + "8.99"), Number("-0.70"),
    ]  # fmt: skip


def test_text_and_whole_numbers_are_taken_and_floats_are_not(store: FeatureStore) -> None:
    store.apply([after("row", "", ["balances:balance", AMOUNT])])
    asked = [{"account": 2, "amount": "0.05"}, {"account": 2, "amount": 1}]

    assert store.get_online_features(["less"], asked).to_dict()["after"] == [
        Number("0.25"), Number("-0.70"),
    ]  # fmt: skip
    for wrong, *names in (
        (0.05, "0.05", "float"),
        ("0.005", "'0.005'", "2"),
        (Number("NaN"), "Decimal('NaN')"),
        ("cheap", "'cheap'"),
        (10**7, "10000000", "7"),
    ):
        with raises(RequestError, "'amount'", "decimal128(9, 2)", "'less'", *names):
            store.get_online_features(["less"], [{"account": 2, "amount": wrong}])
    rows = {"account": [3], "event_timestamp": [NOON], "balance": [0.1], "parts": [None]}
    with raises(
        SchemaError, "'balances'", "'balance'", "row 0", "0.1", "decimal128(38, 2)", "double"
    ):
        store.write_to_online_store("balances", pd.DataFrame(rows))
    store.write_to_online_store("balances", pd.DataFrame(rows | {"balance": ["0.1"]}))
    answer = store.get_online_features(["balances:balance"], [{"account": 3}]).to_dict()
    assert answer["balance"] == [Number("0.10")]


def test_an_output_that_would_lose_digits_is_an_error(store: FeatureStore) -> None:
    halves = OnDemandFeatureView(
        name="halves", sources=["balances"], mode="sql",
        schema=[Field(name="more", dtype=Decimal(4, 2)), Field(name="ratio", dtype=Float64)],
        expressions={"more": "balance + 1", "ratio": "balance / 2"},
    )  # fmt: skip
    store.apply([halves])
    store.write_to_online_store(
        "balances",
        pd.DataFrame(
            {"account": [5, 6], "event_timestamp": NOON, "balance": ["0.30", "99"], "parts": None}
        ),
    )

    answer = store.get_online_features(["halves"], [{"account": 5}]).to_dict()
    assert (answer["more"], answer["ratio"]) == ([Number("1.30")], [0.15])
    names = ["'halves'", "'more'", "decimal128(4, 2)", "row 0", "account=6", "100", "2"]
    with raises(TransformationError, *names):
        store.get_online_features(["halves"], [{"account": 6}])


@pytest.mark.parametrize(
    ("expression", "dtype", "refusal"),
    [
        ("balance - 1", Int64, "DECIMAL(38,2)"),  # it would go through a float
        ("cast(balance as decimal(38, 0))", Int64, None),
        ("balance * 0.015", MONEY, "DECIMAL(38,5)"),
        ("coalesce(balance, 0.005)", MONEY, "DECIMAL(38,2)"),
        ("coalesce(balance, 0.005)", Decimal(38, 3), "38"),  # 39 digits, which DuckDB has not
        ("coalesce(cast(balance as decimal(18, 2)), 0.005)", Decimal(38, 3), None),
        ("cast(balance * 0.015 as decimal(38, 2))", MONEY, None),
        ("account_name", Decimal(9, 2), "VARCHAR"),
        ("balance - 1", Float64, None),
        ("balance > 1", MONEY, "BOOLEAN"),
    ],
)
def test_expressions_deliver_the_digits_that_are_declared(
    store: FeatureStore, expression: str, dtype: FeatureType, refusal: str | None
) -> None:
    request = RequestSource(schema=[Field(name="account_name", dtype=String)])
    view = OnDemandFeatureView(
        name="y", sources=["balances:balance", request], schema=[Field(name="y", dtype=dtype)],
        mode="sql", expressions={"y": expression},
    )  # fmt: skip
    asked = [{"account": 2, "account_name": "1.50"}]
    if refusal is None:
        store.apply([view])
        assert store.get_online_features(["y"], asked).to_dict()["y"][0] is not None
        return
    declared = [] if refusal == "38" else [dtype]  # no type has the digits it needs
    with raises(RefusedError, "expressions", "'y'", refusal, *declared) as error:
        store.apply([view])
    assert [(p.rule, p.subject) for p in error.value.problems] == [
        ("reference", "on-demand view 'y'")
    ]


def test_whole_decimals_become_integers_exactly(store: FeatureStore) -> None:
    view = OnDemandFeatureView(
        name="y", sources=["balances:balance"], schema=[Field(name="y", dtype=Int64)], mode="sql",
        expressions={"y": "cast(balance as decimal(38, 0))"},
    )  # fmt: skip
    store.apply([view])
    frame = {"account": [7, 8], "event_timestamp": NOON, "balance": [str(2**53 + 1), "1e20"]}
    store.write_to_online_store("balances", pd.DataFrame(frame | {"parts": None}))

    assert store.get_online_features(["y"], [{"account": 7}]).to_dict()["y"] == [2**53 + 1]
    with raises(TransformationError, "'y'", "row 0", "account=8"):
        store.get_online_features(["y"], [{"account": 8}])


@pytest.mark.parametrize("mode", UDFS)
def test_functions_compute_with_all_digits(store: FeatureStore, mode: str) -> None:
    """Python's own context has 28 digits, whatever the outputs are."""

    def row(inputs):
        known = inputs["balance"] is not None
        return {
            "below": known and inputs["balance"] - 1 < inputs["balance"],
            "text": str(inputs["balance"] + Number("0.001")) if known else None,
        }

    def python(inputs):
        found = [row({"balance": value}) for value in inputs["balance"]]
        return {name: [one[name] for one in found] for name in ("below", "text")}

    def pandas(frame):
        return pd.DataFrame(python({"balance": list(frame["balance"])}))

    schema = [Field(name="below", dtype=Bool), Field(name="text", dtype=String)]
    udf = {"row": row, "python": python, "pandas": pandas}[mode]
    store.apply([
        OnDemandFeatureView(
            name="y", sources=["balances:balance"], schema=schema, mode=mode, udf=udf
        )
    ])  # fmt: skip
    answer = store.get_online_features(["y"], [{"account": 1}]).to_dict()
    assert (answer["below"], answer["text"]) == ([True], ["9" * 36 + ".991"])


def test_arrays_of_nothing_but_nulls_pass_through_sql(store: FeatureStore) -> None:
    view = OnDemandFeatureView(
        name="y", sources=["balances:parts"], schema=[Field(name="y", dtype=Array(Decimal(9, 2)))],
        mode="sql", expressions={"y": "parts"},
    )  # fmt: skip
    store.apply([view])

    answer = store.get_online_features(["y"], [{"account": 2}, {"account": 404}]).to_dict()
    assert answer["y"] == [None, None]
    [[first, second]] = store.get_online_features(["y"], [{"account": 1}]).to_dict()["y"]
    assert (first, second) == (Number("1.10"), None)


def test_the_row_of_a_wrong_value_is_named(store: FeatureStore) -> None:
    store.apply([after("row", "", ["balances:balance", AMOUNT])])
    asked = [{"account": 2, "amount": 1}, {"account": 2, "amount": 12.34}]
    with raises(RequestError, "'amount'", "decimal128(9, 2)", "row 1", "12.34", "float"):
        store.get_online_features(["less"], asked)
    asked[1]["amount"] = "12.345"
    with raises(RequestError, "'amount'", "decimal128(9, 2)", "row 1", "'12.345'", "2 "):
        store.get_online_features(["less"], asked)
    frame = {"account": [3, 4], "event_timestamp": NOON, "balance": ["1", "0.005"], "parts": None}
    with raises(SchemaError, "'balances'", "'balance'", "row 1", "'0.005'", "2 "):
        store.write_to_online_store("balances", pd.DataFrame(frame))


def test_huge_values_make_short_messages(store: FeatureStore) -> None:
    store.apply([after("row", "", ["balances:balance", AMOUNT])])
    for huge in ("9" * 1_000_000, 10**5000):
        asked = [{"account": 2, "amount": 1}, {"account": 2, "amount": huge}]
        with raises(RequestError, "'amount'", "decimal128(9, 2)", "row 1") as refused:
            store.get_online_features(["less"], asked)
        assert len(str(refused.value)) < 400
    frame = {"account": [3], "event_timestamp": NOON, "balance": ["9" * 1_000_000], "parts": None}
    with raises(SchemaError, "'balances'", "'balance'", "row 0") as kept_out:
        store.write_to_online_store("balances", pd.DataFrame(frame))
    assert len(str(kept_out.value)) < 400


def test_times_beyond_python_are_an_error_of_ours(store: FeatureStore) -> None:
    far = pa.array([2**62], pa.timestamp("s"))
    rows = pa.table({"account": [1], "event_timestamp": far, "balance": ["1"],
                     "parts": pa.nulls(1)})  # fmt: skip
    with raises(SchemaError, "'balances'", "'event_timestamp'"):
        store.write_to_online_store("balances", rows)


def test_a_decimal_is_no_key(store: FeatureStore) -> None:
    with raises(DefinitionError, "Entity 'price'", "value_type", "Decimal(9, 2)"):
        Entity(name="price", value_type=Decimal(9, 2))
    entity = Entity(name="price")
    fields = [Field(name="price", dtype=Decimal(9, 2)), Field(name="x", dtype=Int64)]
    source = FileSource(name="balances_source", path="balances.parquet")
    view = FeatureView(name="by_price", entities=[entity], schema=fields, source=source)
    with raises(RefusedError, "'price'", "Decimal(9, 2)") as error:
        store.apply([entity, view])
    assert [(p.rule, p.subject) for p in error.value.problems] == [
        ("reference", "feature view 'by_price'")
    ]
