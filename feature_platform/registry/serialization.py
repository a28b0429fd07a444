"""The storage format: canonical JSON and a line with its checksum."""

import json
from hashlib import sha256
from typing import Any

from feature_platform.definitions import check_strict
from feature_platform.errors import CorruptLogError, RequestError


def encode_record(content: Any) -> bytes:
    """Return canonical JSON (sorted keys, no spaces, UTF-8) and a line with its SHA-256.

    Raises:
        RequestError: A string is not valid Unicode.
    """
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    try:
        body = text.encode()
    except UnicodeEncodeError as error:
        before = text[max(error.start - 20, 0) : error.start]
        raise RequestError(
            f"A string contains characters that are not valid Unicode, after {before!r}. Remove "
            "them."
        ) from error
    return body + b"\n" + sha256(body).hexdigest().encode()


def decode_record(record: bytes, label: str) -> bytes:
    """Return the JSON of a stored record; messages contain its label.

    Raises:
        CorruptLogError: The record does not match its checksum, or is not strict JSON.
    """
    body, _, checksum = record.rpartition(b"\n")
    if sha256(body).hexdigest().encode() != checksum:
        raise CorruptLogError(f"{label} was altered or is incomplete: its checksum does not match.")
    try:
        check_strict(body)
    except ValueError as error:
        raise CorruptLogError(f"{label} was written by another program: {error}.") from error
    return body
