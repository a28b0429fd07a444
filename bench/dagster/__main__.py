"""Runs every cell in a process of its own, prints the table, and writes docs/bench_dagster.md."""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
SIZES = (126, 1000, 5000)
STEPS = ("load", "first apply", "unchanged apply", "one changed", "tick")
GOALS = {
    ("unchanged apply", 126): 1.5,
    ("unchanged apply", 1000): 1.5,
    ("first apply", 1000): 2.0,
}
MOST_SHARE = 0.3
PAGE = """# The Dagster layer beside bare Dagster

`make bench-dagster` made this page on {day}: {machine}, Dagster {dagster}, in cpu seconds of one process per cell, with an instance on SQLite. n objects are a third each of entities, sources and feature views. *Bare* is one step of as many skippable assets and checks that emits as many events with one number each; its tick is a sensor that skips.

{tables}

- `load`: build the definitions of a code location, and everything that a code server asks of them. Ours includes importing the definitions that people wrote. The best of three.
- `first apply`: a run that registers and emits everything. Runs of 5,000 objects are left out: one takes bare Dagster more than ten minutes. Ours has lineage, schema and differences in the events, and the checks of the registration.
- `unchanged apply`: a run that finds nothing to do, the best of three.
- `one changed`: a run that registers and emits one object.
- `tick`: the reconcile sensor compares everything with the registry. It does so when the registry or the location changed, and otherwise reads the newest version.

Targets and results:

{goals}

[The same as JSON](bench_dagster.json).
"""  # noqa: E501


def cell(system: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.dagster.cell", system, str(size)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Measure, print and write."""
    import dagster

    console = Console(highlight=False, soft_wrap=True)
    measured: dict[int, dict[str, dict[str, float]]] = {}
    for size in SIZES:
        measured[size] = {system: cell(system, size) for system in ("bare", "ours")}
        shown = Table(f"{size:,} objects", *STEPS, box=None)
        for system, found in measured[size].items():
            shown.add_row(system, *(number(found.get(step)) for step in STEPS))
        console.print(shown)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"
    day = str(datetime.now(UTC).date())
    page = PAGE.format(
        day=day,
        machine=machine,
        dagster=dagster.__version__,
        tables="\n\n".join(table(size, systems) for size, systems in measured.items()),
        goals="\n".join(goals(measured)),
    )
    (ROOT / "docs" / "bench_dagster.md").write_text(page)
    content = {"day": day, "machine": machine, "cpu_seconds": measured}
    (ROOT / "docs" / "bench_dagster.json").write_text(json.dumps(content, indent=2) + "\n")


def table(size: int, systems: dict[str, dict[str, float]]) -> str:
    rows = [f"| {size:,} objects | {' | '.join(STEPS)} |", "|---|" + "---:|" * len(STEPS)]
    for system, found in systems.items():
        rows.append(f"| {system} | {' | '.join(number(found.get(step)) for step in STEPS)} |")
    ratios = (
        f"{systems['ours'][s] / systems['bare'][s]:.2f}" if s in systems["bare"] else "–"
        for s in STEPS[:-1]
    )
    return "\n".join([*rows, f"| ours / bare | {' | '.join(ratios)} | |"])


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def goals(measured: dict[int, dict[str, dict[str, float]]]) -> list[str]:
    lines = []
    for (step, size), most in GOALS.items():
        systems = measured[size]
        ratio = systems["ours"][step] / systems["bare"][step]
        mark = "reached" if ratio <= most else "**missed**"
        lines.append(f"- {step}, {size:,} objects: {ratio:.2f} of {most} times bare, {mark}")
    size = max(measured)
    ours, bare = measured[size]["ours"]["load"], measured[size]["bare"]["load"]
    share = (ours - bare) / ours
    mark = "reached" if share <= MOST_SHARE else "**missed**"
    lines.append(
        f"- load, {size:,} objects: our share is {share:.0%}, at most {MOST_SHARE:.0%}, {mark}"
    )
    tick = measured[size]["ours"]["tick"]
    lines.append(f"- tick, {size:,} objects, when something changed: {tick:.2f} s")
    return lines


if __name__ == "__main__":
    main()
