"""The federated set-up: a platform repository and team repositories that share one registry.

The flows of the guide that the project started from, on this package: scripts run as scripts, in
folders of their own.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from feature_platform import Entity, FeatureService, FeatureStore, OnDemandFeatureView, Policy
from feature_platform.errors import RefusedError

YAML = """
project: company
registry: ../registry.db
provider: aws
online_store:
    type: sqlite
    path: ../online.db
offline_store:
    type: snowflake
    account: my_account
    database: FEATURES
    warehouse: WH
"""
ENTITIES = """
from feature_platform import Entity

user = Entity(name="user_id", description="A user", join_keys=["user_id"])
driver = Entity(name="driver_id", description="A driver", join_keys=["driver_id"])
"""
SOURCES = """
from feature_platform import SnowflakeSource

user_source = SnowflakeSource(database="FEATURES", schema="F", table="USERS",
                              timestamp_field="event_timestamp")
driver_source = SnowflakeSource(database="FEATURES", schema="F", table="DRIVERS",
                                timestamp_field="event_timestamp")
"""
VIEWS = """
from datetime import timedelta
from feature_platform import FeatureView, Field
from feature_platform.types import Float32, Int64
from entities import user, driver
from data_sources import user_source, driver_source

user_features = FeatureView(
    name="user_features", entities=[user], ttl=timedelta(days=1), source=user_source,
    schema=[Field(name="age", dtype=Int64), Field(name="balance", dtype=Float32)])
driver_stats = FeatureView(
    name="driver_stats", entities=[driver], ttl=timedelta(days=1), source=driver_source,
    schema=[Field(name="conv_rate", dtype=Float32)])
"""
PLATFORM_APPLY = """
from feature_platform import FeatureStore
from entities import user, driver
from data_sources import user_source, driver_source
from feature_views import user_features, driver_stats

store = FeatureStore(repo_path=".")
store.apply([user, driver, user_source, driver_source, user_features, driver_stats],
            partial=False)
print("platform applied")
"""
ON_DEMAND = """
from feature_platform import Field, OnDemandFeatureView, RequestSource
from feature_platform.types import Float32

@OnDemandFeatureView(
    sources=["user_features:age",
             RequestSource(schema=[Field(name="current_year", dtype=Float32)])],
    schema=[Field(name="years_until_retirement", dtype=Float32)],
)
def user_age_odfv(inputs):
    return {"years_until_retirement": 65 - inputs["age"]}
"""
SERVICES = """
from feature_platform import FeatureService, FeatureStore

store = FeatureStore(repo_path=".")
user_model = FeatureService(name="user_model_v1", features=["user_features", "user_age_odfv"])
"""
TEAM_APPLY = """
from feature_platform import FeatureStore
from on_demand_views import user_age_odfv
from feature_services import user_model

store = FeatureStore(repo_path=".")
store.apply([user_age_odfv, user_model], partial=True)
print("team applied")
"""


def write(folder: Path, **modules: str) -> Path:
    folder.mkdir(exist_ok=True)
    team = "" if folder.name == "platform" else f"team: {folder.name}\n"
    (folder / "feature_store.yaml").write_text(YAML + team)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def script(folder: Path, name: str = "apply.py", code: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, name], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == code, result.stderr
    return result


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    return write(
        tmp_path / "platform",
        entities=ENTITIES,
        data_sources=SOURCES,
        feature_views=VIEWS,
        apply=PLATFORM_APPLY,
    )


@pytest.fixture
def team_a(tmp_path: Path) -> Path:
    return write(
        tmp_path / "team_a", on_demand_views=ON_DEMAND, feature_services=SERVICES, apply=TEAM_APPLY
    )


def test_the_platform_applies_and_then_the_team(platform: Path, team_a: Path) -> None:
    """Snowflake and the online store are named, accepted, and contacted by nobody."""
    assert script(platform).stdout == "platform applied\n"
    assert script(team_a).stdout == "team applied\n"

    store = FeatureStore(team_a)
    assert [e.name for e in store.list_entities()] == ["driver_id", "user_id"]
    assert store.get_feature_service("user_model_v1")
    owners = {k.name: e.owner for k, e in store.snapshot().entries.items()}
    assert owners["user_features"] == "platform"
    assert owners["user_age_odfv"] == "team_a"


def test_a_team_that_comes_too_early_is_told_what_is_missing(platform: Path, team_a: Path) -> None:
    early = script(team_a, code=1)

    for name in ("RefusedError", "'user_age_odfv'", "'user_model_v1'", "'user_features'"):
        assert name in early.stderr
    team = FeatureStore(team_a)
    assert team.snapshot().version == 0
    with pytest.raises(RefusedError) as caught:
        team.apply(partial=True)
    lacking = {(p.rule, p.subject, p.missing) for p in caught.value.problems}
    assert lacking == {
        ("reference", "on-demand view 'user_age_odfv'", "view 'user_features'"),
        ("reference", "feature service 'user_model_v1'", "view 'user_features'"),
    }


def test_the_platforms_full_sync_leaves_the_teams_alone(platform: Path, team_a: Path) -> None:
    script(platform)
    script(team_a)
    script(platform)

    assert FeatureStore(platform).list_feature_services()


def test_a_teams_full_sync_cannot_delete_platform_objects(platform: Path, team_a: Path) -> None:
    """The guide's first trouble: a team used `partial=False`."""
    script(platform)
    script(team_a)
    team = FeatureStore(team_a)
    team.apply([FeatureService(name="user_model_v2", features=["user_features"])], partial=False)

    assert {v.name for v in team.list_feature_views()} == {"user_features", "driver_stats"}
    assert team.list_on_demand_feature_views() == []


@pytest.mark.parametrize("kind", ["entity", "source", "feature view", "stream feature view"])
def test_the_table_of_who_may_register_what(platform: Path, team_a: Path, kind: str) -> None:
    from feature_platform import FeatureView, Field, PushSource, SnowflakeSource, StreamFeatureView
    from feature_platform.types import Int64

    fields = [Field(name="x", dtype=Int64)]
    source = SnowflakeSource(name="mine", table="T")
    made = {
        "entity": Entity(name="mine"),
        "source": source,
        "feature view": FeatureView(name="mine", source=source, schema=fields),
        "stream feature view": StreamFeatureView(
            name="mine", source=PushSource(name="p", batch_source=source), schema=fields
        ),
    }
    script(platform)

    with pytest.raises(RefusedError) as caught:
        FeatureStore(team_a).apply([made[kind]])
    problems = caught.value.problems
    assert {problem.rule for problem in problems} == {"kind"}
    assert f"{made[kind].kind.replace('_', ' ')} 'mine'" in {p.subject for p in problems}
    assert FeatureStore(platform).apply([made[kind]])


def test_services_and_on_demand_views_are_for_everyone(platform: Path, team_a: Path) -> None:
    script(platform)
    script(team_a)

    optional = FeatureService(name="for_all", features=["user_features:age"])
    assert FeatureStore(platform).apply([optional])


def test_teams_that_pick_one_name_are_told(platform: Path, team_a: Path, tmp_path: Path) -> None:
    script(platform)
    script(team_a)
    other = FeatureStore(write(tmp_path / "team_b"))

    with pytest.raises(RefusedError) as caught:
        other.apply([FeatureService(name="user_model_v1", features=["driver_stats"])])
    [problem] = caught.value.problems
    assert (problem.rule, problem.subject) == ("ownership", "feature service 'user_model_v1'")
    assert "'team_a'" in problem.message


def test_prefixes_are_the_platforms_to_ask_for(platform: Path, team_a: Path) -> None:
    script(platform)
    with (platform / "feature_store.yaml").open("a") as settings:
        settings.write("\nteam: platform\n")  # the policy needs the owner to be named
    FeatureStore(platform).apply([Policy(prefixes={"team_a": ["team_a_"]})])

    refused = script(team_a, code=1)
    for name in ("RefusedError", "'user_age_odfv'", "'user_model_v1'", "'team_a_'"):
        assert name in refused.stderr
    with pytest.raises(RefusedError) as caught:
        FeatureStore(team_a).apply(partial=True)
    assert {(p.rule, p.subject) for p in caught.value.problems} == {
        ("naming", "on-demand view 'user_age_odfv'"),
        ("naming", "feature service 'user_model_v1'"),
    }
    good = FeatureService(name="team_a_user_model", features=["user_features"])
    assert FeatureStore(team_a).apply([good])


def test_a_team_can_check_its_own_objects_before(platform: Path, team_a: Path) -> None:
    """The guide's validation script works: definitions are plain objects with names."""
    for definition in FeatureStore(team_a).repo.definitions:
        assert isinstance(definition, (FeatureService, OnDemandFeatureView))
        assert definition.name.startswith("user_")


def test_teams_keep_their_own_offline_schema(platform: Path, team_a: Path) -> None:
    for folder, schema in ((platform, "PLATFORM"), (team_a, "TEAM_A")):
        file = folder / "feature_store.yaml"
        file.write_text(file.read_text().replace("warehouse", f"schema: {schema}\n    warehouse"))

    script(platform)
    script(team_a)
    assert FeatureStore(platform).config.offline_store.plain()["schema"] == "PLATFORM"
    assert FeatureStore(team_a).config.offline_store.plain()["schema"] == "TEAM_A"


COMPLETE_PLATFORM = """
from datetime import timedelta
from feature_platform import Entity, FeatureStore, FeatureView, Field, SnowflakeSource
from feature_platform.types import Float32, Int64

store = FeatureStore(repo_path=".")
customer = Entity(name="customer_id", join_keys=["customer_id"])
source = SnowflakeSource(database="DB", schema="RAW", table="CUSTOMERS",
                         timestamp_field="event_timestamp")
view = FeatureView(
    name="customer_features", entities=[customer], ttl=timedelta(days=7), source=source,
    schema=[Field(name="total_purchases", dtype=Int64),
            Field(name="avg_order_value", dtype=Float32)])
store.apply([customer, source, view], partial=False)
"""
COMPLETE_TEAM = """
from feature_platform import (FeatureService, FeatureStore, Field, OnDemandFeatureView,
                              RequestSource)
from feature_platform.types import Float32

store = FeatureStore(repo_path=".")

@OnDemandFeatureView(
    sources=["customer_features:total_purchases", "customer_features:avg_order_value",
             RequestSource(schema=[Field(name="current_cart_value", dtype=Float32)])],
    schema=[Field(name="purchase_propensity_score", dtype=Float32)],
)
def marketing_propensity(inputs):
    purchases = inputs["total_purchases"] * 0.3
    cart = inputs["current_cart_value"] / max(inputs["avg_order_value"], 1)
    return {"purchase_propensity_score": min(purchases + cart * 0.7, 100.0)}

service = FeatureService(name="team_marketing_campaign_model",
                         features=["customer_features", "marketing_propensity"])
store.apply([marketing_propensity, service], partial=True)
"""
COMPLETE_USE = """
import json
from feature_platform import FeatureStore

store = FeatureStore(repo_path=".")
features = store.get_online_features(
    features="team_marketing_campaign_model",
    entity_rows=[{"customer_id": "C123", "current_cart_value": 150.0}],
).to_dict()
print(json.dumps(features))
"""


def test_the_complete_example_ends_with_online_features(tmp_path: Path) -> None:
    import json
    from datetime import UTC, datetime

    import pandas as pd

    platform = write(tmp_path / "platform", apply=COMPLETE_PLATFORM)
    team = write(tmp_path / "marketing", apply=COMPLETE_TEAM, use=COMPLETE_USE)
    script(platform)
    script(team)
    rows = {
        "customer_id": ["C123"],
        "event_timestamp": [datetime.now(UTC)],
        "total_purchases": [42],
        "avg_order_value": [125.5],
    }
    FeatureStore(platform).write_to_online_store("customer_features", pd.DataFrame(rows))

    answer = json.loads(script(team, "use.py").stdout)
    score = 42 * 0.3 + 150 / 125.5 * 0.7
    assert answer == {
        "customer_id": ["C123"],
        "total_purchases": [42],
        "avg_order_value": [125.5],
        "purchase_propensity_score": [pytest.approx(score, rel=1e-6)],
    }
