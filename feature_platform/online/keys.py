"""Stable, typed bytes for entity keys: 1, "1", true and null never collide."""

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from feature_platform.errors import RequestError
from feature_platform.types.times import microseconds

_MOST_BYTES: Final = 1024
_INTEGER: Final = struct.Struct(">cIq").pack
_LENGTH: Final = struct.Struct(">cI").pack


def encode_keys(columns: Sequence[Sequence[object]], rows: int) -> list[bytes | None]:
    """Encode key columns row by row; `None` for a row with a null key.

    Each part is a type letter, a length and bytes, so different keys have different encodings.

    Raises:
        RequestError: A value cannot be a key, or a key is too long.
    """
    if not columns:
        return [b""] * rows
    encoded = [[_part(value) for value in column] for column in columns]
    keys = encoded[0] if len(encoded) == 1 else list(map(_joined, zip(*encoded, strict=True)))
    if long := [key for key in keys if key is not None and len(key) > _MOST_BYTES]:
        raise RequestError(f"Key is {len(long[0]):,} bytes long; the maximum is {_MOST_BYTES:,}.")
    return keys


def _joined(parts: tuple[bytes | None, ...]) -> bytes | None:
    return None if None in parts else b"".join(parts)  # type: ignore[arg-type]


def _part(value: Any) -> bytes | None:
    if value is None:
        return None
    encode = _ENCODERS.get(type(value)) or _of_subclass(value)
    try:
        return encode(value)
    except (struct.error, UnicodeEncodeError):
        raise _wrong(value) from None


def _of_subclass(value: object) -> Callable[[Any], bytes]:
    for kind, encode in _ENCODERS.items():
        if isinstance(value, kind):
            return encode
    raise _wrong(value)


def _wrong(value: object) -> RequestError:
    return RequestError(
        f"{value!r} cannot be an entity key: keys are 64-bit integers, text, bytes, booleans or "
        "times."
    )


def _text(value: str) -> bytes:
    content = value.encode()
    return _LENGTH(b"s", len(content)) + content


_ENCODERS: Final[Mapping[type, Callable[[Any], bytes]]] = {
    bool: lambda value: b"b\0\0\0\1" + bytes([value]),
    int: lambda value: _INTEGER(b"i", 8, value),
    str: _text,
    bytes: lambda value: _LENGTH(b"x", len(value)) + value,
    datetime: lambda value: _INTEGER(b"t", 8, microseconds(value)),
}
