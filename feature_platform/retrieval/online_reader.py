"""Read online features: the newest values and their statuses."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from feature_platform.errors import RequestError
from feature_platform.online import OnlineStore, StoredRows, encode_keys
from feature_platform.project import Retrieval
from feature_platform.retrieval.backends import Backends
from feature_platform.retrieval.on_demand import Steps
from feature_platform.retrieval.precomputed import PrecomputedReader, Values, decoder_of
from feature_platform.retrieval.request import Columns, RequestReader
from feature_platform.retrieval.response import FieldStatus, OnlineResponse, Rows, Shape, known
from feature_platform.table import Table, ViewRead
from feature_platform.types.times import microseconds


class OnlineReader:
    """A request resolved once and answered many times, from any number of threads.

    Args:
        backends: The stores and functions of every project.
        retrieval: The requested features.

    Raises:
        RequestError: A feature has the name of a join key.
    """

    def __init__(self, backends: Backends, retrieval: Retrieval) -> None:
        self._request = RequestReader(retrieval)
        self._tables = [_TableReader(read) for read in retrieval.reads]
        self._steps = Steps(retrieval.transformations, backends.step_of, retrieval.join_keys)
        labels = [read.label for read in retrieval.reads]
        self._precomputed = {
            id(step): PrecomputedReader(
                step.precomputed, labels.index(step.precomputed.label), retrieval
            )
            for step in self._steps
            if step.precomputed
        }
        keys = [tuple(read.keys.values()) for read in retrieval.reads]
        self._keys = list(dict.fromkeys(keys))  # views often have the same keys: encoded once
        self._reads = [
            (table.table, names) for table, names in zip(self._tables, keys, strict=True)
        ]
        self._reads += [(each.table, keys[each.position]) for each in self._precomputed.values()]
        self._stores = _by_store(backends, [table for table, _ in self._reads])
        self._types: dict[str, Any] = {
            **self._request.keys,
            **retrieval.request_fields,
            **{column: dtype for table in self._tables for column, dtype in table.types.items()},
            **{field.name: field.type for step in self._steps for field in step.outputs},
        }
        if taken := sorted(self._request.keys.keys() & retrieval.outputs):
            raise RequestError(
                f"{taken[0]!r} is both a join key of the request and a requested feature. Pass "
                "full_feature_names=True, or leave the feature out."
            )
        self._outputs = [(name, name) for name in self._request.keys]
        self._outputs += retrieval.outputs.items()
        places = {c: n for n, table in enumerate(self._tables, start=1) for c in table.types}
        self._shape = Shape(
            version=retrieval.version,
            types={name: self._types[column] for name, column in self._outputs},
            origins={name: places.get(column, 0) for name, column in self._outputs},
        )

    def read(self, rows: object, now: datetime) -> OnlineResponse:
        """Read the newest features of entities.

        Args:
            rows: A list of dicts, a dict of lists, or a frame: join keys, and the values that
                on-demand views need.
            now: Time from which ages are measured.

        Raises:
            RequestError: A key or value is missing or has the wrong type.
            StoreError: The store cannot be read.
            TransformationError: An on-demand view fails.
        """
        columns, size = self._request.read(rows)
        keys = {
            names: cast("list[bytes]", encode_keys([columns[name] for name in names], size))
            for names in self._keys  # no key of a request is null
        }
        reads = [(read, keys[names]) for read, names in self._reads]
        stored = self._read(reads)
        instant = microseconds(now)
        raw, origins = [], [known(size)]
        for table, stored_rows in zip(self._tables, stored, strict=False):
            values, origin = table.rows(stored_rows, instant)
            raw.append(values)
            origins.append(origin)
            table.add_columns(columns, values)
        answers = iter(stored[len(self._tables) :])
        for step in self._steps:
            if precomputed := self._precomputed.get(id(step)):
                base = raw[precomputed.position]
                outputs = precomputed.outputs(step, base, next(answers), columns, self._types)
            else:
                outputs = step.lists(columns, self._types)
            columns.update(zip(step.output_names, outputs, strict=True))
        answer = {name: columns[column] for name, column in self._outputs}
        return OnlineResponse(self._shape, answer, origins)

    def _read(self, reads: list[tuple[Table, list[bytes]]]) -> Sequence[StoredRows]:
        """Read each store once; the stores of several projects, one after another."""
        if len(self._stores) == 1:
            return self._stores[0][0].read(reads)
        stored: dict[int, StoredRows] = {}
        for store, positions in self._stores:
            rows = store.read([reads[position] for position in positions])
            stored |= zip(positions, rows, strict=True)
        return [stored[position] for position in range(len(reads))]


def _by_store(backends: Backends, tables: Sequence[Table]) -> list[tuple[OnlineStore, list[int]]]:
    """Return the stores of tables, each with the positions of its tables."""
    stores: dict[int, tuple[OnlineStore, list[int]]] = {}
    for position, table in enumerate(tables):
        store = backends.online_of(table.project)
        stores.setdefault(id(store), (store, []))[1].append(position)
    return list(stores.values())


class _TableReader:
    """Converts stored rows of one table to columns."""

    def __init__(self, read: ViewRead) -> None:
        self.table = read.table
        features = read.table.features
        names = features.names
        self.types = {column: features.field(name).type for name, column in read.columns.items()}
        self._places = [
            (names.index(name), column, decoder_of(features.field(name).type))
            for name, column in read.columns.items()
        ]
        self._nothing = (None,) * len(names)

    def rows(self, stored: StoredRows, now: int) -> tuple[list[Values], Rows]:
        """Return the values of each row, null where it is missing or expired, and statuses."""
        missing, present = FieldStatus.NOT_FOUND, FieldStatus.PRESENT
        values = [self._nothing if row is None else row for row in stored.values]
        statuses = [missing if event is None else present for event in stored.events]
        if (ttl := self.table.ttl_us) is not None:
            oldest = now - ttl
            for n, event in enumerate(stored.events):
                if event is not None and event < oldest:
                    values[n], statuses[n] = self._nothing, FieldStatus.OUTSIDE_MAX_AGE
        return values, Rows(statuses, stored.events)

    def add_columns(self, columns: Columns, values: list[Values]) -> None:
        """Add the features of the rows, decoded."""
        every = list(zip(*values, strict=True))
        for index, column, read in self._places:
            stored = every[index]
            columns[column] = stored if read is None else list(map(read, stored))
