"""Runs every cell in a process of its own, prints them and writes docs/bench_historical.md."""

import json
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bench.historical.data import DAILY, FEATURES, HOURLY, TTL_SECONDS, history, spine, taxi

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FEAST = ROOT / ".venv" / "feast" / "bin" / "python"
M, K = 1_000_000, 1_000
SIZES = [  # rows of history, entity rows, views
    (1 * M, 10 * K, 1),
    (1 * M, 1 * M, 1),
    (10 * M, 10 * K, 1),
    (10 * M, 1 * M, 1),
    (1 * M, 10 * K, 5),
    (1 * M, 10 * K, 10),
    (10 * M, 10 * K, 5),
]
LINES = [  # and the seconds between two rows of a key, and the ttl
    *((*size, HOURLY, ttl) for size in SIZES for ttl in (TTL_SECONDS, 0)),
    *((*size, DAILY, TTL_SECONDS) for size in SIZES if size[1] == M),
]
SMALL = [(10 * K, 100, 1), (10 * K, 100, 20), (1 * M, 2, 1), (1 * M, 100, 20)]
WARM = 7
PLANS = ("pairs", "asof", "ties")
QUICK = 3
MOST_SECONDS = 900
PAGE = """# Training sets beside raw DuckDB and Feast

`make bench-historical` made this page on {day}: {machine}. Each cell is a process of its own, on files that the system has read before; cpu seconds of the call alone, the median of three where it takes less than {quick} seconds. All systems of a line answer with equal sums, rows and nulls. A view has {features} features; about 100 rows per key, one an hour or one a day; a ttl of one day is about 24 rows of the former, and that number is what range joins, Feast's among them, pay for. *raw* is the best of three plans written by hand in DuckDB's SQL, which it names; Feast is 0.67.0 with its DuckDB store.

{table}

**Small joins**, in a process that has answered once: medians of {warm} calls, in cpu milliseconds.

{small}

**Larger than memory:** {large}

**Trips joined to 15-minute pickup and 30-minute drop-off aggregates**, the shape of the benchmark that Hopsworks published for its own service, on generated data and this machine: {taxi}

[The same as JSON](bench_historical.json).
"""  # noqa: E501
Cell = dict[str, Any]


@click.command()
@click.option("--folder", default="/tmp/bench_historical", help="Where data is generated.")  # noqa: S108
@click.option("--large/--no-large", default=True, help="Also 100M rows of history (12 GB).")
@click.option("--only-small", is_flag=True, help="Measure small joins; keep the other lines.")
def main(folder: str, *, large: bool, only_small: bool) -> None:
    """Measure, print and write the page."""
    place, docs = Path(folder), ROOT / "docs"
    small = [line(place, *which, HOURLY, TTL_SECONDS, warm=WARM) for which in SMALL]
    if only_small:
        found = json.loads((docs / "bench_historical.json").read_text()) | {"small": small}
    else:
        found = {
            "day": str(datetime.now(UTC).date()),
            "small": small,
            "lines": [line(place, *which) for which in LINES],
            "large": large_line(place) if large else None,
            "taxi": taxi_line(place),
        }
    Console().print(as_table(found["lines"]))
    (docs / "bench_historical.json").write_text(json.dumps(found, indent=1) + "\n")
    (docs / "bench_historical.md").write_text(page(found))


def line(
    place: Path, rows: int, asked: int, views: int, every: int, ttl: int, warm: int = 0
) -> Cell:
    """Measure one line on every system and check that they agree."""
    os.environ["WARM"] = str(warm)
    paths = [str(history(place, rows, view, every)) for view in range(views)]
    entity = str(spine(place, asked, rows, every))
    here = [sys.executable, "-m"]
    cells = {"ours": repeated([*here, "bench.historical.ours", entity, str(ttl), "-", *paths])}
    for plan in PLANS:
        arguments = ["bench.historical.raw", plan, entity, str(ttl), *paths]
        cells[plan] = repeated([*here, *arguments])
    program = [str(FEAST), str(HERE / "feast_cell.py")]
    cells["Feast"] = repeated([*program, entity, str(ttl), *paths])
    checks = {name: tuple(cell["check"]) for name, cell in cells.items() if cell}
    if len(set(checks.values())) != 1:
        raise RuntimeError(f"the systems disagree: {checks}")
    best = min((p for p in PLANS if cells[p]), key=lambda plan: cells[plan]["cpu"])
    shape = {"rows": rows, "asked": asked, "views": views, "every": every, "ttl": ttl}
    result = {**shape, "best": best, **cells}
    click.echo(json.dumps(result))
    return result


def large_line(place: Path) -> Cell:
    """Join 100M rows of history within 4 GB."""
    paths = [str(history(place, 100 * M, 0, HOURLY))]
    entity = str(spine(place, M, 100 * M, HOURLY))
    spill = place / "spill"
    spill.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "bench.historical.ours", entity]
    most = 0
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(once, [*command, str(TTL_SECONDS), "4GB", *paths])
        while not running.done():
            most = max(most, size_of(spill))
            time.sleep(0.2)
    return {**running.result(), "spilled": most / 1e9}


def size_of(folder: Path) -> int:
    """Return the bytes below a folder, whose files come and go."""
    size = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            size += file.stat().st_size
    return size


def taxi_line(place: Path) -> dict[str, Cell]:
    """Join 10M trips to two aggregates."""
    paths = [str(path) for path in taxi(place, 10 * M)]
    program = [sys.executable, "-m", "bench.historical.taxi_cell"]
    return {system: once([*program, system, *paths]) or {} for system in ("ours", "raw")}


def repeated(command: list[str]) -> Cell:
    """Run a cell, three times if it is quick, and return the median."""
    first = once(command)
    if not first or first["cpu"] > QUICK:
        return first
    runs = [first, once(command), once(command)]
    return {**first, **{key: median(run[key] for run in runs) for key in ("cpu", "wall", "gb")}}


def once(command: list[str]) -> Cell:
    """Run a cell; empty if it takes too long."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=MOST_SECONDS
        )
    except subprocess.TimeoutExpired:
        return {}
    if done.returncode:
        raise RuntimeError(done.stderr)
    result: Cell = json.loads(done.stdout.splitlines()[-1])
    return result


def as_table(lines: list[Cell]) -> Table:
    """Return the lines for the terminal."""
    names = (
        "history",
        "every",
        "asked",
        "views",
        "ttl",
        "ours",
        "raw",
        "Feast",
        "ours/raw",
        "Feast/ours",
    )
    table = Table(*names, "GB", box=None)
    for found in lines:
        table.add_row(*shown(found))
    return table


def shown(found: Cell) -> list[str]:
    """Return one line in cells."""
    ours, raw, feast = found["ours"]["cpu"], found[found["best"]]["cpu"], found.get("Feast")
    return [
        number(found["rows"]),
        "hour" if found["every"] == HOURLY else "day",
        number(found["asked"]),
        str(found["views"]),
        "1 day" if found["ttl"] else "none",
        f"{ours:.2f}",
        f"{raw:.2f} ({found['best']})",
        f"{feast['cpu']:.2f}" if feast else "–",
        f"{ours / raw:.2f}",
        f"{feast['cpu'] / ours:.1f}" if feast else "–",
        f"{found['ours']['gb']:.2f}",
    ]


def number(count: int) -> str:
    """Return a number of rows as 10k or 1M."""
    if count >= M:
        return f"{count // M}M"
    return f"{count // K}k" if count >= K else str(count)


def shown_small(found: Cell) -> list[str]:
    """Return one line of small joins in cells."""
    ours, raw, feast = (found[name]["cpu"] * 1000 for name in ("ours", found["best"], "Feast"))
    counts = [number(found["rows"]), number(found["asked"]), str(found["views"])]
    plan = f"{raw:.1f} ({found['best']})"
    return [
        *counts,
        f"{ours:.1f}",
        plan,
        f"{feast:.1f}",
        f"{ours / raw:.2f}",
        f"{feast / ours:.1f}",
    ]


def page(found: Cell) -> str:
    """Return the page."""
    heads = "history | a row of a key every | entity rows | views | ttl | ours | raw | Feast | ours / raw | Feast / ours | ours, GB"  # noqa: E501
    rows = [f"| {heads} |", "|---" * 11 + "|"]
    rows += [f"| {' | '.join(shown(one))} |" for one in found["lines"]]
    small = ["| history | entity rows | views | ours | raw | Feast | ours / raw | Feast / ours |"]
    small += ["|---" * 8 + "|", *(f"| {' | '.join(shown_small(one))} |" for one in found["small"])]
    large, trips = found["large"], found["taxi"]
    rates = {system: 10 * M / cell["wall"] for system, cell in trips.items()}
    return PAGE.format(
        day=found.get("day", "2026-11-27"),
        small="\n".join(small),
        warm=WARM,
        machine=f"{os.cpu_count()} cores, Python {platform.python_version()}",
        quick=QUICK,
        features=FEATURES,
        table="\n".join(rows),
        large=f"100M rows of history and 1M entity rows with `memory_limit: 4GB` take "
        f"{large['wall']:.0f} s ({large['cpu']:.0f} cpu s) and {large['gb']:.1f} GB of "
        f"memory at the peak; {large['spilled']:.1f} GB were written to the temporary folder: "
        "the join runs in parts that fit."
        if large
        else "not measured.",
        taxi=f"ours {rates['ours']:,.0f} rows/s, {trips['ours']['gb']:.1f} GB; two plain ASOF "
        f"joins, without order, ttl or ties, {rates['raw']:,.0f} rows/s, {trips['raw']['gb']:.1f} "
        "GB.",
    )


if __name__ == "__main__":
    main()
