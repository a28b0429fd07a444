"""Log in a folder of a POSIX file system, with one file per commit."""

import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from feature_platform.errors import StoreError, UnknownOutcomeError
from feature_platform.registry.logs.base import LAST, CommitLog

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_CHUNK = 1 << 20
_ORPHAN_SECONDS = 86_400
_PROBE = 0
_NUMBERED = re.compile(r"[0-9]{20}\.json")


class FilesLog(CommitLog):
    """Files `_log/<20 digits>.json`, created by hard links, which never replace a file.

    A record is written and synced under another name first, so nobody ever sees half of it. The
    folder is synced before the link, because the commit that this one builds on may be visible
    and not yet on disk; and after it, before the commit is acknowledged. What a crash leaves in
    `_tmp` is ignored, and removed after a day.

    Args:
        path: The folder.
        system: System calls, which tests replace.
    """

    def __init__(self, path: Path, system: ModuleType | Any = os) -> None:
        self._path = path
        self._log = path / "_log"
        self._checkpoints = path / "_checkpoints"
        self._tmp = path / "_tmp"
        self._os = system
        self._ready = False

    def __str__(self) -> str:
        return f"{self._path}/"

    def read(self, after: int, limit: int | None = None) -> list[bytes]:
        records: list[bytes] = []
        with self._failing("read"):
            while limit is None or len(records) < limit:
                record = self._read(_file(self._log, after + len(records) + 1))
                if record is None:
                    break
                records.append(record)
        return records

    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        with self._failing("written"):
            self._prepare()
            if number > 1 and self._read(_file(self._log, number - 1)) is None:
                return False
            written = self._write(commit_id, record)
        try:
            with self._failing("written"):
                self._sync(self._log)
            return self._link(written, number, record)
        finally:
            with suppress(OSError):
                self._os.unlink(written)

    def last(self, after: int = 0) -> int:
        with self._failing("read"):
            try:
                names = self._os.listdir(self._log)
            except FileNotFoundError:
                return after
        return max([after, *(int(name[:20]) for name in names if _NUMBERED.fullmatch(name))])

    def checkpoint(self, upto: int = LAST) -> bytes | None:
        with self._failing("read"):
            try:
                names = self._os.listdir(self._checkpoints)
            except FileNotFoundError:
                return None
            newest = _file(self._checkpoints, upto).name
            usable = [name for name in names if _NUMBERED.fullmatch(name) and name <= newest]
            return self._read(self._checkpoints / max(usable)) if usable else None

    def keep(self, number: int, checkpoint: bytes) -> None:
        with self._failing("written"):
            self._prepare()
            written = self._write("checkpoint", checkpoint)
            try:
                with suppress(FileExistsError):
                    self._os.link(written, _file(self._checkpoints, number))
            finally:
                self._os.unlink(written)

    def _link(self, written: Path, number: int, record: bytes) -> bool:
        target = _file(self._log, number)
        try:
            self._os.link(written, target)
        except OSError as error:  # A network file system may have made the link all the same.
            try:
                stored = self._read(target)
            except OSError as unread:
                raise UnknownOutcomeError(
                    f"Registry {self}: the outcome of commit {number} was written: "
                    f"{unread}. Apply again when the disk works."
                ) from unread
            if stored is None:
                raise StoreError(f"Registry {self} cannot be written: {error}.") from error
            if stored != record:
                return False
        try:
            self._sync(self._log)
        except OSError as error:
            raise UnknownOutcomeError(
                f"Registry {self}: commit {number} is written but not synced to disk: "
                f"{error}. Apply again when the disk works."
            ) from error
        return True

    def _prepare(self) -> None:
        """Create the folders, and check that hard links do not replace files."""
        if self._ready:
            return
        for folder in (self._log, self._tmp, self._checkpoints):
            self._make(folder)
        self._sweep()
        probe = self._write("probe", b"A commit log of feature_platform starts at number 1.")
        try:
            with suppress(FileExistsError):
                self._os.link(probe, _file(self._log, _PROBE))
            self._os.link(probe, _file(self._log, _PROBE))
        except FileExistsError:
            self._ready = True
        except OSError as error:
            raise StoreError(
                f"Registry {self}: this file system has no hard links ({error}), so two writers "
                "could overwrite each other. Use a local disk, NFS or another registry backend."
            ) from error
        else:
            raise StoreError(
                f"Registry {self}: hard links replace files on this file system. Use another "
                "registry backend."
            )
        finally:
            self._os.unlink(probe)

    def _make(self, folder: Path) -> None:
        """Create and sync a folder, even if another process created it."""
        if folder == folder.parent:
            return
        self._make(folder.parent)
        if not _exists(self._os, folder):
            with suppress(FileExistsError):
                self._os.mkdir(folder)
        with suppress(PermissionError):  # a folder far above, which is not ours to sync
            self._sync(folder.parent)

    def _sweep(self) -> None:
        for name in self._os.listdir(self._tmp):
            with suppress(OSError):  # another process may be sweeping as well
                age = time.time() - self._os.stat(self._tmp / name).st_mtime
                if age > _ORPHAN_SECONDS:
                    self._os.unlink(self._tmp / name)

    def _write(self, label: str, content: bytes) -> Path:
        path = self._tmp / f"{label}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        handle = self._os.open(path, _NEW, 0o640)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[self._os.write(handle, rest) :]
            self._os.fsync(handle)
        except OSError:
            with suppress(OSError):
                self._os.unlink(path)
            raise
        finally:
            self._os.close(handle)
        return path

    def _read(self, path: Path) -> bytes | None:
        try:
            handle = self._os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return b"".join(iter(lambda: self._os.read(handle, _CHUNK), b""))
        finally:
            self._os.close(handle)

    def _sync(self, folder: Path) -> None:
        handle = self._os.open(folder, os.O_RDONLY)
        try:
            self._os.fsync(handle)
        finally:
            self._os.close(handle)

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(f"Registry {self} cannot be {what}: {error}.") from error


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:020d}.json"


def _exists(system: Any, path: Path) -> bool:
    try:
        system.stat(path)
    except FileNotFoundError:
        return False
    return True
