"""The command line: what it does, what it prints, how it exits."""

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from feature_platform.cli import main
from feature_platform.errors import (
    ConfigError,
    ConflictError,
    CorruptLogError,
    NotFoundError,
    RefusedError,
    RequestError,
    UnknownOutcomeError,
)


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


def json_of(*arguments: object, code: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", code=code).stdout)


def fails(error: type[Exception], *names: object, command: list[object]) -> Result:
    """Run a command that fails with an error that names what is at fault."""
    result = run(*command, code=1)
    kind, _, message = result.stderr.partition(": ")
    assert kind == error.__name__
    missing = [str(name) for name in names if str(name) not in message]
    assert not missing, f"the message does not name {missing}: {message}"
    return result


def numbers(text: str, folder: Path | None = None) -> list[str]:
    """Return the numbers that people read, without those in the names of files."""
    return re.findall(r"\b\d+\b", text.replace(str(folder), "") if folder else text)


def test_from_nothing_to_online_features(folders: Path) -> None:
    platform, growth = folders / "platform", folders / "growth"
    planned = run("-C", platform, "plan").output
    assert "+ feature view driver_stats" in planned
    assert numbers(run("-C", platform, "apply", "-m", "first").output) == ["1"]
    assert numbers(run("-C", platform, "plan").output) == ["1"]
    assert is_up_to_date(platform, version=1)
    assert numbers(run("-C", growth, "apply").output) == ["2"]

    assert "driver_stats" in run("-C", growth, "list").output
    assert "growth" in run("-C", growth, "list", "feature_service").output
    assert "trips_today" in run("-C", platform, "describe", "driver_stats").output
    history = run("-C", platform, "history").output
    assert "first" in history
    assert "feature_view" in history
    shown = run("-C", platform, "show", 2).output
    assert "+ feature service growth_model_v1" in shown
    assert numbers(shown.splitlines()[0])[0] == "2"

    loaded = run("-C", platform, "materialize", "2026-01-01", "2026-01-01T12:00:00").output
    assert loaded.splitlines()[1].split() == ["driver_stats", "1"]
    asked = ["-s", "growth_model_v1", "-e", '{"driver_id": 1, "trips_planned": 8}']
    answer = run("-C", growth, "get-online-features", *asked, "--as-of", "2026-01-01T13:00").output
    assert ["trips_today", "12", "PRESENT"] in [line.split() for line in answer.splitlines()]
    assert ["growth_load", "0.5", "PRESENT"] in [line.split() for line in answer.splitlines()]
    stale = run("-C", growth, "get-online-features", *asked).output
    assert "OUTSIDE_MAX_AGE" in stale


def is_up_to_date(folder: Path, *, version: int) -> bool:
    planned = json_of("-C", folder, "plan")
    return (planned["version"], planned["changes"]) == (version, [])


def test_incremental_loads(folders: Path) -> None:
    platform = folders / "platform"
    run("-C", platform, "apply")

    counts = run("-C", platform, "materialize-incremental", "2026-01-01T12:00", "--json").output
    assert json.loads(counts) == {"driver_stats": 1}


def test_a_refused_plan_exits_with_one_and_says_why(folders: Path) -> None:
    growth = folders / "growth"
    names = ["'rides'", "'growth'", "'growth_workload'", "'growth_model_v1'", "'driver_stats'"]

    fails(RefusedError, *names, "[reference]", command=["-C", growth, "apply"])
    planned = fails(RefusedError, *names, command=["-C", growth, "plan"])
    assert "+ feature service growth_model_v1" in planned.stdout
    problems = json_of("-C", growth, "plan", code=1)["problems"]
    assert {(p["rule"], p["subject"]) for p in problems} == {
        ("reference", "on demand view 'growth_workload'"),
        ("reference", "feature service 'growth_model_v1'"),
    }


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

    error = json.loads(result.stderr)
    assert error["error"] == "NotFoundError"
    assert "'nothing'" in error["message"]


def test_init_overwrites_nothing(folders: Path) -> None:
    files = {path: path.read_bytes() for path in folders.rglob("*") if path.is_file()}

    fails(ConfigError, folders / "platform", command=["init", folders / "platform"])
    assert files == {path: path.read_bytes() for path in folders.rglob("*") if path.is_file()}


def test_every_command_explains_itself() -> None:
    for name in main.commands:
        assert run(name, "--help").output.count("\n") > 3


def edit(folder: Path, old: str, new: str) -> None:
    for path in folder.glob("*.py"):
        path.write_text(path.read_text().replace(old, new))


def test_a_plan_shows_whom_it_concerns_and_what_it_costs(folders: Path) -> None:
    platform, growth = folders / "platform", folders / "growth"
    run("-C", platform, "apply")
    run("-C", growth, "apply")
    run("-C", platform, "materialize", "2026-01-01", "2026-01-02")
    edit(platform, "data/driver_stats.parquet", "data/moved.parquet")
    (platform / "data" / "driver_stats.parquet").rename(platform / "data" / "moved.parquet")

    names = ["'driver_stats_source'", "'growth_model_v1'", "'growth'", "--override", "[contract]"]
    text = fails(RefusedError, *names, command=["-C", platform, "plan"]).stdout
    first, *_, last = text.splitlines()
    assert all(name in first for name in ("'platform'", "'rides'"))
    assert numbers(first) == ["2"]
    assert "\n  growth\n" in text
    assert "! feature service growth_model_v1: 'driver_stats'" in text
    assert re.search(r"\n *driver_stats: 24\b", text)
    assert f"feature-platform -C {platform} materialize 2026-01-01T00:00:00 2026-01-02" in text
    assert (numbers(last), "growth" in last) == (["1", "2"], True)  # changed; broken, and whose

    shown = json_of("-C", platform, "plan", code=1)
    assert [(p["rule"], p["subject"]) for p in shown["problems"]] == [
        ("contract", "source 'driver_stats_source'")
    ]
    assert {e["owner"] for e in shown["effects"] if e["breaks"] == "source"} == {"growth"}
    assert shown["backfills"][0]["rows"] == 24
    assert numbers(run("-C", platform, "apply", "--override", "new bucket").output) == ["3"]


def test_an_override_is_kept_with_its_reason(folders: Path) -> None:
    platform, growth = folders / "platform", folders / "growth"
    run("-C", platform, "apply")
    run("-C", growth, "apply")
    edit(platform, "data/driver_stats.parquet", "data/moved.parquet")
    run("-C", platform, "apply", "--override", "new bucket")

    shown = run("-C", growth, "show", 3).output
    assert "new bucket" in shown
    assert shown.count("! source 'driver_stats_source'") == 3
    assert json_of("-C", growth, "show", 3)["plan"]["override"] == "new bucket"
    commits = json_of("-C", growth, "history", "--owner", "platform")
    assert [len(commit["waived"]) for commit in commits] == [3, 0]
    newest = run("-C", growth, "history", "--owner", "platform").output.splitlines()[1]
    assert numbers(newest).count("3") == 2  # the version, and how many contracts


def test_a_service_is_described_by_what_it_asks_and_answers(folders: Path) -> None:
    platform, growth = folders / "platform", folders / "growth"
    run("-C", platform, "apply")
    run("-C", growth, "apply")

    text = run("-C", growth, "describe", "growth_model_v1").stdout
    assert "driver_id (int64)" in text
    assert "trips_planned (int64)" in text
    assert "trips_today, conv_rate, growth_load" in text


def test_a_plan_names_references_as_they_are_written_and_a_problem_once(folders: Path) -> None:
    platform, growth = folders / "platform", folders / "growth"
    run("-C", platform, "apply")
    run("-C", growth, "apply")
    edit(growth, '"driver_stats:trips_today"', '"driver_stats:trips_tody"')

    result = run("-C", growth, "plan", code=1)
    assert "sources: driver_stats:trips_today → driver_stats:trips_tody" in result.stdout
    assert "'trips_today'" not in result.stdout
    assert result.stderr.count("'trips_tody'") == result.stderr.count("'trips_today'") == 1


def test_a_plan_is_saved_and_applied(folders: Path) -> None:
    platform, growth = folders / "platform", folders / "growth"
    saved = folders / "plan.json"
    planned = run("-C", platform, "plan", "--out", saved).output
    assert f"`feature-platform apply {saved}`" in planned
    assert numbers(run("-C", platform, "apply", saved).output) == ["1"]
    assert numbers(run("-C", platform, "apply", saved).output) == []
    assert json_of("-C", platform, "apply", saved) is None
    assert [c["version"] for c in json_of("-C", platform, "history")] == [1]

    late = folders / "late.json"
    run("-C", growth, "plan", "--out", late)
    edit(platform, "driver_stats = FeatureView(", "driver_stats = FeatureView(\n    owner='x',")
    run("-C", platform, "apply", "-m", "say who")
    names = ["version 1", "driver_stats", "version 2", "'platform'", "(say who)"]
    fails(ConflictError, *names, command=["-C", growth, "apply", late])
    assert "`plan`" in run("-C", growth, "apply", late, "--full", code=2).stderr
    saved.write_text("{}")
    fails(RequestError, saved, "`plan --out`", command=["-C", platform, "apply", saved])
    absent, reason = folders / "none", os.strerror(errno.ENOENT)
    fails(RequestError, absent, reason, command=["-C", platform, "apply", absent])


def test_time_travel(folders: Path) -> None:
    platform = folders / "platform"
    run("-C", platform, "apply")
    edit(platform, "driver_stats = FeatureView(", "driver_stats = FeatureView(\n    owner='x',")
    run("-C", platform, "apply")

    difference = run("-C", platform, "diff", 1).output
    assert difference.startswith("platform")
    assert numbers(difference) == ["1", "2"]
    assert "owner: null → x" in difference
    assert json_of("-C", platform, "diff", 2, 2) == {"before": 2, "after": 2, "changes": {}}
    assert set(numbers(run("-C", platform, "diff", 2, 2).output)) == {"2"}
    assert "owner: x → null" in run("-C", platform, "restore", 1, "--dry-run").output
    assert numbers(run("-C", platform, "restore", 1).output) == ["3"]
    assert "restore 1" in run("-C", platform, "history").output
    assert run("-C", platform, "list", "--at", 1).output.count("feature_view") == 1
    fails(NotFoundError, "1", "3", "9", command=["-C", platform, "list", "--at", 9])
    assert json_of("-C", platform, "diff", 1, 3)["changes"] == {}
    commits = json_of("-C", platform, "history", "--since", "2020-01-01")
    assert [commit["version"] for commit in commits] == [3, 2, 1]
    assert json_of("-C", platform, "history", "--name", "nobody") == []
    assert len(run("-C", platform, "history", "--name", "nobody").output.splitlines()) == 1
    assert json_of("-C", platform, "list", "--at", "2020-01-01") == []
    assert "2020-01-01" in run("-C", platform, "list", "--at", "2020-01-01").output
    assert "'--override'" in run("-C", platform, "apply", "--override", "", code=2).stderr


@pytest.fixture
def logged(folders: Path) -> Path:
    """A platform repo with two commits in a registry of files."""
    platform = folders / "platform"
    config = platform / "feature_store.yaml"
    [line] = [text for text in config.read_text().splitlines() if text.startswith("registry:")]
    config.write_text(config.read_text().replace(line, "registry: registry/"))
    run("-C", platform, "apply")
    edit(platform, "driver_stats = FeatureView(", "driver_stats = FeatureView(\n    owner='x',")
    run("-C", platform, "apply")
    return platform


def damage(folder: Path) -> None:
    record = folder / "registry" / "_log" / f"{1:020d}.json"
    record.write_bytes(record.read_bytes()[:-1])


def move_registry(folder: Path, old: str, new: str) -> None:
    config = folder / "feature_store.yaml"
    config.write_text(config.read_text().replace(f"registry: {old}", f"registry: {new}"))


def findings(*arguments: object) -> list[tuple[int, bool]]:
    report = json_of(*arguments, code=1)
    assert (report["good"], report["stored"]) == (0, 2)
    return [(finding["version"], finding["damage"]) for finding in report["findings"]]


def test_an_examination_says_what_is_good_and_what_can_be_done(logged: Path) -> None:
    backup = logged.parent / "backup.jsonl"
    run("-C", logged, "export", backup)
    assert json_of("-C", logged, "fsck") == {"good": 2, "stored": 2, "findings": []}
    assert numbers(run("-C", logged, "fsck").output, logged) == ["1", "2"]

    damage(logged)
    assert findings("-C", logged, "fsck") == [(1, True)]
    report = run("-C", logged, "fsck", code=1).output
    assert "fsck --repair NEW_URL --backup EXPORT" in report
    assert "registry_version=0" in report
    names = ["feature-platform fsck", "registry_version=0"]
    fails(CorruptLogError, *names, command=["-C", logged, "list"])
    assert findings("-C", logged, "fsck", "--backup", backup) == [(1, True), (1, True)]
    compared = run("-C", logged, "fsck", "--backup", backup, code=1).output
    [line] = set(compared.splitlines()) - set(report.splitlines())
    assert numbers(line) == ["1", "2"]  # the commit, and the version that the backup has


def test_a_registry_is_repaired_from_a_backup_and_imported(logged: Path) -> None:
    backup = logged.parent / "backup.jsonl"
    assert numbers(run("-C", logged, "export", backup).stderr, logged) == ["2"]
    damage(logged)

    repair = ["-C", logged, "fsck", "--repair", "repaired/"]
    repaired = run(*repair, "--backup", backup).stderr
    assert str(logged / "repaired") in repaired
    assert numbers(repaired, logged) == ["0", "2"]  # still good, and from the backup
    fails(ConflictError, logged / "repaired", command=repair)
    move_registry(logged, "registry/", "repaired/")
    assert is_up_to_date(logged, version=2)
    move_registry(logged, "repaired/", "fresh.db")
    assert numbers(run("-C", logged, "import", backup).output, logged) == ["2", "2"]
    assert numbers(run("-C", logged, "import", backup).output, logged) == ["2", "0"]
    assert is_up_to_date(logged, version=2)


def test_an_unknown_outcome_has_an_exit_code_of_its_own(folders: Path, monkeypatch) -> None:
    from feature_platform.registry import SqliteLog

    def lost(*_: object) -> bool:
        raise UnknownOutcomeError("nobody answered")

    monkeypatch.setattr(SqliteLog, "append", lost)
    printed = run("-C", folders / "platform", "apply", code=4).stderr
    assert all(name in printed for name in ("UnknownOutcomeError", "nobody answered"))


def test_an_export_never_harms_the_registry_or_an_older_backup(folders: Path, monkeypatch) -> None:
    platform = folders / "platform"
    run("-C", platform, "apply")
    [database] = folders.rglob("registry.db")
    fails(RequestError, database, command=["-C", platform, "export", database])
    assert "driver_stats" in run("-C", platform, "list").output
    backup = folders / "backup"
    run("-C", platform, "export", backup)
    good = backup.read_bytes()

    def broken(*_: object) -> object:
        yield good[:10]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("feature_platform.cli.registry.export_records", broken)
    fails(RequestError, backup, "No space left", command=["-C", platform, "export", backup])
    assert backup.read_bytes() == good
    monkeypatch.undo()
    assert run("-C", platform, "export", "-").stdout.encode() == good


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["plan", "--out", "nowhere/plan.json"], "nowhere/plan.json"),
        (["export", "nowhere/backup"], "nowhere/backup"),
        (["init", "afile/repo"], "afile"),
    ],
)
def test_files_that_cannot_be_written_are_named(
    folders: Path, monkeypatch, command: list[str], name: str
) -> None:
    monkeypatch.chdir(folders)
    (folders / "afile").write_text("x")

    fails(RequestError, name, command=["-C", folders / "platform", *command])
