"""Parity: compare served features with history."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa

from feature_platform.offline import check_times_of
from feature_platform.project import Retrieval
from feature_platform.retrieval.backends import Backends
from feature_platform.retrieval.on_demand import Steps
from feature_platform.retrieval.online_reader import OnlineReader
from feature_platform.retrieval.request import RequestReader
from feature_platform.retrieval.response import FieldStatus, OnlineResponse
from feature_platform.table import EVENT_TIMESTAMP, ViewRead
from feature_platform.types.arrow import TIMESTAMP
from feature_platform.types.times import microseconds

_MOST_EXAMPLES = 10
_ROWS_AT_ONCE = 10_000


class Mismatch(NamedTuple):
    """One value that differs.

    Attributes:
        feature: Its name in the response.
        entity: Join keys of the row.
        online: The served value.
        offline: The value in history at the time of the served row.
        status: Status of the served value.
    """

    feature: str
    entity: Mapping[str, Any]
    online: Any
    offline: Any
    status: FieldStatus


@dataclass(frozen=True)
class Parity:
    """Result of a parity check.

    Attributes:
        rows: Number of compared rows.
        features: Feature → number of differing values, for every requested feature.
        examples: The first mismatches.
    """

    rows: int
    features: Mapping[str, int]
    examples: tuple[Mismatch, ...]

    @property
    def mismatches(self) -> int:
        """Number of differing values."""
        return sum(self.features.values())


def verify(
    reader: OnlineReader,
    backends: Backends,
    retrieval: Retrieval,
    rows: pa.Table,
    *,
    now: datetime,
) -> Parity:
    """Read rows online and compute the same from history at the same times.

    A served value is compared as of its event timestamp, any other as of now.
    On-demand views are recomputed from history.

    Args:
        reader: Reads the online features.
        backends: The stores and functions of every project.
        retrieval: The requested features.
        rows: Join keys and request values.
        now: Time from which ages are measured.
    """
    counts = Counter(dict.fromkeys(retrieval.outputs, 0))
    examples: list[Mismatch] = []
    steps = Steps(retrieval.transformations, backends.step_of, retrieval.join_keys)
    for start in range(0, rows.num_rows, _ROWS_AT_ONCE):
        part = rows.slice(start, _ROWS_AT_ONCE)
        answer = reader.read(part, now)
        table = _from_history(backends, retrieval, part, answer, microseconds(now))
        for batch in table.to_batches():
            check_times_of(batch, "A source")
        truth = steps.extend(table)
        for mismatch in _differences(answer, truth, retrieval):
            counts[mismatch.feature] += 1
            if len(examples) < _MOST_EXAMPLES:
                examples.append(mismatch)
    return Parity(rows.num_rows, dict(counts), tuple(examples))


def _from_history(
    backends: Backends,
    retrieval: Retrieval,
    rows: pa.Table,
    answer: OnlineResponse,
    now: int,
) -> pa.Table:
    """Return the columns of the request, and the history of each read."""
    columns, _ = RequestReader(retrieval).read(rows)
    types = {**retrieval.request_fields, **retrieval.join_keys}
    asked = {name: pa.array(values, types[name]) for name, values in columns.items()}
    values: dict[str, pa.ChunkedArray] = {}
    for index, read in enumerate(retrieval.reads):
        answers = _as_of(backends, read, asked, _instants(answer, index, now))
        values |= {column: answers[column] for column in read.columns.values()}
    return pa.table({**asked, **values})


def _instants(answer: OnlineResponse, index: int, now: int) -> pa.Array:
    origin = answer.origin(index)
    served = zip(origin.events, origin.statuses, strict=True)
    times = [event if status is FieldStatus.PRESENT else now for event, status in served]
    return pa.array(times, pa.int64()).cast(TIMESTAMP)


def _as_of(
    backends: Backends, read: ViewRead, rows: Mapping[str, pa.Array], instants: pa.Array
) -> pa.Table:
    keys = {key: rows[column] for key, column in read.keys.items()}
    spine = pa.table({**keys, EVENT_TIMESTAMP: instants})
    by_own_keys = ViewRead(
        label=read.label, table=read.table, features=read.features, keys={k: k for k in keys}
    )
    offline = backends.offline_of(read.table.project)
    return offline.point_in_time(spine, [by_own_keys]).reader().read_all()


def _differences(
    answer: OnlineResponse, truth: pa.Table, retrieval: Retrieval
) -> Iterator[Mismatch]:
    served, statuses = answer.to_arrow(), answer.statuses()
    keys = {name: served[name] for name in retrieval.join_keys}
    for name, column in retrieval.outputs.items():
        online, offline = served[name].to_pylist(), truth[column].to_pylist()
        for row, pair in enumerate(zip(online, offline, strict=True)):
            if not _same(*pair):
                entity = {key: values[row].as_py() for key, values in keys.items()}
                yield Mismatch(name, entity, *pair, statuses[name][row])


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)
