"""The one form in which things are stored: canonical JSON, and a line with its hash."""

import json
from hashlib import sha256
from typing import Any

from feature_platform.errors import CorruptLogError, RequestError


def seal(content: Any) -> bytes:
    """Return canonical JSON (sorted keys, no spaces, UTF-8) and a line with its SHA-256.

    Raises:
        RequestError: A text is not Unicode.
    """
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    try:
        body = text.encode()
    except UnicodeEncodeError as error:
        bad = text[max(error.start - 20, 0) : error.start]
        raise RequestError(
            f"A text holds characters that are not Unicode, after {bad!r}: they cannot be stored."
        ) from error
    return body + b"\n" + sha256(body).hexdigest().encode()


def unseal(record: bytes, what: str) -> bytes:
    """Return the JSON of a sealed record.

    Raises:
        CorruptLogError: It does not match its hash, or its JSON says something twice, or something
            that JSON cannot say.
    """
    body, _, line = record.rpartition(b"\n")
    if sha256(body).hexdigest().encode() != line:
        raise CorruptLogError(f"{what} was altered or is incomplete: it does not match its hash.")
    check_strict(body, what)
    return body


def check_strict(text: bytes | str, what: str) -> None:
    """Refuse JSON that readers could understand in different ways.

    Raises:
        CorruptLogError: A key occurs twice, or there is a NaN, or it is no JSON at all.
    """
    try:
        # As bytes, other encodings and byte order marks would be understood, too.
        decoded = text if isinstance(text, str) else text.decode()
        json.loads(decoded, object_pairs_hook=_without_twins, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise CorruptLogError(f"{what} is not what this program writes: {error}") from error


def _without_twins(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is set twice")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
