"""What happens to the registry elsewhere: observations, audits and users' own sensors."""

from typing import Any

import dagster as dg
import pytest
from dagster_support import PLATFORM, TEAM

from feature_platform import FeatureStore
from feature_platform.dagster import registry_sensor

pytestmark = pytest.mark.filterwarnings("ignore")
DEPRECATED = PLATFORM.replace("import Entity", "import Deprecation, Entity").replace(
    'name="stats", ', 'name="stats", deprecated=Deprecation(remove_after="2999-01-01"), '
)
WITHOUT_FEATURE = PLATFORM.replace('name="trips", dtype', 'name="rides", dtype')


class Watcher:
    """The sensor of one location, with its cursor, as the daemon runs it."""

    def __init__(self, workspace, owner: str, sensor: str = "watch") -> None:
        self.workspace, self.owner, self.sensor, self.cursor = workspace, owner, sensor, ""
        self.location = workspace.location(owner)

    def tick(self) -> dict[str, list[Any]]:
        """Return observations and evaluations by `name` or `name:check`, stored as the daemon."""
        answer = self.workspace.tick_of(
            self.location, self.owner, sensor=self.sensor, cursor=self.cursor
        )
        self.cursor = self.workspace.cursor
        events: dict[str, list[Any]] = {}
        for event in getattr(answer, "asset_events", None) or ():
            self.workspace.instance.report_runless_asset_event(event)
            name = event.asset_key.path[-1]
            if isinstance(event, dg.AssetCheckEvaluation):
                name = f"{name}:{event.check_name}"
            events.setdefault(name, []).append(event)
        return events


def platform(workspace, text: str = PLATFORM, **options) -> int:
    """Apply the platform's repo from the command line."""
    workspace.write("platform", text)
    store = FeatureStore(workspace.folder / "platform")
    return store.apply(partial=False, client="cli", message="by hand", **options).version


def test_exactly_what_a_foreign_commit_touched_is_observed(workspace) -> None:
    workspace.run("platform")
    workspace.run("risk")
    watchers = {owner: Watcher(workspace, owner) for owner in ("platform", "risk")}
    assert {owner: set(w.tick()) for owner, w in watchers.items()} == {
        "platform": {"platform:audit"}, "risk": {"risk:audit"},
    }  # fmt: skip
    version = platform(workspace, PLATFORM.replace("days=1", "days=2"))

    watchers["platform"].location = workspace.location("platform")
    [[observation]] = watchers["platform"].tick().values()
    metadata = {name: value.value for name, value in observation.metadata.items()}
    assert observation.asset_key.path == ["shop", "feature_view", "stats"]
    assert metadata["difference"] == {"ttl": {"before": "P1D", "after": "P2D"}}
    assert (metadata["author"], metadata["client"]) == ("platform", "cli")
    assert (metadata["message"], metadata["registry_version"]) == ("by hand", version)
    assert watchers["risk"].tick() == {}  # nothing of theirs was touched or broken
    assert watchers["platform"].tick() == {}


def test_commits_of_dagster_are_no_news(workspace) -> None:
    workspace.run("platform")
    watcher = Watcher(workspace, "platform")
    watcher.tick()
    workspace.write("platform", PLATFORM.replace("days=1", "days=2"))
    watcher.location = workspace.location("platform")
    workspace.run("platform")

    assert watcher.tick() == {}


def test_a_deletion_is_an_event(workspace) -> None:
    workspace.run("platform")
    watcher = Watcher(workspace, "platform")
    watcher.tick()
    platform(workspace, PLATFORM[: PLATFORM.index("stats = FeatureView")])
    watcher.location = workspace.location("platform")

    [[observation]] = watcher.tick().values()
    assert observation.asset_key.path[-1] == "stats"
    assert observation.metadata["action"].value == "delete"

    workspace.write("platform", PLATFORM)
    workspace.run("platform")
    workspace.write("platform", PLATFORM[: PLATFORM.index("stats = FeatureView")])
    run = workspace.run("platform")  # a run of Dagster says so itself
    observed = [e for e in run.all_events if e.event_type_value == "ASSET_OBSERVATION"]
    assert [e.asset_key.path[-1] for e in observed] == ["stats"]


def test_a_team_is_told_of_what_the_platform_did_to_what_it_reads(workspace) -> None:
    workspace.run("platform")
    workspace.run("risk")
    watcher = Watcher(workspace, "risk")
    watcher.tick()

    platform(workspace, DEPRECATED)
    events = watcher.tick()
    assert events.keys() == {
        "risk_double:reads_nothing_deprecated", "risk_v1:reads_nothing_deprecated", "risk:audit",
    }  # fmt: skip
    [warning] = events["risk_v1:reads_nothing_deprecated"]
    assert (warning.passed, warning.severity) == (False, dg.AssetCheckSeverity.WARN)

    platform(workspace, WITHOUT_FEATURE, override="the column is gone")
    events = watcher.tick()
    [broken] = events["risk_double:registry_rules"]
    assert (broken.passed, broken.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "'trips'" in broken.description
    assert events["risk_v1:reads_nothing_deprecated"][0].passed  # it reads nothing deprecated now
    [audit] = events["risk:audit"]
    assert audit.severity == dg.AssetCheckSeverity.ERROR

    platform(workspace, override="it is back")
    events = watcher.tick()
    assert all(event.passed for [event] in events.values())
    assert "risk_double:registry_rules" in events
    assert watcher.tick() == {}


def test_drift_is_a_failed_check_with_its_remedy(workspace) -> None:
    """What was not applied, was applied otherwise, is defined no longer, or is somebody else's."""
    workspace.run("platform")
    workspace.run("risk")
    watcher = Watcher(workspace, "risk")
    assert watcher.tick()["risk:audit"][0].passed

    second = '\nnew = FeatureService(name="risk_v2", features=["stats"])'
    workspace.write("risk", TEAM.format(team="risk").replace("2 *", "3 *") + second)
    watcher.location = workspace.location("risk")
    events = watcher.tick()
    rules = {e.data["object"]: e.data["rule"] for e in
             events["risk:audit"][0].metadata["problems"].records}  # fmt: skip
    assert rules == {
        "feature service 'risk_v2'": "unregistered", "on-demand view 'risk_double'": "changed",
    }  # fmt: skip

    workspace.write("risk", TEAM.format(team="risk").split("service =", 1)[0])
    watcher.location = workspace.location("risk")
    found = {f.rule for f in FeatureStore(workspace.folder / "risk").audit()}
    assert "undefined" in found


def test_the_checks_of_objects_can_be_executed_without_an_apply(workspace) -> None:
    workspace.run("platform")
    workspace.run("risk")
    platform(workspace, WITHOUT_FEATURE, override="the column is gone")
    location = workspace.location("risk")
    job = location.resolve_implicit_global_asset_job_def()
    names = ("risk_double", "feature_view"), ("risk_v1", "feature_service")
    keys = [dg.AssetCheckKey(dg.AssetKey(["shop", space, name]), "registry_rules")
            for name, space in names]  # fmt: skip
    selected = job.get_subset(asset_selection=set(), asset_check_selection=set(keys))
    result = selected.execute_in_process(instance=workspace.instance)

    found = {e.asset_key.path[-1]: e.passed for e in result.get_asset_check_evaluations()}
    assert found["risk_double"] is False
    assert FeatureStore(workspace.folder / "risk").snapshot().version == 3


def test_users_react_to_the_commits_that_concern_them(workspace) -> None:
    calls = []

    @registry_sensor(workspace.folder / "risk", reads="risk_v1", job_name="train")
    def retrain(context, changes):
        """Train again."""
        calls.append([(c.commit.version, c.subjects) for c in changes])
        return dg.RunRequest(run_key=changes[-1].commit.commit_id)

    state = {"cursor": ""}

    def tick() -> dg.SensorResult:
        with dg.build_sensor_context(instance=workspace.instance, cursor=state["cursor"]) as c:
            answer = retrain(c)
        state["cursor"] = answer.cursor
        return answer

    tick()
    platform(workspace)
    FeatureStore(workspace.folder / "risk").apply(partial=False)
    FeatureStore(workspace.folder / "growth").apply(partial=False)
    assert tick().run_requests
    # The first commit was before there was a service; the third is of another team.
    view = "feature view 'stats'"
    own = ["on-demand view 'risk_double'", "feature service 'risk_v1'"]
    assert calls == [[(2, own)]]
    version = platform(workspace, PLATFORM.replace("days=1", "days=2"))
    tick()
    assert calls[-1] == [(version, [view])]
    assert not tick().run_requests
    registry = workspace.folder / "registry.db"
    registry.rename(workspace.folder / "moved.db")
    platform(workspace)
    assert "replaced" in tick().skip_reason.skip_message
    assert len(calls) == 2


def test_sensors_filter_by_kind_name_and_owner(workspace) -> None:
    workspace.run("platform")
    store = FeatureStore(workspace.folder / "platform")
    start = store.snapshot().cursor
    workspace.run("risk")
    workspace.run("growth")
    from feature_platform.services.watching import Interest

    def named(**conditions) -> list[str]:
        return [c.name for _, changes in store.watch(start, Interest(**conditions)).commits
                for c in changes]  # fmt: skip

    assert named(owners=["risk"]) == ["risk_double", "risk_v1"]
    assert named(kinds=["feature_service"]) == ["risk_v1", "growth_v1"]
    assert named(names=["growth_v1"], owners=["risk"]) == []
    assert named(names=["growth_v1"]) == ["growth_v1"]


def test_a_sensor_of_a_user_may_return_what_any_sensor_may(workspace) -> None:
    answers: list[Any] = [None, [dg.RunRequest(run_key="a"), dg.RunRequest(run_key="b")],
                          dg.SkipReason("no"), dg.SensorResult(run_requests=[])]  # fmt: skip

    @registry_sensor(workspace.folder / "risk")
    def react(context, changes):
        return answers.pop(0)

    def tick(cursor: str) -> dg.SensorResult:
        with dg.build_sensor_context(instance=workspace.instance, cursor=cursor) as context:
            return react(context)

    start = tick("").cursor
    platform(workspace)
    results = [tick(start) for _ in range(4)]
    assert [len(result.run_requests or ()) for result in results] == [0, 2, 0, 0]
    assert len({result.cursor for result in results}) == 1


def test_a_repo_that_was_never_applied_has_no_drift(workspace) -> None:
    """Its sensor waits; that is no fault of its objects."""
    events = Watcher(workspace, "risk").tick()

    assert events.keys() == {"risk:audit"}
    assert events["risk:audit"][0].passed


@pytest.mark.parametrize(
    "cursor", ["x", '"a"', "[1]", '{"state": 1}', '{"cursor": 5}', '{"cursor": "x"}']
)
def test_a_cursor_that_cannot_be_read_starts_over(workspace, cursor: str) -> None:
    assert workspace.run("platform").success
    tick = workspace.tick_of(
        workspace.location("platform"), "platform", sensor="watch", cursor=cursor
    )
    assert [event.check_name for event in tick.asset_events] == ["audit"]
    assert workspace.cursor != cursor
