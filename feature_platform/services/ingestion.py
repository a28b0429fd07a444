"""Ingest streams at least once; newest-wins makes that effectively once."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Any, NamedTuple, TypeAlias

from feature_platform.errors import SchemaError
from feature_platform.streams import Message, Stream
from feature_platform.types.values import exact_array

_log = logging.getLogger("feature_platform.streams")
_MOST_AT_ONCE = 1000
_WAIT_SECONDS = 1.0

Rows: TypeAlias = list[Mapping[str, Any]]


class Ingested(NamedTuple):
    """Result of `FeatureStore.ingest`.

    Attributes:
        rows: Number of stored messages.
        rejected: Number of messages sent to the dead-letter topic `<topic>.rejected`.
    """

    rows: int
    rejected: int


def ingest_stream(
    stream: Stream,
    push: Callable[[Rows], object],
    *,
    until_empty: bool,
    stop: Event,
    on_progress: Callable[[Ingested], None] | None = None,
) -> Ingested:
    """Read messages, push their rows, and acknowledge them once these are stored.

    A message is a JSON object: column → value, times in ISO 8601. What is not, or does not fit the
    views, is put aside with the reason, and the others go on.

    Args:
        stream: The topic.
        push: Stores rows; raises `SchemaError` before anything is stored.
        until_empty: Return when nothing has come for a second and nobody holds messages,
            instead of waiting on.
        stop: Event that ends the run after the current batch.
        on_progress: Called with the totals after each batch.
    """
    done = Ingested(0, 0)
    while not stop.is_set():
        messages = stream.read(_MOST_AT_ONCE, _WAIT_SECONDS)
        if not messages:
            if until_empty and not stream.pending():
                break
            continue
        rejected = _store(messages, push)
        for message, reason in rejected:
            _log.warning("A message is rejected: %s", reason)
            stream.reject(message, reason)
        stream.acknowledge(messages)
        rows = done.rows + len(messages) - len(rejected)
        done = Ingested(rows, done.rejected + len(rejected))
        if on_progress:
            on_progress(done)
    return done


def _store(
    messages: Sequence[Message], push: Callable[[Rows], object]
) -> list[tuple[Message, str]]:
    """Push a batch; if a message is invalid, split the batch to find it."""
    try:
        push(_checked([_row(message) for message in messages]))
    except SchemaError as error:
        if len(messages) == 1:
            return [(messages[0], str(error))]
        half = len(messages) // 2
        return _store(messages[:half], push) + _store(messages[half:], push)
    return []


def _row(message: Message) -> Mapping[str, Any]:
    try:
        row = json.loads(message.body)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"The message is not JSON: {error}.") from None
    if not isinstance(row, dict):
        raise SchemaError(f"The message is a {type(row).__name__}, not an object.")
    return row


def _checked(rows: Rows) -> Rows:
    """Return rows that are a table; their types are for those who know the views."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if lacking := [name for name in names for row in rows if name not in row]:
        raise SchemaError(f"The message lacks {lacking[0]!r}.")  # of its neighbours, if not its own
    for name in names:
        try:
            name.encode()  # JSON can escape what no text is
            exact_array([row[name] for row in rows], None)
        except ValueError as error:
            raise SchemaError(f"The message cannot be read: {name!r}: {error}.") from None
    return rows
