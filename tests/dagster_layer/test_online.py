"""Loads of online tables: windows, cadences, retries, and partitions that follow the ledger."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster_support import DAYS, PLATFORM, TEAM
from tests_support import raises

from feature_platform import FeatureStore
from feature_platform.dagster import (
    FeatureStoreTranslator,
    platform_definitions,
    team_definitions,
)
from feature_platform.errors import ConfigError, NotFoundError, SchemaError, StoreError

pytestmark = pytest.mark.filterwarnings("ignore")
JOB = "materialize_shop_online"
ONLINE = dg.AssetKey(["shop", "online", "stats"])
DAY = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
SECOND = """
second = FeatureView(name="second", entities=[driver], source=trips,
                     schema=[Field(name="trips", dtype=Int64)])
"""


def materializations(result: dg.ExecuteInProcessResult) -> list[dict[str, Any]]:
    """Return the metadata of each event, with its partition."""
    assert result.success
    return [
        {n: v.value for n, v in e.materialization.metadata.items()} | {"partition": e.partition}
        for e in result.get_asset_materialization_events()
    ]


def load_range(workspace, first: str, last: str) -> dg.ExecuteInProcessResult:
    names = ("start", first), ("end", last)
    tags = {f"dagster/asset_partition_range_{name}": day for name, day in names}
    return workspace.run("platform", JOB, tags=tags)


def shown(workspace) -> set[str]:
    return workspace.instance.get_materialized_partitions(ONLINE)


def mirror(workspace) -> Any:
    """Run the sensor that follows the ledger, and store its events as the daemon does."""
    location = workspace.location("platform")
    answer = workspace.tick_of(location, "platform", sensor="mirror_ledger")
    for event in getattr(answer, "asset_events", None) or ():
        workspace.instance.report_runless_asset_event(event)
    return answer


def test_a_load_says_what_it_loaded(workspace) -> None:
    workspace.run("platform")
    [load] = materializations(workspace.run("platform", JOB, partition_key="2026-01-01"))

    assert load["dagster/row_count"] == 1
    assert load["window"] == "2026-01-01T00:00:00+00:00 / 2026-01-02T00:00:00+00:00"
    assert load["loaded_until"] == "2026-01-02T00:00:00+00:00"
    assert load["lag_seconds"] > 0
    assert load["seconds"] > 0
    assert (load["online_store"], load["registry_version"]) == ("sqlite", 1)
    assert load["definition"] == "as in this code"


def with_statistics(workspace: Any, job: dg.JobDefinition, **options: Any) -> dict[str, Any]:
    op = next(node.name for node in job.nodes)
    run_config = {"ops": {op: {"config": {"statistics": True}}}}
    [load] = materializations(
        job.execute_in_process(instance=workspace.instance, run_config=run_config, **options)
    )
    return load


def test_a_load_describes_its_rows_on_demand(workspace) -> None:
    """The 24 rows of a day; the numbers are metadata that Dagster plots."""
    workspace.run("platform")
    job = workspace.location("platform").resolve_job_def(JOB)
    load = with_statistics(workspace, job, partition_key="2026-01-02")

    [row] = load["statistics"].records
    described = {n: row.data[n] for n in ("feature", "rows", "min", "mean", "max", "50%")}
    assert described == {
        "feature": "trips", "rows": 24, "min": 24, "mean": 35.5, "max": 47, "50%": 35.5,
    }  # fmt: skip
    assert (load["trips: mean"], load["trips: null share"]) == (35.5, 0.0)
    [plain] = materializations(workspace.run("platform", JOB, partition_key="2026-01-02"))
    assert not [name for name in plain if "statistics" in name or "mean" in name]


def test_statistics_of_a_view_without_windows_are_of_the_rows_within_its_ttl(workspace) -> None:
    now = pd.Timestamp.now("UTC")
    times = [now - pd.Timedelta(hours=h) for h in (1, 2, 30)]
    frame = pd.DataFrame({"driver_id": [1, 1, 2], "event_timestamp": times, "trips": [5, None, 9]})
    frame.to_parquet(workspace.folder / "trips.parquet")
    workspace.run("platform")
    job = platform_definitions(workspace.folder / "platform").resolve_job_def(JOB)
    load = with_statistics(workspace, job)

    assert (load["trips: mean"], load["trips: null share"]) == (5.0, 0.5)


@pytest.mark.parametrize(("settings", "limit"), [
    ("", None), ("concurrency: {pools: {default_limit: 3}}", 3),
])  # fmt: skip
def test_a_pool_without_a_limit_is_a_warning(workspace, tmp_path, settings, limit) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(settings)
    job = workspace.location("platform").resolve_job_def("apply_platform")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        result = job.execute_in_process(instance=instance)
        [check] = [e for e in result.get_asset_check_evaluations()
                   if e.check_name == "online_store_pool"]  # fmt: skip
        assert (check.passed, check.severity) == (limit is not None, dg.AssetCheckSeverity.WARN)
        assert check.metadata["pool"].value == "shop_online_store"
        if limit is None:
            instance.event_log_storage.set_concurrency_slots("shop_online_store", 2)
            again = job.execute_in_process(instance=instance).get_asset_check_evaluations()
            assert {e.check_name: e.passed for e in again}["online_store_pool"]
        else:
            assert check.metadata["limit"].value == limit
    team = workspace.location("risk").resolve_job_def("apply_risk")
    checks = team.execute_in_process(instance=workspace.instance).get_asset_check_evaluations()
    assert "online_store_pool" not in {e.check_name for e in checks}


def test_a_row_at_midnight_belongs_to_one_day(workspace) -> None:
    """Windows are half-open, and those that touch are one in the ledger."""
    times = [datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)]
    frame = pd.DataFrame({"driver_id": [1, 2], "event_timestamp": times, "trips": [5, 6]})
    frame.to_parquet(workspace.folder / "trips.parquet")
    workspace.run("platform")
    counts = [
        materializations(workspace.run("platform", JOB, partition_key=day))[0]["dagster/row_count"]
        for day in ("2026-01-01", "2026-01-02")
    ]

    assert counts == [1, 1]
    store = FeatureStore(workspace.folder / "platform", clock=lambda: DAY[1])
    [window] = store.online_windows("stats")
    assert (window.start, window.end) == (DAY[0], DAY[1] + timedelta(days=1))


def test_a_range_counts_its_rows_once(workspace) -> None:
    workspace.run("platform")
    loads = materializations(load_range(workspace, "2026-01-01", "2026-01-05"))

    assert [load["partition"] for load in loads] == [f"2026-01-0{n}" for n in range(1, 6)]
    assert all("dagster/row_count" not in load for load in loads)
    assert {load["rows_of_run"] for load in loads} == {1}


@pytest.mark.parametrize("partitions", [
    dg.StaticPartitionsDefinition(["a"]), {"stats": dg.StaticPartitionsDefinition(["a"])},
    dg.DynamicPartitionsDefinition(name="d"),
])  # fmt: skip
def test_partitions_that_are_no_time_windows_are_refused_at_once(workspace, partitions) -> None:
    with raises(ConfigError, "online_partitions", "PartitionsDefinition"):
        platform_definitions(workspace.folder / "platform", online_partitions=partitions)


def test_every_view_has_a_cadence_of_its_own(workspace) -> None:
    workspace.write("platform", PLATFORM + SECOND)
    repo = workspace.folder / "platform"
    location = platform_definitions(
        repo, online_partitions={"stats": DAYS}, online_schedule="*/5 * * * *"
    )

    schedules = {s.job_name: s.cron_schedule for s in location.get_repository_def().schedule_defs}
    assert schedules == {f"{JOB}_daily": "0 0 * * *", JOB: "*/5 * * * *"}
    before = platform_definitions(repo, online_schedule="*/5 * * * *").get_repository_def()
    # A schedule that is on must not lose its name when a cadence is added.
    assert [s.job_name for s in before.schedule_defs] == [JOB]
    graph = location.resolve_asset_graph()
    assert graph.get(ONLINE).partitions_def == DAYS
    assert graph.get(dg.AssetKey(["shop", "online", "second"])).partitions_def is None
    with raises(ConfigError, "online_partitions", "'stat'", "'stats'"):
        platform_definitions(repo, online_partitions={"stat": DAYS})


def test_tables_have_a_freshness_unless_their_windows_end(workspace) -> None:
    def freshness(**options) -> Any:
        location = platform_definitions(workspace.folder / "platform", **options)
        return location.resolve_asset_graph().get(ONLINE).freshness_policy

    assert freshness(online_partitions=DAYS) is None
    daily = freshness(online_partitions=dg.DailyPartitionsDefinition("2026-01-01"))
    assert daily.fail_window.to_timedelta() == timedelta(days=3)  # more than the ttl of a day
    hourly = freshness()
    assert hourly.fail_window.to_timedelta() == timedelta(days=1)
    assert hourly.warn_window.to_timedelta() == timedelta(hours=2)


def test_the_lookback_of_increments_is_a_setting(workspace) -> None:
    def rows(lookback: timedelta) -> int:
        location = platform_definitions(workspace.folder / "platform", lookback=lookback)
        job = location.resolve_job_def(JOB)
        result = job.execute_in_process(instance=workspace.instance)
        return materializations(result)[0]["dagster/row_count"]

    workspace.run("platform")
    late = datetime.now(UTC) - timedelta(days=2)
    rows(timedelta(0))
    frame = pd.DataFrame({"driver_id": [7], "event_timestamp": [late], "trips": [1]})
    frame.to_parquet(workspace.folder / "trips.parquet")
    assert rows(timedelta(days=1)) == 0
    assert rows(timedelta(days=3)) == 1


def test_what_another_client_loaded_shows_up_as_partitions(workspace) -> None:
    workspace.run("platform")
    store = FeatureStore(workspace.folder / "platform")
    store.materialize(DAY[0], datetime(2026, 1, 3, 12, tzinfo=UTC))
    mirror(workspace)

    assert shown(workspace) == {"2026-01-01", "2026-01-02"}  # half a day is not a partition
    assert isinstance(mirror(workspace), dg.SkipReason)


def test_what_has_to_be_loaded_again_is_no_longer_green(workspace) -> None:
    """The view is deleted and created again: its rows are gone."""
    workspace.run("platform")
    load_range(workspace, "2026-01-01", "2026-01-03")
    mirror(workspace)
    assert len(shown(workspace)) == 3
    workspace.write("platform", PLATFORM[: PLATFORM.index("stats = FeatureView")])
    workspace.run("platform")
    workspace.write("platform", PLATFORM)
    workspace.run("platform")
    mirror(workspace)

    assert shown(workspace) == set()
    workspace.run("platform", JOB, partition_key="2026-01-02")
    mirror(workspace)
    assert shown(workspace) == {"2026-01-02"}


def test_the_ledger_of_a_view_that_is_not_registered_is_empty(workspace) -> None:
    assert isinstance(mirror(workspace), dg.SkipReason)
    workspace.run("platform")
    load_range(workspace, "2026-01-01", "2026-01-03")
    workspace.write("platform", PLATFORM[: PLATFORM.index("stats = FeatureView")])
    workspace.run("platform")
    workspace.write("platform", PLATFORM)
    mirror(workspace)

    assert shown(workspace) == set()


def failing(monkeypatch, error: Exception, times: int) -> list[int]:
    """Let loads fail some times, and return the list of attempts."""
    attempts: list[int] = []
    materialize = FeatureStore.materialize

    def attempt(self, *args, **options):
        attempts.append(len(attempts))
        if len(attempts) <= times:
            raise error
        return materialize(self, *args, **options)

    monkeypatch.setattr(FeatureStore, "materialize", attempt)
    monkeypatch.setattr("feature_platform.dagster.apply._FIRST_PAUSE_SECONDS", 0)
    return attempts


def test_what_may_pass_is_tried_again(workspace, monkeypatch) -> None:
    workspace.run("platform")
    attempts = failing(monkeypatch, StoreError("the store is away"), times=2)

    assert workspace.run("platform", JOB, partition_key="2026-01-01").success
    assert len(attempts) == 3


@pytest.mark.parametrize("error", [SchemaError("a column is gone"), ConfigError("no store")])
def test_what_cannot_pass_is_not_tried_again(workspace, monkeypatch, error) -> None:
    workspace.run("platform")
    attempts = failing(monkeypatch, error, times=9)

    result = workspace.run("platform", JOB, partition_key="2026-01-01")
    assert not result.success
    assert len(attempts) == 1
    [event] = [e for e in result.all_events if e.is_step_failure]
    assert type(error).__name__ in event.step_failure_data.user_failure_data.description


def test_a_view_that_is_not_registered_is_said_once(workspace) -> None:
    result = workspace.run("platform", JOB, partition_key="2026-01-01")

    assert not result.success
    [event] = [e for e in result.all_events if e.is_step_failure]
    assert "NotFoundError" in event.step_failure_data.user_failure_data.description
    with raises(NotFoundError, "'stats'"):
        FeatureStore(workspace.folder / "platform").online_windows("stats")
    assert not [e for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]


def test_a_load_says_if_the_code_is_ahead_of_the_registry(workspace) -> None:
    workspace.run("platform")
    workspace.write("platform", PLATFORM.replace("days=1", "days=2"))

    [load] = materializations(workspace.run("platform", JOB, partition_key="2026-01-01"))
    assert load["definition"] == "differs from this code"


def test_precomputed_answers_of_a_team_are_loaded_by_the_team(workspace) -> None:
    text = TEAM.format(team="risk").replace(
        "@OnDemandFeatureView(", "@OnDemandFeatureView(write_to_online_store=True, "
    )
    workspace.write("risk", text)
    workspace.run("platform")
    workspace.run("risk")
    location = team_definitions(workspace.folder / "risk", online_partitions=DAYS)
    job = location.resolve_job_def("materialize_shop_risk_online")
    result = job.execute_in_process(instance=workspace.instance, partition_key="2026-01-02")

    assert materializations(result)[0]["dagster/row_count"] == 1
    node = location.resolve_asset_graph().get(dg.AssetKey(["shop", "online", "risk_double"]))
    assert node.parent_keys == {dg.AssetKey(["shop", "feature_view", "risk_double"])}


def test_locations_can_hold_several_repos_and_projects(workspace) -> None:
    """One location with a platform, two teams, and another project of the same owners."""
    parts = [platform_definitions(workspace.folder / "platform", online_partitions=DAYS)]
    parts += [team_definitions(workspace.folder / team) for team in ("risk", "growth")]
    for owner, text in (("platform", PLATFORM), ("risk", TEAM.format(team="risk"))):
        repo = workspace.write(f"ads_{owner}", text)
        yaml = (workspace.folder / owner / "feature_store.yaml").read_text()
        (repo / "feature_store.yaml").write_text(yaml.replace("shop", "ads"))
        build = platform_definitions if owner == "platform" else team_definitions
        parts.append(build(repo, name=f"ads_{owner}"))
    merged = dg.Definitions.merge(*parts)
    dg.Definitions.validate_loadable(merged)

    for job in ("apply_platform", "apply_risk", "apply_growth", "apply_ads_platform"):
        definition = merged.resolve_job_def(job)
        assert definition.execute_in_process(instance=workspace.instance).success
    owners = {
        e.owner
        for e in FeatureStore(workspace.folder / "risk").registry.snapshot().entries.values()
    }
    assert owners == {"platform", "risk", "growth"}


def test_a_translator_changes_keys_in_one_place_and_lineage_joins(workspace) -> None:
    class Ours(FeatureStoreTranslator):
        def get_asset_key(self, project, namespace, name):
            return super().get_asset_key(project, namespace, name).with_prefix("ml")

        def get_asset_spec(self, definition, repo):
            spec = super().get_asset_spec(definition, repo)
            return spec.replace_attributes(group_name="features", owners=["ml@example.org"])

    ours = Ours()
    platform = platform_definitions(
        workspace.folder / "platform", translator=ours, online_partitions=DAYS
    )
    team = team_definitions(workspace.folder / "risk", translator=ours)
    view = dg.AssetKey(["ml", "shop", "feature_view", "stats"])
    service = team.resolve_asset_graph().get(
        dg.AssetKey(["ml", "shop", "feature_service", "risk_v1"])
    )
    assert view in service.parent_keys
    assert (service.group_name, service.owners) == ("features", ["ml@example.org"])
    assert view in platform.resolve_asset_graph().materializable_asset_keys
    for location, job in ((platform, "apply_platform"), (team, "apply_risk")):
        result = location.resolve_job_def(job).execute_in_process(instance=workspace.instance)
        assert all(e.asset_key.path[0] == "ml" for e in result.get_asset_materialization_events())
    lineage = result.asset_materializations_for_node("register_shop_risk")
    [double] = [m for m in lineage if m.asset_key.path[-1] == "risk_double"]
    [dep] = double.metadata["dagster/column_lineage"].column_lineage.deps_by_column["y"]
    assert (dep.asset_key, dep.column_name) == (view, "trips")


def test_declarative_automation_is_a_line_in_a_translator(workspace) -> None:
    """Instead of the sensor: what the platform applies requests what is built on it."""

    class Eager(FeatureStoreTranslator):
        def get_asset_spec(self, definition, repo):
            spec = super().get_asset_spec(definition, repo)
            eager = dg.AutomationCondition.eager()
            return spec.replace_attributes(automation_condition=eager)

    location = dg.Definitions.merge(
        platform_definitions(workspace.folder / "platform"),
        team_definitions(workspace.folder / "risk", translator=Eager()),
    )
    own = [dg.AssetKey(["shop", "feature_view", "risk_double"])]

    def requested(cursor: Any = None) -> Any:
        return dg.evaluate_automation_conditions(
            defs=location, instance=workspace.instance, cursor=cursor,
            asset_selection=dg.AssetSelection.assets(*own),
        )  # fmt: skip

    first = requested()
    assert first.total_requested == 0  # nothing upstream is there
    workspace.run("platform")
    assert requested(first.cursor).total_requested == 1


def test_a_window_that_has_not_ended_keeps_its_partition(workspace) -> None:
    """It is loaded up to now, so the ledger does not cover it as a whole yet."""
    today = dg.DailyPartitionsDefinition("2026-01-01", end_offset=1)
    location = platform_definitions(workspace.folder / "platform", online_partitions=today)
    workspace.run("platform")
    names = [today.get_last_partition_key(), "2026-01-01"]
    for name in names:
        job = location.resolve_job_def(JOB)
        job.execute_in_process(instance=workspace.instance, partition_key=name)
    answer = workspace.tick_of(location, "platform", sensor="mirror_ledger")

    assert isinstance(answer, dg.SkipReason)
    assert shown(workspace) == set(names)


def test_partitions_of_other_windows_than_before_are_forgotten(workspace) -> None:
    workspace.run("platform")
    load_range(workspace, "2026-01-01", "2026-01-02")
    hours = dg.HourlyPartitionsDefinition("2026-01-01-00:00", end_date="2026-01-01-02:00")
    location = platform_definitions(workspace.folder / "platform", online_partitions=hours)
    answer = workspace.tick_of(location, "platform", sensor="mirror_ledger")
    for event in answer.asset_events:
        workspace.instance.report_runless_asset_event(event)

    assert shown(workspace) == {"2026-01-01-00:00", "2026-01-01-01:00"}


CLASH = """
from feature_platform import Field, OnDemandFeatureView
from feature_platform.types import Int64

@OnDemandFeatureView(sources=["raw:trips"], schema=[Field(name="y", dtype=Int64)],
                     write_to_online_store=True)
def stats(inputs):
    return {"y": 1}
"""


def test_a_name_that_another_owner_has_is_neither_loaded_nor_mirrored(workspace) -> None:
    assert workspace.run("platform").success
    assert workspace.run("platform", JOB, partition_key="2026-01-01").success
    workspace.write("risk", CLASH)
    windows = dg.DailyPartitionsDefinition("2026-01-01", hour_offset=6)
    repo = workspace.folder / "risk"
    location = team_definitions(repo, online_partitions=windows)
    with FeatureStore(workspace.folder / "platform") as store:
        before = store.online_windows("stats")
        definition = location.resolve_job_def("materialize_shop_risk_online")
        options = {"instance": workspace.instance, "raise_on_error": False}
        assert not definition.execute_in_process(partition_key="2026-01-01", **options).success
        assert store.online_windows("stats") == before

    tick = workspace.tick_of(location, "risk", sensor="mirror_ledger")
    assert "another owner" in tick.skip_message
    assert workspace.instance.get_materialized_partitions(ONLINE) == {"2026-01-01"}
