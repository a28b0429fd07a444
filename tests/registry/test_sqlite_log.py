"""What only the SQLite log does."""

import sqlite3
from pathlib import Path

import pytest
from tests_support import raises

from feature_platform.errors import BusyError, StoreError
from feature_platform.registry import SqliteLog


def test_it_refuses_to_change_history(tmp_path: Path) -> None:
    SqliteLog(tmp_path / "r.db").append(1, "a", b"first")

    db = sqlite3.connect(tmp_path / "r.db")
    for statement in ("update commits set body = 'x'", "delete from commits"):
        with pytest.raises(sqlite3.IntegrityError) as caught:
            db.execute(statement)
        assert caught.value.sqlite_errorname == "SQLITE_CONSTRAINT_TRIGGER"
    db.close()
    assert SqliteLog(tmp_path / "r.db").read(0) == [b"first"]


def test_a_commit_id_is_stored_once(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "r.db")
    log.append(1, "a", b"first")

    with raises(StoreError, tmp_path / "r.db", "commits.commit_id"):
        log.append(2, "a", b"again")
    assert log.read(0) == [b"first"]


def test_a_file_that_is_no_registry_is_named(tmp_path: Path) -> None:
    (tmp_path / "registry.pb").write_bytes(b"\x0a\x07not sqlite" * 100)

    with raises(StoreError, tmp_path / "registry.pb") as caught:
        SqliteLog(tmp_path / "registry.pb").read(0)
    assert caught.type is StoreError
    assert caught.value.__cause__.sqlite_errorname == "SQLITE_NOTADB"


def test_a_lock_that_is_held_too_long_is_an_error_to_retry(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "r.db", busy_seconds=0.1)
    log.append(1, "a", b"first")
    holder = sqlite3.connect(tmp_path / "r.db", isolation_level=None)
    holder.execute("begin immediate")

    with raises(BusyError, tmp_path / "r.db") as caught:
        log.append(2, "b", b"second")
    assert caught.value.__cause__.sqlite_errorname == "SQLITE_BUSY"
    assert caught.value.retryable
    holder.close()
    assert log.append(2, "b", b"second")
