"""Precomputed features: on-demand views computed when rows are written."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from feature_platform.errors import StoreError, TransformationError, text_of
from feature_platform.online import OnlineStore, StoredRows, encode_row, to_storable
from feature_platform.project import Precomputed, Retrieval
from feature_platform.project.resolve import PRECOMPUTED_INPUTS
from feature_platform.retrieval.on_demand import Step
from feature_platform.retrieval.request import Columns
from feature_platform.table import CREATED_TIMESTAMP, EVENT_TIMESTAMP, Table, column
from feature_platform.types.arrow import TIMESTAMP
from feature_platform.types.times import from_microseconds

_log = logging.getLogger("feature_platform.online")
Values = Sequence[object]


class PrecomputedReader:
    """Reads precomputed features that are up to date, and computes the others."""

    def __init__(self, precomputed: Precomputed, position: int, retrieval: Retrieval) -> None:
        self.table: Table = precomputed.table
        self.position = position
        names = retrieval.reads[position].table.features.names
        self._digest = digest_of(precomputed, [names.index(name) for name in precomputed.inputs])
        self._readings = [decoder_of(field.type) for field in precomputed.table.features][:-1]

    def outputs(
        self,
        step: Step,
        base: Sequence[Values],
        stored: StoredRows,
        columns: Columns,
        types: Mapping[str, Any],
    ) -> list[Sequence[Any]]:
        """Return the outputs of the view, in order."""
        rows: list[Values | None] = [
            row[:-1] if row and row[-1] == self._digest(values) else None
            for row, values in zip(stored.values, base, strict=True)
        ]
        stale = [n for n, row in enumerate(rows) if row is None]
        if stale:
            part = {name: [column[n] for n in stale] for name, column in columns.items()}
            try:
                computed = step.lists(part, types)
            except TransformationError:
                step.lists(columns, types)  # names the row as the request counts
                raise
            if len(stale) == len(rows):
                return computed
        outputs = []
        for index, read in enumerate(self._readings):
            column = [None if row is None else row[index] for row in rows]
            outputs.append(column if read is None else list(map(read, column)))
        for n, row in enumerate(stale):
            for index, output in enumerate(outputs):
                output[row] = computed[index][n]
        return outputs  # type: ignore[return-value]


def digest_of(precomputed: Precomputed, places: Sequence[int]) -> Callable[[Values], bytes]:
    """Return a function that hashes the inputs and code of precomputed features.

    Args:
        precomputed: The precomputed features.
        places: Positions of the inputs among the values of a row.
    """

    def digest(values: Values) -> bytes:
        inputs = encode_row([values[index] for index in places])
        return blake2b(inputs, digest_size=8, key=precomputed.computed_by).digest()

    return digest


class PrecomputedWriter:
    """Computes and stores the features of an on-demand view for written rows.

    Attributes:
        source: The table whose rows are the inputs.
        table: The table of the precomputed features.

    Args:
        precomputed: The table of its precomputed features.
        retrieval: The inputs of this view alone.
        extend: Adds its features to a table of its inputs.
    """

    def __init__(
        self, precomputed: Precomputed, retrieval: Retrieval, extend: Callable[[pa.Table], pa.Table]
    ) -> None:
        self.table = precomputed.table
        self._reported = ""
        self._is_given_up = False
        [self._read] = retrieval.reads
        self.source = self._read.table
        self._outputs = retrieval.transformations[-1].features
        self._extend = extend
        self._digest = digest_of(precomputed, range(len(precomputed.inputs)))

    def write(self, online: OnlineStore, batch: pa.RecordBatch) -> int:
        """Compute and store the features of one batch for `OnlineStore.write`.

        Raises:
            StoreError: The store cannot be written.
            TransformationError: The code cannot be loaded or fails.
        """
        features = [batch[name] for name in self._read.features]
        columns = [column(self._read.label, name) for name in self._read.features]
        places = [*self._read.table.keys, EVENT_TIMESTAMP, CREATED_TIMESTAMP]
        inputs = pa.table([*map(batch.column, places), *features], names=[*places, *columns])
        computed = self._extend(inputs)
        rows = zip(*map(to_storable, features), strict=True)
        answers = {
            **{name: computed[name] for name in places},
            **{name: computed[output] for name, output in self._outputs.items()},
            PRECOMPUTED_INPUTS: pa.array(map(self._digest, rows), pa.binary()),
        }
        return online.write(self.table, pa.table(answers).to_batches())

    def writing(self, online: OnlineStore) -> Callable[[Iterable[pa.RecordBatch]], int]:
        """Return a writer of batches, for loads of this on-demand view alone."""
        return lambda batches: sum(self.write(online, batch) for batch in batches)

    def try_write(self, online: OnlineStore, batch: pa.RecordBatch) -> None:
        """Store the features if possible; otherwise readers compute them.

        The code may not be here, or answer with more than the store holds: a team's code never
        stops the platform's rows. After it took too long once, it is not tried again.
        """
        if self._is_given_up:
            return
        try:
            self.write(online, batch)
        except StoreError:
            raise  # the rows of the view itself would not be stored either
        except Exception as error:  # noqa: BLE001 - whatever the code of another team raises
            if (reason := text_of(error)) != self._reported:
                _log.warning("Features are not precomputed; readers compute them: %s", reason)
            self._reported = reason
            self._is_given_up = isinstance(error.__cause__, TimeoutError)


def decoder_of(dtype: pa.DataType) -> Callable[[Any], Any] | None:
    """Return the function that decodes a stored value, the inverse of `storable`."""
    if pa.types.is_list(dtype):
        read = decoder_of(dtype.value_type)
        return read and partial(_each, read)
    if pa.types.is_struct(dtype):
        reads = {field.name: decoder_of(field.type) for field in dtype}
        return partial(_fields, reads) if any(reads.values()) else None
    if dtype == TIMESTAMP:
        return _time
    return _decimal if pa.types.is_decimal(dtype) else None


def _time(value: Any) -> datetime | None:
    return None if value is None else from_microseconds(value)


def _decimal(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)


def _fields(reads: Mapping[str, Callable[[Any], Any] | None], value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    return {
        name: value[name] if read is None else read(value[name]) for name, read in reads.items()
    }


def _each(read: Callable[[Any], Any], value: Any) -> list[Any] | None:
    return None if value is None else list(map(read, value))
