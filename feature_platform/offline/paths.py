"""Paths of sources, targets and entity rows."""

import os
import re
from pathlib import Path, PurePosixPath

from feature_platform.errors import RequestError, StoreError

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


def local_path(path: str | Path, label: str) -> Path:
    """Return a path that results are written to, or entity rows read from.

    Raises:
        RequestError: It is not local, or not a path.
    """
    if not isinstance(path, (str, os.PathLike)) or "\0" in (text := os.fspath(path)):
        raise RequestError(f"{label}: {path!r} is not a path.")
    if scheme := scheme_of(text):
        raise RequestError(
            f"{label}: {text!r} is on {scheme}://, and only local paths can be used here. Use a "
            "local path, and copy the files with the store's own tools."
        )
    return Path(text.removeprefix("file://"))
