"""What a feature server does in place of this process: its requests, and their format."""

import json
import struct
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NoReturn

import pyarrow as pa

from feature_platform.definitions import FeatureService, ViewReference, reference
from feature_platform.errors import RequestError, StoreError
from feature_platform.offline import Deliver, EntityRows, Progress, Query, Span
from feature_platform.project import Features, Retrieval
from feature_platform.retrieval import (
    FieldStatus,
    OnlineResponse,
    RetrievalJob,
    Rows,
    Shape,
    to_arrow,
)
from feature_platform.retrieval.request import columns_of_mapping
from feature_platform.retrieval.training import REGISTRY_VERSION, recorded
from feature_platform.server_client import ARROW, WORK_SECONDS, ServerClient
from feature_platform.types.arrow import to_python

REQUEST, RESPONSE = b"feature_platform.request", b"feature_platform.response"
_STATUSES = list(FieldStatus)
MOST_ROWS = 10_000_000
_HEADER, _DICTIONARY, _COMPRESSION = 2, 1, 3  # fields of Arrow's messages


def features_content(features: Features) -> Any:
    """Return the `features` of a request as JSON."""
    if isinstance(features, str):
        return features
    items = features.references if isinstance(features, FeatureService) else features
    every: list[Any] = list(items) if isinstance(items, (list, tuple)) else [items]
    listed = [item if isinstance(item, str) else reference(item) for item in every]
    if wrong := [item for item in listed if not isinstance(item, (str, ViewReference))]:
        raise RequestError(f"features: {wrong[0]!r} is not a reference.")
    return [
        item if isinstance(item, str) else item.model_dump(mode="json", exclude_defaults=True)
        for item in listed
    ]


def features_of(content: Any) -> Features:
    """Return the `features` that `features_content` described.

    Raises:
        RequestError: It is no such content.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise RequestError("features must be the name of a service, or a list of references.")
    return [item if isinstance(item, str) else ViewReference(**_mapping(item)) for item in content]


def _mapping(content: Any) -> Mapping[str, Any]:
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise RequestError("features: a reference is a text, or an object with a view.")
    return content


def packed(table: pa.Table, content: Mapping[str, Any], key: bytes = REQUEST) -> bytes:
    """Return a table with JSON beside it as one Arrow stream."""
    sink = pa.BufferOutputStream()
    schema = table.schema.with_metadata({key: json.dumps(content).encode()})
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(table.replace_schema_metadata(schema.metadata))
    return bytes(sink.getvalue())


def unpacked(
    body: bytes, key: bytes = REQUEST, *, most_rows: int = MOST_ROWS
) -> tuple[pa.Table, dict[str, Any]]:
    """Return what `packed` made.

    Raises:
        RequestError: It is no such stream, has more rows, or would be much larger than it came.
    """
    most = min(most_rows, 8 * len(body))  # a row takes a bit at least
    try:
        _refuse_compressed(body)
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            table = _limited(reader, most)
        table.validate(full=True)
        content = json.loads((table.schema.metadata or {})[key])
    except RequestError:
        raise
    except (pa.ArrowException, OSError, KeyError, ValueError, RecursionError) as error:
        raise RequestError(f"The body is not an Arrow stream with a request: {error}.") from None
    if not isinstance(content, dict):
        raise RequestError("The request beside the rows is not an object.")
    return table.replace_schema_metadata(None), content


def _limited(reader: pa.RecordBatchReader, most: int) -> pa.Table:
    """Read a stream that has no more rows, and no columns that are much larger than they came."""
    if any(pa.types.is_run_end_encoded(dtype) for dtype in reader.schema.types):
        raise RequestError("Run-end encoded columns are not accepted. Decode them first.")
    batches, rows = [], 0
    for batch in reader:
        rows += batch.num_rows
        if rows > most:
            raise RequestError(f"The stream has more than {most:,} rows. Send it in parts.")
        batches.append(batch)
    return pa.Table.from_batches(batches, reader.schema)


def _refuse_compressed(body: bytes) -> None:
    """Refuse a stream with compressed batches, as the heads of its messages say.

    Arrow checks the heads, but has no name for this: they are FlatBuffers tables, `Message`,
    `DictionaryBatch` and `RecordBatch` of Arrow's format.
    """
    for message in pa.ipc.MessageReader.open_stream(pa.py_buffer(body)):
        head = bytes(message.metadata)
        at = _table(head, _table(head, 0), _HEADER)
        if message.type == "dictionary":
            at = _table(head, at, _DICTIONARY)
        elif message.type != "record batch":
            continue
        if _field(head, at, _COMPRESSION):
            raise RequestError("Compressed Arrow streams are not accepted. Send it as it is.")


def _field(head: bytes, table: int, number: int) -> int:
    """Return the position of a field of a FlatBuffers table; 0 if it is not set."""
    [to_offsets] = struct.unpack_from("<i", head, table)
    [size] = struct.unpack_from("<H", head, table - to_offsets)
    entry = 4 + 2 * number
    if entry >= size:
        return 0
    [offset] = struct.unpack_from("<H", head, table - to_offsets + entry)
    return table + offset if offset else 0


def _table(head: bytes, table: int, number: int | None = None) -> int:
    """Return the position of the root table, or of the table in a field."""
    at = table if number is None else _field(head, table, number)
    [offset] = struct.unpack_from("<I", head, at)
    return at + int(offset)


class RemoteReader:
    """An online request that a server answers.

    Args:
        client: The server.
        features: The requested features.
        full_feature_names: Name features `view__feature`.
    """

    def __init__(
        self, client: ServerClient, features: Features, *, full_feature_names: bool
    ) -> None:
        self._client = client
        self._content = {
            "features": features_content(features),
            "full_feature_names": full_feature_names,
        }

    def read(self, rows: object, now: datetime) -> OnlineResponse:
        """Read the newest features; ages are measured with the server's clock."""
        del now
        body = packed(entity_table(rows), self._content)
        answer = self._client.request(
            "POST", "/v1/online-features", body, content_type=ARROW, accept=ARROW
        )
        return response_of(answer)


def entity_table(rows: object) -> pa.Table:
    """Return the rows of an online request as Arrow.

    Raises:
        RequestError: They are none.
    """
    if isinstance(rows, Mapping):
        rows = columns_of_mapping(rows)
    elif isinstance(rows, (list, tuple)) and all(isinstance(row, Mapping) for row in rows):
        names = dict.fromkeys(name for row in rows for name in row)
        if lacking := [name for name in names for row in rows if name not in row]:
            raise RequestError(f"entity_rows: a row lacks {lacking[0]!r}.")
        rows = {str(name): [row[name] for row in rows] for name in names}
    return to_arrow(rows, "entity_rows", maps=True)


def response_body(response: OnlineResponse) -> bytes:
    """Return a response as an Arrow stream, with statuses and times beside it."""
    shape = response.shape
    rows = [
        {"statuses": [_STATUSES.index(s) for s in each.statuses], "events": list(each.events)}
        for each in response.rows
    ]
    content = {"version": shape.version, "origins": dict(shape.origins), "rows": rows}
    return packed(response.to_arrow(), content, RESPONSE)


def response_of(body: bytes) -> OnlineResponse:
    """Return the response of `response_body`.

    Raises:
        StoreError: The server answered with something else.
    """
    try:
        table, content = unpacked(body, RESPONSE)
        rows = [
            Rows([_STATUSES[s] for s in each["statuses"]], each["events"])
            for each in content["rows"]
        ]
        types = {field.name: field.type for field in table.schema}
        shape = Shape(int(content["version"]), types, content["origins"])
        values = {name: to_python(table[name]) for name in table.column_names}
        return OnlineResponse(shape, values, rows)
    except (RequestError, KeyError, TypeError, IndexError, ValueError) as error:
        raise StoreError(f"The answer of the feature server cannot be read: {error}") from None


class RemoteQuery(Query):
    """A training set that a server makes; only its rows pass through here.

    Args:
        client: The server.
        rows: The entity rows; SQL and paths are not sent, because the server's are not ours.
        content: The request.
    """

    engine = "the server"

    def __init__(self, client: ServerClient, rows: EntityRows, content: Mapping[str, Any]) -> None:
        if isinstance(rows, Span):
            content = {**content, "start": rows.start.isoformat(), "end": rows.end.isoformat()}
            rows = pa.table({})
        if not isinstance(rows, pa.Table):
            from pathlib import Path

            from pyarrow import parquet

            if not isinstance(rows, Path):
                raise RequestError(
                    "Entity rows in SQL run where the offline store is. Pass a frame, or the path "
                    "of a Parquet file."
                )
            try:
                rows = parquet.read_table(rows)
            except (OSError, pa.ArrowException) as error:
                raise RequestError(f"The entity rows {rows} cannot be read: {error}") from None
        self._client = client
        self._rows = rows
        self._content = content
        self._response: Any = None

    def reader(self, progress: Progress | None = None) -> pa.RecordBatchReader:
        if progress:
            progress("asking the feature server")
        body = packed(self._rows, self._content)
        self._response = self._client.stream(
            "/v1/training-set", body, content_type=ARROW, accept=ARROW
        )
        from urllib3.exceptions import HTTPError

        try:
            return _checked(pa.ipc.open_stream(self._response), self._response)
        except (pa.ArrowException, OSError, HTTPError) as error:
            self._response.close()
            raise StoreError(f"The answer of the feature server is incomplete: {error}") from None

    def cancel(self) -> None:
        if self._response is not None:
            self._response.close()

    def explain(self) -> str:
        return f"made by the feature server {self._client}"

    def deliver(self, write: Deliver) -> int | None:
        return None

    def statement(self, names: Mapping[str, str] | None = None) -> str:
        self._refuse("to_sql")

    def frame(self, names: Mapping[str, str]) -> Any:
        self._refuse("to_spark_df")

    def create_table(self, table: str, names: Mapping[str, str]) -> None:
        self._refuse("to_snowflake")

    def _refuse(self, method: str) -> NoReturn:
        raise RequestError(f"{method} needs the offline store itself; this one is a server's.")


def _checked(reader: pa.RecordBatchReader, response: Any) -> pa.RecordBatchReader:
    """Return a reader that fails where a stream ends early, and then gives the connection back."""
    from urllib3.exceptions import HTTPError

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
            response.drain_conn()  # the end of the body, after the end of the rows
        except (pa.ArrowException, OSError, HTTPError) as error:
            raise StoreError(f"The answer of the feature server ended early: {error}") from None
        finally:
            response.close()

    return pa.RecordBatchReader.from_batches(reader.schema, batches())


def check_newest(*, is_pinned: bool) -> None:
    """Refuse to ask a server for an older version: what is shared now decides what it answers.

    Raises:
        RequestError: A version is pinned.
    """
    if is_pinned:
        raise RequestError(
            "A feature server answers from the newest registry version. Open the store without "
            "registry_version."
        )


class RemoteJob(RetrievalJob):
    """A training set that a server makes, of the registry version that the server reads."""

    def to_batches(self) -> pa.RecordBatchReader:
        """Stream the result; see `RetrievalJob.to_batches`."""
        reader = super().to_batches()
        version = (reader.schema.metadata or {}).get(REGISTRY_VERSION, self.registry_version)
        self.registry_version = int(version)
        return reader


def training_set(
    client: ServerClient,
    retrieval: Retrieval,
    rows: EntityRows,
    features: Features,
    *,
    full_feature_names: bool,
    known_only: bool,
    as_of: datetime | None,
) -> RetrievalJob:
    """Prepare a training set that a server makes.

    Args:
        client: The server.
        retrieval: What the request is in the registry that is read here.
        rows: The entity rows.
        features: The request, which the server resolves again.
        full_feature_names: Name features `view__feature`.
        known_only: Use only rows that had been created by each entity row's time.
        as_of: Use only rows that had been created by this time.
    """
    content = {
        "features": features_content(features),
        "full_feature_names": full_feature_names,
        "filter_by_created_timestamp": known_only,
        **times(as_of=as_of),
    }
    return RemoteJob(
        RemoteQuery(client, rows, content),
        lambda reader: reader,
        registry_version=retrieval.version,
        outputs={column: name for name, column in retrieval.outputs.items()},
        computed=[],
        request=recorded(retrieval, rows, known_only=known_only, as_of=as_of),
    )


def write(client: ServerClient, verb: str, name: str, df: object, **options: Any) -> Any:
    """Send rows to a server: `write-online`, `write-offline`, `delete-online` or `push`.

    Raises:
        UnknownWriteError: The connection was lost after rows were sent that are appended, and
            sending them again could append them twice.
    """
    body = packed(to_arrow(df, "df", maps=True), {"name": name, **options})
    is_appended = verb == "write-offline" or options.get("to") not in {None, "ONLINE"}
    answer = client.request(
        "POST", f"/v1/{verb}", body,
        content_type=ARROW, is_repeatable=not is_appended, seconds=WORK_SECONDS,
    )  # fmt: skip
    return json.loads(answer)["result"]


def call(client: ServerClient, verb: str, content: Mapping[str, Any]) -> Any:
    """Let a server do something, such as a load, and return the result."""
    return client.json("POST", f"/v1/{verb}", content, seconds=WORK_SECONDS)["result"]


def times(**named: datetime | None) -> dict[str, str | None]:
    """Return times as ISO 8601."""
    return {name: None if time is None else time.isoformat() for name, time in named.items()}
