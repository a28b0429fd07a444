"""Which paths a source may have."""

from pathlib import PurePosixPath

from feature_platform.errors import StoreError


def check_path(label: str, path: str) -> None:
    """Refuse paths that climb out of where they start.

    Raises:
        StoreError: The path has a part `..`, or a zero byte.
    """
    if ".." in PurePosixPath(path).parts or "\0" in path:
        raise StoreError(
            f"Source {label!r} cannot be read: its path {path!r} holds '..' or a zero byte. Write "
            "it without, relative to the offline store's root or absolute."
        )
