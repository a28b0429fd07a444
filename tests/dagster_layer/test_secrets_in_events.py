"""No secret reaches what Dagster keeps: events, run config, metadata, ticks, compute logs."""

import sqlite3
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster_support import PLATFORM, TEAM

from feature_platform.dagster import (
    FeatureStoreResource,
    platform_definitions,
    team_definitions,
    training_set_asset,
)

pytestmark = pytest.mark.filterwarnings("ignore")
CANARY = "Kanarienvogel4711"
NOBODY = "127.0.0.1:1"
LOCAL = {"registry": "../registry.db", "online_store": {"type": "sqlite", "path": "online.db"}}
PLACES: dict[str, dict[str, Any]] = {
    "registry": {"registry": f"postgresql://writer:{CANARY}@{NOBODY}/registry"},
    "registry from the environment": {"registry": f"postgresql://w:${{SECRET}}@{NOBODY}/r"},
    "registry with options": {"registry": f"postgresql://{NOBODY}/r?user=w&password={CANARY}"},
    "Redis": {
        "online_store": {"type": "redis", "connection_string": f"{NOBODY},password={CANARY}"}
    },
    "a Redis URL": {
        "online_store": {"type": "redis", "connection_string": f"redis://:{CANARY}@{NOBODY}/0"}
    },
    "PostgreSQL": {
        "online_store": {"type": "postgres", "host": "127.0.0.1", "port": 1, "user": "u",
                         "password": CANARY}
    },
}  # fmt: skip


def write(folder: Path, owner: str, settings: dict[str, Any]) -> Path:
    repo = folder / owner
    repo.mkdir()
    content = {"project": "shop", "team": owner, **LOCAL, **settings}
    (repo / "feature_store.yaml").write_text(yaml.safe_dump(content))
    (repo / "objects.py").write_text(PLATFORM if owner == "platform" else TEAM.format(team=owner))
    return repo


def stored(folder: Path) -> str:
    """Return everything that an instance has stored, as text."""
    texts = []
    for file in folder.rglob("*"):
        if file.suffix == ".db":
            with sqlite3.connect(file) as database:
                texts += list(database.iterdump())
        elif file.is_file():
            texts.append(file.read_text("utf-8", "replace"))
    return "\n".join(texts)


@pytest.mark.parametrize("place", PLACES)
def test_failing_runs_and_ticks_store_no_secret(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An apply, a load, a training set, an audit and four sensors, most of which fail."""
    monkeypatch.setenv("SECRET", CANARY)
    monkeypatch.setattr("feature_platform.dagster.apply._FIRST_PAUSE_SECONDS", 0)
    monkeypatch.setattr("feature_platform.dagster.apply._MAX_RETRIES", 1)
    platform = platform_definitions(write(tmp_path, "platform", PLACES[place]))
    team_repo = write(tmp_path, "risk", PLACES[place])
    training = training_set_asset("risk_v1", repo=team_repo, spine="SELECT 1")
    team = dg.Definitions.merge(team_definitions(team_repo), dg.Definitions(assets=[training]))
    storage = tmp_path / "dagster"
    storage.mkdir()
    reasons = []
    with dg.DagsterInstance.local_temp(str(storage)) as instance:
        for location, job in (
            (platform, "apply_platform"), (platform, "materialize_shop_online"),
            (team, "apply_risk"), (team, "__ASSET_JOB"),
        ):  # fmt: skip
            definition = location.resolve_job_def(job)
            result = definition.execute_in_process(instance=instance, raise_on_error=False)
            reasons += [str(event.event_specific_data) for event in result.all_events]
        for location, name in (
            (platform, "reconcile_platform"), (platform, "watch_platform"),
            (platform, "mirror_ledger_platform"), (team, "reconcile_risk"),
        ):  # fmt: skip
            with dg.build_sensor_context(instance=instance) as context:
                try:
                    reasons.append(repr(location.resolve_sensor_def(name)(context)))
                except Exception as error:  # noqa: BLE001 - as the daemon stores it
                    reasons.append(repr(error))
    output = capfd.readouterr()

    assert CANARY not in stored(storage)
    assert CANARY not in "\n".join(reasons)
    assert CANARY not in output.out + output.err
    assert "STEP_FAILURE" in stored(storage)


def test_secrets_of_resources_stay_in_the_environment(tmp_path: Path, monkeypatch, capfd) -> None:
    from dagster_aws.s3 import S3Resource

    monkeypatch.setenv("SECRET", CANARY)
    repo = write(tmp_path, "platform", {"registry": "s3://no-such-bucket/registry"})
    s3 = S3Resource(
        endpoint_url=f"http://{NOBODY}", region_name="us-east-1", aws_access_key_id="key",
        aws_secret_access_key=dg.EnvVar("SECRET"), max_attempts=0,
    )  # fmt: skip
    resource = FeatureStoreResource(repo_path=str(repo), s3=s3)
    monkeypatch.setattr("feature_platform.dagster.apply._MAX_RETRIES", 0)
    storage = tmp_path / "dagster"
    storage.mkdir()
    with dg.DagsterInstance.local_temp(str(storage)) as instance:
        job = platform_definitions(resource).resolve_job_def("apply_platform")
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    output = capfd.readouterr()

    assert not result.success
    assert CANARY not in repr(resource)
    assert CANARY not in stored(storage) + output.out + output.err
