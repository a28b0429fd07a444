"""Models know the features that they were trained on, and plans know the models."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from handles.test_handles import TRIPS, folder_of
from tests_support import raises

import feature_platform
from feature_platform import Entity, FeatureStore, Field
from feature_platform.cli import main
from feature_platform.errors import AccessError, NotFoundError, RequestError
from feature_platform.handles.project_store import VersionWarning
from feature_platform.types import Int64


@pytest.fixture
def conn(tmp_path: Path, monkeypatch: Any) -> Any:
    folder = folder_of(tmp_path, "dev")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with feature_platform.connection() as connection:
        yield connection


@pytest.fixture
def view(conn: Any) -> Any:
    trips = conn.get_feature_store().create_feature_group(
        "trips", 1, primary_key=["trip_id"], event_time="left_at"
    )
    trips.insert(TRIPS)
    query = trips.select(["distance", "late"])
    return conn.get_feature_store().create_feature_view("delays", query, 1, labels=["late"])


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    folder.mkdir()
    (folder / "model.json").write_text('{"weights": [1]}')
    return folder


def test_models_from_training_to_serving(conn: Any, view: Any, files: Path) -> None:
    models = conn.get_model_registry()
    version, dataset = view.create_training_data()
    model = models.create_model(
        "risk", metrics={"auc": 0.7}, description="first",
        feature_view=view, training_dataset_version=version,
    )  # fmt: skip
    with raises(RequestError, "save"):
        model.download()
    assert model.save(files).version == 1
    for auc in (0.9, 0.8):
        models.create_model("risk", metrics={"auc": auc}, feature_view=view).save(files)
    assert [m.version for m in models.get_models("risk")] == [1, 2, 3]
    assert models.get_best_model("risk", "auc").version == 2
    assert models.get_best_model("risk", "auc", "min").version == 1

    again = conn.get_model_registry().get_model("risk", 1)
    assert (again.description, again.metrics) == ("first", {"auc": 0.7})
    assert again.training_dataset == dataset.name
    assert again.saved.registry_version == dataset.registry_version
    assert again.get_feature_view().get_feature_vector({"trip_id": 2}) == [20]
    path = Path(again.download())
    assert (path / "artifact" / "model.json").exists() or (path / "model.json").exists()


def test_plans_name_the_models_that_lose_something(conn: Any, view: Any, files: Path) -> None:
    conn.get_model_registry().create_model("risk", feature_view=view).save(files)
    store: FeatureStore = conn._store
    trips = store.get_feature_view("trips_1")
    fields = [f for f in trips.fields if f.name != "distance"]
    report = store.review(store.plan([trips.model_copy(update={"schema": fields})]))
    assert [str(model) for model in report.models] == ["dev/risk version 1"]
    harmless = [*trips.fields, Field(name="fare", dtype=Int64)]
    report = store.review(store.plan([trips.model_copy(update={"schema": harmless})]))
    assert report.models == ()
    (store.repo.path / "views.py").write_text(
        "from feature_platform import *\nfrom feature_platform.types import *\n"
        "key = Entity(name='trips_1_key', join_keys=['trip_id'], value_type=Int64)\n"
        "view = FeatureView(name='trips_1', entities=[key], source='trips_1_rows',\n"
        "    schema=[Field(name='late', dtype=Int64)])\n"
    )
    planned = CliRunner().invoke(main, ["-C", str(store.repo.path), "plan"])
    assert "dev/risk version 1, on dev/delays_1" in planned.output
    assert planned.exit_code == 1


def test_models_that_are_not_there(conn: Any, view: Any, files: Path) -> None:
    models = conn.get_model_registry()
    assert models.get_models("risk") == []
    with raises(NotFoundError, "risk"):
        models.get_model("risk", 1)
    with raises(NotFoundError, "auc"):
        models.get_best_model("risk", "auc")
    with raises(RequestError, "a b"):
        models.create_model("a b")
    with raises(RequestError, "x' OR"):
        models.get_models("x' OR 'a' = 'a")
    with raises(RequestError, "nothing"):
        models.create_model("risk").save(files / "nothing")
    saved = models.create_model("risk").save(files / "model.json")
    with raises(RequestError, "risk"):
        saved.save(files)
    with raises(NotFoundError, "feature_view"):
        saved.get_feature_view()
    with raises(RequestError, "sideways"):
        models.get_best_model("risk", "auc", "sideways")
    with pytest.warns(VersionWarning):
        assert models.get_model("risk").version == 1


def test_models_are_shared_with_the_store(conn: Any, tmp_path: Path, files: Path) -> None:
    prod = FeatureStore(folder_of(tmp_path, "prod"))
    prod.apply([Entity(name="e", join_keys=["k"])])
    with raises(AccessError, "prod"):
        conn.get_model_registry("prod")
    prod.sharing.share("dev")
    conn._store.sharing.accept("prod")
    shared = conn.get_model_registry("prod")
    assert shared.get_models("risk") == []
    with raises(AccessError, "prod"):
        shared.create_model("risk")


def test_plans_do_without_a_model_registry(
    conn: Any, view: Any, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: FeatureStore = conn._store
    trips = store.get_feature_view("trips_1")
    fields = [f for f in trips.fields if f.name != "distance"]
    plan = store.plan([trips.model_copy(update={"schema": fields})])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")  # it is not asked
    assert not store.review(plan).models
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    broken = store.repo.path / "data" / "models" / "mlflow.db"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_bytes(b"no database" * 1000)
    with pytest.warns(RuntimeWarning, match="delays_1"):
        report = store.review(plan)
    assert report.effects
    assert report.models == ()
