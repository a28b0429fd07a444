"""The sensor that applies a team's objects: when, and only when, the registry would accept them."""

import re
import time

import dagster as dg
import pytest
from dagster_support import TEAM

from feature_platform import FeatureStore, Policy
from feature_platform.dagster import platform_definitions, reconcile, team_definitions

pytestmark = pytest.mark.filterwarnings("ignore")


def requested(workspace, team: str = "risk") -> dg.RunRequest:
    answer = workspace.tick(team)
    assert isinstance(answer, dg.RunRequest), answer
    return answer


def skipped(workspace, team: str = "risk") -> str:
    answer = workspace.tick(team)
    assert isinstance(answer, dg.SkipReason), answer
    return str(answer.skip_message)


def assert_in_sync(workspace, team: str, version: int) -> None:
    """Nothing is left to apply, and the version is all that the sensor has to name."""
    reason = skipped(workspace, team)
    assert re.findall(r"[\w-]*\d[\w-]*", reason) == [str(version)]
    store = FeatureStore(workspace.folder / team)
    assert store.snapshot().version == version
    assert not store.plan(partial=False)


def test_it_waits_and_says_for_what(workspace) -> None:
    reason = skipped(workspace)

    assert "view 'stats'" in reason
    assert "risk_" not in reason  # what waits is at no fault


def test_it_asks_for_one_run_and_then_is_in_sync(workspace) -> None:
    workspace.run("platform")
    request = requested(workspace)
    assert workspace.run("risk", tags=dict(request.tags)).success

    assert_in_sync(workspace, "risk", 2)


def test_teams_do_not_wake_each_other(workspace) -> None:
    workspace.run("platform")
    workspace.run("risk", tags=dict(requested(workspace).tags))
    workspace.run("growth", tags=dict(requested(workspace, "growth").tags))

    assert_in_sync(workspace, "risk", 3)


def test_commits_of_the_command_line_count(workspace) -> None:
    FeatureStore(workspace.folder / "platform").apply()
    requested(workspace)
    FeatureStore(workspace.folder / "risk").apply(partial=False)

    assert_in_sync(workspace, "risk", 2)


def test_it_wakes_again_when_the_repo_changes(workspace) -> None:
    workspace.run("platform")
    first = requested(workspace)
    workspace.run("risk", tags=dict(first.tags))
    objects = workspace.folder / "risk" / "objects.py"
    objects.write_text(objects.read_text().replace("2 *", "3 *"))

    second = requested(workspace)
    assert second.run_key != first.run_key


def test_what_the_owner_removed_elsewhere_stays_removed(workspace) -> None:
    workspace.run("platform")
    workspace.run("risk", tags=dict(requested(workspace).tags))
    store = FeatureStore(workspace.folder / "risk")
    version = store.teardown().version

    reason = skipped(workspace)
    assert re.search(rf"\b{version}\b", reason)
    assert "teardown" in reason
    assert workspace.run("risk").success  # by hand, it comes back
    assert_in_sync(workspace, "risk", version + 1)


def test_a_restored_state_and_a_newer_deployment_are_not_overwritten(workspace) -> None:
    workspace.run("platform")
    workspace.run("risk", tags=dict(requested(workspace).tags))
    older = workspace.location("risk")
    workspace.write("risk", TEAM.format(team="risk").replace("2 *", "3 *"))
    workspace.run("risk", tags=dict(requested(workspace).tags))

    newer = workspace.location("risk")
    assert "version 3" in str(workspace.tick_of(older, "risk").skip_message)
    assert "version 3" in str(workspace.tick_of(newer, "risk").skip_message)  # in sync with it
    FeatureStore(workspace.folder / "risk").restore(2)
    assert "'restore 2'" in str(workspace.tick_of(newer, "risk").skip_message)
    assert "version 4" in str(workspace.tick_of(older, "risk").skip_message)


def started(workspace, owner: str, *, job: str = "", status="STARTED", **options) -> dg.DagsterRun:
    """Create a run as the daemon does, with the tags of its job."""
    definition = workspace.location(owner).resolve_job_def(job or f"apply_{owner}")
    tags = {**definition.run_tags, **options.pop("tags", {})}
    return workspace.instance.create_run_for_job(
        job_def=definition, status=dg.DagsterRunStatus[status], tags=tags, **options
    )


def test_it_waits_for_a_run_under_way(workspace) -> None:
    workspace.run("platform")
    run = started(workspace, "risk")

    assert run.run_id in skipped(workspace)
    requested(workspace, "growth")
    workspace.instance.delete_run(run.run_id)
    requested(workspace)


def test_it_waits_for_what_somebody_materializes_in_the_ui(workspace) -> None:
    workspace.run("platform")
    own = dg.AssetKey(["shop", "feature_service", "risk_v1"])
    run = started(workspace, "risk", job="__ASSET_JOB", asset_selection=frozenset([own]))

    assert run.run_id in skipped(workspace)
    requested(workspace, "growth")


def test_a_failed_run_is_repeated_after_a_pause_that_doubles(workspace, monkeypatch) -> None:
    workspace.run("platform")
    tags = dict(requested(workspace).tags)
    keys = {requested(workspace).run_key}
    for number, pause in enumerate((30, 60, 120, 240), start=1):
        run = started(workspace, "risk", status="FAILURE", tags=tags)
        reason = skipped(workspace)
        assert re.search(rf"\b{number}\b", reason)
        assert run.run_id in reason
        ended = workspace.instance.get_run_record_by_id(run.run_id).update_timestamp.timestamp()
        with monkeypatch.context() as patch:
            patch.setattr(reconcile.time, "time", lambda: ended + pause - 1)  # noqa: B023
            skipped(workspace)
            patch.setattr(reconcile.time, "time", lambda: ended + pause)  # noqa: B023
            keys.add(requested(workspace).run_key)
    assert len(keys) == 5
    monkeypatch.setattr(reconcile.time, "time", lambda: ended + 3590)
    for _ in range(12):
        started(workspace, "risk", status="FAILURE", tags=tags)
    skipped(workspace)
    monkeypatch.setattr(reconcile.time, "time", lambda: ended + 3 * 3600)
    requested(workspace)  # never later than after an hour


@pytest.mark.parametrize("event", ["the repo changes", "the registry changes", "runs are wiped"])
def test_a_failed_run_is_repeated_at_once_when(workspace, event: str) -> None:
    workspace.run("platform")
    run = started(workspace, "risk", status="FAILURE", tags=dict(requested(workspace).tags))
    skipped(workspace)
    if event == "the repo changes":
        workspace.write("risk", TEAM.format(team="risk").replace("2 *", "3 *"))
    elif event == "the registry changes":
        FeatureStore(workspace.folder / "growth").apply()
    else:
        workspace.instance.delete_run(run.run_id)

    requested(workspace)


def test_a_run_applies_what_the_sensor_asked_for_or_nothing(workspace, monkeypatch) -> None:
    """The files changed between the tick and the run; the location is not reloaded."""
    workspace.run("platform")
    location = workspace.location("risk")
    tags = dict(workspace.tick_of(location, "risk").tags)
    workspace.write("risk", TEAM.format(team="risk").replace("2 *", "3 *"))
    run = workspace.run("risk", tags=tags)

    assert run.success
    assert not run.get_asset_materialization_events()
    assert FeatureStore(workspace.folder / "risk").snapshot().version == 1
    reason = str(workspace.tick_of(location, "risk").skip_message)
    assert run.run_id in reason
    assert "reload" in reason
    later = time.time() + 3700
    monkeypatch.setattr(reconcile.time, "time", lambda: later)
    assert isinstance(workspace.tick_of(location, "risk"), dg.RunRequest)  # once an hour
    requested(workspace)  # the reloaded location asks for what is in the files


def test_a_queued_run_does_not_undo_what_the_owner_did_meanwhile(workspace) -> None:
    workspace.run("platform")
    tags = dict(requested(workspace).tags)
    store = FeatureStore(workspace.folder / "risk")
    store.apply(partial=False)
    store.teardown()
    run = workspace.run("risk", tags=tags)

    assert run.success
    assert store.snapshot().version == 3
    assert store.list_feature_services() == []


def test_a_repo_that_became_empty_is_not_applied(workspace) -> None:
    workspace.run("platform")
    workspace.run("risk")
    workspace.write("risk", "")

    reason = skipped(workspace)
    assert "teardown" in reason
    assert "2 of its objects" in reason


def test_a_registry_that_vanished_is_told_from_an_empty_one(workspace) -> None:
    assert "unregistered" in skipped(workspace)  # empty: nobody has applied yet
    workspace.run("platform")
    workspace.run("risk")
    registry = workspace.folder / "registry.db"
    registry.rename(workspace.folder / "moved.db")

    assert re.search(r"is empty.*\b2\b", skipped(workspace))
    FeatureStore(workspace.folder / "platform").apply()
    assert "another one" in skipped(workspace)
    assert workspace.run("risk").success  # by hand: start over
    assert_in_sync(workspace, "risk", 2)


def test_a_registry_restored_from_an_older_backup_is_noticed(workspace) -> None:
    workspace.run("platform")
    backup = (workspace.folder / "registry.db").read_bytes()
    workspace.run("risk")
    for file in workspace.folder.glob("registry.db*"):
        file.unlink()
    (workspace.folder / "registry.db").write_bytes(backup)

    assert re.search(r"went back to version 1\b.*\b2\b", skipped(workspace))


def test_an_unchanged_registry_is_not_planned_again(workspace, monkeypatch) -> None:
    location = workspace.location("risk")
    tick = workspace.tick_of(location, "risk", cursor="")
    monkeypatch.setattr(FeatureStore, "assess", None)

    again = workspace.tick_of(location, "risk", cursor=workspace.cursor)
    assert again.skip_message == tick.skip_message


def test_chains_settle_in_order(workspace) -> None:
    """A service on another team's on-demand view, on the platform's view."""
    workspace.write(
        "growth",
        """
from feature_platform import FeatureService
service = FeatureService(name="growth_v1", features=["risk_double"])
""",
    )
    assert "'risk_double'" in skipped(workspace, "growth")
    assert "'stats'" in skipped(workspace, "risk")
    workspace.run("platform")
    assert "'risk_double'" in skipped(workspace, "growth")
    workspace.run("risk", tags=dict(requested(workspace, "risk").tags))
    workspace.run("growth", tags=dict(requested(workspace, "growth").tags))

    assert_in_sync(workspace, "growth", 3)


def test_a_broken_rule_is_said_and_not_tried(workspace) -> None:
    workspace.run("platform")
    FeatureStore(workspace.folder / "platform").apply([Policy(prefixes={"risk": ["rk_"]})])

    reason = skipped(workspace)
    assert all(name in reason for name in ("'risk_double'", "'risk_v1'", "'rk_'"))
    team = FeatureStore(workspace.folder / "risk")
    problems = team.review(team.plan(partial=False)).problems
    assert {problem.rule for problem in problems} == {"naming"}


def test_who_runs_from_the_start(workspace, monkeypatch) -> None:
    running, stopped = dg.DefaultSensorStatus.RUNNING, dg.DefaultSensorStatus.STOPPED

    def status(definitions: dg.Definitions, owner: str) -> dg.DefaultSensorStatus:
        return definitions.resolve_sensor_def(f"reconcile_{owner}").default_status

    platform, risk = workspace.folder / "platform", workspace.folder / "risk"
    assert status(team_definitions(risk), "risk") == running
    assert status(team_definitions(risk, sensor_status=stopped), "risk") == stopped
    assert status(platform_definitions(platform), "platform") == stopped
    assert status(platform_definitions(platform, sensor_status=running), "platform") == running
    monkeypatch.setenv("DAGSTER_CLOUD_IS_BRANCH_DEPLOYMENT", "1")
    assert status(team_definitions(risk), "risk") == stopped


def test_the_platform_is_reconciled_too(workspace) -> None:
    request = requested(workspace, "platform")
    workspace.run("platform", tags=dict(request.tags))

    assert_in_sync(workspace, "platform", 1)


def test_starting_over_with_a_registry_that_is_in_sync_ends_the_warning(workspace) -> None:
    workspace.run("platform")
    workspace.run("risk")
    (workspace.folder / "registry.db").rename(workspace.folder / "moved.db")
    for owner in ("platform", "risk"):
        FeatureStore(workspace.folder / owner).apply(partial=False)
    assert "another one" in skipped(workspace)
    assert workspace.run("risk").success

    assert_in_sync(workspace, "risk", 2)
