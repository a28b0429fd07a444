"""The process of `workers`: computes on-demand views until its parent closes the connection."""

import json
import os
import sys
from pathlib import Path
from socket import socket

import pyarrow as pa

from feature_platform.config import RepoConfig
from feature_platform.errors import text_of
from feature_platform.functions import FunctionLoader
from feature_platform.repo import Repo
from feature_platform.retrieval import Steps
from feature_platform.services.workers import (
    COMPUTED,
    FAILED,
    MAX_BYTES,
    receive,
    send,
    table_bytes,
    unpack,
)


def main(handle: int) -> None:
    """Answer requests on a connection."""
    connection = socket(fileno=handle)
    settings = json.loads(receive(connection, None)[1])
    path = Path(settings.pop("path"))
    functions = FunctionLoader(Repo(path, RepoConfig(**settings))).load
    _limit_memory()
    process = os.getpid()
    prepared: dict[bytes, tuple[Steps, list[str]]] = {}
    while True:
        try:
            number, request = receive(connection, None)
            content = receive(connection, None)[1]
        except EOFError:
            return
        try:
            if request not in prepared:
                parsed = json.loads(request)
                steps = [unpack(step) for step in parsed["steps"]]
                names = [name for step in steps for name in step.outputs.names]
                prepared[request] = Steps(steps, functions, parsed["keys"]), names
            with pa.ipc.open_stream(pa.py_buffer(content)) as reader:
                table = reader.read_all()
            ready, outputs = prepared[request]
            reply = COMPUTED + table_bytes(ready.extend(table).select(outputs))
        except BaseException as error:  # noqa: BLE001 - whatever the code of a team raises
            reply = FAILED + text_of(error).encode(errors="replace")
        if os.getpid() != process:  # the function forked, and this is the copy
            os._exit(0)
        send(connection, number, reply, None)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = MAX_BYTES if hard == resource.RLIM_INFINITY else min(MAX_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


if __name__ == "__main__":
    main(int(sys.argv[1]))
