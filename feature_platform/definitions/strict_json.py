"""Strict JSON: text that all parsers read alike."""

import json
from typing import Any


def check_strict(text: bytes | str) -> None:
    """Refuse JSON that parsers could read differently.

    Raises:
        ValueError: A key occurs twice, a number is not finite, or the text is not JSON in UTF-8.
    """
    # Given bytes, json.loads would also accept other encodings and byte order marks.
    decoded = text if isinstance(text, str) else text.decode()
    try:
        json.loads(decoded, object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError(f"it is nested too deeply: {error}") from error


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        names = [name for name, _ in pairs]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {duplicate!r} occurs twice")


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
