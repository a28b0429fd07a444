"""Stable, typed bytes for entity keys: 1, "1", true and null never meet."""

import struct
from collections.abc import Iterable, Sequence
from datetime import datetime

from feature_platform.errors import RequestError
from feature_platform.table import microseconds

_INT64 = range(-(2**63), 2**63)


def encode_keys(columns: Sequence[Sequence[object]], rows: int) -> list[bytes | None]:
    """Encode key columns row by row; `None` for a row with a null in its key.

    Each part is a type letter, its length and its bytes, so no two keys share an encoding.
    """
    if not columns:
        return [b""] * rows
    return [encode_key(parts) for parts in zip(*columns, strict=True)]


def encode_key(parts: Iterable[object]) -> bytes | None:
    """Encode one key; `None` if a part is null."""
    encoded = bytearray()
    for part in parts:
        if part is None:
            return None
        letter, content = _part(part)
        encoded += letter + struct.pack(">I", len(content)) + content
    return bytes(encoded)


def _part(part: object) -> tuple[bytes, bytes]:
    match part:
        case bool():
            return b"b", bytes([part])
        case int() if part in _INT64:
            return b"i", struct.pack(">q", part)
        case str():
            return b"s", part.encode()
        case bytes():
            return b"x", part
        case datetime():
            return b"t", struct.pack(">q", microseconds(part))
        case _:
            raise RequestError(
                f"{part!r} cannot be an entity key: keys are integers of 64 bits, text, bytes, "
                "booleans or times."
            )
