"""What every registry backend does, tested against each of them."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests_support import raises

from feature_platform.errors import ConfigError
from feature_platform.registry import CommitLog, FilesLog, SqliteLog, open_log


def test_an_empty_log_reads_empty(log: CommitLog) -> None:
    assert log.read(0) == []
    assert log.last() == 0
    assert log.checkpoint() is None


def test_the_time_is_that_of_one_clock(log: CommitLog) -> None:
    log.append(1, "a", b"first")
    assert abs(log.time() - datetime.now(UTC)) < timedelta(minutes=1)


def test_records_come_back_in_order(log: CommitLog) -> None:
    for number in (1, 2, 3):
        assert log.append(number, f"id{number}", b"record %d" % number)

    assert log.read(0) == [b"record 1", b"record 2", b"record 3"]
    assert log.read(2) == [b"record 3"]
    assert log.read(3) == []
    assert log.read(0, 2) == [b"record 1", b"record 2"]
    assert log.read(1, 1) == [b"record 2"]
    assert log.read(1, 0) == []
    assert log.last() == 3
    assert log.last(7) == 7


def test_a_long_log_is_read_whole(log: CommitLog) -> None:
    records = [b"record %d" % number for number in range(1, 71)]
    for number, record in enumerate(records, 1):
        log.append(number, f"id{number}", record)

    assert log.read(0) == records
    assert log.read(30, 37) == records[30:67]


def test_a_number_is_taken_once(log: CommitLog) -> None:
    log.append(1, "a", b"first")

    assert not log.append(1, "b", b"second")
    assert log.read(0) == [b"first"]


def test_an_append_that_is_repeated_is_stored_once_and_said_to_be(log: CommitLog) -> None:
    assert log.append(1, "a", b"first")
    assert log.append(1, "a", b"first")
    log.append(2, "b", b"second")

    assert log.append(1, "a", b"first")
    assert log.read(0) == [b"first", b"second"]


def test_no_number_is_left_out(log: CommitLog) -> None:
    log.append(1, "a", b"first")

    assert not log.append(3, "c", b"third")
    assert log.read(0) == [b"first"]
    assert log.last() == 1


def test_bytes_come_back_as_they_are(log: CommitLog) -> None:
    record = bytes(range(256)) * 4096

    assert log.append(1, "a", record)
    assert log.read(0) == [record]


def test_checkpoints_are_found_by_number(log: CommitLog) -> None:
    for number in (50, 100, 150):
        log.keep(number, b"state %d" % number)
    log.keep(100, b"another")

    assert log.checkpoint() == b"state 150"
    assert log.checkpoint(149) == b"state 100"
    assert log.checkpoint(100) == b"state 100"
    assert log.checkpoint(49) is None
    assert log.read(0) == []


def test_of_many_writers_of_one_number_one_wins(log: CommitLog) -> None:
    barrier = threading.Barrier(8)

    def write(writer: int) -> bool:
        barrier.wait()
        return log.append(1, f"id{writer}", b"by %d" % writer)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))

    assert won.count(True) == 1
    assert log.read(0) == [b"by %d" % won.index(True)]


def test_a_log_is_shared_with_forked_processes(log_url: str, tmp_path: Path) -> None:
    log = open_log(log_url, tmp_path)
    log.append(1, "a", b"first")
    child = os.fork()
    if child == 0:
        os._exit(0 if log.append(2, "b", b"second") and log.read(0)[0] == b"first" else 1)

    assert os.waitpid(child, 0)[1] == 0
    assert log.read(0) == [b"first", b"second"]


def test_the_url_chooses_the_backend(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    assert isinstance(open_log("data/registry.db", tmp_path), SqliteLog)
    assert str(open_log("sqlite:///registry.db", tmp_path)) == f"{tmp_path}/registry.db"
    assert str(open_log("sqlite:////elsewhere/r.db", tmp_path)) == "/elsewhere/r.db"
    assert str(open_log("~/r.db", tmp_path)) == f"{Path.home()}/r.db"
    assert isinstance(open_log("registry/", tmp_path), FilesLog)
    assert isinstance(open_log("folder", tmp_path), FilesLog)
    assert str(open_log("files:///shared/registry", tmp_path)) == "/shared/registry/"
    assert str(open_log("postgres://u:secret@h:5/d?x=1", tmp_path)) == "postgresql://h:5/d"
    assert str(open_log("postgresql+psycopg://u:secret@h/d", tmp_path)) == "postgresql://h/d"
    assert str(open_log("s3://bucket/a/b", tmp_path)) == "s3://bucket/a/b/"


@pytest.mark.parametrize(
    "url",
    ["", ".", "./", "sqlite://", "sqlite:data/r.db", "files:reg", "C:\\data\\r.db", "r.db?mode=ro",
     "a\0b.db", "files://relative"],
)  # fmt: skip
def test_what_would_quietly_be_another_registry_is_refused(tmp_path: Path, url: str) -> None:
    with raises(ConfigError, "registry", repr(url)):
        open_log(url, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unknown_url_lists_the_known_ones(tmp_path: Path) -> None:
    urls = ("sqlite:///", "files:///", "postgresql://", "s3://bucket/prefix")
    with raises(ConfigError, "registry", "gs://", *urls):
        open_log("gs://bucket/registry.db", tmp_path)
    with raises(ConfigError, "registry", "s3:///registry.db", "s3://bucket/prefix"):
        open_log("s3:///registry.db", tmp_path)
    with raises(ConfigError, "registry", "@", "%40"):
        open_log("postgresql://u:p@ss@host/d", tmp_path)
