"""Writers at a feature server, over connections that get lost on the way; and servers that die."""

import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from feature_platform.registry import CommitLog, open_log
from feature_platform.registry.logs.server import ServerLog
from feature_platform.registry.registry import Registry
from feature_platform.server.keys import KeyStore
from feature_platform.server_client import ConnectionSettings, ServerClient
from reliability.rows import Row, Tried, measured
from reliability.writers import _row, damage, in_threads, problems

FAULTS = ("lost request", "lost answer", "cut answer")
SHARE = 0.2


class LossyProxy:
    """Passes requests on, one connection each; some get lost, before or after they are done.

    Args:
        target: Port of the server.
        seed: Decides the faults.
        share: Share of the requests that go wrong.
    """

    def __init__(self, target: int, seed: int, share: float) -> None:
        self._target = target
        self._choose = random.Random(seed)
        self._share = share
        self._lock = threading.Lock()
        self.faults: Counter[str] = Counter()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as up:
            while request := _message(client):
                fault = self._fault()
                if fault == "lost request":
                    return
                up.sendall(request)
                answer = _message(up)
                if fault == "lost answer" or not answer:
                    return
                client.sendall(answer[: len(answer) // 2] if fault == "cut answer" else answer)
                if fault:
                    return

    def _fault(self) -> str:
        with self._lock:
            if self._choose.random() >= self._share:
                return ""
            fault = self._choose.choice(FAULTS)
            self.faults[fault] += 1
            return fault


def _message(connection: socket.socket) -> bytes:
    """Return one HTTP message with a Content-Length, as it came; empty at the end."""
    content = b""
    while b"\r\n\r\n" not in content:
        part = connection.recv(65536)
        if not part:
            return b""
        content += part
    head, _, rest = content.partition(b"\r\n\r\n")
    size = next(
        (
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ),
        0,
    )
    while len(rest) < size:
        part = connection.recv(65536)
        if not part:
            return b""
        rest += part
    return head + b"\r\n\r\n" + rest


def _low_port() -> int:
    """Return a free port that no client gets as its own.

    A client that tries to reach a port of its own range while nobody listens can connect to itself,
    and keep the port from the server.
    """
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


class Server:
    """A server in a process of its own, that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "feature_store.yaml").write_text(
            "project: p\nteam: platform\nregistry: registry.db\nonline_store: null\n"
            "server: {keys: keys.db}\n"
        )
        self.folder = folder
        self.key = KeyStore(folder / "keys.db").create("platform", ["p"], ["admin"])[1]
        self.port = _low_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        program = str(Path(sys.executable).with_name("feature-platform"))
        self._process = subprocess.Popen(
            [program, "-C", str(self.folder), "serve", "--port", str(self.port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while True:
            assert self._process.poll() is None, "the server did not start"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log(self, port: int | None = None) -> ServerLog:
        """Return the log as a client sees it."""
        settings = ConnectionSettings(api_key=self.key)
        url = f"http://127.0.0.1:{port or self.port}/p"
        return ServerLog(ServerClient(url, settings, self.folder))

    def stored(self) -> CommitLog:
        """Return the log as it is stored."""
        return open_log("registry.db", self.folder)


class Forgetful(ServerLog):
    """Sends every try with a new id, so that a commit whose answer was lost is another one."""

    def commit(self, request: Any) -> bytes | None:
        import uuid

        while True:
            try:
                body = json.dumps({**request, "commit_id": uuid.uuid4().hex}).encode()
                return (
                    self._client.request("POST", "/v1/registry/commits", body, is_repeatable=False)
                    or None
                )
            except Exception as error:
                if not getattr(error, "retryable", False):
                    raise


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def lossy_row(writers: int, commits: int, seed: int) -> Row:
    """Writers in threads, over a proxy where a fifth of the requests goes wrong."""

    def tried(
        folder: Path, kind: Callable[[ServerClient], CommitLog], count: int, each: int
    ) -> Any:
        with running(folder) as server:
            proxy = LossyProxy(server.port, seed, SHARE)
            make = lambda: kind(server.log(proxy.port)._client)  # noqa: E731
            done = in_threads(make, count, each)
            proxy.close()
            return server.stored(), done, proxy.faults.total()

    with measured() as clock, tempfile.TemporaryDirectory() as folder:
        log, done, faults = tried(Path(folder) / "good", ServerLog, writers, commits)
        check = problems(log, done, writers * commits)
        other, lost, _ = tried(Path(folder) / "bug", Forgetful, 4, max(10, commits // 2))
        seen = damage(other, lost) if lost else []
        # What is acknowledged is stored; what was stored and not acknowledged gives it away.
        extra = len(Registry(other).history()) - len(lost)
        seen += [f"{extra} commits that nobody was told of"] if extra else []
    bugs = {"a client that forgets the id of its commit": seen}
    row = _row("writers, feature server over a lossy proxy", check, done, writers * commits, bugs)
    lost_requests = Tried(faults, max(1, writers * commits // 10))
    return replace(row, tried={**row.tried, "faults": lost_requests}, seconds=clock.seconds)


def killed_row(kills: int, seed: int) -> Row:
    """Writers at a server that is killed at random times, and started again."""
    choose = random.Random(seed)
    with measured() as clock, tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "killed")
        server.start()
        done: list[Any] = []
        stop = threading.Event()

        def write(writer: int) -> None:
            from reliability.writers import commit_all

            number = writer * 1_000_000
            while not stop.is_set():
                number += 1  # an entity of its own, so that each commit changes something
                done.extend(commit_all(server.log(), number, 1))

        threads = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(kills):
            reached = len(done) + choose.randint(1, 20)
            deadline = time.monotonic() + 60
            while len(done) < reached:
                assert time.monotonic() < deadline, "no commit for a minute"
                time.sleep(0.002)
            time.sleep(choose.random() * 0.02)
            server.kill()
            server.start()
        stop.set()
        for thread in threads:
            thread.join()
        check = damage(server.stored(), done)
        stored = len(Registry(server.stored()).history())
        if not check and stored != len(done):
            check = [f"{len(done)} acknowledged, {stored} stored"]
        missing = damage(server.stored(), [*done, done[0]._replace(version=stored + 1)])
        server.kill()
    return Row(
        name="a feature server that is killed",
        tried={"kills": Tried(kills, kills), "acknowledged commits": Tried(len(done), kills)},
        bad=len(check),
        detail=check[0] if check else f"{len(done)} commits acknowledged, each stored once",
        controls={"a commit that is not there": bool(missing)},
        control_detail=f"{len(missing)} problems",
        seconds=clock.seconds,
    )
