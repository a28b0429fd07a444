"""What only the Postgres log does: roles, connections that die, and passwords nobody sees."""

import re
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests_support import raises

from feature_platform import Entity, FeatureStore, RepoConfig
from feature_platform.errors import BusyError, ConfigError, StoreError
from feature_platform.governance import plan
from feature_platform.project import ProjectSnapshot
from feature_platform.registry import Registry
from feature_platform.registry.logs.postgres import PostgresLog

DOCS = Path(__file__).parents[2] / "docs" / "registry.md"


def commit(url: str, name: str) -> int:
    registry = Registry(PostgresLog(url))
    made = plan(
        ProjectSnapshot(registry.snapshot(), "p"), owner="platform", desired=[Entity(name=name)]
    )
    return registry.commit(made, principal="platform").version


def as_user(url: str, user: str) -> str:
    return url.replace("//postgres:@", f"//{user}:secret@")


@pytest.fixture
def roles(postgres_url: str) -> dict[str, str]:
    """URLs of a writer and a reader, with the grants that the documentation gives."""
    [sql] = re.findall(r"```sql\n(.*?)```", DOCS.read_text(), re.DOTALL)
    suffix = postgres_url.partition("?")[0][-6:]
    for role in ("registry_writer", "registry_reader"):
        sql = sql.replace(role, f"{role}_{suffix}")
    sql = re.sub(r"create role (\w+)", r"create role \1 login password 'secret'", sql)
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute(sql)
    users = {role: f"registry_{role}_{suffix}" for role in ("writer", "reader")}
    return {role: as_user(postgres_url, user) for role, user in users.items()}


def test_a_writer_can_add_and_not_change(roles: dict[str, str]) -> None:
    assert [commit(roles["writer"], name) for name in "ab"] == [1, 2]
    PostgresLog(roles["writer"]).keep(1, b"state")

    with psycopg.connect(roles["writer"], autocommit=True) as db:
        for statement in (
            "update registry_commits set body = 'x'",
            "delete from registry_commits",
            "truncate registry_commits",
            "drop table registry_commits",
            "update registry_checkpoints set body = 'x'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute(statement)


def test_a_reader_can_read_and_not_add(roles: dict[str, str]) -> None:
    commit(roles["writer"], "a")

    assert Registry(PostgresLog(roles["reader"])).snapshot().version == 1
    with raises(StoreError, "registry_commits") as caught:
        commit(roles["reader"], "b")
    assert isinstance(caught.value.__cause__, psycopg.errors.InsufficientPrivilege)


def test_two_schemas_are_two_registries(postgres_url: str) -> None:
    urls = []
    for schema in ("one", "two"):
        with psycopg.connect(postgres_url, autocommit=True) as db:
            db.execute(f"create schema {schema}")
        urls.append(f"{postgres_url}&options=-csearch_path%3D{schema}")

    assert [commit(url, "a") for url in urls] == [1, 1]
    assert commit(urls[0], "b") == 2


def test_a_connection_that_died_is_opened_again(postgres_url: str) -> None:
    log = PostgresLog(postgres_url)
    log.append(1, "a", b"first")
    with psycopg.connect(postgres_url, autocommit=True) as db:
        query = (
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
        )
        db.execute(f"{query} and datname = current_database()")

    assert log.append(2, "b", b"second")
    assert log.read(0) == [b"first", b"second"]


class DyingConnection:
    """A connection that is cut at a moment of the first commit."""

    def __init__(self, db: Any, moment: str) -> None:
        self._db, self._moment = db, moment

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def transaction(self) -> Any:
        outer = self

        class Cut:
            def __enter__(self) -> None:
                self.inner = outer._db.transaction()
                self.inner.__enter__()

            def __exit__(self, *error: object) -> None:
                if outer._moment == "before":
                    outer._db.close()
                    raise psycopg.OperationalError("the connection was lost")
                self.inner.__exit__(*error)
                outer._db.close()
                raise psycopg.OperationalError("the connection was lost")

        return Cut()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_commit_whose_connection_died_is_settled(postgres_url: str, moment: str) -> None:
    log = PostgresLog(postgres_url)
    log.append(1, "a", b"first")
    log._db = DyingConnection(log._db, moment)

    assert log.append(2, "b", b"second")
    assert log.read(0) == [b"first", b"second"]


def test_who_waits_too_long_for_the_others_is_told_to_try_again(postgres_url: str) -> None:
    log = PostgresLog(postgres_url)
    log.append(1, "a", b"first")
    with psycopg.connect(postgres_url) as holder:
        lock = "select pg_advisory_xact_lock(hashtextextended(current_schema() || '.registry', 0))"
        holder.execute(lock)
        with raises(BusyError, log) as caught:
            log.append(2, "b", b"second")
        assert isinstance(caught.value.__cause__, psycopg.errors.LockNotAvailable)
        holder.rollback()
    assert log.append(2, "b", b"second")


def test_threads_share_a_log(postgres_url: str) -> None:
    log = PostgresLog(postgres_url)
    log.append(1, "a", b"first")
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(len(log.read(0)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == [1] * 8


def test_passwords_are_never_shown(tmp_path: Path) -> None:
    url = "postgresql://writer:hunter2@127.0.0.1:1/db"
    log = PostgresLog(url)
    with pytest.raises(StoreError) as refused:
        log.read(0)
    config = RepoConfig(project="p", registry=url)
    store = FeatureStore(tmp_path, config=config)
    with pytest.raises(ConfigError) as wrong:
        PostgresLog("postgresql://writer:hunter2@rest@host/db")

    shown = [str(refused.value), str(log), repr(log), repr(config), str(config), repr(store)]
    assert not [text for text in [*shown, str(wrong.value)] if "hunter2" in text]


UNENCODED = ("2/x", "2#x", "2?x", "2%zz", "2 x", "[2", "2@x", "2]")


@pytest.mark.parametrize("ending", UNENCODED)
def test_a_password_that_is_not_encoded_is_refused_and_not_shown(ending: str) -> None:
    with raises(ConfigError, "%40") as caught:
        PostgresLog(f"postgresql://writer:hunter{ending}@127.0.0.1:23999/features")
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2/d",
        "postgresql://u:hunter2%00@h/d",
        "postgresql://u@h/d?password=hunter2%zz",
        "postgresql://u@h/d?passwrd=hunter2",
    ],
)
def test_a_url_that_libpq_cannot_parse_is_not_shown(url: str) -> None:
    with raises(ConfigError, "PostgreSQL") as caught:
        PostgresLog(url).read(0)
    assert "hunter2" not in str(caught.value)
