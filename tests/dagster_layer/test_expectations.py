"""Declared checks of rows as asset checks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster_support import PLATFORM, TEAM

from feature_platform import FeatureStore
from feature_platform.dagster import online_key, platform_definitions, view_key

pytestmark = pytest.mark.filterwarnings("ignore")
VIEW = dg.AssetKey(["shop", "feature_view", "stats"])
CHECKED = PLATFORM.replace(
    'schema=[Field(name="trips", dtype=Int64, description="today")]',
    """schema=[Field(name="trips", dtype=Int64, checks=[
                        checks.NotNull(), checks.Between(max=30, severity="warn")])],
                    checks=[checks.RowCount(min=24, max=24, blocking=True)]""",
).replace("import Entity", "import checks, Entity")


def execute(workspace, *names: str, **options: Any) -> dict[str, Any]:
    """Execute checks of the view by hand, and return their evaluations."""
    location = platform_definitions(workspace.folder / "platform", **options)
    job = location.resolve_implicit_global_asset_job_def()
    keys = {dg.AssetCheckKey(VIEW, name) for name in names}
    subset = job.get_subset(asset_selection=set(), asset_check_selection=keys)
    result = subset.execute_in_process(instance=workspace.instance, raise_on_error=False)
    return {e.check_name: e for e in result.get_asset_check_evaluations()}


@pytest.fixture
def checked(workspace):
    workspace.write("platform", CHECKED)
    workspace.run("platform")
    return workspace


def test_each_declared_check_is_an_asset_check(checked) -> None:
    graph = checked.location("platform").resolve_asset_graph()
    names = {key.name: graph.get(key).blocking for key in graph.get(VIEW).check_keys}

    assert names == {
        "schema": True, "row_count": True, "trips_not_null": False, "trips_between": False,
        "registry_rules": False,
    }  # fmt: skip


@pytest.mark.parametrize("fewest", [10**6, 1])
def test_a_load_waits_for_the_blocking_checks_that_its_job_selects(workspace, fewest: int) -> None:
    workspace.write("platform", CHECKED.replace("min=24, max=24", f"min={fewest}"))
    workspace.run("platform")
    location = platform_definitions(workspace.folder / "platform")
    selected = dg.AssetSelection.assets(online_key("shop", "stats"))
    selected |= dg.AssetSelection.checks_for_assets(view_key("shop", "stats"))
    jobs = dg.Definitions(jobs=[dg.define_asset_job("checked_load", selected)])
    job = dg.Definitions.merge(location, jobs).resolve_job_def("checked_load")
    result = job.execute_in_process(instance=workspace.instance, raise_on_error=False)
    loaded = [e.asset_key.path for e in result.get_asset_materialization_events()]
    assert loaded == ([["shop", "online", "stats"]] if fewest == 1 else [])


def test_checks_say_what_was_measured(checked) -> None:
    found = execute(checked, "schema", "row_count", "trips_not_null", "trips_between")

    assert {name: check.passed for name, check in found.items()} == {
        "schema": True, "row_count": False, "trips_not_null": True, "trips_between": False,
    }  # fmt: skip
    assert found["row_count"].severity == dg.AssetCheckSeverity.ERROR
    warning = found["trips_between"]
    assert warning.severity == dg.AssetCheckSeverity.WARN
    metadata = {name: value.value for name, value in warning.metadata.items()}
    assert metadata["value"] == pytest.approx(17 / 48)  # 31 to 47
    assert metadata["rows"] == 48


def test_a_view_with_windows_is_checked_over_its_newest_complete_one(checked) -> None:
    """The windows end before today, so the newest is the last."""
    days = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-03")
    found = execute(checked, "row_count", online_partitions=days)

    assert found["row_count"].passed
    metadata = {name: value.value for name, value in found["row_count"].metadata.items()}
    assert metadata["window"] == "2026-01-02T00:00:00+00:00 / 2026-01-03T00:00:00+00:00"


def test_some_checks_can_be_executed_alone(checked) -> None:
    assert execute(checked, "trips_not_null").keys() == {"trips_not_null"}


def test_a_source_that_lost_a_column_is_a_failed_schema(checked) -> None:
    file = checked.folder / "trips.parquet"
    pd.read_parquet(file).drop(columns="trips").to_parquet(file)
    found = execute(checked, "schema", "row_count")

    assert found.keys() == {"schema"}
    assert not found["schema"].passed
    assert "'trips'" in found["schema"].description


def test_applying_evaluates_no_rows(checked) -> None:
    """The checks of rows read history; those of a registration must not."""
    checked.write("platform", CHECKED.replace("days=1", "days=2"))
    result = checked.run("platform")

    assert {e.check_name for e in result.get_asset_check_evaluations()} == {
        "registry_rules", "audit", "online_store_pool",
    }  # fmt: skip


def test_parity_of_a_service_is_a_check_of_its_asset(workspace) -> None:
    code = TEAM.format(team="risk").replace('"risk_double"]', '"risk_double"], checks=[PARITY]')
    head = "from feature_platform import checks\nPARITY = checks.Parity()\n"
    workspace.write("risk", head + code)
    now = datetime.now(UTC)
    row = {"driver_id": [1], "event_timestamp": [now - timedelta(hours=1)], "trips": [7]}
    pd.DataFrame(row).to_parquet(workspace.folder / "trips.parquet")
    for owner in ("platform", "risk"):
        assert workspace.run(owner).success
    with FeatureStore(workspace.folder / "platform") as store:
        store.materialize(now - timedelta(days=1), now)

    location = workspace.location("risk")
    job = location.resolve_implicit_global_asset_job_def()
    key = dg.AssetCheckKey(dg.AssetKey(["shop", "feature_service", "risk_v1"]), "parity")
    subset = job.get_subset(asset_selection=set(), asset_check_selection={key})
    result = subset.execute_in_process(instance=workspace.instance)
    [check] = result.get_asset_check_evaluations()
    assert check.passed
    assert check.metadata["rows"].value == 1
