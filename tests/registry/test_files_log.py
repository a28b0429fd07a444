"""What only the files log does: links, leftovers, and file systems that cannot."""

import errno
import os
import time
from pathlib import Path
from typing import Any

from tests_support import assert_names, raises

from feature_platform.errors import StoreError, UnknownOutcomeError
from feature_platform.registry import FilesLog


class System:
    """The `os` module with another `link`."""

    def __init__(self, link: Any) -> None:
        self.link = link

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def no_links(*_: Any) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_a_file_system_without_hard_links_is_refused(tmp_path: Path) -> None:
    with raises(StoreError, tmp_path / "r", "Operation not permitted") as caught:
        FilesLog(tmp_path / "r", System(no_links)).append(1, "a", b"x")
    assert isinstance(caught.value.__cause__, PermissionError)
    assert FilesLog(tmp_path / "r").read(0) == []


def test_a_file_system_whose_links_replace_files_is_refused(tmp_path: Path) -> None:
    def replacing(source: Path, target: Path) -> None:
        Path(target).unlink(missing_ok=True)
        os.link(source, target)

    with raises(StoreError, tmp_path / "r") as caught:
        FilesLog(tmp_path / "r", System(replacing)).append(1, "a", b"x")
    assert caught.value.__cause__ is None  # no call failed: it is what links do there
    assert FilesLog(tmp_path / "r").read(0) == []


def test_a_link_that_was_made_though_the_call_failed_counts(tmp_path: Path) -> None:
    """NFS may do that; what is stored decides."""

    def lossy(source: Path, target: Path) -> None:
        os.link(source, target)
        raise OSError(errno.EIO, "lost the answer")

    log = FilesLog(tmp_path / "r")
    log.append(1, "a", b"first")
    log._os = System(lossy)

    assert log.append(2, "b", b"second")
    assert log.read(0) == [b"first", b"second"]


def test_a_link_that_nobody_can_look_up_is_of_unknown_outcome(tmp_path: Path) -> None:
    class Dead(System):
        dead = False

        def open(self, *arguments: Any) -> int:
            if self.dead:
                raise OSError(errno.EIO, "the server went away")
            return os.open(*arguments)

    def lossy(source: Path, target: Path) -> None:
        os.link(source, target)
        system.dead = True
        raise OSError(errno.EIO, "lost the answer")

    log = FilesLog(tmp_path / "r")
    log.append(1, "a", b"first")
    system = log._os = Dead(lossy)

    with raises(UnknownOutcomeError, tmp_path / "r", "the server went away") as caught:
        log.append(2, "b", b"second")
    assert_names(caught.value, 2)
    again = FilesLog(tmp_path / "r")
    assert again.append(2, "b", b"second")
    assert again.read(0) == [b"first", b"second"]


def test_what_a_crash_left_is_ignored_and_swept_after_a_day(tmp_path: Path) -> None:
    FilesLog(tmp_path / "r").append(1, "a", b"first")
    leftovers = [tmp_path / "r" / "_tmp" / name for name in ("old", "new")]
    for path in leftovers:
        path.write_bytes(b"half a comm")
    day_ago = time.time() - 90_000
    os.utime(leftovers[0], (day_ago, day_ago))
    log = FilesLog(tmp_path / "r")
    log.append(2, "b", b"second")

    assert [path.exists() for path in leftovers] == [False, True]
    assert sorted(p.name for p in (tmp_path / "r" / "_tmp").iterdir()) == ["new"]
    assert log.read(0) == [b"first", b"second"]


def test_other_files_in_the_folder_do_no_harm(tmp_path: Path) -> None:
    log = FilesLog(tmp_path / "r")
    log.append(1, "a", b"first")
    log.keep(1, b"state")
    for folder in ("_log", "_checkpoints"):
        (tmp_path / "r" / folder / ".nfs0001").write_bytes(b"x")
        (tmp_path / "r" / folder / "zzz.json").write_bytes(b"x")

    assert log.last() == 1
    assert log.checkpoint() == b"state"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with raises(StoreError, f"{tmp_path}/file/r/", "Not a directory") as caught:
        FilesLog(tmp_path / "file" / "r").append(1, "a", b"x")
    assert isinstance(caught.value.__cause__, NotADirectoryError)


def test_files_are_not_for_everybody(tmp_path: Path) -> None:
    FilesLog(tmp_path / "r").append(1, "a", b"x")

    mode = (tmp_path / "r" / "_log" / f"{1:020d}.json").stat().st_mode
    assert mode & 0o007 == 0
