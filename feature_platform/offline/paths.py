"""Which paths sources may use."""

from pathlib import PurePosixPath

from feature_platform.errors import StoreError


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
