"""Servers in processes of their own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
FEAST = ROOT / ".venv" / "feast" / "bin" / "python"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end of the block."""
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as it:
        try:
            for _ in range(1200):
                if it.poll() is not None:
                    raise RuntimeError(f"{command[0]} did not start")
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield it
        finally:
            it.terminate()


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[tuple[int, int]]:
    """Run our server of a folder; yield its port and process."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("feature-platform")), "-C", str(folder), "serve"]
    with running([*command, "--port", str(port), *options], port) as process:
        yield port, process.pid
