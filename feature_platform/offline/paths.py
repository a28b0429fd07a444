"""Paths of sources."""

import os
import re
from pathlib import Path, PurePosixPath

from feature_platform.errors import StoreError

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/")


def check_path(label: str, path: str, root: Path | None = None) -> None:
    """Refuse paths that leave the checkout of their root.

    Args:
        label: The source.
        path: Its path.
        root: The folder where local paths start; `None` for paths that do not start at a folder.

    Raises:
        StoreError: The path leaves the Git checkout that the root is in, or its root if that is in
            none, with `..`, or contains a zero byte.
    """
    if "\0" not in path and ".." not in PurePosixPath(path).parts:
        return
    checkout = _checkout(root) if root is not None and "\0" not in path else None
    if root is None or checkout is None or not _is_inside(root.resolve() / path, checkout):
        reason = f"leaves {checkout} with '..'" if checkout else "contains '..' or a zero byte"
        raise StoreError(
            f"Source {label!r} cannot be read: its path {path!r} {reason}. Use an absolute path, "
            "or one below the offline store's root."
        )


def _checkout(root: Path) -> Path:
    """Return the Git checkout that a folder is in; the folder itself if it is in none."""
    folder = root.resolve()
    return next((f for f in (folder, *folder.parents) if (f / ".git").exists()), folder)


def _is_inside(path: Path, folder: Path) -> bool:
    return Path(os.path.normpath(path.absolute())).is_relative_to(folder)


def scheme_of(path: str) -> str:
    """Return the scheme of a URL, such as `s3`; empty for local paths, also as `file://`."""
    match = _SCHEME.match(path)
    return "" if match is None or match[1].lower() == "file" else match[1].lower()
