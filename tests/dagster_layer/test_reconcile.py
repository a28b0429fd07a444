"""The sensor that applies a team's objects: when, and only when, the registry would accept them."""

import re

import dagster as dg
import pytest

from feature_platform import FeatureStore, Policy
from feature_platform.dagster.reconcile import TARGET_TAG

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


def test_the_same_state_asked_for_again_is_a_new_run(workspace) -> None:
    """Somebody takes the objects away: the sensor brings them back, under another run key."""
    workspace.run("platform")
    first = requested(workspace)
    workspace.run("risk", tags=dict(first.tags))
    FeatureStore(workspace.folder / "risk").teardown()

    assert requested(workspace).run_key != first.run_key


def test_it_waits_for_a_run_under_way(workspace) -> None:
    workspace.run("platform")
    job = workspace.location("risk").resolve_job_def("apply_risk")
    run = workspace.instance.create_run_for_job(job_def=job, status=dg.DagsterRunStatus.STARTED)

    assert run.run_id in skipped(workspace)
    workspace.instance.delete_run(run.run_id)
    requested(workspace)


def test_a_state_that_failed_three_times_waits_for_a_change(workspace) -> None:
    workspace.run("platform")
    job = workspace.location("risk").resolve_job_def("apply_risk")
    tag = {TARGET_TAG: requested(workspace).tags[TARGET_TAG]}
    for _ in range(3):
        requested(workspace)
        run = workspace.instance.create_run_for_job(
            job_def=job, status=dg.DagsterRunStatus.FAILURE, tags=tag
        )

    reason = skipped(workspace)
    assert re.search(r"\b3\b", reason)
    assert run.run_id in reason
    objects = workspace.folder / "risk" / "objects.py"
    objects.write_text(objects.read_text().replace("2 *", "3 *"))
    requested(workspace)


def test_a_broken_rule_is_said_and_not_tried(workspace) -> None:
    workspace.run("platform")
    FeatureStore(workspace.folder / "platform").apply([Policy(prefixes={"risk": ["rk_"]})])

    reason = skipped(workspace)
    assert all(name in reason for name in ("'risk_double'", "'risk_v1'", "'rk_'"))
    team = FeatureStore(workspace.folder / "risk")
    problems = team.review(team.plan(partial=False)).problems
    assert {problem.rule for problem in problems} == {"naming"}


def test_it_runs_from_the_start_and_can_be_told_not_to(workspace) -> None:
    from feature_platform.dagster import team_definitions

    running = workspace.location("risk").resolve_sensor_def("reconcile_risk")
    stopped = team_definitions(
        workspace.folder / "risk", sensor_status=dg.DefaultSensorStatus.STOPPED
    ).resolve_sensor_def("reconcile_risk")

    assert running.default_status == dg.DefaultSensorStatus.RUNNING
    assert stopped.default_status == dg.DefaultSensorStatus.STOPPED
