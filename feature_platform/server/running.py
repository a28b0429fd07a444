"""Run the feature server: one port, many workers."""

import atexit
import ipaddress
import logging
import os
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, Final

from feature_platform.errors import ConfigError
from feature_platform.server.app import FeatureServer
from feature_platform.server.http import JsonLines

_FOLDER: Final = "FEATURE_PLATFORM_SERVER_FOLDER"
_GRACE_SECONDS: Final = 30
_MOST_LINES: Final = 10_000
_SECONDS_BETWEEN_LINES: Final = 0.2


def application() -> Any:
    """Return the application of a worker; its folder comes from the environment."""
    _log_aside()
    return FeatureServer(Path(os.environ[_FOLDER])).app()


class _Aside(logging.Handler):
    """Writes lines on standard error from a thread, a few times a second.

    Whoever reads the log slowly must not stop the requests: the oldest lines are dropped then. A
    thread that is woken for every line would cost as much as the rest of a small request.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[logging.LogRecord] = deque(maxlen=_MOST_LINES)
        Thread(target=self._write_on, daemon=True).start()
        atexit.register(self._write)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self._lines.append(record)

    def _write_on(self) -> None:
        while True:
            time.sleep(_SECONDS_BETWEEN_LINES)
            self._write()

    def _write(self) -> None:
        lines = []
        with suppress(IndexError):
            while True:
                lines.append(self.format(self._lines.popleft()) + "\n")
        with suppress(OSError):
            sys.stderr.write("".join(lines))
            sys.stderr.flush()


def _log_aside() -> None:
    """Write the log of this process on standard error, aside from the requests."""
    aside = _Aside()
    aside.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[aside])
    for name in ("uvicorn", "uvicorn.error"):  # not in a form of their own
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # What a line does not have need not be looked up.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def serve(
    folder: Path,
    *,
    host: str,
    port: int,
    workers: int,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
) -> None:
    """Serve until a signal; requests at work are finished first.

    Raises:
        ConfigError: The settings are wrong, or it would let everybody in from other machines.
    """
    import uvicorn

    server = FeatureServer(folder)
    if server.is_open and not is_loopback(host):
        raise ConfigError(
            f"Without keys the server would let everybody in, so it does not listen on {host}. Set "
            "`server: {keys: data/keys.db}` in feature_store.yaml and create keys with "
            "`feature-platform keys create`, or listen on 127.0.0.1."
        )
    os.environ[_FOLDER] = str(folder.resolve())
    uvicorn.run(
        "feature_platform.server.running:application",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        ssl_certfile=tls_cert and str(tls_cert),
        ssl_keyfile=tls_key and str(tls_key),
        timeout_graceful_shutdown=_GRACE_SECONDS,
        h11_max_incomplete_event_size=64 * 1024,
        access_log=False,
        server_header=False,
        log_level="warning",
    )


def is_loopback(host: str) -> bool:
    """Return whether an address can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
