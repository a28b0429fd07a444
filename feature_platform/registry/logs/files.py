"""A log in a folder, with a file per commit, for shared POSIX file systems."""

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

    Records are written and synced to `_tmp` first, so readers never see partial records. The folder
    is synced before the link, because the parent commit may be visible but not yet on disk, and
    after the link, before the commit is acknowledged. Leftovers of crashes in `_tmp` are ignored
    and deleted after a day.

    Args:
        path: The folder.
        system: Module for system calls; tests inject failures.
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
        with self._convert_errors("read"):
            while limit is None or len(records) < limit:
                record = self._read(_file(self._log, after + len(records) + 1))
                if record is None:
                    break
                records.append(record)
        return records

    def append(self, number: int, commit_id: str, record: bytes) -> bool:
        with self._convert_errors("written"):
            self._prepare()
            if number > 1 and self._read(_file(self._log, number - 1)) is None:
                return False
            temporary = self._write(commit_id, record)
        try:
            with self._convert_errors("written"):
                self._sync(self._log)
            return self._link(temporary, number, record)
        finally:
            with suppress(OSError):
                self._os.unlink(temporary)

    def last(self, after: int = 0) -> int:
        with self._convert_errors("read"):
            try:
                names = self._os.listdir(self._log)
            except FileNotFoundError:
                return after
        return max([after, *(int(name[:20]) for name in names if _NUMBERED.fullmatch(name))])

    def checkpoint(self, upto: int = LAST) -> bytes | None:
        with self._convert_errors("read"):
            try:
                names = self._os.listdir(self._checkpoints)
            except FileNotFoundError:
                return None
            newest = _file(self._checkpoints, upto).name
            usable = [name for name in names if _NUMBERED.fullmatch(name) and name <= newest]
            return self._read(self._checkpoints / max(usable)) if usable else None

    def keep(self, number: int, checkpoint: bytes) -> None:
        with self._convert_errors("written"):
            self._prepare()
            temporary = self._write("checkpoint", checkpoint)
            try:
                with suppress(FileExistsError):
                    self._os.link(temporary, _file(self._checkpoints, number))
            finally:
                self._os.unlink(temporary)

    def _link(self, temporary: Path, number: int, record: bytes) -> bool:
        target = _file(self._log, number)
        try:
            self._os.link(temporary, target)
        except OSError as error:  # a network file system may have created the link anyway
            try:
                stored = self._read(target)
            except OSError as unread:
                raise UnknownOutcomeError(
                    f"Registry {self}: commit {number} may or may not have been written: {unread}. "
                    "Fix the disk, then apply again; this is safe."
                ) from unread
            if stored is None:
                raise self._error("written", error) from error
            if stored != record:
                return False
        try:
            self._sync(self._log)
        except OSError as error:
            raise UnknownOutcomeError(
                f"Registry {self}: commit {number} was written, but may not survive a power loss: "
                f"{error}. Fix the disk, then apply again; this is safe."
            ) from error
        return True

    def _prepare(self) -> None:
        """Create the folders and check that hard links never replace files."""
        if self._ready:
            return
        for folder in (self._log, self._tmp, self._checkpoints):
            self._create_folder(folder)
        self._delete_leftovers()
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
                "could overwrite each other. Use a local disk, NFS, or another registry backend."
            ) from error
        else:
            message = f"Registry {self}: hard links of this file system replace files."
            raise StoreError(f"{message} Use a local disk, NFS, or another registry backend.")
        finally:
            self._os.unlink(probe)

    def _create_folder(self, folder: Path) -> None:
        """Create a folder and sync it, even if it exists: its creator may not have synced it."""
        if folder == folder.parent:
            return
        self._create_folder(folder.parent)
        if not _exists(self._os, folder):
            with suppress(FileExistsError):
                self._os.mkdir(folder)
        with suppress(PermissionError):  # a system folder that this user cannot open
            self._sync(folder.parent)

    def _delete_leftovers(self) -> None:
        for name in self._os.listdir(self._tmp):
            with suppress(OSError):  # another process may have deleted it
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
    def _convert_errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._error(action, error) from error

    def _error(self, action: str, error: OSError) -> StoreError:
        return StoreError(
            f"Registry {self} cannot be {action}: {error}. Check the disk and the permissions."
        )


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:020d}.json"


def _exists(system: Any, path: Path) -> bool:
    try:
        system.stat(path)
    except FileNotFoundError:
        return False
    return True
