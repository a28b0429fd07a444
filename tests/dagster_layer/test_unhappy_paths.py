"""What production brings: registries that go away, windows that end, names that collide."""

from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster_support import DAYS, PLATFORM, TEAM
from tests_support import raises

from feature_platform import FeatureStore
from feature_platform.dagster import (
    FeatureStoreTranslator,
    batch_scoring_asset,
    ledger,
    platform_definitions,
    reconcile,
    registry_sensor,
)
from feature_platform.dagster.components import PlatformRepoComponent
from feature_platform.errors import ConfigError
from feature_platform.retrieval import SavedDataset

pytestmark = pytest.mark.filterwarnings("ignore")
ONLINE = dg.AssetKey(["shop", "online", "stats"])
JOB = "materialize_shop_online"
VIEW = """
{name} = FeatureView(name={text!r}, entities=[driver], source=trips,
                     schema=[Field(name="trips", dtype=Int64)])
"""


def stored(workspace, owner: str, sensor: str, cursor: str = "", location: Any = None) -> Any:
    """Tick a sensor, and store its events as the daemon does."""
    answer = workspace.tick_of(
        location or workspace.location(owner), owner, sensor=sensor, cursor=cursor
    )
    for event in getattr(answer, "asset_events", None) or ():
        workspace.instance.report_runless_asset_event(event)
    return answer


def shown(workspace) -> dict[str, bool]:
    """Return partition → whether its materialization has the numbers of its load."""
    records = workspace.instance.fetch_materializations(ONLINE, limit=100).records
    return {
        r.partition_key: "dagster/row_count" in r.asset_materialization.metadata for r in records
    }


class OneName(FeatureStoreTranslator):
    """Gives sources and views of one name one key."""

    def get_asset_key(self, project: str, namespace: str, name: str) -> dg.AssetKey:
        if namespace in {"online", "registration"}:
            return super().get_asset_key(project, namespace, name)
        return dg.AssetKey([project, name])


class OwnKeys(FeatureStoreTranslator):
    """Changes keys where others do not see it."""

    def get_asset_spec(self, definition, repo):
        return super().get_asset_spec(definition, repo).replace_attributes(key=definition.name)


@pytest.mark.parametrize(
    ("views", "translator"),
    [(("a b", "a_b"), None), (("trips",), OneName()), ((), OwnKeys())],
)
def test_objects_that_would_be_one_asset_are_refused(workspace, views, translator) -> None:
    """One of them would be missing from the plan, and be deleted."""
    text = "".join(VIEW.format(name=f"v{n}", text=view) for n, view in enumerate(views))
    workspace.write("platform", PLATFORM + text)
    with raises(ConfigError, "get_asset_key", *views):
        platform_definitions(workspace.folder / "platform", translator=translator)


def test_a_registry_that_is_away_forgets_nothing(workspace) -> None:
    workspace.run("platform")
    for day in ("2026-01-01", "2026-01-02"):
        workspace.run("platform", JOB, partition_key=day)
    seen = []

    @registry_sensor(workspace.folder / "risk", kinds=["feature_view"], job_name="x", name="other")
    def react(context, changes):
        seen.extend(change.commit.version for change in changes)

    assert react.name == "other"

    def tick(cursor: str | None) -> str:
        with dg.build_sensor_context(instance=workspace.instance, cursor=cursor) as context:
            return str(react(context).cursor)

    cursor = tick(None)
    registry = workspace.folder / "registry.db"
    registry.rename(workspace.folder / "away.db")
    location = workspace.location("platform")
    assert isinstance(
        stored(workspace, "platform", "mirror_ledger", location=location), dg.SkipReason
    )
    cursor = tick(cursor)
    for file in workspace.folder.glob("registry.db*"):
        file.unlink()
    (workspace.folder / "away.db").rename(registry)
    stored(workspace, "platform", "mirror_ledger", location=location)
    assert shown(workspace) == {"2026-01-01": True, "2026-01-02": True}
    tick(cursor)
    assert seen == []


def test_what_is_forgotten_takes_no_numbers_with_it(workspace, monkeypatch) -> None:
    """A window that is loaded before its end has to be loaded again; the others stay."""
    workspace.run("platform")
    days = dg.DailyPartitionsDefinition("2026-01-01", end_offset=1)
    location = platform_definitions(workspace.folder / "platform", online_partitions=days)
    job = location.resolve_job_def(JOB)
    today = days.get_last_partition_key()
    for day in ("2026-01-01", "2026-01-02", today):
        job.execute_in_process(instance=workspace.instance, partition_key=day)
    stored(workspace, "platform", "mirror_ledger", location=location)
    assert set(shown(workspace)) == {"2026-01-01", "2026-01-02", today}

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=1)

    monkeypatch.setattr(ledger, "datetime", Tomorrow)
    stored(workspace, "platform", "mirror_ledger", location=location)
    assert shown(workspace) == {"2026-01-01": True, "2026-01-02": True}

    later = dg.DailyPartitionsDefinition("2026-01-02")
    location = platform_definitions(workspace.folder / "platform", online_partitions=later)
    stored(workspace, "platform", "mirror_ledger", location=location)
    assert shown(workspace) == {"2026-01-01": True, "2026-01-02": True}


def test_materializing_an_object_deletes_no_others(workspace) -> None:
    workspace.run("platform")
    workspace.run("risk")
    service = 'service = FeatureService(name="risk_v1", features=["stats"])'
    workspace.write("risk", f"from feature_platform import FeatureService\n{service}\n")
    job = workspace.location("risk").resolve_implicit_global_asset_job_def()
    job.execute_in_process(
        instance=workspace.instance,
        asset_selection=[dg.AssetKey(["shop", "feature_service", "risk_v1"])],
    )
    store = FeatureStore(workspace.folder / "risk")
    assert [view.name for view in store.list_on_demand_feature_views()] == ["risk_double"]
    [view] = store.get_feature_service("risk_v1").references
    assert view.view == "stats"


def test_a_run_is_asked_for_however_many_have_failed(workspace, monkeypatch) -> None:
    workspace.run("platform")
    location = workspace.location("risk")
    job = location.resolve_job_def("apply_risk")
    monkeypatch.setattr(reconcile, "_LONGEST_PAUSE_SECONDS", 0)
    tags = {**job.run_tags, **workspace.tick("risk").tags}
    keys = set()
    for _ in range(25):
        workspace.instance.create_run_for_job(
            job_def=job, status=dg.DagsterRunStatus.FAILURE, tags=tags
        )
        keys.add(workspace.tick_of(location, "risk").run_key)
    assert len(keys) == 25


def test_a_cancelled_run_is_not_repeated_at_once(workspace) -> None:
    workspace.run("platform")
    location = workspace.location("risk")
    job = location.resolve_job_def("apply_risk")
    tags = {**job.run_tags, **workspace.tick("risk").tags}
    run = workspace.instance.create_run_for_job(
        job_def=job, status=dg.DagsterRunStatus.CANCELED, tags=tags
    )
    reason = workspace.tick_of(location, "risk").skip_message
    assert run.run_id in reason
    assert "cancelled" in reason


def test_the_rules_are_green_again_once_the_repo_breaks_none(workspace) -> None:
    workspace.run("platform")
    workspace.run("risk")
    sound = TEAM.format(team="risk")
    workspace.write("risk", sound.replace('"stats", ', '"statz", '))
    assert not workspace.run("risk").success
    key = dg.AssetCheckKey(dg.AssetKey(["shop", "registration", "risk"]), "registry_rules")

    def passed() -> bool:
        record = workspace.instance.get_latest_asset_check_evaluation_record(key)
        return bool(record.evaluation.passed)

    answer = stored(workspace, "risk", "watch")
    assert not passed()
    workspace.write("risk", sound)
    stored(workspace, "risk", "watch", cursor=answer.cursor)
    assert passed()


def test_a_view_that_cannot_be_checked_stops_no_other(workspace) -> None:
    workspace.run("platform")
    more = "".join(VIEW.format(name=f"v{n}", text=f"{n}view") for n in (0, 9))
    workspace.write("platform", PLATFORM + more)
    location = platform_definitions(workspace.folder / "platform")
    schemas = [
        key for key in location.resolve_asset_graph().asset_check_keys if key.name == "schema"
    ]
    job = dg.define_asset_job("check", dg.AssetSelection.checks(*schemas))
    checked = dg.Definitions.merge(location, dg.Definitions(jobs=[job])).resolve_job_def("check")
    result = checked.execute_in_process(instance=workspace.instance, raise_on_error=False)
    assert not result.success
    [evaluated] = result.get_asset_check_evaluations()
    assert (evaluated.asset_key.path[-1], evaluated.passed) == ("stats", True)


def scored(workspace, model: Any) -> dict[str, list[Any]] | None:
    asset = batch_scoring_asset(
        "risk_v1", repo=workspace.folder / "risk", model=model,
        spine=lambda _: pd.DataFrame({"driver_id": [1, 2, 3]}),
    )  # fmt: skip
    result = dg.materialize([asset], instance=workspace.instance, raise_on_error=False)
    if not result.success:
        return None
    [event] = result.asset_materializations_for_node(asset.op.name)
    rows = SavedDataset.load(event.metadata["dataset"].value).to_df()
    return rows[["driver_id", "score"]].to_dict("list")


def test_scores_are_of_the_rows_that_were_asked_about(workspace) -> None:
    now = pd.Timestamp.now("UTC") - pd.Timedelta(hours=1)
    trips = {"driver_id": [1, 2, 3], "event_timestamp": now, "trips": [1, 20, 30]}
    pd.DataFrame(trips).to_parquet(workspace.folder / "trips.parquet")
    workspace.run("platform")
    workspace.run("risk")
    right = {"driver_id": [1, 2, 3], "score": [1, 20, 30]}
    assert scored(workspace, lambda f: f["trips"]) == right
    assert scored(workspace, lambda f: f["trips"].to_numpy()) == right
    assert scored(workspace, lambda f: f["trips"].sort_values(ascending=False)) == right
    for model in (
        lambda f: f["trips"][1:].reset_index(drop=True),  # 20 would be the score of the first
        lambda f: f["trips"].set_axis([7, 8, 9]),
        lambda f: list(f["trips"])[1:],
        lambda f: f[["driver_id"]],
        lambda _: {"a": [1, 2]},
        lambda _: None,
    ):
        assert scored(workspace, model) is None


def test_a_component_has_windows_of_all_views_and_of_single_ones(workspace) -> None:
    workspace.write("platform", PLATFORM + VIEW.format(name="second", text="second"))
    component = PlatformRepoComponent(
        repo=str(workspace.folder / "platform"),
        online={"every": "daily", "start": "2026-01-01"},
        views={"stats": {"every": "hourly", "start": "2026-01-01"}},
    )
    definitions = component.build_defs(dg.ComponentTree.for_test().load_context)
    graph = definitions.resolve_asset_graph()
    kinds = [
        type(graph.get(dg.AssetKey(["shop", "online", view])).partitions_def)
        for view in ("stats", "second")
    ]
    assert kinds == [dg.HourlyPartitionsDefinition, dg.DailyPartitionsDefinition]
    assert isinstance(DAYS, kinds[1])


def test_a_table_without_windows_that_was_emptied_is_no_longer_green(workspace) -> None:
    workspace.run("platform")
    location = platform_definitions(workspace.folder / "platform")
    job = location.resolve_job_def(JOB)
    assert job.execute_in_process(instance=workspace.instance).success
    stored(workspace, "platform", "mirror_ledger", location=location)
    assert workspace.instance.get_latest_materialization_event(ONLINE)
    without = "\n".join(line for line in PLATFORM.splitlines() if "stats" not in line)
    workspace.write("platform", without.replace(
        'schema=[Field(name="trips", dtype=Int64, description="today")])', ""))  # fmt: skip
    store = FeatureStore(workspace.folder / "platform")
    store.apply(partial=False)
    workspace.write("platform", PLATFORM)
    FeatureStore(workspace.folder / "platform").apply(partial=False)
    stored(workspace, "platform", "mirror_ledger", location=location)
    assert workspace.instance.get_latest_materialization_event(ONLINE) is None


def test_the_audit_is_red_while_the_registry_is_away(workspace) -> None:
    workspace.run("platform")
    key = dg.AssetCheckKey(dg.AssetKey(["shop", "registration", "platform"]), "audit")

    def passed() -> bool:
        record = workspace.instance.get_latest_asset_check_evaluation_record(key)
        return bool(record.evaluation.passed)

    cursor = stored(workspace, "platform", "watch").cursor
    assert passed()
    location = workspace.location("platform")
    registry = workspace.folder / "registry.db"
    registry.rename(workspace.folder / "away.db")
    cursor = stored(workspace, "platform", "watch", cursor, location).cursor
    assert not passed()
    assert isinstance(stored(workspace, "platform", "watch", cursor, location), dg.SkipReason)
    first = stored(workspace, "platform", "watch", "", location)  # a sensor that starts now
    assert isinstance(stored(workspace, "platform", "watch", first.cursor, location), dg.SkipReason)
    for file in workspace.folder.glob("registry.db*"):
        file.unlink()
    (workspace.folder / "away.db").rename(registry)
    stored(workspace, "platform", "watch", cursor, location)
    assert passed()


def test_commits_of_another_deployment_are_observed(workspace) -> None:
    workspace.run("platform")
    workspace.run("risk")
    cursor = stored(workspace, "risk", "watch").cursor
    workspace.write("risk", TEAM.format(team="risk").replace("2 *", "3 *"))
    with dg.DagsterInstance.ephemeral() as elsewhere:
        job = workspace.location("risk").resolve_job_def("apply_risk")
        assert job.execute_in_process(instance=elsewhere).success
    answer = stored(workspace, "risk", "watch", cursor)
    observed = [e.asset_key.path[-1] for e in answer.asset_events if hasattr(e, "tags")]
    assert "risk_double" in observed
