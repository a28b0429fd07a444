"""A real S3 server on loopback whose answers get lost on the way."""

import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

FAULTS = ("lost answer", "500 stored", "503", "cut before")


class LossyServer:
    """moto, one write at a time as S3 has it per key, with faults that a seed decides."""

    def __init__(self, seed: int, share: float) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app

        self._application = DomainDispatcherApplication(create_backend_app)
        self._choose = random.Random(seed)
        self._lock = threading.Lock()
        self.share = share
        self.faults: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        writes = environ["REQUEST_METHOD"] == "PUT" and "_log/" in environ["PATH_INFO"]
        writes = writes and not environ["PATH_INFO"].endswith("0" * 20 + ".json")
        with self._lock:
            fault = ""
            if writes and self._choose.random() < self.share:
                fault = self._choose.choice(FAULTS)
                self.faults[fault] += 1
            if fault in {"503", "cut before"}:
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                return _refuse(environ, start_response, fault)
            answer = list(self._application(environ, start_response if not fault else _ignore))
        return _refuse(environ, start_response, fault) if fault else answer


def _ignore(*_: Any) -> None:
    """Take an answer's head, and send it nowhere."""


def _refuse(environ: dict[str, Any], start_response: Any, fault: str) -> list[bytes]:
    if fault in {"503", "500 stored"}:
        start_response(f"{fault[:3]} Trouble", [("Content-Type", "text/xml")])
        return [b"<Error><Code>SlowDown</Code></Error>"]
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    start_response("200 OK", [])
    return []


@contextmanager
def serve(seed: int = 0, share: float = 0.0) -> Iterator[tuple[LossyServer, str]]:
    """Run the server; give it and its address."""
    import logging

    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    lossy = LossyServer(seed, share)
    server = make_server("127.0.0.1", 0, lossy, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield lossy, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
