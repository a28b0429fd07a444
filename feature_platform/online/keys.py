"""Stable, typed encoding of join keys: 1, "1", true and null stay distinct."""

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from feature_platform.errors import RequestError
from feature_platform.types.times import microseconds

_MAX_BYTES: Final = 1024
_INTEGER: Final = struct.Struct(">cIq").pack
_LENGTH: Final = struct.Struct(">cI").pack


def encode_keys(columns: Sequence[Sequence[object]], rows: int) -> list[bytes | None]:
    """Encode key columns row by row; a key with a null becomes `None`.

    Each value is encoded as a type letter, its length and its bytes, which is unambiguous.

    Raises:
        RequestError: A value has an unsupported type, or a key is too long for some backend.
    """
    if not columns:
        return [b""] * rows
    encoded = [[_encode(value) for value in column] for column in columns]
    keys = encoded[0] if len(encoded) == 1 else list(map(_join, zip(*encoded, strict=True)))
    if long := [key for key in keys if key is not None and len(key) > _MAX_BYTES]:
        raise RequestError(f"Key is {len(long[0]):,} bytes long; the maximum is {_MAX_BYTES:,}.")
    return keys


def _join(parts: tuple[bytes | None, ...]) -> bytes | None:
    return None if None in parts else b"".join(parts)  # type: ignore[arg-type]


def _encode(value: Any) -> bytes | None:
    if value is None:
        return None
    encoder = _ENCODERS.get(type(value)) or _base_class_encoder(value)
    try:
        return encoder(value)
    except (struct.error, UnicodeEncodeError):
        raise _invalid_key(value) from None


def _base_class_encoder(value: object) -> Callable[[Any], bytes]:
    for base, encoder in _ENCODERS.items():
        if isinstance(value, base):
            return encoder
    raise _invalid_key(value)


def _invalid_key(value: object) -> RequestError:
    return RequestError(
        f"{value!r} is not a valid key. Keys are 64-bit integers, text, bytes, booleans or times."
    )


def _encode_text(value: str) -> bytes:
    content = value.encode()
    return _LENGTH(b"s", len(content)) + content


_ENCODERS: Final[Mapping[type, Callable[[Any], bytes]]] = {
    bool: lambda value: b"b\0\0\0\1" + bytes([value]),
    int: lambda value: _INTEGER(b"i", 8, value),
    str: _encode_text,
    bytes: lambda value: _LENGTH(b"x", len(value)) + value,
    datetime: lambda value: _INTEGER(b"t", 8, microseconds(value)),
}
