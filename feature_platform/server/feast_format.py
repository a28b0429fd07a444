"""The requests and answers of Feast's feature server."""

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec
import pyarrow as pa

from feature_platform.errors import RequestError, SchemaError
from feature_platform.retrieval import FieldStatus, OnlineResponse
from feature_platform.table import CREATED_TIMESTAMP
from feature_platform.types.arrow import TIMESTAMP
from feature_platform.types.values import exact_array

_STATUS: Final = {
    FieldStatus.PRESENT: "PRESENT",
    FieldStatus.NULL: "NULL_VALUE",
    FieldStatus.NOT_FOUND: "NOT_FOUND",
    FieldStatus.OUTSIDE_MAX_AGE: "OUTSIDE_MAX_AGE",
}
_NOT_FINITE: Final = ("NaN", "Infinity", "-Infinity")
_NEVER: Final = "1970-01-01T00:00:00Z"
_CREATED: Final = "created"  # what Feast's client calls the created timestamp


def features_of(request: dict[str, Any]) -> Any:
    """Return the features of a request: a service, or a list of references.

    Raises:
        RequestError: It has neither, or both.
    """
    service, features = request.get("feature_service"), request.get("features")
    if bool(service) == bool(features):
        raise RequestError("Send either feature_service or features.")
    if service and not isinstance(service, str):
        raise RequestError("feature_service must be the name of a feature service.")
    if features and not (isinstance(features, list) and all(isinstance(f, str) for f in features)):
        raise RequestError("features must be a list of 'view:feature'.")
    return service or features


def answer(response: OnlineResponse) -> dict[str, Any]:
    """Return a response as Feast's server does: one result per name, in the order of the names."""
    shared: dict[int, tuple[list[str], list[str]]] = {}
    results = []
    for name, values in response.values.items():
        origin = response.shape.origins[name]
        if origin not in shared:
            rows = response.rows[origin]
            shared[origin] = [_STATUS[s] for s in rows.statuses], [_time(e) for e in rows.events]
        statuses, times = shared[origin]
        if None in values:
            statuses = [
                "NULL_VALUE" if value is None and status == "PRESENT" else status
                for value, status in zip(values, statuses, strict=True)
            ]
        results.append({"values": _plain(values), "statuses": statuses, "event_timestamps": times})
    return {"metadata": {"feature_names": list(response.values)}, "results": results}


def _time(event: int | None) -> str:
    if event is None:
        return _NEVER
    seconds, micros = divmod(event, 1_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{micros:06d}Z" if micros else f"{text}Z"


def _plain(values: Sequence[Any]) -> Sequence[Any]:
    """Return values as JSON has them: times as seconds since 1970, bytes as Base64."""
    sample = next((value for value in values if value is not None), None)
    if isinstance(sample, (datetime, bytes, Decimal, list, dict)):
        return [_plain_value(value) for value in values]
    return values


def _plain_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain_value(item) for name, item in value.items()}
    return [_plain_value(item) for item in value] if isinstance(value, list) else value


def rows_of(content: Any, types: Mapping[str, pa.DataType | None]) -> pa.Table:
    """Return the rows of a JSON object of columns, in the declared types.

    Args:
        content: Column → values; times in ISO 8601 or seconds since 1970, bytes in Base64.
        types: Column → declared type.

    Raises:
        RequestError: It is no such object.
        SchemaError: A value does not fit its type.
    """
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise RequestError("df must be an object of columns: name → list of values.")
    if len({len(values) for values in content.values()}) > 1:
        raise RequestError("df: the columns have different lengths.")
    columns: dict[str, Any] = {}
    for name, values in content.items():
        dtype = types.get(name)
        if name == _CREATED and _CREATED not in types:
            if any(value is not None for value in values):
                columns[CREATED_TIMESTAMP] = _column(name, values, TIMESTAMP)
            continue
        columns[name] = _column(name, values, dtype)
    return pa.table(columns)


def _column(name: str, values: list[Any], dtype: pa.DataType | None) -> pa.Array:
    try:
        if dtype is None:
            return pa.array(values)
        read = _reader(dtype) or _as_it_is
        return exact_array([None if value is None else read(value) for value in values], dtype)
    except (
        pa.ArrowException, ValueError, TypeError, OSError, ArithmeticError, RecursionError,
    ) as error:  # fmt: skip
        raise SchemaError(f"df: column {name!r} cannot be read as {dtype}: {error}.") from None


def _reader(dtype: pa.DataType) -> Callable[[Any], Any] | None:
    """Return what reads a value that JSON has in another form."""
    if pa.types.is_struct(dtype):
        return partial(_fields, {field.name: _reader(field.type) for field in dtype})
    if pa.types.is_list(dtype):
        read = _reader(dtype.value_type)
        return read and partial(_each, read)
    return next((read for test, read in _READERS if test(dtype)), None)


def _as_it_is(value: Any) -> Any:
    return value


def _each(read: Callable[[Any], Any], values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise TypeError(f"{values!r} is not a list")
    return [None if value is None else read(value) for value in values]


def _object(value: Any) -> dict[str, Any]:
    """Return a map or a struct, which Feast's client sends as JSON in a text."""
    content = msgspec.json.decode(value) if isinstance(value, str) else value
    if not isinstance(content, dict):
        raise TypeError(f"{value!r} is not an object")
    return content


def _fields(readers: Mapping[str, Callable[[Any], Any] | None], text: Any) -> dict[str, Any]:
    value = _object(text)
    read = {name: readers.get(name) or _as_it_is for name in value}
    return {name: None if v is None else read[name](v) for name, v in value.items()}


def _number(value: Any) -> Any:
    """Return a number; JSON has no others than the finite ones, so these are text."""
    if value in _NOT_FINITE:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is not a number")
    return value


def _decimal(value: Any) -> Decimal:
    return Decimal(str(value))


def _instant(value: Any) -> datetime:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(f"{value!r} is not a time")
    if isinstance(value, str):
        time = datetime.fromisoformat(value)
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    return datetime.fromtimestamp(value, UTC)


_READERS: Final[tuple[tuple[Callable[[pa.DataType], bool], Callable[[Any], Any]], ...]] = (
    (pa.types.is_timestamp, _instant),
    (pa.types.is_binary, partial(base64.b64decode, validate=True)),
    (pa.types.is_decimal, _decimal),
    (pa.types.is_floating, _number),
    (pa.types.is_map, _object),
)
