"""A shared repo for offline models: plan, apply, clients with only a yaml, batch scoring at now."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from tests_support import raises

from feature_platform import FeatureStore
from feature_platform.cli import main
from feature_platform.errors import ConfigError

YAML = """
project: demo
provider: aws
registry: {registry}
online_store: null
offline_store:
  type: file
  root: {root}
flags:
  alpha_features: true
  on_demand_transforms: true
"""
REPO = """
from datetime import timedelta
from feature_platform import (Entity, FeatureService, FeatureView, Field, FileSource,
                              RequestSource, on_demand_feature_view)
from feature_platform.types import Float32, Float64, Int64

driver = Entity(name="driver_id", join_keys=["driver_id"], description="driver")
source = FileSource(name="driver_source", path="driver_stats.parquet", s3_endpoint_override="",
                    timestamp_field="event_timestamp", created_timestamp_column="created")
driver_hourly_stats = FeatureView(
    name="driver_hourly_stats", description="Hourly", entities=[driver], ttl=timedelta(days=8765),
    schema=[Field(name="conv_rate", dtype=Float32), Field(name="acc_rate", dtype=Float32)],
    tags={"production": "True"}, owner="drivers@example.org", source=source)
request = RequestSource(name="vals", schema=[Field(name="val_to_add", dtype=Int64)])

@on_demand_feature_view(sources=[driver_hourly_stats, request], mode="pandas",
                        schema=[Field(name="conv_rate_plus", dtype=Float64)])
def transformed(inputs):
    out = inputs[[]].copy()
    out["conv_rate_plus"] = inputs["conv_rate"] + inputs["val_to_add"]
    return out

model_v1 = FeatureService(name="model_v1", features=[driver_hourly_stats[["conv_rate"]]])
model_v2 = FeatureService(name="model_v2", features=[driver_hourly_stats])
model_v3 = FeatureService(name="model_v3", features=[driver_hourly_stats, transformed])
"""
pytestmark = pytest.mark.filterwarnings("ignore:flags has no effect:UserWarning")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "feature_repo"
    folder.mkdir()
    now = datetime.now(UTC)
    rows = pd.DataFrame(
        {
            "driver_id": np.repeat([1001, 1002, 1003, 1004, 1005], 3),
            "event_timestamp": [now - timedelta(hours=h) for h in (3, 2, 1)] * 5,
            "created": now,
            "conv_rate": np.linspace(0, 0.9, 15),
            "acc_rate": 0.5,
        }
    )
    rows.to_parquet(folder / "driver_stats.parquet")
    (folder / "feature_store.yaml").write_text(YAML.format(registry="registry.pb", root="."))
    (folder / "driver_repo.py").write_text(REPO)
    return folder


@pytest.fixture
def applied(repo: Path) -> Path:
    cli(repo, "apply")
    return repo


def cli(folder: Path, *arguments: str, code: int = 0) -> Any:
    command = ["-C", str(folder), *arguments, "--json"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_a_pull_request_plans_and_a_merge_applies(repo: Path) -> None:
    planned = cli(repo, "plan", "--detailed-exitcode", code=3)
    changes = {(c["action"], c["kind"], c["name"]) for c in planned["changes"]}
    assert ("create", "entity", "driver_id") in changes
    assert ("create", "feature_view", "driver_hourly_stats") in changes
    assert cli(repo, "apply")["version"] == 1
    assert cli(repo, "plan", "--detailed-exitcode")["changes"] == []


def test_a_plan_says_which_models_a_change_would_break(applied: Path) -> None:
    module = applied / "driver_repo.py"
    changed = module.read_text().replace('name="conv_rate",', 'name="conversion",', 1)
    module.write_text(changed[: changed.index("model_v1")])

    planned = cli(applied, "plan", code=1)
    [problem] = planned["problems"]
    assert problem["rule"] == "contract"
    assert problem["subject"] == "feature view 'driver_hourly_stats'"
    [broken] = [effect for effect in planned["effects"] if effect["breaks"]]
    assert (broken["name"], broken["breaks"]) == ("model_v1", "removed")
    for message in (broken["message"], problem["message"]):
        assert "'driver_hourly_stats'" in message
        assert "'conv_rate'" in message


def entity_df() -> pd.DataFrame:
    frame = pd.DataFrame.from_dict({"driver_id": [1001, 1002, 1003, 1004, 1005]})
    frame["event_timestamp"] = pd.to_datetime("now", utc=True)
    return frame


def test_batch_scoring_takes_the_latest_values_at_now(applied: Path) -> None:
    store = FeatureStore(repo_path=applied)
    training_df = store.get_historical_features(
        entity_df=entity_df(), features=store.get_feature_service("model_v2")
    ).to_df()

    newest = np.linspace(0, 0.9, 15)[2::3].astype("float32")
    assert training_df["conv_rate"].tolist() == newest.tolist()
    assert list(training_df.columns) == ["driver_id", "event_timestamp", "conv_rate", "acc_rate"]


def test_on_demand_features_take_part(applied: Path) -> None:
    store = FeatureStore(repo_path=applied)
    frame = entity_df().assign(val_to_add=range(5))
    scored = store.get_historical_features(frame, features="model_v3").to_df()

    expected = scored["conv_rate"].astype(float) + range(5)
    assert scored["conv_rate_plus"].tolist() == pytest.approx(expected.tolist(), rel=1e-6)


def test_a_client_needs_nothing_but_the_settings(applied: Path, tmp_path: Path) -> None:
    client = tmp_path / "client"
    client.mkdir()
    text = YAML.format(registry="../feature_repo/registry.pb", root="../feature_repo")
    (client / "feature_store.yaml").write_text(text + "team: science\n")

    store = FeatureStore(repo_path=client)
    assert [s.name for s in store.list_feature_services()] == ["model_v1", "model_v2", "model_v3"]
    frame = store.get_historical_features(entity_df(), features="model_v1").to_df()
    assert frame["conv_rate"].notna().all()
    with raises(ConfigError, "online_store"):
        store.get_online_features("model_v1", [{"driver_id": 1001}])


def test_the_result_can_go_to_the_lake_without_passing_through_memory(
    applied: Path, tmp_path: Path
) -> None:
    job = FeatureStore(applied).get_historical_features(entity_df(), features="model_v2")
    path = job.to_parquet(tmp_path / "lake" / "scores.parquet")

    assert pd.read_parquet(path)["driver_id"].tolist() == [1001, 1002, 1003, 1004, 1005]


def test_environments_are_projects_of_their_own(applied: Path) -> None:
    staging = applied.parent / "staging"
    staging.mkdir()
    text = YAML.format(registry="../feature_repo/registry.pb", root="../feature_repo")
    (staging / "feature_store.yaml").write_text(text.replace("project: demo", "project: staging"))
    (staging / "driver_repo.py").write_text(REPO.replace("model_v3", "model_v4"))
    cli(staging, "apply")

    assert FeatureStore(applied).list_feature_services()[-1].name == "model_v3"
    assert FeatureStore(staging).list_feature_services()[-1].name == "model_v4"


def test_tags_find_objects(applied: Path) -> None:
    store = FeatureStore(applied)

    assert [v.name for v in store.list_feature_views(tags={"production": "True"})]
    assert store.list_feature_views(tags={"production": "False"}) == []
