"""Run the feature server: one port, many workers."""

import ipaddress
import logging
import os
from contextlib import suppress
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from queue import Full, Queue
from typing import Any, Final

from feature_platform.errors import ConfigError
from feature_platform.server.app import FeatureServer

_FOLDER: Final = "FEATURE_PLATFORM_SERVER_FOLDER"
_GRACE_SECONDS: Final = 30
_MOST_LINES: Final = 10_000


def application() -> Any:
    """Return the application of a worker; its folder comes from the environment."""
    _log_aside()
    return FeatureServer(Path(os.environ[_FOLDER])).app()


class _Aside(QueueHandler):
    """Hands lines to a thread, and drops them where it cannot keep up."""

    def enqueue(self, record: logging.LogRecord) -> None:
        """Never wait: whoever reads the log slowly must not stop the requests."""
        with suppress(Full):
            self.queue.put_nowait(record)


def _log_aside() -> None:
    """Write the log on standard error, from a thread of its own."""
    lines: Queue[logging.LogRecord] = Queue(_MOST_LINES)
    writer = logging.StreamHandler()
    writer.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[_Aside(lines)])
    QueueListener(lines, writer).start()


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
