"""The process of `workers`: computes on-demand views until its parent closes the connection."""

import json
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa

from feature_platform.config import RepoConfig
from feature_platform.errors import text_of
from feature_platform.functions import FunctionLoader
from feature_platform.repo import Repo
from feature_platform.retrieval import Steps
from feature_platform.services.workers import COMPUTED, FAILED, MAX_BYTES, table_bytes, unpack


def main(handle: int) -> None:
    """Answer requests on a connection."""
    connection = Connection(handle)
    settings = json.loads(connection.recv_bytes())
    path = Path(settings.pop("path"))
    functions = FunctionLoader(Repo(path, RepoConfig(**settings))).load
    _limit_memory()
    prepared: dict[bytes, Steps] = {}
    while True:
        try:
            request, content = connection.recv_bytes(), connection.recv_bytes()
        except EOFError:
            return
        try:
            if request not in prepared:
                parsed = json.loads(request)
                steps = [unpack(step) for step in parsed["steps"]]
                prepared[request] = Steps(steps, functions, parsed["keys"])
            with pa.ipc.open_stream(pa.py_buffer(content)) as reader:
                table = reader.read_all()
            reply = COMPUTED + table_bytes(prepared[request].extend(table))
        except BaseException as error:  # noqa: BLE001 - whatever the code of a team raises
            reply = FAILED + text_of(error).encode(errors="replace")
        connection.send_bytes(reply)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_BYTES, MAX_BYTES))


if __name__ == "__main__":
    main(int(sys.argv[1]))
