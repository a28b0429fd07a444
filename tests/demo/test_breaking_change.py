"""The page on breaking changes shows what the command prints, word for word."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from feature_platform.cli import main

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "breaking_change.md"
DAY = pd.date_range("2013-12-01", periods=24 * 31, freq="h", tz="UTC")


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """The demo's three repos, registered, with a month of weather served online."""
    for name in ("platform_repo", "team_repos"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "data" / "features").mkdir(parents=True)
    columns = ["temp", "wind_dir", "wind_speed", "precip", "visib", "pressure"]
    weather = pd.DataFrame({"origin": "JFK", "known_at": DAY} | dict.fromkeys(columns, 1.0))
    weather.to_parquet(tmp_path / "data" / "features" / "hourly_weather.parquet")
    for repo in ("platform_repo", "team_repos/delay_risk", "team_repos/ground_ops"):
        run(tmp_path / repo, "apply")
    window = ("2013-12-01", "2014-01-01", "-v", "hourly_weather")
    run(tmp_path / "platform_repo", "materialize", *window)
    return tmp_path


def run(repo: Path, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["-C", str(repo), *arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def test_the_page_is_what_is_printed(company: Path) -> None:
    platform = company / "platform_repo"
    views = platform / "feature_views.py"
    text = views.read_text()
    text = text.replace('"wind_speed", dtype=Float64', '"wind_speed", dtype=Int64')
    text = text.replace(
        '        Field(name="mean_dep_delay", dtype=Float64, '
        'description="minutes, of those that departed"),\n',
        "",
    )
    views.write_text(text.replace("ttl=timedelta(days=2)", "ttl=timedelta(days=3)"))

    printed = run(platform, "plan", code=1)
    overridden = run(platform, "apply", "--override", "wind is reported in whole miles now")
    shown = run(platform, "show", "4")
    page = PAGE.read_text()
    for output in (printed, overridden, shown.partition("\n")[2]):
        assert output.replace(f" -C {platform}", "").strip() in page, output
