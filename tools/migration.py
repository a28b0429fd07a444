"""Try checked-out Feast repos with only the import changed, and print what each step says.

`make migration REPOS=FOLDER` copies the checkouts below FOLDER, changes `feast` to
`feature_platform` in imports, and plans, applies, materializes and reads each repo that it finds:
the folders with a `feature_store.yaml`, and the single files of Feast's own tests. A registry that
this machine cannot reach is replaced by a file, and online stores by SQLite. Placeholders, data and
environment variables are filled in as `feast init` and its user do. Nothing else is changed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

STEPS = ("plan", "apply", "materialize", "history", "online")
SECONDS = 300
SKIPPED = "no data"
_IMPORTS = [
    (re.compile(r"^(\s*)from feast(?=[\s.])", re.MULTILINE), r"\1from feature_platform"),
    (re.compile(r"^(\s*)import feast\s*$", re.MULTILINE), r"\1import feature_platform as feast"),
    (re.compile(r"^(\s*)import feast(?=[.\s])", re.MULTILINE), r"\1import feature_platform"),
]
_PLACEHOLDERS = {
    "%PROJECT_NAME%": "my_project",
    "%PARQUET_PATH%": "data/driver_stats.parquet",
    "%LOGGING_PATH%": "data",
    "%LABEL_DATA_PATH%": "data/driver_quality_labels.parquet",
}
_VARIABLES = {"SNOWFLAKE_DEPLOYMENT_URL", "SNOWFLAKE_USER", "SNOWFLAKE_PASSWORD",
              "SNOWFLAKE_ROLE", "SNOWFLAKE_WAREHOUSE", "SNOWFLAKE_ACCOUNT", "FEAST_USERNAME",
              "FEAST_PASSWORD"}  # fmt: skip
_TEST_SETTINGS = """project: migrated
registry: data/registry.db
provider: local
online_store: {path: data/online.db}
entity_key_serialization_version: 3
"""


def rewritten(text: str) -> str:
    """Return the code of a module after the import is changed."""
    for pattern, replacement in _IMPORTS:
        text = pattern.sub(replacement, text)
    for placeholder, value in _PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    return text


def copied(checkouts: Path, target: Path) -> Path:
    """Copy the checkouts, change the imports, and return the copy."""
    shutil.copytree(
        checkouts,
        target,
        ignore=shutil.ignore_patterns(".git", ".venv", "docs"),
        ignore_dangling_symlinks=True,
    )
    for checkout in target.iterdir():
        (checkout / ".git").mkdir(exist_ok=True)  # sources may lie beside a repo, in its checkout
    for file in [*target.rglob("*.py"), *target.rglob("feature_store.yaml*")]:
        text = file.read_text("utf-8")
        file.write_text(rewritten(text) if file.suffix == ".py" else text, "utf-8")
    return target


def repos(root: Path) -> Iterator[Path]:
    """Yield the repo folders below a folder."""
    for file in sorted(root.rglob("feature_store.yaml")):
        if "docs" not in file.relative_to(root).parts:
            yield file.parent
    for folder in sorted(root.rglob("example_repos")):
        for file in sorted(folder.glob("*.py")):
            repo = folder / file.stem
            repo.mkdir(exist_ok=True)
            file.rename(repo / "example.py")
            (repo / "feature_store.yaml").write_text(_TEST_SETTINGS)
            yield repo


@click.command()
@click.argument("checkouts", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", default="", help="Part of the paths of the repos to try.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(checkouts: Path, only: str, *, as_json: bool) -> None:
    """Try every repo below CHECKOUTS."""
    root = copied(checkouts, Path(tempfile.mkdtemp()) / "checkouts")
    outcomes: dict[str, dict[str, str]] = {}
    for repo in repos(root):
        name = str(repo.relative_to(root))
        if only in name:
            outcomes[name] = _apart(repo)
            if not as_json:
                click.echo(f"{name}: {json.dumps(outcomes[name])}")
    if as_json:
        click.echo(json.dumps(outcomes, indent=1))
        return
    table = Table("repo", *STEPS, box=None)
    for name, outcome in outcomes.items():
        table.add_row(name, *(_short(outcome.get(step, "")) for step in STEPS))
    Console(width=160).print(table)
    for step in STEPS:
        count = sum(outcome.get(step) == "ok" for outcome in outcomes.values())
        click.echo(f"{step}: {count} of {len(outcomes)}")


def _short(outcome: str) -> str:
    return outcome if outcome in {"ok", SKIPPED, ""} else outcome.partition(":")[0]


def _apart(repo: Path) -> dict[str, str]:
    """Try a repo in a process of its own."""
    environment = {**os.environ, **dict.fromkeys(_VARIABLES, "variable")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, __file__, "--one", str(repo)], env=environment,
        capture_output=True, text=True, check=False, timeout=SECONDS, cwd=repo,
    )  # fmt: skip
    with suppress(IndexError, ValueError):
        return dict(json.loads(done.stdout.splitlines()[-1]))
    return {"plan": f"crash: {done.stderr[-300:]}"}


class Trial:
    """The steps of one repo."""

    def __init__(self, folder: Path) -> None:
        _driver_data(folder)
        self._folder = folder
        self._store = self._opened()

    def _opened(self) -> Any:
        from feature_platform import FeatureStore, RepoConfig
        from feature_platform.repo import Repo

        config = RepoConfig.load(self._folder)
        changes: dict[str, Any] = {}
        if "://" in config.registry:
            changes["registry"] = "data/registry.db"
        if config.online_store is not None and config.online_store.type != "sqlite":
            changes["online_store"] = {"type": "sqlite", "path": "data/online.db"}
        with suppress(OSError):
            (self._folder / "data").mkdir(exist_ok=True)
        if not changes:
            return FeatureStore(self._folder)
        settings = {**config.model_dump(exclude_unset=True), **changes}
        (self._folder / "feature_store.yaml").write_text(json.dumps(settings, default=str))
        return FeatureStore(Repo.load(self._folder).path)

    def plan(self) -> str:
        report = self._store.review(self._store.plan(), costs=False)
        return f"refused: {report.problems}" if report.problems else "ok"

    def apply(self) -> str:
        self._store.apply()
        return "ok"

    def materialize(self) -> str:
        if not self._views():
            return SKIPPED
        end = datetime.now(UTC)
        counts = self._store.materialize(end - timedelta(days=3650), end, self._views())
        return "ok" if counts else "nothing"

    def history(self) -> str:
        for view in self._views():
            rows = self._rows(view)
            answer = self._store.get_historical_features(rows, [view]).to_arrow()
            if answer.num_rows != rows.num_rows:
                return f"rows: {answer.num_rows}"
            features = [c for n, c in zip(answer.column_names, answer.columns, strict=True)
                        if n not in rows.column_names]  # fmt: skip
            if rows.num_rows and all(c.null_count == len(c) for c in features):
                return f"nothing known of {view}"
        return "ok" if self._views() else SKIPPED

    def online(self) -> str:
        for view in self._views():
            times = {"event_timestamp"}
            rows = self._rows(view)
            keys = rows.select([n for n in rows.column_names if n not in times]).to_pylist()
            if keys:
                statuses = self._store.get_online_features([view], keys).statuses()
                features = {n: each for n, each in statuses.items() if n not in rows.column_names}
                if all(s.value == "NOT_FOUND" for each in features.values() for s in each):
                    return f"nothing stored of {view}"
        return "ok" if self._views() else SKIPPED

    def _views(self) -> list[str]:
        """Return the feature views whose files lie beside the repo."""
        return [view.name for view in self._store.list_feature_views() if self._file_of(view.name)]

    def _file_of(self, name: str) -> Path | None:
        view = self._store.get_feature_view(name)
        source = self._store.get_data_source(view.source)
        batch = getattr(source, "batch_source", None)
        source = self._store.get_data_source(batch) if batch else source
        path = getattr(source, "path", "")
        file = self._folder / path
        return file if path and "://" not in path and file.exists() else None

    def _rows(self, name: str) -> Any:
        """Return some keys of a view at the time of their rows."""
        import pyarrow as pa
        from pyarrow import dataset

        view = self._store.get_feature_view(name)
        source = self._store.get_data_source(view.source)
        batch = getattr(source, "batch_source", None)
        source = self._store.get_data_source(batch) if batch else source
        names = {new: old for old, new in source.field_mapping.items()}
        keys = [k for e in view.entities for k in self._store.get_entity(e).join_keys]
        columns = {key: names.get(key, key) for key in keys}
        table = dataset.dataset(self._file_of(name)).head(20)
        times = table[source.timestamp_field]
        return pa.table({**{k: table[c] for k, c in columns.items()}, "event_timestamp": times})


def _driver_data(folder: Path) -> None:
    """Write the data that `feast init` makes, where a repo asks for it."""
    text = "".join(f.read_text("utf-8") for f in folder.rglob("*.py"))
    for name, content in (
        ("driver_stats.parquet", _driver_stats), ("driver_quality_labels.parquet", _labels)
    ):  # fmt: skip
        file = folder / "data" / name
        if f"data/{name}" in text and not file.exists():
            from pyarrow import parquet

            file.parent.mkdir(exist_ok=True)
            parquet.write_table(content(), file)


def _driver_stats() -> Any:
    import pyarrow as pa

    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=5)
    rows = [(driver, first + timedelta(hours=n)) for driver in range(1001, 1006) for n in range(96)]
    text_map = pa.map_(pa.string(), pa.string())
    profile = pa.struct([("name", pa.string()), ("age", pa.string())])
    return pa.table(
        {
            "driver_id": pa.array([driver for driver, _ in rows], pa.int64()),
            "event_timestamp": pa.array([time for _, time in rows], pa.timestamp("ns", "UTC")),
            "created": pa.array([time for _, time in rows], pa.timestamp("us")),
            "conv_rate": pa.array([n / 480 for n in range(480)], pa.float32()),
            "acc_rate": pa.array([1 - n / 480 for n in range(480)], pa.float32()),
            "avg_daily_trips": pa.array(range(480), pa.int32()),
            "driver_metadata": pa.array([[("rating", str(n))] for n in range(480)], text_map),
            "driver_config": pa.array([json.dumps({"km": n}) for n in range(480)], pa.string()),
            "driver_profile": pa.array(
                [{"name": f"d{n}", "age": "30"} for n in range(480)], profile
            ),
        }
    )


def _labels() -> Any:
    import pyarrow as pa

    names = {"driver_id": pa.int64(), "is_reliable": pa.int64(), "quality_score": pa.float32(),
             "reviewer_notes": pa.string(), "labeler": pa.string(),
             "event_timestamp": pa.timestamp("ns")}  # fmt: skip
    return pa.schema(list(names.items())).empty_table()


def one(folder: Path) -> dict[str, str]:
    """Return the outcome of each step, until one fails."""
    outcomes: dict[str, str] = {}
    trial: Trial | None = None
    for step in STEPS:
        try:
            trial = trial or Trial(folder)
            call: Callable[[], str] = getattr(trial, step)
            outcomes[step] = call()
        except Exception as error:  # noqa: BLE001 - whatever a repo runs into is its outcome
            outcomes[step] = f"{type(error).__name__}: {str(error)[:1500]}"
        if outcomes[step] not in {"ok", SKIPPED}:
            break
    return outcomes


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        warnings.simplefilter("ignore")
        print(json.dumps(one(Path(sys.argv[2]))))
    else:
        main()
