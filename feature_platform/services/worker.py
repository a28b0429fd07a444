"""The process of `workers`: computes on-demand views until its parent closes the connection."""

import json
import os
import sys
from pathlib import Path
from socket import socket

import pyarrow as pa

from feature_platform.config import RepoConfig
from feature_platform.errors import RequestError, text_of
from feature_platform.functions import FunctionLoader
from feature_platform.repo import Repo
from feature_platform.retrieval import Step
from feature_platform.services.confinement import confine
from feature_platform.services.workers import (
    COMPUTED,
    FAILED,
    REFUSED,
    receive,
    send,
    table_bytes,
    unpack,
)


def main(handle: int) -> None:
    """Answer requests on a connection."""
    import pandas  # noqa: F401, ICN001 - Arrow does with the first values, which takes a second

    connection = socket(fileno=handle)
    settings = json.loads(receive(connection, None)[1])
    path, owner, scratch = (settings.pop(name) for name in ("path", "owner", "scratch"))
    repo = Repo(Path(path), RepoConfig(**settings))
    functions = FunctionLoader(repo)
    # Before anything starts threads, which would keep their rights to files.
    confine(functions.folder_of(owner), Path(scratch), hidden=repo.path.resolve())
    send(connection, bytes(16), b"", None)  # ready
    process = os.getpid()
    prepared: dict[bytes, Step] = {}
    while True:
        try:
            number, request = receive(connection, None)
            content = receive(connection, None)[1]
        except EOFError:
            return
        try:
            if request not in prepared:
                parsed = json.loads(request)
                step = Step(unpack(parsed["step"]), functions.load, parsed["keys"])
                step.load()
                prepared[request] = step
            reply = COMPUTED + (_computed(prepared[request], content) if content else b"")
        except RequestError as error:
            reply = REFUSED + text_of(error).encode(errors="replace")
        except BaseException as error:  # noqa: BLE001 - whatever the code of a team raises
            reply = FAILED + text_of(error).encode(errors="replace")
        if os.getpid() != process:  # the function forked, and this is the copy
            os._exit(0)
        send(connection, number, reply, None)


def _computed(step: Step, content: bytes) -> bytes:
    with pa.ipc.open_stream(pa.py_buffer(content)) as reader:
        table = reader.read_all()
    return table_bytes(pa.table(step.arrays(table), schema=step.outputs))


if __name__ == "__main__":
    main(int(sys.argv[1]))
