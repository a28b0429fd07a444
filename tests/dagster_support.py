"""A platform repo and two team repos as folders, for the Dagster layer."""

from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from feature_platform.dagster import (
    FeatureStoreResource,
    platform_definitions,
    team_definitions,
)

PLATFORM = """
from datetime import timedelta
from feature_platform import Entity, FeatureView, Field, FileSource
from feature_platform.types import Int64

driver = Entity(name="driver", join_keys=["driver_id"], value_type=Int64)
trips = FileSource(name="trips", path="trips.parquet", tags={"dagster/asset_key": "raw/trips"})
stats = FeatureView(name="stats", entities=[driver], source=trips, ttl=timedelta(days=1),
                    schema=[Field(name="trips", dtype=Int64, description="today")])
"""

TEAM = """
from feature_platform import FeatureService, Field, OnDemandFeatureView
from feature_platform.types import Int64

@OnDemandFeatureView(sources=["stats:trips"], schema=[Field(name="y", dtype=Int64)])
def {team}_double(inputs):
    return {{"y": None if inputs["trips"] is None else 2 * inputs["trips"]}}

service = FeatureService(name="{team}_v1", features=["stats", "{team}_double"])
"""

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-08")


class Workspace:
    """Code locations over repo folders, and an instance."""

    def __init__(self, folder: Path, registry: str = "../registry.db", s3: Any = None) -> None:
        self.folder = folder
        self.registry = registry
        self.s3 = s3
        storage = folder / "dagster"
        storage.mkdir()
        self.instance = dg.DagsterInstance.ephemeral(str(storage))
        self.write("platform", PLATFORM)
        for team in ("risk", "growth"):
            self.write(team, TEAM.format(team=team))
        hours = pd.date_range("2026-01-01", periods=48, freq="h", tz="UTC")
        frame = {"driver_id": 1, "event_timestamp": hours, "trips": range(48)}
        pd.DataFrame(frame).to_parquet(folder / "trips.parquet")

    def write(self, owner: str, definitions: str) -> Path:
        repo = self.folder / owner
        repo.mkdir(exist_ok=True)
        (repo / "feature_store.yaml").write_text(
            f"project: shop\nteam: {owner}\nregistry: {self.registry}\n"
            "online_store: {type: sqlite, path: ../online.db}\n"
            "offline_store: {type: duckdb, root: ..}\n"
        )
        (repo / "objects.py").write_text(definitions)
        return repo

    def location(self, owner: str) -> dg.Definitions:
        repo = FeatureStoreResource(repo_path=str(self.folder / owner), s3=self.s3)
        if owner == "platform":
            return platform_definitions(repo, online_partitions=DAYS)
        return team_definitions(repo)

    def run(self, owner: str, job: str | None = None, **options) -> dg.ExecuteInProcessResult:
        definition = self.location(owner).resolve_job_def(job or f"apply_{owner}")
        options.setdefault("raise_on_error", False)
        return definition.execute_in_process(instance=self.instance, **options)

    def tick(self, owner: str) -> dg.RunRequest | dg.SkipReason:
        """Reload the location, as after a deployment, and ask its sensor."""
        return self.tick_of(self.location(owner), owner)

    def tick_of(
        self, location: dg.Definitions, owner: str, *, sensor: str = "reconcile", cursor: str = ""
    ) -> Any:
        definition = location.resolve_sensor_def(f"{sensor}_{owner}")
        with dg.build_sensor_context(instance=self.instance, cursor=cursor) as context:
            answer = definition(context)
            self.cursor = getattr(answer, "cursor", None) or context.cursor
        return answer
