"""Processes that run other owners' on-demand functions, with limits of time and memory.

The rows of a view are the platform's, the functions that are computed beside them are not. One
that loops, or takes all memory, must not stop a load. Parent and child exchange Arrow and JSON:
nothing that a child sends can run in its parent.
"""

import json
import os
import sys
import weakref
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from feature_platform.definitions import Code
from feature_platform.errors import TransformationError
from feature_platform.project import Retrieval, Transformation
from feature_platform.repo import Repo

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from subprocess import Popen

Extend = Callable[[pa.Table], pa.Table]
"""Adds the outputs of on-demand views to a table."""

MAX_SECONDS: float = 60.0
MAX_BYTES: Final = 2 * 1024**3
FAILED, COMPUTED = b"E", b"T"


class Workers:
    """A process for each owner whose functions are run, started on first use.

    Args:
        repo: The repo of this process, whose settings name the folders of the owners.
    """

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._workers: dict[str, _Worker] = {}

    def extend(self, retrieval: Retrieval) -> Extend:
        """Return a function that computes the on-demand views of a retrieval in a process."""
        last = retrieval.transformations[-1]
        worker = self._workers.setdefault(last.owner, _Worker(self._repo))
        request = json.dumps({
            "steps": [pack(step) for step in retrieval.transformations],
            "keys": list(retrieval.join_keys),
        })  # fmt: skip
        return lambda table: worker.run(last, request.encode(), table)

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers.values():
            worker.stop()


class _Worker:
    """The process of one owner; it is replaced after it failed."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._connection: Connection | None = None
        self._end: Callable[[], object] = lambda: None
        self._lock = Lock()

    def run(self, step: Transformation, request: bytes, table: pa.Table) -> pa.Table:
        """Compute a request for a table.

        Raises:
            TransformationError: It fails, takes more than a minute, or ends the process.
        """
        label = f"On-demand view {step.view!r} of {step.owner!r}"
        with self._lock:
            connection = self._connection or self._start()
            try:
                connection.send_bytes(request)
                connection.send_bytes(table_bytes(table))
                reply = _reply(connection)
            except BaseException as error:  # also if the user cancels: the reply would come later
                self.stop()
                if isinstance(error, TimeoutError):
                    reason = f"took more than {MAX_SECONDS:.0f} seconds for {table.num_rows} rows."
                elif isinstance(error, (EOFError, OSError)):
                    memory = f"{MAX_BYTES // 1024**3} GiB"
                    reason = f"ended its process, which may use at most {memory} of memory."
                else:
                    raise
                raise TransformationError(f"{label} {reason}") from error
        if reply[:1] == FAILED:
            raise TransformationError(reply[1:].decode())
        with pa.ipc.open_stream(pa.py_buffer(reply[1:])) as reader:
            return reader.read_all()

    def _start(self) -> "Connection":
        import subprocess
        from multiprocessing import Pipe

        ours, theirs = Pipe()
        handle = theirs.fileno()
        command = [sys.executable, "-P", "-m", "feature_platform.services.worker", str(handle)]
        # What functions print must not get into the output of this process.
        process = subprocess.Popen(  # noqa: S603 - no input of users
            command, pass_fds=[handle], stdin=subprocess.DEVNULL, stdout=sys.__stderr__,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        theirs.close()
        self._connection = ours
        self._end = weakref.finalize(self, _end, process, ours)
        settings = self._repo.config
        ours.send_bytes(json.dumps({
            "path": str(self._repo.path), "project": settings.project, "team": settings.team,
            "repos": dict(settings.repos),
        }).encode())  # fmt: skip
        return ours

    def stop(self) -> None:
        """End the process, if there is one."""
        self._end()
        self._connection = None


def _reply(connection: "Connection") -> bytes:
    if not connection.poll(MAX_SECONDS):
        raise TimeoutError
    return connection.recv_bytes()


def _end(process: "Popen[bytes]", connection: "Connection") -> None:
    connection.close()
    process.kill()
    process.wait()


def table_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def pack(step: Transformation) -> dict[str, Any]:
    """Return a transformation as JSON."""
    return {
        "view": step.view,
        "owner": step.owner,
        "code": step.code and step.code.model_dump(),
        "expressions": dict(step.expressions),
        "mode": step.mode,
        "inputs": dict(step.inputs),
        "request": step.request.serialize().to_pybytes().hex(),
        "outputs": step.outputs.serialize().to_pybytes().hex(),
        "features": dict(step.features),
    }


def unpack(packed: dict[str, Any]) -> Transformation:
    """Return the transformation of `pack`."""
    schemas = {
        name: pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(packed[name])))
        for name in ("request", "outputs")
    }
    code = packed["code"] and Code(**packed["code"])
    return Transformation(**{**packed, **schemas, "code": code})


def needs_worker(steps: Sequence[Transformation], team: str) -> bool:
    """Say whether on-demand views run Python code of others. DuckDB limits SQL itself."""
    return any(step.mode != "sql" and step.owner != team for step in steps)
