"""What every registry backend does, tested against each of them."""

from pathlib import Path
from typing import Any

import pytest

from feature_platform.errors import ConfigError, StoreError, UnknownOutcomeError
from feature_platform.registry import CommitLog, MemoryLog, SqliteLog, open_log
from feature_platform.registry.logs.s3 import S3Log


@pytest.fixture(params=["memory", "sqlite", "s3"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> CommitLog:
    if request.param == "memory":
        return MemoryLog()
    if request.param == "sqlite":
        return SqliteLog(tmp_path / "deep" / "registry.db")
    client = request.getfixturevalue("s3")
    client.create_bucket(Bucket=f"b-{tmp_path.name.replace('_', '-').lower()[:40]}".rstrip("-"))
    return S3Log(f"b-{tmp_path.name.replace('_', '-').lower()[:40]}".rstrip("-"), "team/registry")


def test_an_empty_log_reads_empty(log: CommitLog) -> None:
    assert log.read(0) == []


def test_records_come_back_in_order(log: CommitLog) -> None:
    for number in (1, 2, 3):
        assert log.append(number, b"record %d" % number)

    assert log.read(0) == [b"record 1", b"record 2", b"record 3"]
    assert log.read(2) == [b"record 3"]
    assert log.read(3) == []


def test_a_number_is_taken_once(log: CommitLog) -> None:
    log.append(1, b"first")

    assert not log.append(1, b"second")
    assert log.read(0) == [b"first"]


def test_no_number_is_left_out(log: CommitLog) -> None:
    log.append(1, b"first")

    assert not log.append(3, b"third")
    assert log.read(0) == [b"first"]


def test_sqlite_refuses_to_change_history(tmp_path: Path) -> None:
    import sqlite3

    SqliteLog(tmp_path / "r.db").append(1, b"first")

    db = sqlite3.connect(tmp_path / "r.db")
    for statement in ("update commits set body = 'x'", "delete from commits"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
    db.close()


def test_a_file_that_is_no_registry_is_named(tmp_path: Path) -> None:
    (tmp_path / "registry.pb").write_bytes(b"\x0a\x07not sqlite" * 100)

    with pytest.raises(StoreError, match=r"registry\.pb: file is not a database"):
        SqliteLog(tmp_path / "registry.pb").read(0)


def test_an_unknown_url_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no backend for gs://.*s3://bucket/prefix"):
        open_log("gs://bucket/registry.db", tmp_path)
    with pytest.raises(ConfigError, match="names no bucket"):
        open_log("s3:///registry.db", tmp_path)


def test_a_missing_bucket_is_named(s3: Any) -> None:
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/x/_log/ cannot be read"):
        S3Log("no-such-bucket", "x").read(0)


class LossyClient:
    """An S3 client whose puts succeed and whose answers get lost, some number of times."""

    def __init__(self, client: Any, lost: int, *, stores: bool = True) -> None:
        self._client, self._lost, self._stores = client, lost, stores
        self.puts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_object(self, **arguments: Any) -> Any:
        from botocore.exceptions import ReadTimeoutError

        self.puts += 1
        lose = self.puts <= self._lost
        answer = self._client.put_object(**arguments) if self._stores or not lose else None
        if lose:
            raise ReadTimeoutError(endpoint_url="http://s3")
        return answer


def test_a_lost_answer_is_settled_by_what_is_stored(s3: Any) -> None:
    s3.create_bucket(Bucket="lossy")
    client = LossyClient(s3, lost=1)

    assert S3Log("lossy", "a", client).append(1, b"mine")
    assert client.puts == 1


def test_a_write_that_never_landed_is_repeated_under_its_number(s3: Any) -> None:
    s3.create_bucket(Bucket="lossy2")
    client = LossyClient(s3, lost=2, stores=False)

    assert S3Log("lossy2", "a", client).append(1, b"mine")
    assert S3Log("lossy2", "a", s3).read(0) == [b"mine"]


def test_an_outcome_nobody_knows_is_said_to_be_unknown(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.create_bucket(Bucket="lossy3")
    monkeypatch.setattr("time.sleep", lambda _: None)

    with pytest.raises(UnknownOutcomeError, match="never said whether registry commit 1"):
        S3Log("lossy3", "a", LossyClient(s3, lost=99, stores=False)).append(1, b"mine")
