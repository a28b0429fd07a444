"""Files of results and entity rows: local, or on S3."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from feature_platform.errors import RequestError, StoreError, first_line
from feature_platform.offline.paths import scheme_of


@dataclass(frozen=True)
class Location:
    """A file or folder, local or on S3; see `Location.parse`.

    Attributes:
        client: The file system, of `pyarrow.fs`.
        path: The path there.
    """

    client: Any
    path: str

    @classmethod
    def parse(cls, path: object, label: str, root: Path | None = None) -> "Location":
        """Return the location of a local path or an `s3://bucket/key`.

        Args:
            path: The path.
            label: Name of the argument, for messages.
            root: Where relative paths start; the working directory by default.

        Raises:
            RequestError: It is neither.
        """
        from pyarrow import fs

        from feature_platform.offline.s3 import s3_client

        if not isinstance(path, (str, os.PathLike)) or "\0" in (text := os.fspath(path)):
            raise RequestError(f"{label}: {path!r} is not a path.")
        scheme = scheme_of(text)
        if scheme not in {"", "s3"}:
            raise RequestError(f"{label}: {text!r} is on {scheme}://. Use a local path or s3://.")
        if not scheme:
            local = Path(text.removeprefix("file://"))
            return cls(fs.LocalFileSystem(), str(root / local if root else local))
        bucket, _, key = text.partition("://")[2].rstrip("/").partition("/")
        if not bucket or not key or "@" in bucket or "" in key.split("/"):
            raise RequestError(f"{label}: it is not an S3 address. Write s3://bucket/key.")
        return cls(s3_client(""), f"{bucket}/{key}")

    @property
    def is_local(self) -> bool:
        return bool(self.client.type_name == "local")

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    def result(self) -> Path | str:
        """Return a `Path`, or the address on S3."""
        return Path(self.path) if self.is_local else f"s3://{self.path}"

    def exists(self) -> bool:
        """Return whether there is a file, or a folder, even an empty one.

        Raises:
            StoreError: S3 cannot be read.
        """
        return self.is_file() or self.is_folder()

    def reading(self) -> Any:
        """Open a file to read its bytes.

        Raises:
            OSError: It does not exist, or cannot be read.
        """
        return self.client.open_input_stream(self.path)

    def is_file(self) -> bool:
        with _translated(self):
            return bool(self.client.get_file_info(self.path).is_file)

    def is_folder(self) -> bool:
        from pyarrow import fs

        with _translated(self):
            return bool(self.client.get_file_info(self.path).type == fs.FileType.Directory)

    def files(self) -> list[str]:
        """Return the paths in a folder."""
        from pyarrow import fs

        with _translated(self):
            selector = fs.FileSelector(self.path, allow_not_found=True)
            return [info.path for info in self.client.get_file_info(selector)]

    def __truediv__(self, name: str) -> "Location":
        return Location(self.client, f"{self.path}/{name}")

    def __str__(self) -> str:
        return str(self.result())

    @contextmanager
    def replacing(self) -> Iterator[Path]:
        """Yield a local path to write; the file or folder appears here once it is complete.

        On S3 the files of a folder appear one by one, in order of their names but those that
        start with an underscore last; if one fails, those before it are deleted.

        Raises:
            OSError: A local target cannot be replaced.
            RequestError: It is a device or a pipe.
            StoreError: S3 cannot be written.
        """
        if self.is_local:
            target = Path(self.path)
            if target.exists() and not (target.is_file() or target.is_dir()):
                raise RequestError(f"{target} is a device or a pipe, not a file.")
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            try:
                yield unfinished
                os.replace(unfinished, target)  # noqa: PTH105 - atomic, also over an existing file
            finally:
                _remove(unfinished)
            return
        with tempfile.TemporaryDirectory() as folder:
            unfinished = Path(folder) / self.name
            yield unfinished
            self._upload(unfinished)

    def _upload(self, source: Path) -> None:
        from pyarrow import ArrowException, fs

        files = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
        files.sort(key=lambda file: file.name.startswith("_"))
        uploaded = []
        with _translated(self):
            try:
                for file in files:
                    relative = file.relative_to(source).as_posix()
                    target = self.path if file == source else f"{self.path}/{relative}"
                    uploaded.append(target)
                    fs.copy_files(str(file), target, fs.LocalFileSystem(), self.client)
            except (OSError, ArrowException):
                for target in uploaded[:-1]:
                    self.client.delete_file(target)
                raise


@contextmanager
def _translated(location: Location) -> Iterator[None]:
    """Turn errors of S3 into ours."""
    from pyarrow import ArrowException

    try:
        yield
    except (OSError, ArrowException) as error:
        if location.is_local:
            raise
        raise StoreError(f"{location} cannot be used: {first_line(error)}.") from error


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
