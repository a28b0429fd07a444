"""Processes that run others' on-demand functions, with limits of time, memory and files.

The rows of a view are the platform's, the functions that are computed beside them are not; a server
computes functions of everybody. One that loops, or takes all memory, must not stop the others, nor
read what is theirs. Parent and child exchange JSON and Arrow, which is checked: nothing that a
child sends can run in its parent or take another answer's place.
"""

import json
import logging
import os
import secrets
import shutil
import signal
import struct
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Semaphore
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from feature_platform.definitions import Code
from feature_platform.errors import (
    FeaturePlatformError,
    OverloadError,
    RequestError,
    TransformationError,
)
from feature_platform.project import Transformation
from feature_platform.repo import Repo
from feature_platform.retrieval import Step, check_request
from feature_platform.services.confinement import MAX_BYTES, environment, landlock_version
from feature_platform.types.arrow import to_python

if TYPE_CHECKING:
    from socket import socket
    from subprocess import Popen

_log = logging.getLogger(__name__)

START_SECONDS: float = 60.0
"""Most time until a process has started, and until it has imported a function."""
BATCH_SECONDS: float = 60.0
REQUEST_SECONDS: float = 10.0
WAIT_SECONDS: float = 0.25
"""How long a request waits for a process of its owner."""
RETRY_SECONDS: float = 300.0
"""How long a function that took too long is left alone."""
PROCESSES_PER_OWNER: Final = 2
ROWS_AT_ONCE: Final = 10_000
FAILED, REFUSED, COMPUTED = b"E", b"R", b"T"
_FRAME = struct.Struct("!Q16s")
"""Size of a message, and the number of the request that it belongs to."""


class Workers:
    """Processes for each owner whose functions are run, started on first use.

    Args:
        repo: The repo of this process, whose settings name the folders of the owners.
    """

    def __init__(self, repo: Repo) -> None:
        if not landlock_version():
            _log.warning(
                "This system has no Landlock (Linux 5.13), so on-demand functions of others can "
                "read the files that this process can read."
            )
        self._repo = repo
        self._processes: dict[str, _Processes] = {}

    def step(self, transformation: Transformation, keys: Sequence[str]) -> Step:
        """Return an on-demand view whose function runs in a process of its owner."""
        return _IsolatedStep(transformation, keys, self._of(transformation.owner))

    def _of(self, owner: str) -> "_Processes":
        return self._processes.setdefault(owner, _Processes(self._repo, owner))

    def start(self, owner: str) -> None:
        """Start a process of an owner, so that no request has to wait for it, if it starts.

        The error is that of the request that needs it.
        """
        try:
            self._of(owner).start()
        except (FeaturePlatformError, EOFError, OSError) as error:
            _log.warning("No process for the functions of %r started: %r", owner, error)

    def close(self) -> None:
        """End all processes."""
        for processes in self._processes.values():
            processes.stop()


class _IsolatedStep(Step):
    """An on-demand view that is computed in another process."""

    def __init__(self, step: Transformation, keys: Sequence[str], processes: "_Processes") -> None:
        super().__init__(step, _not_here, keys)
        self._processes = processes
        self._request = json.dumps({"step": pack(step), "keys": list(keys)}).encode()

    def _lists(
        self, columns: Mapping[str, Sequence[Any]], types: Mapping[str, pa.DataType]
    ) -> list[Sequence[Any]]:
        asked = {}
        for name, column, exact in self._inputs:
            requested = column in self._step.request.names
            dtype = self._step.request.field(column).type if requested else types[column]
            asked[column] = pa.array(self._given(name, columns[column], exact), dtype)
        for key in self._keys:
            if key not in asked and (dtype := types.get(key)) is not None:
                asked[key] = pa.array(columns[key], dtype)
        answer = self._run(pa.table(asked), REQUEST_SECONDS, WAIT_SECONDS)
        return [to_python(column) for column in answer.columns]

    def _arrays(self, table: pa.Table) -> list[pa.ChunkedArray]:
        check_request(table.column_names, [self._step])
        needed = [*(column for _, column, _ in self._inputs), *self._keys]
        asked = table.select([n for n in dict.fromkeys(needed) if n in table.column_names])
        parts = [
            self._run(asked.slice(start, ROWS_AT_ONCE), BATCH_SECONDS, BATCH_SECONDS)
            for start in range(0, max(table.num_rows, 1), ROWS_AT_ONCE)
        ]
        return pa.concat_tables(parts).columns  # type: ignore[no-any-return]

    def _run(self, table: pa.Table, seconds: float, patience: float) -> pa.Table:
        return self._processes.run(self._step, self._request, table, seconds, patience)


def _not_here(_: Transformation) -> Any:
    raise AssertionError("the function runs in another process")


class _Processes:
    """The processes of one owner: few, so that its functions leave threads to others."""

    def __init__(self, repo: Repo, owner: str) -> None:
        self._repo = repo
        self._owner = owner
        self._idle: list[_Worker] = []
        self._places = Semaphore(PROCESSES_PER_OWNER)
        self._is_stuck = False
        self._too_slow: dict[bytes, float] = {}

    def run(
        self, step: Transformation, request: bytes, table: pa.Table, seconds: float, patience: float
    ) -> pa.Table:
        """Compute the outputs of a view for a table.

        Args:
            step: The view.
            request: The view as the process reads it.
            table: Its inputs.
            seconds: Most time for the function.
            patience: Most time until a process is free. Nobody waits after somebody did in vain.

        Raises:
            OverloadError: No process was free.
            RequestError: A value of the request is wrong.
            TransformationError: The function fails, takes too long, or ends the process. What took
                too long is not tried again for five minutes: every push would wait for it.
        """
        label = self._label(step)
        if (left := self._too_slow.get(request, 0.0) - monotonic()) > 0:
            raise TransformationError(
                f"{label} took too long before. It is tried again in {left:.0f} seconds."
            )
        if not self._places.acquire(timeout=0 if self._is_stuck else patience):
            self._is_stuck = True
            raise OverloadError(f"{label}: all processes of {self._owner!r} are busy. Retry later.")
        try:
            return self._compute(step, request, table, seconds)
        finally:
            self._is_stuck = False
            self._places.release()

    def _compute(
        self, step: Transformation, request: bytes, table: pa.Table, seconds: float
    ) -> pa.Table:
        label = self._label(step)
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = _Worker(self._repo, self._owner)
        try:
            reply = worker.exchange(request, table, seconds)
            answer = None
            if reply[:1] == COMPUTED:
                answer = _checked(reply[1:], table.num_rows, step.outputs)
        except BaseException as error:  # also if the user cancels: the reply would come later
            worker.stop()
            if isinstance(error, TimeoutError):
                self._too_slow[request] = monotonic() + RETRY_SECONDS
                reason = f"{error}."
            elif isinstance(error, (EOFError, OSError)):
                memory = f"{MAX_BYTES // 1024**3} GiB"
                reason = f"ended its process, whose memory is limited to {memory}."
            elif isinstance(error, (pa.ArrowException, ValueError)):
                reason = "returned an invalid reply."
            else:
                raise
            raise TransformationError(f"{label} {reason}") from error
        self._idle.append(worker)
        if answer is not None:
            return answer
        message = reply[1:].decode(errors="replace") or f"{label} failed."
        if reply[:1] == REFUSED:
            raise RequestError(message)
        raise TransformationError(message, f"{label} failed")

    def _label(self, step: Transformation) -> str:
        return f"On-demand view {step.view!r} of {self._owner!r}"

    def start(self) -> None:
        worker = _Worker(self._repo, self._owner)
        try:
            worker.start()
        except BaseException:
            worker.stop()
            raise
        self._idle.append(worker)

    def stop(self) -> None:
        """End the processes that are idle; the others end with their work."""
        while self._idle:
            self._idle.pop().stop()


class _Worker:
    """A process that runs functions of one owner."""

    def __init__(self, repo: Repo, owner: str) -> None:
        self._repo = repo
        self._owner = owner
        self._socket: socket | None = None
        self._loaded: set[bytes] = set()
        self._end: Callable[[], object] = lambda: None

    def exchange(self, request: bytes, table: pa.Table, seconds: float) -> bytes:
        """Send a request with its rows, and return the reply.

        Raises:
            EOFError: The process has ended.
            OverloadError: It did not start in time.
            TimeoutError: Importing or computing took longer.
            ValueError: The reply is none.
        """
        connection = self._socket or self.start()
        if request not in self._loaded:
            reply = _exchange(connection, request, b"", START_SECONDS, "to be imported")
            if reply[:1] != COMPUTED:
                return reply
            self._loaded.add(request)
        rows = f"for {table.num_rows} rows"
        return _exchange(connection, request, table_bytes(table), seconds, rows)

    def start(self) -> "socket":
        """Start the process.

        Raises:
            EOFError: It ended at once.
            OverloadError: It did not start in time.
        """
        import subprocess
        from socket import socketpair

        ours, theirs = socketpair()
        handle = theirs.fileno()
        scratch = tempfile.mkdtemp(prefix="feature-platform-")
        command = [sys.executable, "-P", "-m", "feature_platform.services.worker", str(handle)]
        process = subprocess.Popen(  # noqa: S603 - no input of users
            command, pass_fds=[handle], stdin=subprocess.DEVNULL,
            stdout=_error_output(subprocess.DEVNULL),
            env=environment(scratch), cwd=scratch, start_new_session=True,
        )  # fmt: skip
        theirs.close()
        self._socket = ours
        self._end = weakref.finalize(self, _end, process, ours, scratch, os.getpid())
        settings = self._repo.config
        content = {
            "path": str(self._repo.path), "project": settings.project, "team": settings.team,
            "repos": dict(settings.repos), "owner": self._owner, "scratch": scratch,
        }  # fmt: skip
        deadline = monotonic() + START_SECONDS
        try:
            send(ours, bytes(16), json.dumps(content).encode(), deadline)
            receive(ours, deadline)
        except TimeoutError as error:
            raise OverloadError(
                f"A process for the functions of {self._owner!r} did not start within "
                f"{START_SECONDS:.0f} seconds. Retry later."
            ) from error
        return ours

    def stop(self) -> None:
        """End the process, if there is one."""
        self._end()
        self._socket = None


def _exchange(
    connection: "socket", request: bytes, content: bytes, seconds: float, purpose: str
) -> bytes:
    """Send a request, and return the reply.

    Raises:
        TimeoutError: It took longer.
        ValueError: The reply is none.
    """
    deadline = monotonic() + seconds
    number = secrets.token_bytes(16)  # a process that the function left behind may answer, too
    try:
        for part in (request, content):
            send(connection, number, part, deadline)
        answered, reply = receive(connection, deadline)
    except TimeoutError as error:
        raise TimeoutError(f"took more than {seconds:.0f} seconds {purpose}") from error
    if answered != number:
        raise ValueError("the answer belongs to another request")
    return reply


def _error_output(nowhere: int) -> int:
    """Return where functions print: not into the output of this process."""
    try:
        return sys.__stderr__.fileno() if sys.__stderr__ else nowhere
    except (OSError, ValueError, AttributeError):
        return nowhere


def _end(process: "Popen[bytes]", connection: "socket", scratch: str, starter: int) -> None:
    connection.close()
    if os.getpid() != starter:  # a forked copy of the starter, which still needs the process
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # with the processes that functions started
    process.kill()
    process.wait()
    shutil.rmtree(scratch, ignore_errors=True)


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
