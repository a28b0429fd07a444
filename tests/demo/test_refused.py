"""The page on refused plans shows what the demo prints, word for word."""

import shutil
from pathlib import Path

import pytest

from feature_platform import Entity, FeatureStore, FeatureView, Field, FileSource
from feature_platform.errors import RefusedError
from feature_platform.types import Int64

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "refused.md"


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """The demo's three repos, registered."""
    for name in ("platform_repo", "team_repos"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "data").mkdir()
    for repo in ("platform_repo", "team_repos/delay_risk", "team_repos/ground_ops"):
        FeatureStore(tmp_path / repo).apply()
    return tmp_path


def test_the_page_is_what_is_printed(company: Path) -> None:
    team = FeatureStore(company / "team_repos" / "delay_risk")
    platform = FeatureStore(company / "platform_repo")
    hijack = FeatureView(
        name="hourly_weather",
        entities=[Entity(name="airport", join_keys=["origin"])],
        schema=[Field(name="temp", dtype=Int64)],
        source=FileSource(path="my_weather.parquet"),
    )
    with pytest.raises(RefusedError) as redefined:
        team.apply([hijack])
    view = platform.get_feature_view("hourly_congestion")
    with pytest.raises(RefusedError) as deleted:
        platform.apply([], objects_to_delete=[view])

    page = PAGE.read_text()
    for refused in (redefined, deleted):
        assert str(refused.value) in page, str(refused.value)
