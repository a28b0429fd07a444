"""Models as assets: trained on a training set, saved with what they were trained on."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster_layer.test_datasets import SERVICE, materialize, metadata, spine
from tests_support import raises

from feature_platform import FeatureStore, SavedDataset
from feature_platform.dagster import batch_scoring_asset, model_asset, training_set_asset
from feature_platform.errors import ConfigError
from feature_platform.services.models import Models

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def repo(workspace, monkeypatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    workspace.run("platform")
    workspace.run("risk")
    return workspace.folder / "risk"


def train(dataset: SavedDataset, folder: Path) -> dict[str, float]:
    mean = float(dataset.to_df()["trips"].mean())
    (folder / "model.json").write_text(json.dumps({"mean": mean}))
    return {"mean": mean}


def predict(features: pd.DataFrame, folder: Path) -> pd.Series:
    return features["trips"] - json.loads((folder / "model.json").read_text())["mean"]


def versions(repo: Path, name: str = "risk_v1") -> list[Any]:
    store = FeatureStore(repo)
    return Models(store.config, store.repo.path).versions("shop", name)


def test_a_model_keeps_what_it_was_trained_on_and_scores_with_it(workspace, repo) -> None:
    training = training_set_asset("risk_v1", repo=repo, spine=spine)
    model = model_asset("risk_v1", repo=repo, train=train)
    scores = batch_scoring_asset(
        "risk_v1", repo=repo, model=predict, saved_model="risk_v1", spine=spine, deps=[model]
    )
    assert {dep.asset_key for dep in model.specs_by_key[model.key].deps} == {SERVICE, training.key}
    first = materialize(workspace, training, model, scores)
    assert first.success
    again = materialize(workspace, training, model, selection=[model])

    dataset = metadata(first, "risk_v1", "training_set")["dataset"]
    mean = SavedDataset.load(dataset).to_df()["trips"].mean()
    shown = metadata(first, "risk_v1", "model")
    assert (shown["model_version"], shown["dataset"], shown["registry_version"]) == (1, dataset, 2)
    assert shown["mean"] == mean
    assert metadata(again, "risk_v1", "model")["model_version"] == 2
    assert [(m.version, m.service, m.dataset, m.registry_version) for m in versions(repo)] == [
        (1, "shop/risk_v1", dataset, 2), (2, "shop/risk_v1", dataset, 2),
    ]  # fmt: skip
    scored = metadata(first, "risk_v1", "scores")
    assert scored["model"] == "shop/risk_v1 version 1"
    expected = SavedDataset.load(dataset).to_df()["trips"] - mean
    rows = SavedDataset.load(scored["dataset"]).to_df()["score"]
    assert rows.dropna().tolist() == expected.dropna().tolist()


def test_a_plan_names_the_model(workspace, repo) -> None:
    training = training_set_asset("risk_v1", repo=repo, spine=spine)
    model = model_asset("risk_v1", repo=repo, train=train, name="risk", key=["ml", "risk"])
    assert materialize(workspace, training, model).success
    with FeatureStore(repo) as store:
        service = store.get_feature_service("risk_v1")
        report = store.review(store.plan([], objects_to_delete=[service]))
    assert [str(each) for each in report.models] == ["shop/risk version 1"]


@pytest.mark.parametrize("fault", ["no files", "raises"])
def test_a_training_that_fails_saves_nothing(workspace, repo, fault) -> None:
    def fails(dataset: SavedDataset, folder: Path) -> dict[str, float]:
        if fault == "raises":
            train(dataset, folder)
            raise ValueError(fault)
        return {"auc": 1.0}

    training = training_set_asset("risk_v1", repo=repo, spine=spine)
    result = materialize(workspace, training, model_asset("risk_v1", repo=repo, train=fails))
    assert not result.success
    assert versions(repo) == []


def test_scores_of_a_model_that_was_never_trained_say_so(workspace, repo) -> None:
    scores = batch_scoring_asset(
        "risk_v1", repo=repo, model=predict, saved_model="risk_v1", spine=spine
    )
    result = materialize(workspace, scores)
    [failure] = [e for e in result.all_events if e.is_step_failure]
    assert "risk_v1" in str(failure.step_failure_data.user_failure_data.description)


def test_a_name_that_is_none_is_refused_when_declared(repo) -> None:
    with raises(ConfigError, "a b"):
        model_asset("a b", repo=repo, train=train)


def test_a_model_of_another_training_set(workspace, repo) -> None:
    training = training_set_asset("risk_v1", repo=repo, spine=spine, key=["mine"])
    model = model_asset("risk_v1", repo=repo, train=train, training_set=training)
    assert dg.AssetKey(["mine"]) in {dep.asset_key for dep in model.specs_by_key[model.key].deps}
    assert materialize(workspace, training, model).success
