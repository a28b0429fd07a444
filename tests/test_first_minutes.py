"""A newcomer's first minutes, and the commands that read and write rows."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result
from rich.console import Console
from tests_support import assert_names

from feature_platform import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    RepoConfig,
)
from feature_platform.cli import main
from feature_platform.project import signature
from feature_platform.types import Float64, Int64, String


class Shell:
    """Runs commands in a repo folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, code: int = 0, stdin: str = "") -> Result:
        result = CliRunner().invoke(main, ["-C", str(self.folder), *arguments], input=stdin)
        assert result.exit_code == code, result.output
        return result

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json").stdout)

    def script(self) -> str:
        done = subprocess.run(
            [sys.executable, "workflow.py"], cwd=self.folder, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        return done.stdout


@pytest.fixture
def platform(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path / "platform")
    made = CliRunner().invoke(main, ["init", str(shell.folder), "--project", "rides"])
    assert made.exit_code == 0
    for step in ("plan", "apply", "materialize-incremental"):
        shell(step)
    return shell


def test_a_new_repo_ends_in_numbers(platform: Shell, tmp_path: Path) -> None:
    answer = platform.json("get-online-features", "-f", "driver_stats", "-e", '{"driver_id": 1}')
    assert answer["features"]["trips_today"] == [1]
    assert platform.script().count("0.13") == 2  # in the training set, and online

    team = Shell(tmp_path / "growth")
    made = CliRunner().invoke(main, ["init", str(team.folder), "--team", "growth"])
    assert made.exit_code == 0, made.output
    team("apply")
    keys = '{"driver_id": 1, "trips_planned": 8}'
    answer = team.json("get-online-features", "-s", "growth_model_v1", "-e", keys)
    assert answer["features"]["growth_load"] == [pytest.approx(9 / 40)]
    assert team.script().count("0.225") == 2


def test_what_init_writes_is_clean_and_is_a_code_location(platform: Shell) -> None:
    linter = Path(sys.executable).with_name("ruff")
    for action in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [linter, *action, "--no-cache", "--config", "line-length=100", "."],
            cwd=platform.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
    [location] = yaml.safe_load((platform.folder / "workspace.yaml").read_text())["load_from"]
    assert (platform.folder / location["python_file"]).exists()
    assert platform.json("validate") == {"entity": 1, "source": 2, "feature view": 1}


@pytest.fixture
def rows(platform: Shell) -> Path:
    """Two drivers, now, as a file beside the repo."""
    file = platform.folder.parent / "rows.parquet"
    at = [datetime.now(UTC)] * 2
    pd.DataFrame({"driver_id": [1, 99], "event_timestamp": at}).to_parquet(file)
    return file


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_training_set_from_file_to_file(platform: Shell, rows: Path, ending: str) -> None:
    output = rows.with_name(f"training.{ending}")
    platform("get-historical-features", str(rows), "-f", "driver_stats", "-o", str(output))
    frame = pd.read_csv(output) if ending == "csv" else pd.read_parquet(output)
    assert frame["driver_id"].tolist() == [1, 99]
    assert frame["trips_today"].isna().tolist() == [False, True]
    shown = platform.json("get-historical-features", str(rows), "-f", "driver_stats:conv_rate")
    assert [row["conv_rate"] for row in shown] == [pytest.approx(0.13), None]
    by_sql = platform.json(
        "get-historical-features", "--sql", "SELECT 2 AS driver_id, now() AS event_timestamp",
        "-f", "driver_stats", "--full-names",
    )  # fmt: skip
    assert by_sql[0]["driver_stats__trips_today"] == 8
    assert not list(output.parent.glob(".*"))  # nothing unfinished is left
    platform("get-historical-features", str(rows), code=2)
    platform("get-historical-features", "-f", "driver_stats", code=2)


def test_rows_are_written_pushed_and_deleted(platform: Shell, rows: Path) -> None:
    store = FeatureStore(platform.folder)
    pushed = PushSource(name="push")
    view = store.get_feature_view("driver_stats")
    store.apply([pushed, view.model_copy(update={"name": "pushed", "source": "push"})])
    later = datetime.now(UTC) + timedelta(minutes=1)
    content = {"driver_id": 1, "event_timestamp": later.isoformat(), "trips_today": 77,
               "conv_rate": 0.5}  # fmt: skip
    file = rows.with_name("new.jsonl")
    file.write_text(json.dumps(content) + "\n")

    def trips(name: str) -> Any:
        asked = ("-f", f"{name}:trips_today", "-e", '{"driver_id": 1}')
        return platform.json("get-online-features", *asked)["features"]["trips_today"]

    assert platform.json("write", "driver_stats", str(file)) == {"driver_stats": 1}
    assert trips("driver_stats") == [77]
    assert platform.json("push", "push", str(file)) == {"push": 1}
    assert trips("pushed") == [77]
    wide = rows.with_name("wide.jsonl")
    wide.write_text(json.dumps(content | {"junk": 1}) + "\n")
    assert "junk" in platform("write", "driver_stats", str(wide), code=1).stderr
    assert platform.json("write", "driver_stats", str(wide), "--ignore-unknown")
    assert platform.json("push", "driver_stats_push", str(wide), "--to", "offline",
                         "--ignore-unknown")  # fmt: skip
    assert platform.json("statistics", "driver_stats")["trips_today"]["max"] == 77
    told = platform("push", "driver_stats_source", str(file), code=1).stderr
    assert "PushSource" in told
    removed = rows.with_name("removed.jsonl")
    after = {"driver_id": 1, "event_timestamp": (later + timedelta(minutes=1)).isoformat()}
    removed.write_text(json.dumps(after) + "\n")
    platform("delete-online", "driver_stats", str(removed))
    assert trips("driver_stats") == [None]
    assert trips("pushed") == [77]
    file.write_text("{")
    assert "JSON lines" in platform("push", "push", str(file), code=1).stderr


def test_keys_without_a_time_are_deleted_as_of_now(platform: Shell, tmp_path: Path) -> None:
    pd.DataFrame({"driver_id": [1]}).to_csv(tmp_path / "keys.csv", index=False)
    assert platform.json("delete-online", "driver_stats", str(tmp_path / "keys.csv")) == {
        "driver_stats": 1
    }
    answer = platform.json("get-online-features", "-f", "driver_stats", "-e", '{"driver_id": 1}')
    assert answer["features"]["trips_today"] == [None]


@pytest.mark.parametrize("name", ["out.json", "out", "out.xlsx"])
def test_files_of_another_kind_are_refused(platform: Shell, rows: Path, name: str) -> None:
    target = rows.with_name(name)
    told = platform("get-historical-features", str(rows), "-f", "driver_stats", "-o", str(target),
                    code=2).output  # fmt: skip
    assert ".parquet" in told
    assert not target.exists()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_pipe_is_not_replaced(platform: Shell, rows: Path, ending: str) -> None:
    pipe = rows.with_name(f"pipe.{ending}")
    os.mkfifo(pipe)
    told = platform("get-historical-features", str(rows), "-f", "driver_stats", "-o", str(pipe),
                    code=1).output  # fmt: skip
    assert str(pipe) in told
    assert pipe.is_fifo()


@pytest.mark.parametrize("text", ["[" * 20_000, '{"driver_id": ' + "1" * 5_000 + "}", "7", "?"])
def test_entities_that_are_no_objects_are_usage_errors(platform: Shell, text: str) -> None:
    platform("get-online-features", "-f", "driver_stats", "-e", text, code=2)


def test_names_are_whole_in_a_narrow_terminal(
    platform: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feature_platform.cli.printing.console", lambda **_: NARROW)
    with NARROW.capture() as capture:
        platform("list")
    lines = capture.get().splitlines()
    assert any(line.startswith("feature_view") and "platform" in line for line in lines)
    assert max(map(len, lines)) <= 60


NARROW = Console(width=60, force_terminal=False, highlight=False)


def test_a_column_that_a_source_lacks_is_told_before_it_is_registered(platform: Shell) -> None:
    views = platform.folder / "feature_views.py"
    views.write_text(views.read_text().replace("trips_today", "trips_todya"))
    told = platform("validate", code=1).stderr
    assert "trips_todya" in told
    assert "trips_today" in told
    platform("apply")
    checked = json.loads(platform("check", "--json", code=1).stdout)
    [schema] = [c for c in checked if c["check"] == "schema"]
    assert not schema["passed"]
    assert "trips_todya" in schema["message"]


@pytest.mark.parametrize("name", ["on", "null", "yes", "y"])
def test_names_that_yaml_reads_as_something_else(tmp_path: Path, name: str) -> None:
    of_team = ["--team", name, "--platform", str(tmp_path / name)]
    for folder, options in ((name, ["--project", name]), ("growth", of_team)):
        made = CliRunner().invoke(main, ["init", str(tmp_path / folder), *options])
        assert made.exit_code == 0, made.output
    Shell(tmp_path / name)("apply")
    Shell(tmp_path / "growth")("apply")
    assert FeatureStore(tmp_path / "growth").config.team == name
    assert FeatureStore(tmp_path / "growth").project == name


@pytest.mark.parametrize(("folder", "project"), [
    ("rides", "rides"), ("rides/platform", "rides"), ("my-rides", "my_rides"), ("7", "my_project"),
])  # fmt: skip
def test_a_project_is_named_after_its_folder(tmp_path: Path, folder: str, project: str) -> None:
    assert CliRunner().invoke(main, ["init", str(tmp_path / folder)]).exit_code == 0
    assert FeatureStore(tmp_path / folder).project == project


def test_sources_and_features_are_described(platform: Shell) -> None:
    printed = platform("schema", "driver_stats_source").stdout
    names = {"Field": lambda **field: field, "Int64": Int64, "Float64": Float64}
    fields = eval(printed.partition("=")[2], names)  # noqa: S307 - our own output
    assert {f["name"]: f["dtype"] for f in fields} == {
        "driver_id": Int64, "trips_today": Int64, "conv_rate": Float64,
    }  # fmt: skip
    assert platform.json("statistics", "driver_stats")["trips_today"]["count"] == 240
    assert "mean" in platform("statistics", "driver_stats").stdout
    platform("schema", "nothing", code=1)
    store = FeatureStore(platform.folder)
    schema = store.get_source_schema(FileSource(path="data/driver_stats"))
    assert {field.name for field in schema.fields} >= {"created", "driver_id"}  # no time of its own


def test_lists_do_not_fit_into_csv(platform: Shell, rows: Path) -> None:
    output = rows.with_name("training.csv")
    output.write_text("before")
    (platform.folder / "tags.py").write_text(TAGS)
    platform("apply")
    asked = ("get-historical-features", str(rows), "-f", "tags")
    assert ".parquet" in platform(*asked, "-o", str(output), code=1).stderr
    assert output.read_text() == "before"
    assert platform.json(*asked)[0]["m"] == {"a": "b"}


TAGS = """
from feature_platform import Field, OnDemandFeatureView
from feature_platform.types import Array, Int64, Map

@OnDemandFeatureView(
    sources=["driver_stats:trips_today"],
    schema=[Field(name="many", dtype=Array(Int64)), Field(name="m", dtype=Map)],
)
def tags(inputs):
    return {"many": [1], "m": {"a": "b"}}
"""


def test_a_function_that_fails_is_told_by_plan(platform: Shell) -> None:
    file = platform.folder / "tags.py"
    file.write_text(TAGS.replace('"many": [1]', '"many": inputs["x"]'))
    for step in ("plan", "apply"):
        told = platform(step, code=1).stderr
        assert "'tags'" in told
        assert "--skip-trials" in told
    platform("plan", "--skip-trials")
    platform("apply", "--skip-trials")


def test_a_teardown_asks_first(platform: Shell) -> None:
    platform("teardown", code=1, stdin="n\n")
    assert platform.json("list")
    platform("teardown", stdin="y\n")
    assert not platform.json("list")
    assert "nothing" in platform("teardown", "--yes").stdout


TYPED = """\
from datetime import timedelta
from feature_platform import (
    Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, KafkaSource, Policy,
    Project, PushSource, RequestSource, Share, SnowflakeSource, SparkSource, StreamSource,
    Transfer, checks, on_demand_feature_view,
)
from feature_platform.types import Array, Int64, Struct
e = Entity(name="e", join_keys=["a"], value_type=Int64, tags={"a": "b"})
s = FileSource(path="x", field_mapping={"a": "b"})
v = FeatureView(
    name="v", entities=[e], source=s, ttl=timedelta(1), checks=[checks.RowCount(min=1)],
    schema=[Field(name="x", dtype=Int64, checks=[checks.NotNull()])],
)
r = RequestSource(schema=[Field(name="y", dtype=Int64)])
f = FeatureService(name="f", features=[v, "v:x", v[["x"]]])
p = Policy(prefixes={"a": ["b"]})
sh = Share(to="x", views=["v"])
pu = PushSource(name="p", batch_source=s)
sn = SnowflakeSource(table="t", schema="s", database="d")
sp = SparkSource(table="t")
st = StreamSource(name="s", batch_source=s)
t = Transfer(name="t", objects=[v], to="x")
@on_demand_feature_view(sources=[v, r], schema=[Field(name="z", dtype=Int64)])
def fn(inputs: dict[str, int]) -> dict[str, int]:
    return {"z": inputs["x"]}

answer = FeatureStore(".").get_online_features(["driver_stats"], {"driver_id": [1]})
features: dict[str, list[object]] = answer.to_dict()
shape = Struct({"a": Array(Int64)})
project = Project(name="rides", owner="a@b.c")
events = KafkaSource(name="events", topic="t", batch_source=s)
"""


def test_a_users_project_passes_strict_mypy(platform: Shell, tmp_path: Path) -> None:
    team = Shell(tmp_path / "growth")
    CliRunner().invoke(main, ["init", str(team.folder), "--team", "growth"])
    (platform.folder / "typed.py").write_text(TYPED)
    settings = tmp_path / "mypy.ini"  # what these libraries' types say takes minutes to read
    libraries = ",".join(f"{name}.*" for name in ("mlflow", "numpy", "pandas", "polars", "pyspark"))
    settings.write_text(f"[mypy]\n[mypy-{libraries},sqlalchemy.*]\nfollow_imports = skip\n")
    for shell in (platform, team):
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--config-file", str(settings),
             *[file.name for file in shell.folder.glob("*.py")]],
            cwd=shell.folder, capture_output=True, text=True, check=False,
            env={**os.environ, "MYPY_CACHE_DIR": str(tmp_path / "mypy")},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_a_schema_is_printed_although_the_folder_cannot_be_loaded(tmp_path: Path) -> None:
    """As for a view of Feast that has none yet."""
    run = CliRunner().invoke
    folder = tmp_path / "rides"
    assert run(main, ["init", str(folder)]).exit_code == 0
    views = folder / "feature_views.py"
    text = views.read_text()
    start, end = text.index("    schema=["), text.index("    source=")
    views.write_text(text[:start] + text[end:])
    refused = run(main, ["-C", str(folder), "plan"])
    assert refused.exit_code == 1
    assert "feature-platform schema" in refused.stderr
    printed = run(main, ["-C", str(folder), "schema", "data/driver_stats"])
    assert printed.exit_code == 0
    assert 'Field(name="trips_today", dtype=Int64)' in printed.output


def test_a_service_that_reads_one_view_twice_shows_its_inputs_and_outputs(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, config=RepoConfig(project="p", team="platform", registry="r"))
    view = FeatureView(
        name="airport", entities=[Entity(name="airport", value_type=String)],
        schema=[Field(name="wind", dtype=Float64)], source=FileSource(path="airports"),
    )  # fmt: skip
    ends = [
        view.with_name(n).with_join_key_map({"airport": f"{n}_airport"}) for n in ("from", "to")
    ]
    service = FeatureService(name="trip", features=ends)
    store.apply([view, service])
    shown = signature(store.load_project(), service)
    assert shown["outputs"] == "from__wind, to__wind"
    assert_names(shown["join keys"], "from_airport", "to_airport")


@pytest.mark.parametrize(
    ("typed", "meant"), [("lists", "list"), ("materialise", "materialize"), ("shema", "schema")]
)
def test_a_command_that_there_is_not_is_close_to_one(typed: str, meant: str) -> None:
    result = CliRunner().invoke(main, [typed])
    assert result.exit_code == 2
    assert f"'{meant}'" in result.stderr
