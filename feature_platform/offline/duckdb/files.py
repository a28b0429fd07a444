"""The files of a source, listed once, so one retrieval sees one set of files."""

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from pyarrow import fs

from feature_platform.errors import StoreError
from feature_platform.offline.paths import check_path
from feature_platform.offline.s3 import s3_client
from feature_platform.types.times import microseconds

_WILD = re.compile(r"[*?\[]")
_SETTLED = timedelta(minutes=1)
_SUFFIXES = {"parquet": (".parquet",), "csv": (".csv", ".tsv", ".csv.gz", ".tsv.gz")}


@dataclass(frozen=True)
class Files:
    """The files of one source.

    Attributes:
        paths: Sorted, in the client's form.
        partitions: Columns that folders named `column=value` add.
        client: The file system.
    """

    paths: tuple[str, ...]
    partitions: tuple[str, ...]
    client: fs.FileSystem

    def state(self) -> list[tuple[str, int, int]]:
        """Return path, size and modification time of each file."""
        infos = self.client.get_file_info(list(self.paths))
        return [(info.path, info.size or 0, info.mtime_ns or 0) for info in infos]

    def settled_state(self, now: datetime) -> str:
        """Return a hash of the state; empty if a file changed less than a minute ago.

        Raises:
            OSError: A file is gone.
        """
        state: list[tuple[str, int, int]] = self.state()
        if isinstance(self.client, fs.LocalFileSystem):
            # A file that is moved here, or copied with its times, has a new one in its inode.
            stats = [Path(path).stat() for path in self.paths]
            state += [(str(stat.st_ino), stat.st_dev, stat.st_ctime_ns) for stat in stats]
        latest = max(changed for *_, changed in state) // 1_000
        if latest > microseconds(now - _SETTLED):
            return ""
        return blake2b(repr(state).encode(), digest_size=12).hexdigest()


def list_files(label: str, location: Mapping[str, str], root: Path) -> Files:
    """List the files of a path, glob or folder, local or on S3.

    Raises:
        StoreError: There are none, they cannot be listed, or the path leaves its root.
    """
    if location["path"].startswith("s3://"):
        return s3_files(label, location, s3_client(location["endpoint"]))
    try:
        return local_files(label, location, root)
    except OSError as error:
        raise StoreError(f"Source {label!r} cannot be read: {error.strerror}.") from error


def local_files(label: str, location: Mapping[str, str], root: Path) -> Files:
    """List the files of a local path, glob or directory.

    Raises:
        StoreError: There are none, or the path leaves its root.
    """
    path = location["path"].removeprefix("file://")
    check_path(label, path, root)
    base = root / path
    hint = f" Relative paths start at {root}." if not PurePosixPath(path).is_absolute() else ""
    if _WILD.search(path) and not base.exists():
        matches = glob.glob(path, root_dir=root, recursive=True)  # noqa: PTH207 - root is no pattern
        start = root / _before_wild(path)
        below = [root / name for name in matches]
        paths = [str(p) for p in below if p.is_file() and not _hidden(p.relative_to(start))]
        fixed = str(start)
    elif base.is_dir():
        if (base / "_delta_log").exists():
            raise StoreError(
                f"Source {label!r} cannot be read: {base} is a Delta table, whose files also "
                'contain deleted rows. Set file_format="delta".'
            )
        inside = (p.relative_to(base) for p in base.rglob("*"))
        selected = [p for p in inside if p.name.lower().endswith(_SUFFIXES[location["format"]])]
        paths = [str(base / p) for p in selected if not _hidden(p) and (base / p).is_file()]
        fixed = str(base)
    else:
        paths = [str(base)] if base.is_file() else []
        fixed = str(base)
    if not paths:
        raise StoreError(f"Source {label!r} cannot be read: no files at {base}.{hint}")
    return _files(label, paths, fixed, fs.LocalFileSystem())


def s3_files(label: str, location: Mapping[str, str], client: fs.FileSystem) -> Files:
    """List the files of an `s3://` path, glob or prefix.

    Raises:
        StoreError: There are none, or they cannot be listed.
    """
    path = location["path"].removeprefix("s3://")
    check_path(label, path)
    fixed = _before_wild(path) if _WILD.search(path) else path.rstrip("/")
    try:
        here = client.get_file_info(fixed)
        if here.is_file:
            return _files(label, [fixed], fixed, client)
        infos = client.get_file_info(fs.FileSelector(fixed, recursive=True, allow_not_found=True))
    except OSError as error:
        reason = " ".join(str(error).split())
        raise StoreError(f"Source {label!r}: cannot read s3://{path}: {reason}") from error
    names = [info.path for info in infos if info.is_file]
    if _WILD.search(path):
        pattern = re.compile(_pattern(path))
        selected = [name for name in names if pattern.fullmatch(name)]
    else:
        selected = [name for name in names if name.lower().endswith(_SUFFIXES[location["format"]])]
    paths = [n for n in selected if not _hidden(PurePosixPath(n.removeprefix(fixed).lstrip("/")))]
    if not paths:
        raise StoreError(f"Source {label!r}: cannot read s3://{path}: there are no files.")
    return _files(label, paths, fixed, client)


def _files(label: str, paths: list[str], fixed: str, client: fs.FileSystem) -> Files:
    folders = [PurePosixPath(path.removeprefix(fixed)).parent.parts for path in paths]
    names = {tuple(part.partition("=")[0] for part in parts if "=" in part) for parts in folders}
    if len(names) > 1:
        raise StoreError(
            f"Source {label!r} cannot be read: files under {fixed} use different partition "
            f"layouts ({', '.join(sorted('/'.join(n) or 'none' for n in names))}); "
            "all must use the same one."
        )
    [partitions] = names
    if partitions and "=" in fixed:
        raise StoreError(
            f"Source {label!r} cannot be read: {fixed} has a folder named column=value above the "
            "source, which would be read as a column."
        )
    return Files(tuple(sorted(paths)), partitions, client)


def literal_path(path: str) -> str:
    """Return a local path with DuckDB's wildcards escaped."""
    return path if "://" in path else re.sub(r"([*?\[])", r"[\1]", path)


def _hidden(path: PurePosixPath | Path) -> bool:
    """Return whether a file or its folder is marked as not data: `_SUCCESS`, `_temporary/`."""
    return any(part.startswith(("_", ".")) and "=" not in part for part in path.parts)


def _before_wild(path: str) -> str:
    parts = PurePosixPath(path).parts
    fixed = next(i for i, part in enumerate(parts) if _WILD.search(part))
    return str(PurePosixPath(*parts[:fixed]))


def _pattern(path: str) -> str:
    """Return the regular expression of a glob whose `*` matches within one folder."""
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", path)
    means = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        means.get(piece) or (piece if piece.startswith("[") else re.escape(piece))
        for piece in pieces
    )
