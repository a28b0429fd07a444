"""Starts each process several times, prints the table, and writes docs/bench_startup.md."""

import math
import os
import platform
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
FEAST = ROOT / ".venv" / "feast" / "bin"
OURS = Path(sys.executable).parent
REPEATS = 7
ANSWER = """
from {package} import FeatureStore
rows = [{{"driver_id": 1001}}]
FeatureStore(".").get_online_features(["{feature}"], rows).to_dict()
"""
PAGE = """# What a process costs before it answers

`make bench-startup` made this page on {day}: {machine}, Feast 0.67.0, in cpu seconds of the whole process, threads and exit included, the least of {repeats} starts with compiled bytecode. The registries are those that `feature-platform init` and `feast init` make, with one day loaded into SQLite.

{table}

Python alone takes {python:.3f} s, and with pyarrow imported, which every command but `--help` needs, {pyarrow:.3f} s. The import of the package may cost 0.25 s more than that.

{goals}
"""  # noqa: E501


Line = tuple[str, float | None, list[str], list[str] | None]
"""What is measured, the most that it may cost (none: of the import), our command, and Feast's."""


def main() -> None:
    """Measure, print and write."""
    python, program = str(OURS / "python"), str(OURS / "feature-platform")
    feasts, feast = str(FEAST / "python"), str(FEAST / "feast")
    answers = {
        package: ANSWER.format(package=package, feature=feature)
        for package, feature in (
            ("feature_platform", "driver_stats:conv_rate"),
            ("feast", "driver_hourly_stats:conv_rate"),
        )
    }
    lines: list[Line] = [
        (
            "import of the package",
            None,
            [python, "-c", "import feature_platform"],
            [feasts, "-c", "import feast"],
        ),
        (
            "import of FeatureStore",
            math.inf,
            [python, "-c", "from feature_platform import FeatureStore"],
            [feasts, "-c", "from feast import FeatureStore"],
        ),
        ("--help", 0.4, [program, "--help"], [feast, "--help"]),
        (
            "list --help",
            0.4,
            [program, "list", "--help"],
            [feast, "feature-views", "list", "--help"],
        ),
        ("list", 0.4, [program, "list"], [feast, "feature-views", "list"]),
        ("history", 0.4, [program, "history"], None),
        ("plan", 0.4, [program, "plan"], [feast, "plan"]),
        (
            "first online answer",
            0.5,
            [python, "-c", answers["feature_platform"]],
            [feasts, "-c", answers["feast"]],
        ),
    ]
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = repos(Path(folder))
        measured = [
            (what, most, cost(command, ours), cost(of_feast, theirs) if of_feast else None)
            for what, most, command, of_feast in lines
        ]
        bare = {
            "python": cost([python, "-c", "pass"], ours),
            "pyarrow": cost([python, "-c", "import pyarrow"], ours),
        }
    report(measured, bare)


def repos(folder: Path) -> tuple[Path, Path]:
    """Make a repo with both, apply it and load a day."""
    run([str(OURS / "feature-platform"), "init", "ours"], folder)
    run([str(FEAST / "feast"), "init", "theirs"], folder)
    ours, theirs = folder / "ours", folder / "theirs" / "feature_repo"
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
    for program, repo in ((OURS / "feature-platform", ours), (FEAST / "feast", theirs)):
        run([str(program), "apply"], repo)
        run([str(program), "materialize-incremental", now], repo)
    return ours, theirs


def cost(command: list[str], folder: Path) -> float:
    """Return the least cpu seconds of several starts."""
    run(command, folder)  # compiles what is not compiled
    seconds = []
    for _ in range(REPEATS):
        before = spent()
        run(command, folder)
        seconds.append(spent() - before)
    return min(seconds)


def run(command: list[str], folder: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


def spent() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def report(
    measured: list[tuple[str, float | None, float, float | None]], bare: dict[str, float]
) -> None:
    shown = Table("process", "ours, cpu s", "Feast, cpu s", box=None)
    rows = ["| | ours | Feast |", "|---|---:|---:|"]
    goals = []
    most_import = bare["pyarrow"] + 0.25
    for what, most, ours, theirs in measured:
        cells = what, f"{ours:.2f}", f"{theirs:.2f}" if theirs else "–"
        shown.add_row(*cells)
        rows.append(f"| {' | '.join(cells)} |")
        limit = most or most_import
        if limit == math.inf:
            continue
        mark = "reached" if ours <= limit else "**missed**"
        goals.append(f"- {what}: {ours:.2f} of {limit:.2f} s, {mark}")
    Console().print(shown)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    page = PAGE.format(
        day=datetime.now(UTC).date(),
        machine=f"{os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}",
        repeats=REPEATS,
        table="\n".join(rows),
        goals="\n".join(goals),
        **bare,
    )
    (ROOT / "docs" / "bench_startup.md").write_text(page)


if __name__ == "__main__":
    main()
