"""Processes that run other owners' on-demand functions, with limits of time and memory.

The rows of a view are the platform's, the functions that are computed beside them are not. One
that loops, or takes all memory, must not stop a load. Parent and child exchange JSON and Arrow,
which is checked: nothing that a child sends can run in its parent or take another answer's place.
"""

import json
import os
import secrets
import signal
import struct
import sys
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from feature_platform.definitions import Code
from feature_platform.errors import TransformationError
from feature_platform.project import Retrieval, Transformation
from feature_platform.repo import Repo

if TYPE_CHECKING:
    from socket import socket
    from subprocess import Popen

Extend = Callable[[pa.Table], pa.Table]
"""Adds the outputs of on-demand views to a table."""

MAX_SECONDS: float = 60.0
MAX_BYTES: Final = 2 * 1024**3
FAILED, COMPUTED = b"E", b"T"
_FRAME = struct.Struct("!Q16s")
"""Size of a message, and the number of the request that it belongs to."""


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
        steps = retrieval.transformations
        worker = self._workers.setdefault(steps[-1].owner, _Worker(self._repo))
        packed = {"steps": [pack(step) for step in steps], "keys": list(retrieval.join_keys)}
        request = json.dumps(packed).encode()
        outputs = pa.schema([field for step in steps for field in step.outputs])

        def extend(table: pa.Table) -> pa.Table:
            computed = worker.run(steps[-1], request, table, outputs)
            for field, column in zip(outputs, computed.columns, strict=True):
                table = table.append_column(field, column)
            return table

        return extend

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers.values():
            worker.stop()


class _Worker:
    """The process of one owner; it is replaced after it failed."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._socket: socket | None = None
        self._end: Callable[[], object] = lambda: None
        self._too_slow: set[bytes] = set()
        self._lock = Lock()

    def run(
        self, step: Transformation, request: bytes, table: pa.Table, outputs: pa.Schema
    ) -> pa.Table:
        """Compute the outputs of a request for a table.

        Raises:
            TransformationError: It fails, takes more than a minute, or ends the process. What took
                too long once is not tried again: every push would wait for it.
        """
        label = f"On-demand view {step.view!r} of {step.owner!r}"
        if request in self._too_slow:
            raise TransformationError(f"{label} took too long before. Open the store again.")
        with self._lock:
            try:
                reply = self._exchange(request, table)
                if reply[:1] == COMPUTED:
                    return _checked(reply[1:], table.num_rows, outputs)
            except BaseException as error:  # also if the user cancels: the reply would come later
                self.stop()
                if isinstance(error, TimeoutError):
                    self._too_slow.add(request)
                    reason = f"took more than {MAX_SECONDS:.0f} seconds for {table.num_rows} rows."
                elif isinstance(error, (EOFError, OSError)):
                    memory = f"{MAX_BYTES // 1024**3} GiB"
                    reason = f"ended its process, which may use at most {memory} of memory."
                elif isinstance(error, (pa.ArrowException, ValueError)):
                    reason = "sent an answer that is not one."
                else:
                    raise
                raise TransformationError(f"{label} {reason}") from error
        raise TransformationError(reply[1:].decode(errors="replace") or f"{label} failed.")

    def _exchange(self, request: bytes, table: pa.Table) -> bytes:
        connection = self._socket or self._start()
        deadline = monotonic() + MAX_SECONDS
        number = secrets.token_bytes(16)  # a process that the function left behind may answer, too
        for content in (request, table_bytes(table)):
            send(connection, number, content, deadline)
        answered, reply = receive(connection, deadline)
        if answered != number:
            raise ValueError("the answer belongs to another request")
        return reply

    def _start(self) -> "socket":
        import subprocess
        from socket import socketpair

        ours, theirs = socketpair()
        handle = theirs.fileno()
        command = [sys.executable, "-P", "-m", "feature_platform.services.worker", str(handle)]
        process = subprocess.Popen(  # noqa: S603 - no input of users
            command, pass_fds=[handle], stdin=subprocess.DEVNULL,
            stdout=_error_output(subprocess.DEVNULL),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,
        )  # fmt: skip
        theirs.close()
        self._socket = ours
        self._end = weakref.finalize(self, _end, process, ours, os.getpid())
        settings = self._repo.config
        content = {
            "path": str(self._repo.path), "project": settings.project, "team": settings.team,
            "repos": dict(settings.repos),
        }  # fmt: skip
        send(ours, bytes(16), json.dumps(content).encode(), monotonic() + MAX_SECONDS)
        return ours

    def stop(self) -> None:
        """End the process, if there is one."""
        self._end()
        self._socket = None


def _error_output(nowhere: int) -> int:
    """Return where functions print: not into the output of this process."""
    try:
        return sys.__stderr__.fileno() if sys.__stderr__ else nowhere
    except (OSError, ValueError, AttributeError):
        return nowhere


def _end(process: "Popen[bytes]", connection: "socket", starter: int) -> None:
    connection.close()
    if os.getpid() != starter:  # a forked copy of the starter, which still needs the process
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # with the processes that functions started
    process.kill()
    process.wait()


def _checked(content: bytes, size: int, outputs: pa.Schema) -> pa.Table:
    """Return the table of a reply.

    Raises:
        ValueError: It is not what was asked for.
    """
    with pa.ipc.open_stream(pa.py_buffer(content)) as reader:
        table = reader.read_all()
    table.validate(full=True)
    if table.num_rows != size or not table.schema.equals(outputs):
        raise ValueError("the answer has other rows or columns")
    return table


def send(connection: "socket", number: bytes, content: bytes, deadline: float | None) -> None:
    """Send a message.

    Raises:
        TimeoutError: The deadline passed.
    """
    connection.settimeout(None if deadline is None else max(deadline - monotonic(), 0.001))
    connection.sendall(_FRAME.pack(len(content), number) + content)


def receive(connection: "socket", deadline: float | None) -> tuple[bytes, bytes]:
    """Return the number and the content of the next message.

    Raises:
        EOFError: The other process has ended.
        TimeoutError: The deadline passed.
        ValueError: The message is too large.
    """
    size, number = _FRAME.unpack(_read(connection, _FRAME.size, deadline))
    if size > MAX_BYTES:
        raise ValueError("the message is too large")
    return number, _read(connection, size, deadline)


def _read(connection: "socket", size: int, deadline: float | None) -> bytes:
    parts, missing = [], size
    while missing:
        connection.settimeout(None if deadline is None else max(deadline - monotonic(), 0.001))
        part = connection.recv(min(missing, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def table_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def pack(step: Transformation) -> dict[str, Any]:
    """Return a transformation as JSON."""
    return {
        "view": step.view,
        "project": step.project,
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
