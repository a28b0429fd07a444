"""Code of on-demand views: imported from its owner's repo, and only as it was registered."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests_support import HOUR, NOON, raises

from feature_platform import FeatureStore
from feature_platform.errors import TransformationError

VIEWS = """
from feature_platform import Field, OnDemandFeatureView
from feature_platform.types import Float64

FACTOR = 2

@OnDemandFeatureView(sources=["driver_stats:trips"], schema=[Field(name="y", dtype=Float64)])
def risk_factor(inputs):
    return {"y": inputs["trips"] * FACTOR}
"""


@pytest.fixture
def store(platform: FeatureStore) -> FeatureStore:
    platform.materialize(NOON - 3 * HOUR, NOON)
    return platform


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


def test_a_module_that_no_longer_imports_is_named(store, tmp_path: Path) -> None:
    repo = write_team(tmp_path)
    FeatureStore(repo).apply()
    write_team(tmp_path, VIEWS + "1 / 0\n")

    with raises(TransformationError, "'risk_factor'", "'on_demand_views'", "ZeroDivisionError"):
        FeatureStore(repo, clock=lambda: NOON).get_online_features(
            ["risk_factor"], [{"driver_id": 1}]
        )
