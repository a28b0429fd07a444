"""A disk that forgets: a POSIX file system under the weakest rules it may keep in a crash.

What was not synced may be lost in part: of a file, any end; of a folder's entries, any subset.
ext4 is kinder than that. Every system call is a place where another writer may go on.
"""

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace


@dataclass
class File:
    data: bytes = b""
    synced: int = 0
    links: int = 0


@dataclass
class Folder:
    entries: dict[str, "File | Folder"] = field(default_factory=dict)
    kept: dict[str, "File | Folder"] = field(default_factory=dict)
    pending: list[tuple[str, "File | Folder | None"]] = field(default_factory=list)

    def set(self, name: str, node: "File | Folder | None") -> None:
        if node is None:
            del self.entries[name]
        else:
            self.entries[name] = node
        self.pending.append((name, node))


class Disk:
    """Answers the system calls that `FilesLog` makes, as the `os` module would."""

    def __init__(self, pause: Callable[[], None] = lambda: None) -> None:
        self.root = Folder()
        self.pause = pause
        self._handles: dict[int, list[object]] = {}
        self._next = 3

    def open(self, path: Path, flags: int, _mode: int = 0o777) -> int:
        self.pause()
        folder, name = self._place(path)
        node = folder.entries.get(name) if name else folder
        if node is None and not flags & os.O_CREAT:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        if node is not None and flags & os.O_EXCL:
            raise FileExistsError(errno.EEXIST, "file exists", str(path))
        if node is None:
            node = File(links=1)
            folder.set(name, node)
        self._next += 1
        self._handles[self._next] = [node, 0]
        return self._next

    def write(self, handle: int, data: bytes) -> int:
        self.pause()
        file = self._handles[handle][0]
        half = max(1, len(data) // 2)  # a write may be cut short
        file.data += bytes(data[:half])
        return half

    def read(self, handle: int, size: int) -> bytes:
        file, position = self._handles[handle]
        self._handles[handle][1] += size
        return file.data[position : position + size]

    def fsync(self, handle: int) -> None:
        self.pause()
        node = self._handles[handle][0]
        if isinstance(node, File):
            node.synced = len(node.data)
        else:
            node.kept = dict(node.entries)
            node.pending.clear()

    def close(self, handle: int) -> None:
        del self._handles[handle]

    def link(self, source: Path, target: Path) -> None:
        self.pause()
        folder, name = self._place(target)
        if name in folder.entries:
            raise FileExistsError(errno.EEXIST, "file exists", str(target))
        node = self._node(source)
        node.links += 1
        folder.set(name, node)

    def rename(self, source: Path, target: Path) -> None:
        self.pause()
        node = self._node(source)
        self._place(target)[0].set(self._place(target)[1], node)
        self._place(source)[0].set(self._place(source)[1], None)

    def unlink(self, path: Path) -> None:
        self.pause()
        folder, name = self._place(path)
        self._node(path).links -= 1
        folder.set(name, None)

    def mkdir(self, path: Path) -> None:
        self.pause()
        folder, name = self._place(path)
        if name in folder.entries:
            raise FileExistsError(errno.EEXIST, "file exists", str(path))
        folder.set(name, Folder())

    def listdir(self, path: Path) -> list[str]:
        return list(self._node(path).entries)

    def stat(self, path: Path) -> SimpleNamespace:
        node = self._node(path)
        return SimpleNamespace(st_mtime=2.0**40, st_nlink=getattr(node, "links", 1))

    def crashed(self, choose: random.Random) -> "Disk":
        """Return what may be found after the power failed now."""
        left = Disk()
        seen: dict[int, File | Folder] = {}

        def survive(node: File | Folder) -> File | Folder:
            if id(node) in seen:
                return seen[id(node)]
            if isinstance(node, File):
                size = choose.randint(node.synced, len(node.data))
                copied = seen[id(node)] = File(node.data[:size], size, node.links)
                return copied
            folder = seen[id(node)] = Folder()
            entries = dict(node.kept)
            for name, entry in node.pending:
                if choose.random() < 0.5:
                    entries.pop(name, None)
                    if entry is not None:
                        entries[name] = entry
            folder.entries = {name: survive(entry) for name, entry in entries.items()}
            folder.kept = dict(folder.entries)
            return folder

        left.root = survive(self.root)
        return left

    def _place(self, path: Path) -> tuple[Folder, str]:
        parts = Path(path).parts[1:]
        folder = self.root
        for part in parts[:-1]:
            folder = folder.entries.get(part)
            if not isinstance(folder, Folder):
                raise FileNotFoundError(errno.ENOENT, "no such folder", str(path))
        return folder, parts[-1] if parts else ""

    def _node(self, path: Path) -> "File | Folder":
        folder, name = self._place(path)
        if not name:
            return folder
        if name not in folder.entries:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return folder.entries[name]
