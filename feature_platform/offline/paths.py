"""Paths of sources."""

import re
from pathlib import PurePosixPath

from feature_platform.errors import StoreError

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/")


def check_path(label: str, path: str) -> None:
    """Refuse paths that leave their root.

    Raises:
        StoreError: The path contains `..` or a zero byte.
    """
    if ".." in PurePosixPath(path).parts or "\0" in path:
        raise StoreError(
            f"Source {label!r} cannot be read: its path {path!r} contains '..' or a zero byte. Use "
            "an absolute path, or one relative to the offline store's root."
        )


def scheme_of(path: str) -> str:
    """Return the scheme of a URL, such as `s3`; empty for local paths, also as `file://`."""
    match = _SCHEME.match(path)
    return "" if match is None or match[1].lower() == "file" else match[1].lower()
