"""One schema per team: platform and team share a registry and a database, and write apart."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests_support import HOUR, NOON

from feature_platform import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    OnDemandFeatureView,
    PushMode,
    PushSource,
    RequestSource,
    SnowflakeSource,
)
from feature_platform.types import Float32, Int64, String

YAML = """
project: my_feast_project
registry: {registry}
provider: aws
team: {team}
online_store:
    type: dynamodb
    region: us-west-2
    endpoint_url: {dynamodb}
offline_store:
    type: snowflake
    account: my_account
    user: me
    password: ${{FP_TEST_PASSWORD}}
    database: {database}
    schema: {schema}
    warehouse: FEAST_WH
    host: 127.0.0.1
    port: {port}
    protocol: http
    network_timeout: 30
"""


@OnDemandFeatureView(
    sources=[
        "customer_features:total_purchases",
        RequestSource(schema=[Field(name="cart", dtype=Float32)]),
    ],
    schema=[Field(name="propensity", dtype=Float32)],
)
def marketing_propensity(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"propensity": (inputs["total_purchases"] or 0) * 0.5 + inputs["cart"]}


@pytest.fixture
def stores(
    snowflake: dict[str, Any],
    aws: None,
    s3_endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, FeatureStore]:
    from snowflake import connector

    monkeypatch.setenv("FP_TEST_PASSWORD", "secret")
    with connector.connect(**{**snowflake, "database": "SHOP_DB"}) as connection:
        cursor = connection.cursor()
        for schema in ("PLATFORM", "TEAM_A", "RAW"):
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS SHOP_DB.{schema}")
        cursor.execute(
            "CREATE OR REPLACE TABLE SHOP_DB.RAW.CUSTOMER_FEATURES (CUSTOMER_ID VARCHAR, "
            "EVENT_TIMESTAMP TIMESTAMP_NTZ, TOTAL_PURCHASES NUMBER(38, 0), AVG_ORDER_VALUE FLOAT)"
        )
        cursor.execute(
            "INSERT INTO SHOP_DB.RAW.CUSTOMER_FEATURES SELECT 'C123', '2026-01-01 11:00:00'"
            "::TIMESTAMP_NTZ, 9007199254740993, 125.5"
        )
    found = {}
    for team, schema in (("platform", "PLATFORM"), ("team_a", "TEAM_A")):
        folder = tmp_path / team
        folder.mkdir()
        registry = tmp_path / "registry.db"
        text = YAML.format(
            registry=registry,
            team=team,
            schema=schema,
            database="SHOP_DB",
            port=snowflake["port"],
            dynamodb=s3_endpoint,
        )
        (folder / "feature_store.yaml").write_text(text)
        found[team] = FeatureStore(folder, clock=lambda: NOON)
    return found


def tables(snowflake: dict[str, Any]) -> dict[str, set[str]]:
    """Return schema → tables."""
    from snowflake import connector

    with connector.connect(**{**snowflake, "database": "SHOP_DB"}) as connection:
        rows = connection.cursor().execute(
            "SELECT table_schema, table_name FROM SHOP_DB.information_schema.tables"
        )
        found: dict[str, set[str]] = {"PLATFORM": set(), "TEAM_A": set(), "RAW": set()}
        for schema, name in rows.fetchall():
            found.setdefault(schema, set()).add(name)
    return found


def test_each_team_reads_what_is_shared_and_writes_its_own_schema(
    stores: dict[str, FeatureStore], snowflake: dict[str, Any]
) -> None:
    customer = Entity(name="customer_id", join_keys=["customer_id"], value_type=String)
    source = SnowflakeSource(
        database="SHOP_DB", schema="RAW", table="CUSTOMER_FEATURES",
        timestamp_field="event_timestamp",
    )  # fmt: skip
    view = FeatureView(
        name="customer_features",
        entities=[customer],
        schema=[
            Field(name="total_purchases", dtype=Int64),
            Field(name="avg_order_value", dtype=Float32),
        ],
        source=source,
    )
    stores["platform"].apply([customer, source, view], partial=False)
    service = FeatureService(
        name="team_a_model", features=["customer_features", "marketing_propensity"]
    )
    stores["team_a"].apply([marketing_propensity, service])
    asked = pd.DataFrame(
        {"customer_id": ["C123", "C9"], "event_timestamp": [NOON, NOON], "cart": [150.0, 1.0]}
    )
    before = tables(snowflake)
    answer = stores["team_a"].get_historical_features(asked, "team_a_model").to_arrow()

    assert answer["total_purchases"].to_pylist() == [9007199254740993, None]
    assert answer["avg_order_value"].to_pylist() == [125.5, None]
    assert answer["propensity"].to_pylist()[1] == 1.0
    assert tables(snowflake) == before  # what was uploaded is gone

    # Loaded from Snowflake into DynamoDB by the platform, served to the team.
    assert stores["platform"].materialize(NOON - 2 * HOUR, NOON) == {"customer_features": 1}
    rows = [{"customer_id": "C123", "cart": 150.0}, {"customer_id": "C9", "cart": 1.0}]
    served = stores["team_a"].get_online_features("team_a_model", rows).to_arrow()
    assert served["total_purchases"].to_pylist() == [9007199254740993, None]
    assert served["propensity"].equals(answer["propensity"])

    job = stores["team_a"].get_historical_features(asked, ["customer_features"])
    job.to_snowflake("TRAINING_SET")
    after = tables(snowflake)
    assert after["TEAM_A"] - before["TEAM_A"] == {"TRAINING_SET"}
    assert (after["PLATFORM"], after["RAW"]) == (before["PLATFORM"], before["RAW"])


def test_an_unqualified_table_is_the_schemas_own(
    stores: dict[str, FeatureStore], snowflake: dict[str, Any]
) -> None:
    from snowflake import connector

    with connector.connect(**{**snowflake, "database": "SHOP_DB"}) as connection:
        for number, schema in enumerate(("PLATFORM", "TEAM_A")):
            connection.cursor().execute(
                f"CREATE OR REPLACE TABLE SHOP_DB.{schema}.SCORES AS SELECT 'a' AS ID, "
                f"'2026-01-01 11:00:00'::TIMESTAMP_NTZ AS EVENT_TIMESTAMP, {number} AS X"
            )
    entity = Entity(name="id", value_type=String)
    scores = SnowflakeSource(name="scores", table="SCORES")
    view = FeatureView(
        name="scored",
        entities=[entity],
        schema=[Field(name="x", dtype=Int64)],
        source=PushSource(name="events", batch_source=scores),
    )
    stores["platform"].apply([entity, view])
    asked = pd.DataFrame({"id": ["a"], "event_timestamp": [NOON]})

    def x(team: str) -> list[int]:
        answer = stores[team].get_historical_features(asked, ["scored"]).to_arrow()
        return list(answer["x"].to_pylist())

    assert (x("platform"), x("team_a")) == ([0], [1])
    rows = pd.DataFrame({"id": ["a"], "event_timestamp": [NOON - HOUR / 2], "x": [7]})
    stores["team_a"].push("events", rows, to=PushMode.OFFLINE)
    assert (x("platform"), x("team_a")) == ([0], [7])


def test_the_password_is_nowhere_to_be_read(stores: dict[str, FeatureStore]) -> None:
    store = stores["team_a"]
    for shown in (repr(store.config), repr(store.offline), str(vars(store.offline))):
        assert "secret" not in shown
