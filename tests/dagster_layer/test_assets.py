"""Repos in Dagster: lineage, one commit a run, refusals as failed checks, online loads."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster_support import PLATFORM, TEAM, Workspace
from tests_support import NOON, raises

from feature_platform import Entity, FeatureStore, FeatureView, Field, SnowflakeSource
from feature_platform.dagster import FeatureStoreResource, platform_definitions, team_definitions
from feature_platform.errors import ConfigError, DefinitionError
from feature_platform.types import Int64, String

JANUARY_3 = datetime(2026, 1, 3, tzinfo=UTC)
pytestmark = pytest.mark.filterwarnings("ignore")


def key(*path: str) -> dg.AssetKey:
    return dg.AssetKey(["shop", *path])


def failure(result: dg.ExecuteInProcessResult) -> tuple[str, list[tuple[Any, Any]]]:
    """Return why a run failed: in words, and as the rules that were broken with what broke them."""
    [event] = [e for e in result.all_events if e.is_step_failure]
    data = event.step_failure_data.user_failure_data
    records = data.metadata["problems"].records
    return data.description, [(r.data["rule"], r.data["object"]) for r in records]


def emitted(result: dg.ExecuteInProcessResult) -> set[str]:
    """Return the objects that were materialized, beside the registration, which each commit is."""
    keys = {e.asset_key for e in result.get_asset_materialization_events()}
    return {key.path[-1] for key in keys if key.path[1] != "registration"}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Return the checks of the registration that were evaluated."""
    return {e.check_name: e.passed for e in result.get_asset_check_evaluations()}


def evaluated(workspace, *path: str, check: str = "registry_rules") -> dg.AssetCheckEvaluation:
    """Return the newest evaluation of a check of an object."""
    found = dg.AssetCheckKey(key(*path), check)
    return workspace.instance.get_latest_asset_check_evaluation_record(found).evaluation


def test_the_graph_runs_from_tables_to_services_across_locations(workspace) -> None:
    platform = workspace.location("platform").resolve_asset_graph()
    team = workspace.location("risk").resolve_asset_graph()

    def parents(graph: Any, asset: dg.AssetKey) -> set[dg.AssetKey]:
        return set(graph.get(asset).parent_keys)

    view = key("feature_view", "stats")
    assert parents(platform, key("source", "trips")) == {dg.AssetKey(["raw", "trips"])}
    assert parents(platform, view) == {key("source", "trips"), key("entity", "driver")}
    assert parents(platform, key("online", "stats")) == {view}
    assert parents(team, key("feature_view", "risk_double")) == {view}
    assert parents(team, key("feature_service", "risk_v1")) == {
        view, key("feature_view", "risk_double"),
    }  # fmt: skip
    own = set(team.materializable_asset_keys)
    assert own == {
        key("feature_view", "risk_double"), key("feature_service", "risk_v1"),
        key("registration", "risk"),
    }  # fmt: skip


def test_what_people_see_of_an_object(workspace) -> None:
    node = workspace.location("platform").resolve_asset_graph().get(key("feature_view", "stats"))

    assert node.group_name == "platform"
    assert node.owners == ["team:platform"]
    assert "feature_view" in node.kinds
    [column] = node.metadata["dagster/column_schema"].schema.columns
    assert (column.name, column.type, column.description) == ("trips", "Int64", "today")
    [reference] = node.metadata["dagster/code_references"].code_references
    assert reference.file_path == str(workspace.folder / "platform" / "objects.py")
    assert reference.line_number == 8


def test_the_code_location_loads_without_a_registry(workspace) -> None:
    workspace.location("risk")

    assert not (workspace.folder / "registry.db").exists()


def test_one_run_is_one_commit_and_a_second_run_is_silent(workspace) -> None:
    first = workspace.run("platform")
    second = workspace.run("platform")

    assert emitted(first) == {"driver", "trips", "stats"}
    assert not second.get_asset_materialization_events()
    passed = {"registry_rules": True, "audit": True, "online_store_pool": False}
    assert checks(first) == checks(second) == passed
    [commit] = FeatureStore(workspace.folder / "platform").registry.history()
    assert commit.client == "dagster"
    assert first.run_id in commit.message


def test_only_what_changed_is_emitted(workspace) -> None:
    workspace.run("platform")
    objects = workspace.folder / "platform" / "objects.py"
    objects.write_text(objects.read_text().replace("days=1", "days=2"))
    result = workspace.run("platform")

    assert emitted(result) == {"stats"}
    event, registration = result.get_asset_materialization_events()
    metadata = {k: v.value for k, v in event.materialization.metadata.items()}
    records = registration.materialization.metadata["changed"].records
    assert [dict(r.data) for r in records] == [
        {"object": "feature view 'stats'", "action": "update"}
    ]
    assert metadata["difference"] == {"ttl": {"before": "P1D", "after": "P2D"}}
    assert metadata["registry_version"] == 2


ODD_NAMES = (
    PLATFORM.replace('name="driver"', 'name="a driver"')
    .replace('name="trips", path', 'name="my trips", path')
    .replace('name="stats"', 'name="7-day stats"')
    .replace('dtype=Int64, description="today")', "dtype=Int64, checks=[checks.NotNull()])")
    .replace('schema=[Field(name="trips",', 'schema=[Field(name="trip no-1",')
    .replace("import Entity", "import checks, Entity")
    .replace('path="trips.parquet"', 'path="trips.parquet", field_mapping={"trips": "trip no-1"}')
)


def test_names_with_hyphens_and_spaces_are_assets(workspace) -> None:
    workspace.write("platform", ODD_NAMES)
    workspace.write("risk", TEAM.format(team="risk").replace(
        '"stats:trips"', '"7-day stats:trip no-1"').replace('"stats"', '"7-day stats"').replace(
        '["trips"]', '["trip no-1"]').replace('"risk_v1"', '"risk-v1"'))  # fmt: skip
    assert emitted(workspace.run("platform")) == {"a_driver", "my_trips", "7-day_stats"}
    assert emitted(workspace.run("risk")) == {"risk_double", "risk-v1"}
    graph = workspace.location("risk").resolve_asset_graph()
    parents = graph.get(dg.AssetKey(["shop", "feature_view", "risk_double"])).parent_keys
    assert parents == {dg.AssetKey(["shop", "feature_view", "7-day_stats"])}
    load = workspace.run("platform", "materialize_shop_online", partition_key="2026-01-01")
    assert load.success
    view = dg.AssetKey(["shop", "feature_view", "7-day_stats"])
    platform = workspace.location("platform")
    checks = {key.name for key in platform.resolve_asset_graph().get(view).check_keys}
    assert checks == {"schema", "trip_no_1_not_null", "registry_rules"}
    job = platform.resolve_implicit_global_asset_job_def()
    keys = {dg.AssetCheckKey(view, "trip_no_1_not_null")}
    subset = job.get_subset(asset_selection=set(), asset_check_selection=keys)
    result = subset.execute_in_process(instance=workspace.instance)
    [evaluation] = result.get_asset_check_evaluations()
    assert evaluation.passed
    assert "In sync" in workspace.tick("platform").skip_message


def test_what_was_applied_elsewhere_is_emitted_once(workspace) -> None:
    FeatureStore(workspace.folder / "platform").apply()

    assert emitted(workspace.run("platform")) == {"driver", "trips", "stats"}
    assert emitted(workspace.run("platform")) == set()


def test_selecting_some_applies_those_and_deletes_nothing(workspace) -> None:
    workspace.run("platform")
    result = workspace.run("platform", asset_selection=[key("entity", "driver")])

    assert result.success
    assert emitted(result) == {"driver"}
    assert FeatureStore(workspace.folder / "platform").list_feature_views()


def test_a_full_run_removes_what_the_repo_no_longer_defines(workspace) -> None:
    workspace.run("platform")
    text = (workspace.folder / "platform" / "objects.py").read_text()
    workspace.write("platform", text[: text.index("stats = FeatureView")])

    assert workspace.run("platform").success
    assert FeatureStore(workspace.folder / "platform").list_feature_views() == []


def test_a_refused_plan_is_a_failed_check_and_nothing_is_committed(workspace) -> None:
    result = workspace.run("risk")

    assert not result.success
    assert FeatureStore(workspace.folder / "risk").snapshot().version == 0
    [check] = result.get_asset_check_evaluations()
    assert (check.asset_key, check.check_name) == (key("registration", "risk"), "registry_rules")
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    records = [(r.data["rule"], r.data["object"]) for r in check.metadata["problems"].records]
    _, problems = failure(result)
    assert records == problems
    assert sorted(problems) == [
        ("reference", "feature service 'risk_v1'"),
        ("reference", "on-demand view 'risk_double'"),
    ]
    for path in (("feature_view", "risk_double"), ("feature_service", "risk_v1")):
        fault = evaluated(workspace, *path)
        assert (fault.passed, fault.severity) == (False, dg.AssetCheckSeverity.ERROR)
        assert "'stats'" in fault.description or "'risk_double'" in fault.description


def test_a_mended_fault_is_green_again_on_the_object_too(workspace) -> None:
    workspace.run("risk")
    assert not evaluated(workspace, "feature_service", "risk_v1").passed
    workspace.run("platform")
    assert workspace.run("risk").success

    assert evaluated(workspace, "feature_service", "risk_v1").passed
    assert evaluated(workspace, "feature_view", "risk_double").passed
    assert evaluated(workspace, "registration", "risk").passed


def test_a_refused_delete_fails_the_run_with_its_consumers(workspace) -> None:
    workspace.run("platform")
    workspace.run("risk")
    text = (workspace.folder / "platform" / "objects.py").read_text()
    workspace.write("platform", text[: text.index("stats = FeatureView")])
    result = workspace.run("platform")

    assert not result.success
    message, problems = failure(result)
    assert problems == [("contract", "feature view 'stats'")]
    assert "'risk_v1'" in message
    assert "'risk'" in message
    assert FeatureStore(workspace.folder / "platform").list_feature_views()


def test_one_run_loads_a_range_of_days(workspace) -> None:
    workspace.run("platform")
    tags = {
        "dagster/asset_partition_range_start": "2026-01-01",
        "dagster/asset_partition_range_end": "2026-01-02",
    }
    result = workspace.run("platform", "materialize_shop_online", tags=tags)

    assert result.success
    partitions = [e.partition for e in result.get_asset_materialization_events()]
    assert partitions == ["2026-01-01", "2026-01-02"]
    store = FeatureStore(workspace.folder / "platform", clock=lambda: JANUARY_3)
    answer = store.get_online_features(["stats:trips"], [{"driver_id": 1}])
    assert answer.to_dict()["trips"] == [47]


def test_one_day_loads_that_day(workspace) -> None:
    workspace.run("platform")
    result = workspace.run("platform", "materialize_shop_online", partition_key="2026-01-01")

    [event] = result.get_asset_materialization_events()
    assert event.materialization.metadata["dagster/row_count"].value == 1


def test_without_partitions_a_run_loads_what_is_new(workspace) -> None:
    defs = platform_definitions(workspace.folder / "platform")
    workspace.run("platform")
    job = defs.resolve_job_def("materialize_shop_online")

    assert job.execute_in_process(instance=workspace.instance).success
    assert [s.cron_schedule for s in defs.schedules or ()] == ["0 * * * *"]


def test_the_schedule_follows_the_partitions(workspace) -> None:
    repo = workspace.location("platform").get_repository_def()
    [schedule] = repo.schedule_defs

    assert schedule.cron_schedule == "0 0 * * *"
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


def test_assets_of_a_team_use_the_feature_store_as_a_resource(workspace) -> None:
    workspace.run("platform")
    workspace.run("risk")

    @dg.asset(deps=[key("feature_service", "risk_v1")])
    def training_set(feature_store: FeatureStoreResource) -> int:
        sql = "SELECT 1 AS driver_id, TIMESTAMPTZ '2026-01-01 05:30:00+00' AS event_timestamp"
        table = feature_store.open().get_historical_features(sql, "risk_v1").to_arrow()
        return int(table["y"][0].as_py())

    store = FeatureStoreResource(repo_path=str(workspace.folder / "risk"))
    merged = dg.Definitions.merge(
        team_definitions(workspace.folder / "risk"),
        dg.Definitions(assets=[training_set], resources={"feature_store": store}),
    )
    result = merged.resolve_implicit_global_asset_job_def().execute_in_process(
        asset_selection=[training_set.key], instance=workspace.instance
    )

    assert result.output_for_node("training_set") == 10


def test_each_builder_takes_its_own_kind_of_repo(workspace) -> None:
    with raises(ConfigError, workspace.folder / "risk", "'risk'", "team_definitions"):
        platform_definitions(workspace.folder / "risk")
    with raises(ConfigError, workspace.folder / "platform", "platform_definitions"):
        team_definitions(workspace.folder / "platform")


def test_a_circle_of_views_is_named_when_the_location_loads(workspace) -> None:
    text = """
from feature_platform import Field, OnDemandFeatureView
from feature_platform.types import Int64
def f(inputs):
    return inputs
Y = [Field(name="y", dtype=Int64)]
head = OnDemandFeatureView(name="head", sources=["tail:y"], schema=Y, udf=f)
tail = OnDemandFeatureView(name="tail", sources=["head:y"], schema=Y, udf=f)
"""
    workspace.write("risk", text)

    with raises(DefinitionError, "head", "tail"):
        workspace.location("risk")


def test_whoever_reads_something_deprecated_is_warned(workspace) -> None:
    workspace.run("platform")
    workspace.run("risk")
    soon = 'deprecated=Deprecation(remove_after="2999-01-01", replacement="stats_v2"), '
    changed = PLATFORM.replace('name="stats", ', f'name="stats", {soon}')
    changed = changed.replace("import Entity", "import Deprecation, Entity")
    workspace.write("platform", changed)
    assert workspace.run("platform").success

    result = workspace.run("risk")

    assert result.success
    [audit] = [e for e in result.get_asset_check_evaluations() if e.check_name == "audit"]
    assert (audit.passed, audit.severity) == (False, dg.AssetCheckSeverity.WARN)
    for path in (("feature_view", "risk_double"), ("feature_service", "risk_v1")):
        check = evaluated(workspace, *path, check="reads_nothing_deprecated")
        assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert all(x in check.description for x in ("'stats'", "2999-01-01", "stats_v2"))
    workspace.write("platform", PLATFORM)
    workspace.run("platform")
    workspace.run("risk")
    assert evaluated(
        workspace, "feature_service", "risk_v1", check="reads_nothing_deprecated"
    ).passed


def test_a_registry_on_s3_takes_its_credentials_from_the_s3_resource(
    tmp_path, s3_endpoint, s3, bucket, monkeypatch
) -> None:
    from dagster_aws.s3 import S3Resource

    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("STORE_SECRET", "from-the-environment")
    resource = S3Resource(
        endpoint_url=s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key=dg.EnvVar("STORE_SECRET"),
    )
    workspace = Workspace(tmp_path, f"s3://{bucket}/registry", resource)

    assert isinstance(workspace.tick("risk"), dg.SkipReason)
    assert workspace.run("platform").success
    request = workspace.tick("risk")
    assert workspace.run("risk", tags=dict(request.tags)).success
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert f"registry/_log/{2:020d}.json" in keys


def test_a_full_sync_that_would_delete_much_is_a_failed_check(workspace) -> None:
    services = "\n".join(
        f'service_{n} = FeatureService(name="risk_{n}", features=["stats"])' for n in range(6)
    )
    workspace.run("platform")
    workspace.write("risk", TEAM.format(team="risk") + services)
    assert workspace.run("risk").success
    workspace.write("risk", TEAM.format(team="risk"))

    skip = workspace.tick("risk")
    assert isinstance(skip, dg.SkipReason)
    assert re.findall(r"\b\d+\b", skip.skip_message) == ["6", "8"]
    assert all(name in skip.skip_message for name in ("'risk'", "--allow-mass-delete"))
    _, problems = failure(workspace.run("risk"))
    assert problems == [("brake", "the plan")]


def test_a_snowflake_resource_hands_its_connection_down(
    tmp_path: Path, snowflake: dict[str, Any]
) -> None:
    from dagster_snowflake import SnowflakeResource

    (tmp_path / "feature_store.yaml").write_text(
        "project: shop\nregistry: r.db\nonline_store: null\noffline_store: {type: snowflake}\n"
    )
    emulator = {name: snowflake[name] for name in ("host", "port", "protocol", "network_timeout")}
    resource = FeatureStoreResource(
        repo_path=str(tmp_path),
        snowflake=SnowflakeResource(
            account="test",
            user="test",
            password=dg.EnvVar("FP_TEST_PASSWORD"),
            database="RES_DB",
            schema="PLATFORM",
            additional_snowflake_connection_args=emulator,
        ),
    )
    seen: list[Any] = []

    @dg.asset
    def training_set(feature_store: FeatureStoreResource) -> None:
        store = feature_store.open()
        entity = Entity(name="id", value_type=String)
        source = SnowflakeSource(
            name="s",
            query="SELECT 'a' AS ID, '2026-01-01'::TIMESTAMP_NTZ AS EVENT_TIMESTAMP, 5 AS X",
        )
        view = FeatureView(
            name="v", entities=[entity], source=source, schema=[Field(name="x", dtype=Int64)]
        )
        store.apply([entity, source, view])
        rows = pd.DataFrame({"id": ["a"], "event_timestamp": [NOON]})
        seen.append(store.get_historical_features(rows, ["v"]).to_arrow()["x"].to_pylist())

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FP_TEST_PASSWORD", "secret")
        result = dg.materialize([training_set], resources={"feature_store": resource})
    assert result.success
    assert seen == [[5]]
    assert "secret" not in repr(resource)


def test_a_change_that_is_taken_back_is_emitted_too(workspace) -> None:
    """A run of some assets comes between two runs of the same whole state."""
    workspace.run("platform")
    workspace.write("platform", PLATFORM.replace("days=1", "days=2"))
    workspace.run("platform", asset_selection=[key("feature_view", "stats")])
    workspace.write("platform", PLATFORM)

    assert emitted(workspace.run("platform")) == {"stats"}


@pytest.mark.parametrize("names", [("audit",), ("registry_rules",), ("audit", "registry_rules")])
@pytest.mark.parametrize("is_applied", [True, False])
def test_evaluating_checks_applies_nothing(workspace, names, is_applied: bool) -> None:
    if is_applied:
        assert workspace.run("platform").success
        workspace.write("platform", PLATFORM.partition("stats =")[0])
    with FeatureStore(workspace.folder / "platform") as store:
        before = store.load_project().version
        registration = dg.AssetKey(["shop", "registration", "platform"])
        job = workspace.location("platform").resolve_implicit_global_asset_job_def()
        keys = {dg.AssetCheckKey(registration, name) for name in names}
        subset = job.get_subset(asset_selection=set(), asset_check_selection=keys)
        result = subset.execute_in_process(instance=workspace.instance)

        evaluated = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}
        assert evaluated.keys() == set(names)
        assert store.load_project().version == before
        assert result.get_asset_materialization_events() == []


def test_a_job_of_all_checks_applies_nothing(workspace) -> None:
    assert workspace.run("platform").success
    workspace.write("platform", PLATFORM.partition("stats =")[0])
    every = dg.define_asset_job("every_check", dg.AssetSelection.all_asset_checks())
    location = dg.Definitions.merge(workspace.location("platform"), dg.Definitions(jobs=[every]))
    job = location.resolve_job_def("every_check")
    job.execute_in_process(instance=workspace.instance, raise_on_error=False)

    with FeatureStore(workspace.folder / "platform") as store:
        assert [view.name for view in store.list_feature_views()] == ["stats"]


def test_the_folder_of_a_repo_may_be_a_variable(workspace, monkeypatch) -> None:
    resource = FeatureStoreResource(repo_path=dg.EnvVar("PLATFORM_REPO"))
    monkeypatch.delenv("PLATFORM_REPO", raising=False)
    with raises(ConfigError, "PLATFORM_REPO"):
        platform_definitions(resource)
    monkeypatch.setenv("PLATFORM_REPO", str(workspace.folder / "platform"))
    job = platform_definitions(resource).resolve_job_def("apply_platform")
    assert job.execute_in_process(instance=workspace.instance).success
    assert FeatureStore(workspace.folder / "platform").list_feature_views()
