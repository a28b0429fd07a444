"""S3 for DuckDB without its downloadable extension: pyarrow's client behind fsspec's interface."""

import threading
from collections.abc import Callable
from typing import Any

from fsspec.spec import AbstractFileSystem
from pyarrow import fs


class ArrowFiles(AbstractFileSystem):  # type: ignore[misc]
    """Files that several of DuckDB's threads read through one handle.

    Args:
        protocol: Scheme of the URLs, such as `s3a0`.
        client: Opens the rest of a URL.
        count: Callback with the number of bytes of each read.
    """

    cachable = False

    def __init__(self, protocol: str, client: fs.FileSystem, count: Callable[[int], None]) -> None:
        self.protocol = protocol
        self._client = client
        self._count = count
        super().__init__()

    def _key(self, path: str) -> str:
        return path.removeprefix(f"{self.protocol}://")

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        file = self._client.get_file_info(self._key(path))
        kind = "file" if file.is_file else "directory"
        return {"name": path, "size": file.size, "type": kind, "mtime": file.mtime}

    def exists(self, path: str, **_: Any) -> bool:
        return bool(self._client.get_file_info(self._key(path)).is_file)

    def modified(self, path: str) -> Any:
        return self.info(path)["mtime"]

    def glob(self, path: str, **_: Any) -> list[str]:
        return [path]

    def open(self, path: str, *_: Any, **__: Any) -> "_SharedFile":
        return _SharedFile(self._client.open_input_file(self._key(path)), self._count)


class _SharedFile:
    """A file with one position per thread: DuckDB's threads seek and read concurrently."""

    def __init__(self, file: Any, count: Callable[[int], None]) -> None:
        self._file = file
        self._count = count
        self._size = file.size()
        self._here = threading.local()
        self._here.position = 0
        self.closed = False

    def seek(self, offset: int, whence: int = 0) -> int:
        start = (0, getattr(self._here, "position", 0), self._size)[whence]
        self._here.position = start + offset
        return int(self._here.position)

    def tell(self) -> int:
        return int(self._here.position)

    def read(self, size: int = -1) -> bytes:
        if not hasattr(self._here, "position"):  # it would be a guess where to go on
            raise OSError("a thread has to seek before it reads a shared file")
        position = self._here.position
        length = self._size - position if size < 0 else size
        content: bytes = self._file.read_at(length, position)
        self._here.position = position + len(content)
        self._count(len(content))
        return content

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        self.closed = True
