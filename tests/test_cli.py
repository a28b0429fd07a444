"""The command line: what it does, what it prints, how it exits."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import click
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from tests_support import raises

from feature_platform import Entity
from feature_platform.cli import main
from feature_platform.cli.commands import SECTIONS
from feature_platform.cli.row_files import read_rows
from feature_platform.errors import RequestError
from feature_platform.store import FeatureStore
from feature_platform.types.arrow import TIMESTAMP


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A platform repo and a team's, made by `init`, with a day of data."""
    run("init", tmp_path / "platform", "--project", "rides")
    run("init", tmp_path / "growth", "--team", "growth")
    data = tmp_path / "platform" / "data"
    hours = pd.date_range("2026-01-01", periods=24, freq="h", tz="UTC")
    frame = {"driver_id": 1, "event_timestamp": hours, "created": hours}
    frame |= {"trips_today": range(24), "conv_rate": 0.5}
    pd.DataFrame(frame).to_parquet(data / "driver_stats" / "first.parquet")
    return tmp_path


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def test_from_nothing_to_online_features(folders: Path) -> None:
    platform, growth = folders / "platform", folders / "growth"
    planned = run("-C", platform, "plan").output
    assert "+ feature view driver_stats" in planned
    assert "version 1" in run("-C", platform, "apply", "-m", "first").output
    assert "version 1" in run("-C", platform, "plan").output
    assert "version 2" in run("-C", growth, "apply").output

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
    assert "'driver_stats'" in " ".join(result.stderr.split())
    planned = run("-C", folders / "growth", "plan", code=1)
    assert "+ feature service growth_model_v1" in planned.stdout


def test_exit_codes_for_scripts(folders: Path) -> None:
    platform = folders / "platform"
    run("-C", platform, "plan", "--detailed-exitcode", code=3)
    run("-C", platform, "apply")
    run("-C", platform, "plan", "--detailed-exitcode")
    run("-C", folders, "plan", code=1)
    run("nonsense", code=2)
    run("-C", platform, "list", "things", code=2)
    run("-C", platform, "materialize", "yesterday", "2026-01-01", code=2)
    run("-C", platform, "get-online-features", "-e", "{}", code=2)
    run("-C", platform, "get-online-features", "-f", "a:b", "-e", "[1]", code=2)


def test_an_update_shows_what_changes(folders: Path) -> None:
    platform = folders / "platform"
    run("-C", platform, "apply")
    views = platform / "feature_views.py"
    text = views.read_text().replace("timedelta(days=1)", "timedelta(days=2)")
    text = text.replace('name="conv_rate", dtype=Float64', 'name="rating", dtype=Float64')
    views.write_text(text.replace('"trips_today", dtype=Int64', '"trips_today", dtype=Float64'))

    planned = run("-C", platform, "plan").output
    assert "~ feature view driver_stats" in planned
    for line in (
        "ttl: P1D → P2D",
        "schema: - conv_rate Float64",
        "schema: + rating Float64",
        "schema: ~ trips_today Int64 → Float64",
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
    assert str(folders / "platform") in run("init", folders / "platform", code=1).stderr


def test_what_init_makes_can_be_served_at_once(tmp_path: Path) -> None:
    platform, growth = tmp_path / "deep" / "p", tmp_path / "g"
    made = run("init", platform)
    assert f"-C {platform} materialize-incremental" in made.output
    run("-C", platform, "apply")
    run("-C", platform, "materialize-incremental")
    run("init", growth, "--team", "growth", "--platform", platform)
    run("-C", growth, "apply")

    asked = ["-s", "growth_model_v1", "-e", '{"driver_id": 1, "trips_planned": 8}']
    answer = run("-C", growth, "get-online-features", *asked, "--json").stdout
    statuses = json.loads(answer)["statuses"]
    assert set(statuses) == {"driver_id", "trips_today", "conv_rate", "growth_load"}
    assert {status for column in statuses.values() for status in column} == {"PRESENT"}


def test_init_of_a_team_needs_the_platforms_repo(tmp_path: Path) -> None:
    run("init", tmp_path / "platform", "--project", "rides")

    assert (
        "nowhere"
        in run(
            "init", tmp_path / "x", "--team", "x", "--platform", tmp_path / "nowhere", code=1
        ).stderr
    )
    assert "'platform'" in run("init", tmp_path / "x", "--team", "platform", code=1).stderr
    assert not (tmp_path / "x").exists()


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
    edit(platform, '"data/driver_stats"', '"data/moved"')
    (platform / "data" / "driver_stats").rename(platform / "data" / "moved")

    result = run("-C", platform, "plan", code=1)
    text = result.stdout
    assert "version 2" in text
    assert "\n  growth\n" in text
    assert "! feature service growth_model_v1: 'driver_stats'" in text
    assert "driver_stats: 24 rows" in text
    assert f"feature-platform -C {platform} materialize 2026-01-01T00:00:00 2026-01-02" in text
    assert "2 objects of growth" in text
    assert "[contract]" in result.stderr

    shown = json.loads(run("-C", platform, "plan", "--json", code=1).stdout)
    assert {e["owner"] for e in shown["effects"] if e["breaks"] == "source"} == {"growth"}
    assert shown["backfills"][0]["rows"] == 24
    overridden = run("-C", platform, "apply", "--override", "new bucket").output
    assert "version 3" in overridden
    told = run("-C", growth, "show", 3).output
    assert "new bucket" in told
    assert "overrides" in run("-C", growth, "history", "--owner", "platform").output


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
    assert "Did you mean 'trips_today'?" not in result.stdout
    assert result.stderr.count("Did you mean 'trips_today'?") == 1


def test_a_plan_is_saved_and_applied(folders: Path) -> None:
    platform, growth = folders / "platform", folders / "growth"
    saved = folders / "plan.json"
    assert str(saved) in run("-C", platform, "plan", "--out", saved).output
    assert "version 1" in run("-C", platform, "apply", saved).output
    assert "version" not in run("-C", platform, "apply", saved).output

    late = folders / "late.json"
    run("-C", growth, "plan", "--out", late)
    edit(platform, "driver_stats = FeatureView(", "driver_stats = FeatureView(\n    owner='x',")
    run("-C", platform, "apply", "-m", "say who")
    error = run("-C", growth, "apply", late, code=1).stderr
    assert "driver_stats" in " ".join(error.split())
    assert "(say who)" in error
    assert "plan" in run("-C", growth, "apply", late, "--full", code=2).stderr
    saved.write_text("{}")
    assert saved.name in run("-C", platform, "apply", saved, code=1).stderr
    assert "No such file" in run("-C", platform, "apply", folders / "none", code=1).stderr


def test_time_travel(folders: Path) -> None:
    platform = folders / "platform"
    run("-C", platform, "apply")
    edit(platform, "driver_stats = FeatureView(", "driver_stats = FeatureView(\n    owner='x',")
    run("-C", platform, "apply")

    difference = run("-C", platform, "diff", 1).output
    assert "platform, from version 1 to 2:" in difference
    assert "owner: null → x" in difference
    assert "owner:" not in run("-C", platform, "diff", 2, 2).output
    assert "owner: x → null" in run("-C", platform, "restore", 1, "--dry-run").output
    assert "version 3" in run("-C", platform, "restore", 1).output
    assert "restore 1" in run("-C", platform, "history").output
    assert run("-C", platform, "list", "--at", 1).output.count("feature_view") == 1
    assert " 9" in run("-C", platform, "list", "--at", 9, code=1).stderr
    assert json.loads(run("-C", platform, "diff", 1, 3, "--json").output)["changes"] == {}
    assert "version" in run("-C", platform, "history", "--since", "2020-01-01").output
    assert "platform" not in run("-C", platform, "history", "--name", "nobody").output
    long_ago = run("-C", platform, "list", "--at", "2020-01-01").output
    assert "2020-01-01" in long_ago
    assert "--override" in run("-C", platform, "apply", "--override", "", code=2).stderr


def test_backup_examination_and_repair(folders: Path) -> None:
    platform = folders / "platform"
    config = platform / "feature_store.yaml"
    [line] = [text for text in config.read_text().splitlines() if text.startswith("registry:")]
    config.write_text(config.read_text().replace(line, "registry: registry/"))
    run("-C", platform, "apply")
    edit(platform, "driver_stats = FeatureView(", "driver_stats = FeatureView(\n    owner='x',")
    run("-C", platform, "apply")
    backup = folders / "backup.jsonl"
    assert "2 commits" in run("-C", platform, "export", backup).stderr
    assert "1 to 2" in run("-C", platform, "fsck").output

    damaged = platform / "registry" / "_log" / f"{1:020d}.json"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    report = run("-C", platform, "fsck", code=1).output
    assert "commit 1" in report
    assert "fsck --repair NEW_URL --backup EXPORT" in report
    assert json.loads(run("-C", platform, "fsck", "--json", code=1).output)["stored"] == 2
    assert "CorruptLogError" in run("-C", platform, "list", code=1).stderr
    compared = run("-C", platform, "fsck", "--backup", backup, code=1).output
    assert "version 2" in compared

    repaired = run("-C", platform, "fsck", "--repair", "repaired/", "--backup", backup)
    assert "0 commits" in repaired.stderr
    again = run("-C", platform, "fsck", "--repair", "repaired/", code=1).stderr
    assert "ConflictError" in again
    config.write_text(config.read_text().replace("registry: registry/", "registry: repaired/"))
    assert "version 2" in run("-C", platform, "plan").output
    config.write_text(config.read_text().replace("registry: repaired/", "registry: fresh.db"))
    assert "2 commits" in run("-C", platform, "import", backup).output
    assert "2 commits" in run("-C", platform, "import", backup).output
    assert "version 2" in run("-C", platform, "plan").output


def test_an_unknown_outcome_has_an_exit_code_of_its_own(folders: Path, monkeypatch) -> None:
    from feature_platform.errors import UnknownOutcomeError
    from feature_platform.registry import SqliteLog

    def lost(*_: object) -> bool:
        raise UnknownOutcomeError("nobody answered")

    monkeypatch.setattr(SqliteLog, "append", lost)
    assert "nobody answered" in run("-C", folders / "platform", "apply", code=4).stderr


def test_an_export_never_harms_the_registry_or_an_older_backup(folders: Path, monkeypatch) -> None:
    platform = folders / "platform"
    run("-C", platform, "apply")
    [database] = folders.rglob("registry.db")
    refused = run("-C", platform, "export", database, code=1).stderr
    assert "RequestError" in refused
    assert "driver_stats" in run("-C", platform, "list").output
    backup = folders / "backup"
    run("-C", platform, "export", backup)
    good = backup.read_bytes()

    def broken(*_: object) -> object:
        yield good[:10]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("feature_platform.cli.history.export_records", broken)
    assert "No space left" in run("-C", platform, "export", backup, code=1).stderr
    assert backup.read_bytes() == good
    monkeypatch.undo()
    assert run("-C", platform, "export", "-").stdout.encode() == good


@pytest.mark.parametrize(
    "command",
    [["plan", "--out", "nowhere/plan.json"], ["export", "nowhere/backup"], ["init", "afile/repo"]],
)
def test_files_that_cannot_be_written_are_named(folders: Path, monkeypatch, command) -> None:
    monkeypatch.chdir(folders)
    (folders / "afile").write_text("x")

    told = run("-C", folders / "platform", *command, code=1)
    assert command[-1].partition("/")[0] in told.stderr


def test_a_saved_plan_is_applied_by_the_digest_that_was_reviewed(folders: Path) -> None:
    saved = folders / "plan.json"
    printed = run("-C", folders / "platform", "plan", "--out", saved).output
    digest = printed.partition("--digest ")[2][:16]
    reviewed = saved.read_bytes()
    edit(folders / "platform", '"driver_stats"', '"other_stats"')
    run("-C", folders / "platform", "plan", "--out", saved)

    refused = run("-C", folders / "platform", "apply", saved, "--digest", digest, code=1)
    assert digest in refused.stderr
    assert "driver" not in run("-C", folders / "platform", "list").output
    saved.write_bytes(reviewed)
    run("-C", folders / "platform", "apply", saved, "--digest", digest)
    assert "driver_stats" in run("-C", folders / "platform", "list").output
    run("-C", folders / "platform", "apply", "--digest", digest, code=2)


@pytest.mark.parametrize("team", ["team: none\n", "team: growth\n", ""])
def test_only_the_platform_imports_a_registry(folders: Path, team: str) -> None:
    """An import writes commits of all owners."""
    run("-C", folders / "platform", "apply")
    backup = folders / "backup.jsonl"
    run("-C", folders / "platform", "export", backup)
    other = folders / "other"
    other.mkdir()
    (other / "feature_store.yaml").write_text(f"project: rides\n{team}registry: new.db\n")

    assert "team: platform" in run("-C", other, "import", backup, code=1).stderr
    assert not (other / "new.db").exists()


def test_the_help_says_what_each_command_says_of_itself() -> None:
    listed = CliRunner().invoke(main, ["--help"]).output
    for title, section in SECTIONS.items():
        assert f"{title}:" in listed
        for name, (_, summary) in section.items():
            command = main.get_command(click.Context(main), name)
            assert command is not None
            assert command.name == name
            assert summary.startswith(command.get_short_help_str(limit=1000).rstrip("."))


@pytest.fixture
def dev(folders: Path) -> Path:
    """A development project beside the platform's, in the same registry."""
    folder = folders / "dev"
    folder.mkdir()
    (folder / "feature_store.yaml").write_text(
        "project: dev\nteam: platform\nregistry: ../platform/data/registry.db\n"
        "online_store: {type: sqlite, path: dev.db}\n"
        "projects:\n"
        "  rides: {path: ../platform, online_store: {type: sqlite, path: data/online.db}}\n"
    )
    (folder / "features.py").write_text(
        "from feature_platform import FeatureService\n"
        "risk = FeatureService(name='risk', features=['rides/driver_stats:trips_today'])\n"
    )
    return folder


def test_a_share_from_offer_to_end(folders: Path, dev: Path) -> None:
    platform = folders / "platform"
    run("-C", platform, "apply")
    run("-C", platform, "materialize", "2026-01-01", "2026-01-01T12:00:00")
    assert "accept rides" not in run("-C", dev, "plan", code=1).output
    offered = run("-C", platform, "share", "dev", "driver_stats").output
    assert "+ share dev" in offered
    assert "nothing yet" in offered
    assert "accept rides" in run("-C", dev, "plan", code=1).output
    assert "+ acceptance rides" in run("-C", dev, "accept", "rides").output
    run("-C", dev, "apply")
    asked = ["get-online-features", "-s", "risk", "-e", '{"driver_id": 1}']
    answer = run("-C", dev, *asked, "--as-of", "2026-01-01T13:00").output
    assert ["trips_today", "12", "PRESENT"] in [line.split() for line in answer.splitlines()]

    [listed] = json.loads(run("-C", dev, "shares", "--json").output)
    assert (listed["owner"], listed["reader"], listed["state"]) == ("rides", "dev", "accepted")
    assert (listed["views"], listed["access"]) == (["driver_stats"], "read")
    assert listed["shared_by"] == listed["answered_by"] == "platform"
    line = run("-C", platform, "shares").output.splitlines()[-1]
    assert line.startswith("shared with  dev      accepted  read    driver_stats")

    asked_first = CliRunner().invoke(main, ["-C", str(platform), "revoke", "dev"], input="n\n")
    assert asked_first.exit_code == 1
    assert "feature service risk" in asked_first.output
    assert json.loads(run("-C", dev, "shares", "--json").output)[0]["state"] == "accepted"
    narrower = ["-C", str(platform), "share", "dev", "driver_stats:conv_rate"]
    assert "risk" in CliRunner().invoke(main, narrower, input="n\n").output
    run("-C", platform, "revoke", "dev", "--yes")
    assert "AccessError" in run("-C", dev, *asked, code=1).output
    assert "dev" in run("-C", platform, "revoke", "dev", code=1).output


def test_a_share_is_asked_for_first(folders: Path, dev: Path) -> None:
    platform = folders / "platform"
    run("-C", platform, "apply")
    assert "rides" in run("-C", dev, "accept", "rides", code=1).output
    run("-C", dev, "request", "rides")
    run("-C", dev, "reject", "rides")
    assert "requested" not in run("-C", platform, "shares").output
    run("-C", dev, "request", "rides")
    assert "requested" in run("-C", platform, "shares").output
    offered = run("-C", platform, "share", "dev", "--until", "2099-12-31", "--write").output
    assert "nothing yet" not in offered  # it has asked
    shared = run("-C", dev, "shares").output
    assert shared.splitlines()[-1].split()[4:8] == ["write", "whole", "store", "2099-12-31"]
    run("-C", dev, "reject", "rides")
    assert "rejected" in run("-C", platform, "shares").output


def test_kinds_are_named_as_people_do(folders: Path) -> None:
    platform = folders / "platform"
    run("-C", platform, "apply")
    for kind, name in (
        ("entities", "driver"), ("feature-views", "driver_stats"),
        ("data-sources", "driver_stats_source"), ("feature_view", "driver_stats"),
    ):  # fmt: skip
        assert name in run("-C", platform, "list", kind).output
        assert name in run("-C", platform, kind, "list").output
        assert name in run("-C", platform, kind, "describe", name).output
    assert "Invalid value" in run("-C", platform, "list", "things", code=2).output
    assert "Invalid value" in run("-C", platform, "things", "list", code=2).output
    assert "export -" in run("-C", platform, "registry-dump", code=2).output
    assert "No such command" in run("-C", platform, "things", code=2).output


def test_files_of_rows_are_read_as_they_are_written(folders: Path, tmp_path: Path) -> None:
    lines = tmp_path / "rows.jsonl"
    lines.write_text(f'{{"k": {2**53 + 1}, "at": "2026-01-01", "x": null}}\n{{"k": 1, "x": 0.5}}\n')
    table = read_rows(lines, {})
    assert table.to_pylist() == [
        {"k": 2**53 + 1, "at": "2026-01-01", "x": None}, {"k": 1, "at": None, "x": 0.5}
    ]  # fmt: skip
    rows = tmp_path / "rows.csv"
    rows.write_text('k,name,note\n1,NA,\n2,NULL,""\n')
    assert read_rows(rows, {}).to_pylist() == [
        {"k": 1, "name": "NA", "note": None}, {"k": 2, "name": "NULL", "note": ""}
    ]  # fmt: skip
    lines.write_text('{"k": 1}\n{"k": [}\n')
    with raises(RequestError, "JSON lines"):
        read_rows(lines, {})


def test_csv_rows_have_the_declared_types(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    types = {
        "k": pa.string(), "n": pa.int32(), "x": pa.float64(), "at": TIMESTAMP,
        "ok": pa.bool_(), "price": pa.decimal128(5, 2), "tags": pa.list_(pa.int64()),
    }  # fmt: skip
    rows.write_text(
        "k,n,x,at,ok,price,tags,zip,count,seen\n"
        '2026-01-01,2.0,1e3,2026-01-01,1,1.10,"[1, 2]",007,1,2026-01-01\n'
        "1001,,inf,2026-01-01 12:00+02:00,FALSE,2,,8001,,2026-01-02T01:00:00.5Z\n"
    )
    table = read_rows(rows, types)
    assert {name: table.schema.field(name).type for name in types} == types
    day = datetime(2026, 1, 1, tzinfo=UTC)
    assert [list(row.values()) for row in table.to_pylist()] == [
        ["2026-01-01", 2, 1000.0, day, True, Decimal("1.10"), [1, 2], "007", 1, day],
        [
            "1001", None, float("inf"), day + timedelta(hours=10), False, Decimal("2.00"), None,
            "8001", None, day + timedelta(hours=25, seconds=0.5),
        ],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        (pa.int64(), "1.5"), (pa.int32(), "9999999999"), (pa.float64(), "1e400"),
        (pa.float32(), "1e39"), (pa.float64(), "1,5"), (pa.bool_(), "yes"), (TIMESTAMP, "01/02/26"),
        (pa.decimal128(5, 2), "1.105"), (pa.list_(pa.int64()), "[1.5]"), (pa.binary(), "x"),
        (pa.list_(pa.int64()), "[" * 5000),
    ],
)  # fmt: skip
def test_csv_rows_are_never_rounded(tmp_path: Path, dtype: pa.DataType, text: str) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(f'k,x\n1,"{text}"\n')
    with raises(RequestError, "'x'"):
        read_rows(rows, {"x": dtype})


def test_csv_rows_of_a_text_key_are_written_and_read(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text(
        "project: p\nteam: platform\nregistry: registry\nonline_store: {path: online.db}\n"
    )
    (tmp_path / "features.py").write_text(
        "from feature_platform import Entity, FeatureView, Field, FileSource, ValueType\n"
        "from feature_platform.types import String\n"
        "v = FeatureView(name='v', entities=[Entity(name='k', value_type=ValueType.STRING)],\n"
        "  schema=[Field(name='code', dtype=String)],\n"
        "  source=FileSource(name='s', path='s.csv', timestamp_field='ts', "
        "field_mapping={'raw': 'code'}))\n"
    )
    rows = tmp_path / "rows.csv"
    rows.write_text("k,ts,raw\n1001,2026-01-01,2026-01-02\n")
    (tmp_path / "s.csv").write_bytes(rows.read_bytes())
    run("-C", tmp_path, "apply")
    run("-C", tmp_path, "write", "v", rows)
    answer = FeatureStore(tmp_path).get_online_features(["v:code"], [{"k": "1001"}])
    assert answer.to_dict()["code"] == ["2026-01-02"]
    spine = tmp_path / "spine.csv"
    spine.write_text("k,event_timestamp\n1001,2026-01-01T10:00\n")
    asked = run("-C", tmp_path, "get-historical-features", spine, "-f", "v", "--json").output
    assert json.loads(asked)[0]["code"] == "2026-01-02"
    run("-C", tmp_path, "delete-online", "v", rows)
    run("-C", tmp_path, "verify-parity", "v", "-r", spine, code=1)


def test_options_of_feast_are_understood(folders: Path) -> None:
    platform = folders / "platform"
    run("-C", platform, "apply", "--skip-source-validation", "--no-progress")
    window = ("2026-01-01", "2026-01-02")
    assert (
        "driver_stats"
        in run("-C", platform, "materialize", *window, "--views", "driver_stats").output
    )
    asked = ["get-online-features", "--features", "driver_stats", "--entities"]
    refused = run("-C", platform, *asked, "driver_id=1", code=2).output
    assert '{"driver_id": 1001}' in refused


def test_texts_of_others_do_not_command_a_terminal(tmp_path: Path) -> None:
    """An escape sequence in a description or a message is shown, not sent."""
    (tmp_path / "feature_store.yaml").write_text("project: p\nteam: platform\nregistry: r.db\n")
    text = "x\x1b]0;title\x07\x9b1m"
    entity = Entity(name="odd", description=text)
    FeatureStore(tmp_path).apply([entity], message=text, client=text)
    for command in (["list"], ["describe", "odd"], ["history"], ["show", "1"], ["diff", "0", "1"]):
        result = CliRunner().invoke(main, ["-C", str(tmp_path), *command])
        assert result.exit_code == 0
        assert not {"\x1b", "\x07", "\x9b"} & set(result.output)
    assert "\\x1b]0;title" in CliRunner().invoke(main, ["-C", str(tmp_path), "list"]).output
