"""A real `dagster dev`: the platform is applied over GraphQL and the teams follow unaided."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from feature_platform import FeatureStore

SECONDS = 240
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
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
              sensors { name sensorState { status ticks(limit: 5) { status skipReason } } }
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


class Dev:
    """A running `dagster dev`, spoken to as the UI does."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}/graphql", body, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)["data"]

    def skip_reasons(self) -> dict[str, list[str]]:
        found = {}
        for entry in self.ask(SENSORS)["workspaceOrError"]["locationEntries"]:
            for repository in (entry["locationOrLoadError"] or {}).get("repositories", []):
                for sensor in repository["sensors"]:
                    ticks = sensor["sensorState"]["ticks"]
                    found[sensor["name"]] = [t["skipReason"] or "" for t in ticks]
        return found


def wait_for(what: str, condition: Callable[[], Any], log: Path) -> Any:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            if answer := condition():
                return answer
        except OSError:
            pass
        time.sleep(1)
    raise AssertionError(f"waited {SECONDS} s for {what}:\n{log.read_text()[-4000:]}")


def only_names(version: int, reason: str) -> bool:
    """Say whether a version is all that a reason names: no object, and no run."""
    return re.findall(r"[\w-]*\d[\w-]*", reason) == [str(version)] and "'" not in reason


@pytest.fixture
def dev(checkout: Path) -> Iterator[tuple[Dev, Path]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = checkout / "dev.log"
    command = [Path(sys.executable).parent / "dagster", "dev", "-w", "workspace.yaml"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "-h", "127.0.0.1", "-p", str(port)],
            cwd=checkout,
            env={**os.environ, "DAGSTER_HOME": str(checkout)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        client = Dev(f"http://127.0.0.1:{port}")
        try:
            wait_for("both sensors", lambda: len(client.skip_reasons()) == 2, log)
            yield client, log
        finally:
            os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.mark.timeout(4 * SECONDS)
def test_the_teams_wait_for_the_platform_and_then_follow(dev, checkout: Path) -> None:
    client, log = dev
    (checkout / "data" / "registry.db").unlink(missing_ok=True)
    store = FeatureStore(checkout / "platform_repo")

    waiting = wait_for(
        "the first ticks", lambda: all(map(any, client.skip_reasons().values())) and True, log
    )
    assert waiting
    for name, reasons in client.skip_reasons().items():
        lacking = ("view 'aircraft_last_arrival'", "view 'hourly_weather'")
        assert any(view in str(reasons) for view in lacking), (name, reasons)
    assert store.snapshot().version == 0

    nodes = {tuple(n["assetKey"]["path"]): n for n in client.ask(ASSETS)["assetNodes"]}
    service = nodes["flights", "feature_service", "delay_risk_departure_v1"]
    parents = {tuple(key["path"]) for key in service["dependencyKeys"]}
    weather = nodes["flights", "feature_view", "hourly_weather"]
    assert ("flights", "feature_view", "hourly_weather") in parents
    assert weather["repository"]["location"]["name"] == "platform"
    assert service["repository"]["location"]["name"] == "delay_risk"

    selector = {
        "repositoryLocationName": "platform",
        "repositoryName": "__repository__",
        "jobName": "apply_platform",
    }
    launched = client.ask(LAUNCH, params={"selector": selector, "mode": "default"})
    assert launched["launchRun"]["__typename"] == "LaunchRunSuccess", launched

    services = wait_for(
        "both teams' services",
        lambda: len(store.list_feature_services()) == 2 and store.list_feature_services(),
        log,
    )
    assert [s.name for s in services] == ["delay_risk_departure_v1", "ground_ops_turnaround_v1"]
    history = store.registry.history()
    assert history[0].principal == "platform"
    assert {c.principal for c in history[1:]} == {"delay_risk", "ground_ops"}
    assert len(history) == 3
    wait_for(
        "sensors in sync",
        lambda: all(only_names(3, reasons[0]) for reasons in client.skip_reasons().values()),
        log,
    )
