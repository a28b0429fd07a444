"""Repos and training sets as components of a `dg` project, over the builders."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import click
import dagster as dg
from pydantic import BaseModel, Field

from feature_platform.dagster.datasets import training_set_asset
from feature_platform.dagster.definitions import platform_definitions, team_definitions
from feature_platform.dagster.online import HOURLY, Partitions
from feature_platform.errors import FeaturePlatformError
from feature_platform.scaffolding import write_platform_repo, write_team_repo

_WINDOWS: dict[str, Callable[..., dg.TimeWindowPartitionsDefinition]] = {
    "hourly": dg.HourlyPartitionsDefinition,
    "daily": dg.DailyPartitionsDefinition,
    "weekly": dg.WeeklyPartitionsDefinition,
    "monthly": dg.MonthlyPartitionsDefinition,
}
_Repo = Annotated[str, Field(description="The repo folder, relative to the component's.")]


class OnlineWindows(dg.Model, dg.Resolvable):
    """Windows of event time that a run loads into the online store."""

    every: Annotated[
        Literal["hourly", "daily", "weekly", "monthly"], Field(description="Length of a window.")
    ]
    start: Annotated[str, Field(description="Start of the first window, such as 2026-01-01.")]
    end: Annotated[str | None, Field(description="End of the last window; open if left out.")] = (
        None
    )
    timezone: Annotated[str, Field(description="Time zone of the windows.")] = "UTC"

    def partitions(self) -> dg.TimeWindowPartitionsDefinition:
        start = datetime.fromisoformat(self.start)
        end = datetime.fromisoformat(self.end) if self.end else None
        if end and end <= start:
            raise ValueError(f"The windows end at {self.end}, before they start at {self.start}.")
        return _WINDOWS[self.every](start, end_date=end, timezone=self.timezone)


class _RepoComponent(dg.Component, dg.Model, dg.Resolvable):
    repo: _Repo = "."
    online: Annotated[
        OnlineWindows | None,
        Field(description="Windows of all views; views without windows load what is new."),
    ] = None
    views: Annotated[
        dict[str, OnlineWindows], Field(description="Windows of single views, by name.")
    ] = {}
    online_schedule: Annotated[
        str, Field(description="When views without windows are loaded, as cron.")
    ] = HOURLY
    lookback_hours: Annotated[
        float, Field(description="How far these go back for rows that arrive late.", ge=0)
    ] = 24

    def _partitions(self) -> dict[str, Partitions]:
        of_all = self.online.partitions() if self.online else None
        return {"*": of_all} | {name: each.partitions() for name, each in self.views.items()}


@contextmanager
def _undone(folder: Path) -> Iterator[None]:
    """Leave no folder behind if a scaffold is refused, and say why as `dg` says it."""
    try:
        yield
    except FeaturePlatformError as error:
        with suppress(OSError):  # it has files, which are not ours
            folder.rmdir()
        raise click.ClickException(str(error)) from None


class PlatformRepoScaffold(BaseModel):
    """Options of `dg scaffold defs feature_platform.dagster.PlatformRepoComponent`."""

    project: str = Field(default="my_project", description="Name of the feature store's project.")


class PlatformRepoScaffolder(dg.Scaffolder[PlatformRepoScaffold]):
    """Writes a platform repo with a day of example data, and its `defs.yaml`."""

    @classmethod
    def get_scaffold_params(cls) -> type[PlatformRepoScaffold]:
        return PlatformRepoScaffold

    def scaffold(self, request: dg.ScaffoldRequest[PlatformRepoScaffold]) -> None:
        with _undone(request.target_path):
            write_platform_repo(
                request.target_path, project=request.params.project, entry_point=False
            )
        dg.scaffold_component(request, {"repo": "."})


@dg.scaffold_with(PlatformRepoScaffolder)
class PlatformRepoComponent(_RepoComponent):
    """The platform team's repo: entities, sources, feature views and their online tables."""

    apply_on_change: Annotated[
        bool, Field(description="Whether a sensor applies the repo; otherwise people do.")
    ] = False

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Build the definitions of the repo; see `platform_definitions`."""
        return platform_definitions(
            Path(context.path) / self.repo,
            online_partitions=self._partitions(),
            online_schedule=self.online_schedule,
            lookback=timedelta(hours=self.lookback_hours),
            sensor_status=_status(self.apply_on_change),
        )


class TeamRepoScaffold(BaseModel):
    """Options of `dg scaffold defs feature_platform.dagster.TeamRepoComponent`."""

    team: str = Field(default="", description="Name of the team; the folder's by default.")
    platform: str = Field(
        default="platform", description="The platform's repo folder, seen from the defs folder."
    )


class TeamRepoScaffolder(dg.Scaffolder[TeamRepoScaffold]):
    """Writes a team's repo that builds on the platform's, and its `defs.yaml`."""

    @classmethod
    def get_scaffold_params(cls) -> type[TeamRepoScaffold]:
        return TeamRepoScaffold

    def scaffold(self, request: dg.ScaffoldRequest[TeamRepoScaffold]) -> None:
        folder = request.target_path
        with _undone(folder):
            write_team_repo(
                folder,
                team=request.params.team or folder.name,
                platform=folder.parent / request.params.platform,
                entry_point=False,
            )
        dg.scaffold_component(request, {"repo": "."})


@dg.scaffold_with(TeamRepoScaffolder)
class TeamRepoComponent(_RepoComponent):
    """A team's repo: on-demand views and feature services on the platform's views."""

    apply_on_change: Annotated[
        bool, Field(description="Whether a sensor applies the repo as soon as it can be applied.")
    ] = True

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Build the definitions of the repo; see `team_definitions`."""
        return team_definitions(
            Path(context.path) / self.repo,
            online_partitions=self._partitions(),
            online_schedule=self.online_schedule,
            lookback=timedelta(hours=self.lookback_hours),
            sensor_status=_status(self.apply_on_change),
        )


class TrainingSetComponent(dg.Component, dg.Model, dg.Resolvable):
    """A training set of a feature service, as a saved dataset."""

    service: Annotated[str, Field(description="Name of the feature service.")]
    repo: Annotated[str, Field(description="The team's repo folder, relative to the component's.")]
    spine: Annotated[
        str,
        Field(
            description="Entity rows: SQL of the offline store, or a Parquet file, relative to the "
            "component's folder."
        ),
    ]
    label: Annotated[str, Field(description="Column of the spine that the model learns.")] = ""
    key: Annotated[
        str, Field(description="Asset key, as some/key; <service>/training_set by default.")
    ] = ""
    deps: Annotated[list[str], Field(description="Assets that the spine is made from.")] = []
    group_name: Annotated[str | None, Field(description="Group of the asset.")] = None

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Build the asset; see `training_set_asset`."""
        folder, is_file = Path(context.path), self.spine.endswith(".parquet")
        is_local = is_file and "://" not in self.spine
        asset = training_set_asset(
            self.service,
            repo=folder / self.repo,
            spine=str(folder / self.spine) if is_local else self.spine,
            label=self.label,
            key=dg.AssetKey.from_user_string(self.key) if self.key else None,
            deps=[dg.AssetKey.from_user_string(key) for key in self.deps],
            group_name=self.group_name,
        )
        return dg.Definitions(assets=[asset])


def _status(runs: bool) -> dg.DefaultSensorStatus:  # noqa: FBT001
    return dg.DefaultSensorStatus.RUNNING if runs else dg.DefaultSensorStatus.STOPPED
