"""Parse online requests: entity rows of any shape to columns of checked values."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from feature_platform.errors import RequestError
from feature_platform.project import Retrieval
from feature_platform.retrieval.convert import to_arrow
from feature_platform.retrieval.on_demand import check_request
from feature_platform.types.converter import converter, first_misfit

MOST_ONLINE_ROWS = 10_000

Columns = dict[str, Sequence[Any]]


class RequestReader:
    """Reads the needed columns of a request, exactly in their declared types."""

    def __init__(self, retrieval: Retrieval) -> None:
        self._transformations = retrieval.transformations
        self.keys: dict[str, pa.DataType | None] = retrieval.join_keys
        for read in retrieval.reads:
            for key, name in read.keys.items():
                if read.table.keys[key] not in (None, self.keys[name]):
                    raise RequestError(
                        f"The request's {name!r} is a key of type {self.keys[name]} for one view "
                        f"and of type {read.table.keys[key]} for {read.label!r}. Rename one of "
                        "them with with_join_key_map."
                    )
        self._types = {**retrieval.request_fields, **self.keys}
        self._wanted = dict.fromkeys([*self.keys, *retrieval.request_fields])
        self._exact = {
            name: converter(dtype, nan_is_null=True) for name, dtype in self.keys.items()
        }

    def read(self, rows: object) -> tuple[Columns, int]:
        """Return the columns and the number of rows.

        Join keys are checked here, other values by the on-demand views that take them.

        Args:
            rows: A list of dicts, a dict of lists, or a frame.

        Raises:
            RequestError: A key or a value is missing, null or of another type, or there are no
                rows, or too many for one request.
        """
        request, size = self._columns(rows)
        if lacking := [name for name in self.keys if name not in request]:
            keys = "join keys" if len(lacking) > 1 else "join key"
            names = ", ".join(map(repr, lacking))
            present = ", ".join(map(repr, request)) or "nothing"
            raise RequestError(f"entity_rows have no {keys} {names}; they have {present}.")
        check_request(request, self._transformations, self.keys)
        columns = {name: request[name] for name in self._wanted}
        for name, exact in self._exact.items():
            try:
                columns[name] = exact(columns[name])
            except ValueError as error:
                expected = self.keys[name] or "of one type"
                row = first_misfit(columns[name], exact)
                row_label = "" if row is None else f" in row {row}"
                message = f"entity_rows: {name!r} is not {expected}{row_label}: {error}."
                raise RequestError(message) from error
            if None in columns[name]:
                row = list(columns[name]).index(None)
                raise RequestError(f"entity_rows: the join key {name!r} is null in row {row}.")
        return columns, size

    def _columns(self, rows: object) -> tuple[Columns, int]:
        if isinstance(rows, Mapping):
            columns = columns_of_mapping(rows)
            size = max(map(len, columns.values()), default=0)
        elif isinstance(rows, (list, tuple)):
            columns, size = self._of_rows(rows), len(rows)
        else:
            table = to_arrow(rows, "entity_rows", self._types)
            columns = self._of_table(table)
            # Arrow loses the size of a frame without columns.
            size = table.num_rows if table.num_columns else len(rows)  # type: ignore[arg-type]
        lengths = {len(values) for values in columns.values()}
        if not size:
            raise RequestError("entity_rows is empty. Pass at least one row.")
        if len(lengths) > 1:
            sizes = {name: len(values) for name, values in columns.items()}
            raise RequestError(f"entity_rows: columns have different lengths: {sizes}.")
        if size > MOST_ONLINE_ROWS:
            raise RequestError(
                f"entity_rows has {size:,} rows; the limit of an online request is "
                f"{MOST_ONLINE_ROWS:,}. Split the request, or use get_historical_features."
            )
        return columns, size

    def _of_rows(self, rows: Sequence[Any]) -> Columns:
        if not self._wanted:
            return self._of_odd_rows(rows)
        try:
            return {name: [row[name] for row in rows] for name in self._wanted} if rows else {}
        except (KeyError, TypeError, IndexError):
            return self._of_odd_rows(rows)

    def _of_table(self, table: pa.Table) -> Columns:
        names = [name for name in table.column_names if name in self._wanted]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise RequestError(f"entity_rows has duplicate columns {twice[0]!r}.")
        if names:
            return table.select(names).to_pydict()  # type: ignore[no-any-return]
        return {name: [None] * table.num_rows for name in table.column_names}

    def _of_odd_rows(self, rows: Sequence[Any]) -> Columns:
        """Convert rows whose keys differ, or raise an error that says what is wrong."""
        if wrong := [row for row in rows if not isinstance(row, Mapping)]:
            raise RequestError(f"entity_rows must hold dicts; one is {wrong[0]!r}.")
        names = dict.fromkeys(str(name) for row in rows for name in row)
        for name in self._wanted:
            lacking = [i for i, row in enumerate(rows) if name not in row]
            if name in names and lacking:
                raise RequestError(f"entity_rows: row {lacking[0]} lacks {name!r}.")
        return {name: [row.get(name) for row in rows] for name in names}


def columns_of_mapping(rows: Mapping[Any, Any]) -> Columns:
    """Return a request that maps names to values as columns.

    Raises:
        RequestError: A value is no list.
    """
    for name, values in rows.items():
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise RequestError(f"entity_rows: {name!r} must hold a list, not {values!r}.")
    return {str(name): list(values) for name, values in rows.items()}


def identity_of(features: object) -> object:
    """Return the identity of a request; definitions are immutable, so `id` is enough."""
    if isinstance(features, str):
        return features
    if isinstance(features, (list, tuple)):
        return tuple(item if isinstance(item, str) else id(item) for item in features)
    return id(features)
