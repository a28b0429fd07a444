"""The command line: what it does, what it prints, how it exits."""

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from feature_platform.cli import main


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A platform repo and a team's, made by `init`, with a day of data."""
    run("init", tmp_path / "platform", "--project", "rides")
    run("init", tmp_path / "growth", "--project", "rides", "--team", "growth")
    data = tmp_path / "platform" / "data"
    data.mkdir()
    hours = pd.date_range("2026-01-01", periods=24, freq="h", tz="UTC")
    frame = {"driver_id": 1, "event_timestamp": hours, "created": hours}
    frame |= {"trips_today": range(24), "conv_rate": 0.5}
    pd.DataFrame(frame).to_parquet(data / "driver_stats.parquet")
    return tmp_path


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def test_from_nothing_to_online_features(folders: Path) -> None:
    platform, growth = folders / "platform", folders / "growth"
    planned = run("-C", platform, "plan").output
    assert "+ feature view driver_stats" in planned
    assert "Applied as version 1" in run("-C", platform, "apply", "-m", "first").output
    assert "No changes: version 1" in run("-C", platform, "plan").output
    assert "Applied as version 2" in run("-C", growth, "apply").output

    assert "driver_stats" in run("-C", growth, "list").output
    assert "growth" in run("-C", growth, "list", "feature_service").output
    assert "trips_today" in run("-C", platform, "describe", "driver_stats").output
    history = run("-C", platform, "history").output
    assert "first" in history
    assert "feature_view" in history
    assert "+ feature service growth_model_v1" in run("-C", platform, "show", 2).output

    loaded = run("-C", platform, "materialize", "2026-01-01", "2026-01-01T12:00:00").output
    assert loaded.split() == ["view", "rows", "driver_stats", "1"]
    asked = ["-s", "growth_model_v1", "-e", '{"driver_id": 1, "trips_planned": 8}']
    answer = run("-C", growth, "get-online-features", *asked, "--as-of", "2026-01-01T13:00").output
    assert ["trips_today", "12", "PRESENT"] in [line.split() for line in answer.splitlines()]
    assert ["growth_load", "0.5", "PRESENT"] in [line.split() for line in answer.splitlines()]
    stale = run("-C", growth, "get-online-features", *asked).output
    assert "OUTSIDE_MAX_AGE" in stale


def test_incremental_loads(folders: Path) -> None:
    platform = folders / "platform"
    run("-C", platform, "apply")

    counts = run("-C", platform, "materialize-incremental", "2026-01-01T12:00", "--json").output
    assert json.loads(counts) == {"driver_stats": 1}


def test_a_refused_plan_exits_with_one_and_says_why(folders: Path) -> None:
    result = run("-C", folders / "growth", "apply", code=1)

    assert "RefusedError" in result.stderr
    assert "view 'driver_stats' is not registered" in " ".join(result.stderr.split())
    planned = run("-C", folders / "growth", "plan", code=1)
    assert "+ feature service growth_model_v1" in planned.stdout


def test_exit_codes_for_scripts(folders: Path) -> None:
    platform = folders / "platform"
    run("-C", platform, "plan", "--detailed-exitcode", code=3)
    run("-C", platform, "apply")
    run("-C", platform, "plan", "--detailed-exitcode")
    run("-C", folders, "plan", code=1)
    run("nonsense", code=2)
    run("-C", platform, "list", "entities", code=2)
    run("-C", platform, "materialize", "yesterday", "2026-01-01", code=2)
    run("-C", platform, "get-online-features", "-e", "{}", code=2)
    run("-C", platform, "get-online-features", "-f", "a:b", "-e", "[1]", code=2)


def test_an_update_shows_what_changes(folders: Path) -> None:
    platform = folders / "platform"
    run("-C", platform, "apply")
    views = platform / "feature_views.py"
    text = views.read_text().replace("timedelta(days=1)", "timedelta(days=2)")
    text = text.replace('name="conv_rate", dtype=Float32', 'name="rating", dtype=Float32')
    views.write_text(text.replace('"trips_today", dtype=Int64', '"trips_today", dtype=Float32'))

    planned = run("-C", platform, "plan").output
    assert "~ feature view driver_stats" in planned
    for line in (
        "ttl: P1D → P2D",
        "schema: - conv_rate Float32",
        "schema: + rating Float32",
        "schema: ~ trips_today Int64 → Float32",
    ):
        assert line in planned
    views.unlink()
    assert "- feature view driver_stats" in run("-C", platform, "plan", "--full").output


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan"], ["apply"], ["history"], ["show", "1"], ["list"], ["describe", "driver_stats"],
        ["materialize", "2026-01-01", "2026-01-02"],
        ["get-online-features", "-f", "driver_stats:conv_rate", "-e", '{"driver_id": 1}'],
    ],
)  # fmt: skip
def test_json_is_json(folders: Path, arguments: list[str]) -> None:
    run("-C", folders / "platform", "apply")

    json.loads(run("-C", folders / "platform", *arguments, "--json").stdout)


def test_errors_are_json_too(folders: Path) -> None:
    result = run("-C", folders / "platform", "describe", "nothing", "--json", code=1)

    assert json.loads(result.stderr)["error"] == "NotFoundError"


def test_init_overwrites_nothing(folders: Path) -> None:
    assert "is not empty" in run("init", folders / "platform", code=1).stderr


def test_every_command_explains_itself() -> None:
    for name in main.commands:
        assert run(name, "--help").output.count("\n") > 3
