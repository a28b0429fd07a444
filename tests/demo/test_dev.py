"""A story in a real `dg dev`: three locations, driven over GraphQL, and nothing launched by hand.

The platform applies, the teams follow in order, a backfill loads a range, commits from the command
line are observed and wake one reaction, a breaking change is refused, a team's run fails and is
repeated, and everything is killed and started again in the middle.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from feature_platform import FeatureStore

ROOT = Path(__file__).parents[2]
SECONDS = 480
START = """
mutation Start($selector: SensorSelector!) {
  startSensor(sensorSelector: $selector) { __typename ... on PythonError { message } }
}
"""
RELOAD = """
mutation Reload($name: String!) {
  reloadRepositoryLocation(repositoryLocationName: $name) { __typename }
}
"""
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
BACKFILL = """
mutation Backfill($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
SENSORS = """
query {
  workspaceOrError {
    ... on Workspace {
      locationEntries {
        name
        locationOrLoadError {
          ... on RepositoryLocation {
            repositories {
              sensors { name }
            }
          }
          ... on PythonError { message }
        }
      }
    }
  }
}
"""
ASSETS = "query { assetNodes { assetKey { path } dependencyKeys { path } repository { name location { name } } } }"  # noqa: E501
LOADED = ("hourly_weather", "hourly_congestion", "daily_carrier_punctuality")
CHAIN = """
from feature_platform import FeatureService

chain = FeatureService(name="ground_ops_chain_v1", features=["delay_risk_crosswind"])
"""
REACTION = """

from feature_platform import FeatureStore
from feature_platform.dagster import registry_sensor

commit = FeatureStore.commit


def failing_commit(self, *arguments, **options):
    if (Path(__file__).parents[2] / "fail_runs").exists():
        raise RuntimeError("this run fails")
    return commit(self, *arguments, **options)


FeatureStore.commit = failing_commit


@dg.op
def react() -> None: ...


@dg.job
def reaction() -> None:
    react()


@registry_sensor(
    Path(__file__).parent, reads="delay_risk_departure_v1", names=["hourly_weather"], job=reaction,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def view_changed(context, changes):
    return dg.RunRequest(run_key=changes[-1].commit.commit_id)


defs = dg.Definitions.merge(defs, dg.Definitions(jobs=[reaction], sensors=[view_changed]))
"""
RECONCILERS = ("reconcile_platform", "reconcile_delay_risk", "reconcile_ground_ops")


class Dev:
    """A `dg dev` over a checkout, spoken to as the UI does, that can be killed and restarted."""

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self.log = checkout / "dev.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [Path(sys.executable).parent / "dg", "dev", "-w", "workspace.yaml"]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        with self.log.open("a") as output:
            self._process = subprocess.Popen(
                [*command, "-h", "127.0.0.1", "-p", str(self._port)],
                cwd=self.checkout,
                env={**os.environ, "DAGSTER_HOME": str(self.checkout), "PATH": path},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait("all sensors", lambda: self.sensors() >= set(RECONCILERS))

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop webserver, daemon and code servers, gently or at once."""
        if self._process is None:
            return
        os.killpg(self._process.pid, how)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def kill_code_server(self, location: str) -> None:
        """Kill the process that serves a location."""
        listed = subprocess.run(
            ["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True
        )
        for line in listed.stdout.splitlines():
            if "grpc" in line and f"team_repos/{location}/definitions.py" in line:
                os.kill(int(line.split()[0]), signal.SIGKILL)

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self._port}/graphql"
        request = urllib.request.Request(url, body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)["data"]

    def reload(self, location: str) -> None:
        answer = self.ask(RELOAD, name=location)["reloadRepositoryLocation"]
        assert answer["__typename"] == "WorkspaceLocationEntry", answer

    def launch(self, location: str, job: str) -> str:
        selector = {
            "repositoryLocationName": location,
            "repositoryName": "__repository__",
            "jobName": job,
        }
        launched = self.ask(LAUNCH, params={"selector": selector, "mode": "default"})["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def sensors(self) -> set[str]:
        """Return the sensors of all locations that have loaded."""
        return {
            sensor["name"]
            for entry in self.ask(SENSORS)["workspaceOrError"]["locationEntries"]
            for repository in (entry["locationOrLoadError"] or {}).get("repositories", [])
            for sensor in repository["sensors"]
        }

    def newest(self, sensor: str) -> str:
        """Return why a sensor last asked for no run, as the daemon logs it."""
        reasons = re.findall(rf"Sensor {sensor} skipped: (.*)", self.log.read_text())
        return reasons[-1] if reasons else ""

    def wait(self, subject: str, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                if answer := condition():
                    return answer
            except OSError:
                pass
            time.sleep(1)
        raise AssertionError(f"waited {SECONDS} s for {subject}:\n{self.log.read_text()[-6000:]}")


@pytest.fixture
def dev(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dev]:
    monkeypatch.chdir(checkout)  # dagster.yaml has paths relative to it
    for file in (checkout / "data").glob("registry.db*"):
        file.unlink()
    (checkout / "team_repos" / "ground_ops" / "chain.py").write_text(CHAIN)
    with (checkout / "team_repos" / "delay_risk" / "definitions.py").open("a") as file:
        file.write(REACTION)
    running = Dev(checkout)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        for name in ("platform_repo", "team_repos"):  # as other tests expect it
            shutil.rmtree(checkout / name)
            shutil.copytree(ROOT / name, checkout / name)


def key(*path: str) -> dg.AssetKey:
    return dg.AssetKey(["flights", *path])


def evaluation(instance: dg.DagsterInstance, check: str, *path: str) -> Any:
    record = instance.get_latest_asset_check_evaluation_record(dg.AssetCheckKey(key(*path), check))
    return record.evaluation if record else None


@pytest.mark.timeout(8 * SECONDS)
def test_the_story(dev: Dev, checkout: Path) -> None:  # noqa: PLR0915 - a story has an order
    platform_repo = checkout / "platform_repo"
    views = platform_repo / "feature_views.py"
    store = FeatureStore(platform_repo)
    team = FeatureStore(checkout / "team_repos" / "delay_risk")
    instance = dg.DagsterInstance.from_config(str(checkout))

    def runs(job: str, status: dg.DagsterRunStatus | None = None) -> list[dg.DagsterRun]:
        statuses = [status] if status else None
        return list(instance.get_runs(dg.RunsFilter(job_name=job, statuses=statuses)))

    def by_command_line(text: str, message: str) -> int:
        views.write_text(text)
        return (
            FeatureStore(platform_repo).apply(partial=False, client="cli", message=message).version
        )

    # The teams wait, and say for what. The graph joins their locations.
    dev.wait("the first ticks", lambda: all(dev.newest(f"reconcile_{t}") for t in
                                            ("delay_risk", "ground_ops")))  # fmt: skip
    assert "view 'hourly_weather'" in dev.newest("reconcile_delay_risk")
    assert store.snapshot().version == 0
    nodes = {tuple(n["assetKey"]["path"]): n for n in dev.ask(ASSETS)["assetNodes"]}
    service = nodes["flights", "feature_service", "delay_risk_departure_v1"]
    weather = nodes["flights", "feature_view", "hourly_weather"]
    assert {"path": ["flights", "feature_view", "hourly_weather"]} in service["dependencyKeys"]
    assert weather["repository"]["location"]["name"] == "platform"
    assert service["repository"]["location"]["name"] == "delay_risk"

    # The platform's sensor is started; everybody else follows, a chain of three in order.
    tables = dev.launch("platform", "build_tables")
    selector = {"repositoryLocationName": "platform", "repositoryName": "__repository__",
                "sensorName": "reconcile_platform"}  # fmt: skip
    started = time.time()
    assert dev.ask(START, selector=selector)["startSensor"]["__typename"] == "Sensor"
    dev.wait("three services", lambda: len(store.list_feature_services()) == 3)
    history = store.registry.history()
    assert [c.principal for c in history] == ["platform", "delay_risk", "ground_ops"]
    assert {c.client for c in history} == {"dagster"}
    print(f"platform, then two teams: {time.time() - started:.0f} s")
    dev.wait("all in sync", lambda: all(re.findall(r"\b3\b", dev.newest(s)) for s in RECONCILERS))

    # A backfill over a range is one run per view; the partitions are green.
    dev.wait("the tables", lambda: instance.get_run_by_id(tables).is_success)
    params = {
        "assetSelection": [{"path": ["flights", "online", view]} for view in LOADED],
        "partitionNames": [f"2013-12-{day}" for day in range(17, 31)],
    }
    launched = dev.ask(BACKFILL, params=params)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    backfill = launched["backfillId"]
    dev.wait(
        "the backfill", lambda: instance.get_backfill(backfill).status.value.startswith("COMPLETED")
    )
    assert instance.get_backfill(backfill).status.value == "COMPLETED_SUCCESS"
    for view in LOADED:
        assert len(instance.get_materialized_partitions(key("online", view))) == 14
        [window] = store.online_windows(view)
        assert f"{window.start:%m-%d} {window.end:%m-%d}" == "12-17 12-31"

    # Webserver, daemon and code servers are killed in the middle, and start again.
    dev.kill_code_server("ground_ops")
    dev.stop(signal.SIGKILL)
    dev.start()

    # A commit from the command line is observed on what it touched, and wakes one reaction. The
    # platform's location has older code: it does not overwrite it.
    original = views.read_text()
    changed = original.replace("miles per hour", "miles per hour, sustained")
    version = by_command_line(changed, "say how wind is measured")
    dev.wait(
        "the observation",
        lambda: instance.fetch_observations(key("feature_view", "hourly_weather"), 1).records,
    )
    [record] = instance.fetch_observations(key("feature_view", "hourly_weather"), 1).records
    metadata = {n: v.value for n, v in record.asset_observation.metadata.items()}
    assert (metadata["registry_version"], metadata["author"]) == (version, "platform")
    assert metadata["message"] == "say how wind is measured"
    assert not instance.fetch_observations(key("feature_view", "hourly_congestion"), 1).records
    dev.wait("the reaction", lambda: runs("reaction"))
    dev.wait(
        "the platform's sensor", lambda: f"version {version} " in dev.newest("reconcile_platform")
    )
    dev.reload("platform")
    dev.wait("the reloaded sensor", lambda: "In sync" in dev.newest("reconcile_platform"))

    # A deprecation is a warning of those who read it.
    deprecated = changed.replace(
        'name="hourly_weather",',
        'name="hourly_weather", deprecated=Deprecation(remove_after="2999-01-01"),',
    ).replace("import FeatureView", "import Deprecation, FeatureView")
    by_command_line(deprecated, "a better one will come")
    path = ("feature_service", "delay_risk_departure_v1")
    warning = dev.wait(
        "the warning", lambda: evaluation(instance, "reads_nothing_deprecated", *path)
    )
    assert (warning.passed, warning.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert len(runs("reaction")) <= 2  # one for each commit

    # A breaking change is refused, and says whom it would break.
    views.write_text(deprecated.replace(
        '        Field(name="temp", dtype=Float64, description="Fahrenheit"),\n', ""))  # fmt: skip
    dev.reload("platform")
    reason = dev.wait("the refusal", lambda: "delay_risk" in dev.newest("reconcile_platform")
                      and dev.newest("reconcile_platform"))  # fmt: skip
    assert "'temp'" in reason
    refused = dev.launch("platform", "apply_platform")
    dev.wait("the refused run", lambda: instance.get_run_by_id(refused).is_finished)
    assert instance.get_run_by_id(refused).is_failure
    assert not evaluation(instance, "registry_rules", "registration", "platform").passed
    assert not evaluation(instance, "registry_rules", "feature_view", "hourly_weather").passed
    views.write_text(deprecated)
    dev.reload("platform")

    # A team's run fails, is reported, and is repeated until it can pass.
    (checkout / "fail_runs").touch()
    (checkout / "team_repos" / "delay_risk" / "second.py").write_text(
        CHAIN.replace("ground_ops_chain_v1", "delay_risk_second_v1"))  # fmt: skip
    dev.reload("delay_risk")
    failed = dev.wait(
        "the failing run", lambda: runs("apply_delay_risk", dg.DagsterRunStatus.FAILURE)
    )
    dev.wait("the report", lambda: failed[0].run_id in dev.newest("reconcile_delay_risk"))
    (checkout / "fail_runs").unlink()
    dev.wait("the repeated run", lambda: "delay_risk_second_v1" in {
        s.name for s in store.list_feature_services()})  # fmt: skip

    # What is served is what history says.
    flights = pd.read_parquet(checkout / "data" / "flights.parquet")
    model = team.repo.import_module("model")
    present = team.repo.import_module("pipelines").PRESENT
    coming = flights[flights["scheduled_departure"] >= present].head(200)
    rows = model.spine(coming, present).drop(columns="event_timestamp")
    features = ["hourly_weather", "hourly_congestion", "delay_risk_crosswind"]
    assert team.verify_parity(features, rows).mismatches == 0
    instance.dispose()
