"""Runs every cell in a process of its own, prints the table, and writes docs/bench_registry.md."""

import json
import os
import platform
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FEAST = ROOT / ".venv" / "feast" / "bin" / "python"
SIZES = (10, 100, 1000, 5000)
STEPS = ("apply", "nothing changed", "one changed", "open", "list", "refresh")
GOALS = {
    ("apply", 1000): 0.5,
    ("nothing changed", 1000): 0.1,
    ("one changed", 1000): 0.1,
    ("open", 5000): 0.3,
}
MOST_CPU_SECONDS = 300
QUICK_CPU_SECONDS = 2
SYSTEMS = {
    "ours, SQLite": [sys.executable, "-m", "bench.registry.ours", "sqlite"],
    "ours, files": [sys.executable, "-m", "bench.registry.ours", "files"],
    "Feast, file": [str(FEAST), str(HERE / "feast_cell.py"), "file"],
    "Feast, SQLite": [str(FEAST), str(HERE / "feast_cell.py"), "sqlite"],
}
PAGE = """# The registry beside Feast's

`make bench-registry` made this page on {day}: {machine}, Feast 0.67.0, in cpu seconds of the process that calls, each cell in a process of its own, the median of three where one takes less than 2 seconds. n views have n entities and n sources. Imports are not counted. A dash is a cell that took more than {most} cpu seconds, all steps together, or was not tried because the size before took a fifth of that.

{tables}

**8 processes that apply 10 views each, one by one**, beside one view that is there:

{writers}

Targets and results:

{goals}

`refresh` is what a reader that was open before spends on one commit of another process: ours reads that commit, whatever the size. Feast's file registry opens by parsing one protobuf file in C++, which is quick, builds objects when they are listed, and its readers see changes by reading all of it again. [The same as JSON](bench_registry.json).
"""  # noqa: E501


def cell(command: list[str], what: str) -> dict[str, Any] | None:
    """Run one cell, three times if it is quick; return medians, or nothing if it takes too long."""
    first = once(command, what)
    if first is None or what == "contend" or sum(first.values()) > QUICK_CPU_SECONDS:
        return first
    runs = [first, *(once(command, what) or first for _ in range(2))]
    return {step: median(run[step] for run in runs) for step in first}


def once(command: list[str], what: str) -> dict[str, Any] | None:
    """Run one cell; nothing if it takes too long."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_SECONDS, MOST_CPU_SECONDS))

    done = subprocess.run(
        [*command, what], capture_output=True, text=True, cwd=ROOT, preexec_fn=limit, check=False
    )
    if done.returncode < 0:
        return None
    if done.returncode:
        raise RuntimeError(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Measure, print and write."""
    console = Console(highlight=False, soft_wrap=True)
    measured: dict[str, dict[int, dict[str, Any] | None]] = {}
    writers: dict[str, dict[str, Any] | None] = {}
    for name, command in SYSTEMS.items():
        measured[name] = {}
        for size in SIZES:
            before = list(measured[name].values())[-1:]
            hopeless = [b for b in before if b is None or sum(b.values()) > MOST_CPU_SECONDS / 5]
            measured[name][size] = None if hopeless else cell(command, str(size))
            console.print(f"{name}, {size:,} views: {measured[name][size]}")
        writers[name] = cell(command, "contend")
        console.print(f"{name}, 8 writers: {writers[name]}")
    tables = "\n\n".join(f"**{size:,} views**\n\n{table(measured, size)}" for size in SIZES)
    for size in SIZES:
        console.print(printed(measured, size))
    write(measured, writers, tables)


def printed(measured: dict[str, dict[int, dict[str, Any] | None]], size: int) -> Table:
    shown = Table(f"{size:,} views", *STEPS, box=None)
    for name, cells in measured.items():
        found = cells[size]
        shown.add_row(name, *(f"{found[step]:.3f}" if found else "-" for step in STEPS))
    return shown


def table(measured: dict[str, dict[int, dict[str, Any] | None]], size: int) -> str:
    rows = [f"| | {' | '.join(STEPS)} |", "|---|" + "---:|" * len(STEPS)]
    for name, cells in measured.items():
        found = cells[size]
        values = (f"{found[step]:.4f}" if found else "–" for step in STEPS)
        rows.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join(rows)


def write(
    measured: dict[str, dict[int, dict[str, Any] | None]],
    writers: dict[str, dict[str, Any] | None],
    tables: str,
) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"
    lines = ["| | cpu seconds | kept of 81 | processes that failed |", "|---|---:|---:|---:|"]
    for name, found in writers.items():
        values = (
            (f"{found['cpu']:.2f}", str(found["kept"]), str(found.get("failed", 0)))
            if found
            else ("–", "–", "–")
        )
        lines.append(f"| {name} | {' | '.join(values)} |")
    goals = []
    for (step, size), most in GOALS.items():
        for name in ("ours, SQLite", "ours, files"):
            found = (measured[name][size] or {}).get(step)
            mark = "reached" if found is not None and found <= most else "**missed**"
            goals.append(f"- {step}, {size:,} views, {name[6:]}: {found:.3f} of {most} s, {mark}")
    for name in ("ours, SQLite", "ours, files"):
        won = writers[name] or {"cpu": 0.0, "kept": 0}
        mark = "reached" if won["cpu"] <= 3 and won["kept"] == 81 else "**missed**"  # noqa: PLR2004
        took = f"{won['cpu']:.2f} of 3 s, {won['kept']} of 81"
        goals.append(f"- 8 writers, {name[6:]}: {took}, {mark}")
    day = str(datetime.now(UTC).date())
    page = PAGE.format(
        day=day,
        machine=machine,
        most=MOST_CPU_SECONDS,
        tables=tables,
        writers="\n".join(lines),
        goals="\n".join(goals),
    )
    (ROOT / "docs" / "bench_registry.md").write_text(page)
    content = {"day": day, "machine": machine, "cpu_seconds": measured, "writers": writers}
    (ROOT / "docs" / "bench_registry.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
