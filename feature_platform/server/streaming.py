"""Answers that are sent while they are computed."""

import asyncio
from collections.abc import Iterator, MutableMapping
from itertools import chain, islice
from typing import Any, Final

import pyarrow as pa
from anyio import CancelScope, create_task_group, to_thread
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from feature_platform.retrieval import RetrievalJob
from feature_platform.server_client import ARROW

STALL_SECONDS: Final = 600.0  # a reader that takes nothing for so long has gone


class StreamedRows(StreamingResponse):
    """The rows of a query as an Arrow stream; a client that goes away ends the query.

    Args:
        job: The query.

    Raises:
        FeaturePlatformError: The query fails before its first rows. Later, the answer ends early.
    """

    def __init__(self, job: RetrievalJob) -> None:
        self._job = job
        self._reader = job.to_batches()
        chunks = _chunks(self._reader)
        try:
            first = [*islice(chunks, 1)]
        except BaseException:
            self._end()
            raise
        super().__init__(chain(first, chunks), media_type=ARROW)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the rows."""
        is_gone = False
        try:
            async with create_task_group() as group:

                async def watch() -> None:
                    nonlocal is_gone
                    await self.listen_for_disconnect(receive)
                    is_gone = True
                    # The thread that computes rows cannot be left: its query is ended.
                    await to_thread.run_sync(self._job.cancel)
                    group.cancel_scope.cancel()

                async def send_soon(message: MutableMapping[str, Any]) -> None:
                    async with asyncio.timeout(STALL_SECONDS):
                        await send(message)

                group.start_soon(watch)
                await self.stream_response(send_soon)
                group.cancel_scope.cancel()
        except Exception:
            if not is_gone:
                raise
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(self._end)

    def _end(self) -> None:
        self._job.cancel()
        self._reader.close()


def _chunks(reader: pa.RecordBatchReader) -> Iterator[bytes]:
    sink = _Chunks()
    with pa.ipc.new_stream(sink, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            yield from sink.take()
    yield from sink.take()


class _Chunks:
    """A file that keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.closed = False

    def write(self, part: Any) -> int:
        """Keep bytes."""
        self._parts.append(bytes(part))
        return len(part)

    def take(self) -> list[bytes]:
        """Return what was written since the last call."""
        parts, self._parts = self._parts, []
        return parts

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """End the file; what it keeps can still be taken."""
        self.closed = True
