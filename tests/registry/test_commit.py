"""Commits: nothing lost, nothing twice, nothing altered unnoticed."""

import multiprocessing
import sqlite3
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests_support import assert_names, raises, refused

from feature_platform import Entity, FeatureService, FeatureStore, RepoConfig
from feature_platform.errors import (
    BusyError,
    ConflictError,
    CorruptLogError,
    DefinitionError,
    NotFoundError,
    RefusedError,
    UnknownOutcomeError,
)
from feature_platform.governance import plan
from feature_platform.project import ProjectSnapshot
from feature_platform.registry import MemoryLog, Registry, SqliteLog

DRIVER = Entity(name="driver")
RIDER = Entity(name="rider")


def planned(registry: Registry, *desired: Entity, project: str = "shop", partial: bool = True):
    return plan(
        ProjectSnapshot(registry.snapshot(), project),
        owner="platform",
        desired=desired,
        partial=partial,
    )


def commit(registry: Registry, *desired: Entity, **options):
    return registry.commit(planned(registry, *desired, **options), principal="platform")


def test_a_second_reader_sees_commits_of_the_first(tmp_path: Path) -> None:
    writer, reader = (Registry(SqliteLog(tmp_path / "r.db")) for _ in range(2))
    reader.snapshot()
    commit(writer, DRIVER)

    assert (
        ProjectSnapshot(reader.snapshot(), "shop").get(Entity, "driver").to_json()
        == DRIVER.to_json()
    )
    with raises(NotFoundError) as caught:
        ProjectSnapshot(reader.snapshot(), "shop").get(Entity, "drivr")
    assert_names(caught.value, "shop", "entity", "drivr", "driver")


def test_nothing_changed_is_no_commit() -> None:
    registry = Registry(MemoryLog())
    commit(registry, DRIVER)

    assert commit(registry, DRIVER) is None
    assert registry.snapshot().version == 1


def test_a_plan_made_before_unrelated_commits_still_fits() -> None:
    registry = Registry(MemoryLog())
    early = planned(registry, DRIVER)
    commit(registry, RIDER)

    assert registry.commit(early, principal="platform").version == 2


def test_a_plan_whose_objects_changed_meanwhile_is_refused() -> None:
    registry = Registry(MemoryLog())
    stale = planned(registry, Entity(name="driver", description="one"))
    commit(registry, Entity(name="driver", description="two"))

    with raises(ConflictError, "shop/entity/driver", "platform") as caught:
        registry.commit(stale, principal="platform")
    assert_names(caught.value, 0, 1)  # made at, overtaken in
    assert registry.snapshot().version == 1


def test_a_lost_race_is_run_again_on_the_new_head() -> None:
    class Raced(MemoryLog):
        def append(self, number: int, commit_id: str, record: bytes) -> bool:
            if number == 1 and b"slow" in record:
                commit(Registry(self), RIDER)
            return super().append(number, commit_id, record)

    registry = Registry(Raced())
    slow = registry.commit(planned(registry, DRIVER), principal="platform", message="slow")

    assert slow.version == 2
    assert ProjectSnapshot(registry.snapshot(), "shop").names("entity") == ["driver", "rider"]


def test_the_rules_are_checked_again_on_the_new_head() -> None:
    """Write skew: a service is planned on a view that is deleted before it is committed."""

    class Raced(MemoryLog):
        def append(self, number: int, commit_id: str, record: bytes) -> bool:
            if b"late service" in record and number == 2:
                commit(Registry(self), partial=False)
            return super().append(number, commit_id, record)

    from feature_platform import FeatureView, Field, FileSource
    from feature_platform.types import Int64

    view = FeatureView(
        name="v", schema=[Field(name="x", dtype=Int64)], source=FileSource(path="v.parquet")
    )
    registry = Registry(Raced())
    commit(registry, view)
    service = FeatureService(name="s", features=["v"])
    late = plan(ProjectSnapshot(registry.snapshot(), "shop"), owner="risk", desired=[service])

    with refused(("reference", "feature service 's'", "v")) as caught:
        registry.commit(late, principal="risk", message="late service")
    assert caught.value.problems[0].missing == "view 'v'"


def test_a_plan_that_landed_unnoticed_has_nothing_left_to_do() -> None:
    """What a user does after an unknown outcome: apply again."""

    class Forgetful(MemoryLog):
        def append(self, number: int, commit_id: str, record: bytes) -> bool:
            super().append(number, commit_id, record)
            raise UnknownOutcomeError("the answer was lost")

    log = Forgetful()
    made = planned(Registry(log), DRIVER)
    with pytest.raises(UnknownOutcomeError):
        Registry(log).commit(made, principal="platform")

    assert Registry(log).commit(made, principal="platform") is None
    assert [c.version for c in Registry(log).history()] == [1]


def test_writers_that_are_never_first_give_up_in_time() -> None:
    class Taken(MemoryLog):
        def append(self, number: int, commit_id: str, record: bytes) -> bool:
            return False

    registry = Registry(Taken(), deadline_seconds=0.1)
    with raises(BusyError) as caught:
        commit(registry, DRIVER)
    assert_names(caught.value, 0)  # seconds, rounded
    assert caught.value.retryable
    assert registry.log.read(0) == []


def test_times_only_move_forward_though_a_clock_goes_back() -> None:
    times = iter([datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)])
    registry = Registry(MemoryLog(), now=lambda: next(times))
    commit(registry, DRIVER)
    commit(registry, RIDER)

    first, second = registry.history()
    assert first.at < second.at


def test_history_and_show_say_who_changed_what() -> None:
    registry = Registry(MemoryLog())
    commit(registry, DRIVER)
    registry.commit(planned(registry, partial=False), principal="platform", message="clean up")

    shown = registry.show(2)
    assert (shown.principal, shown.message, shown.summary()) == (
        "platform", "clean up", "-1 entity",
    )  # fmt: skip
    for version in (3, 0):
        with raises(NotFoundError) as caught:
            registry.show(version)
        assert_names(caught.value, 1, 2, version)


def test_projects_do_not_see_one_another() -> None:
    registry = Registry(MemoryLog())
    commit(registry, DRIVER, project="dev")
    commit(registry, Entity(name="driver", description="other"), project="prod")

    assert ProjectSnapshot(registry.snapshot(), "dev").get(Entity, "driver").description == ""
    assert not planned(registry, DRIVER, project="dev", partial=False)


def test_two_definitions_of_one_name_are_refused() -> None:
    with raises(DefinitionError, "entity 'driver'"):
        planned(Registry(MemoryLog()), DRIVER, Entity(name="driver"))


names = st.sets(st.sampled_from(["driver", "rider", "car", "city"]))


@given(st.lists(st.tuples(st.sampled_from(["platform", "growth"]), names), max_size=8))
def test_a_full_sync_leaves_exactly_what_each_owner_last_wanted(history) -> None:
    """Growth is another owner of services; neither ever touches what the other registered."""
    registry = Registry(MemoryLog())
    expected: dict[str, set[str]] = {}
    for owner, wanted in history:
        desired = (
            [Entity(name=name) for name in wanted]
            if owner == "platform"
            else [FeatureService(name=f"s_{name}", features=["base"]) for name in wanted]
        )
        made = plan(
            ProjectSnapshot(registry.snapshot(), "shop"),
            owner=owner,
            desired=desired,
            partial=False,
        )
        assert all(made.definition(change).name for change in made.changes)
        try:
            registry.commit(made, principal=owner)
        except RefusedError:  # services on a view that is not there
            continue
        expected[owner] = {d.name for d in desired}

    for owner, wanted in expected.items():
        assert {
            k.name for k in ProjectSnapshot(registry.snapshot(), "shop").owned_by(owner)
        } == wanted


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("how", ["flip", "truncate", "delete", "swap"])
def test_an_altered_log_is_noticed(tmp_path: Path, version: int, how: str) -> None:
    registry = Registry(SqliteLog(tmp_path / "r.db"))
    for entity in (DRIVER, RIDER, Entity(name="car"), Entity(name="city")):
        commit(registry, entity)
    db = sqlite3.connect(tmp_path / "r.db")
    db.execute("drop trigger commits_are_not_updated")
    db.execute("drop trigger commits_are_not_deleted")
    (body,) = db.execute("select body from commits where version = ?", (version,)).fetchone()
    if how == "delete":
        db.execute("delete from commits where version = ?", (version,))
    elif how == "swap":
        other = {"version": version + 1}
        (next_,) = db.execute("select body from commits where version=:version", other).fetchone()
        db.execute("update commits set body = ? where version = ?", (next_, version))
    else:
        middle = len(body) // 2
        damaged = body[:middle]
        if how == "flip":
            damaged += bytes([body[middle] ^ 1]) + body[middle + 1 :]
        db.execute("update commits set body = ? where version = ?", (damaged, version))
    db.commit()
    db.close()

    with raises(CorruptLogError, f"registry_version={version - 1}", "fsck") as caught:
        Registry(SqliteLog(tmp_path / "r.db")).snapshot()
    assert caught.type is CorruptLogError  # nothing was read before, so nothing was replaced


def test_a_commit_that_needs_a_newer_release_is_refused() -> None:
    log = MemoryLog()
    commit(Registry(log), DRIVER)
    body, _, _ = log.read(0)[0].rpartition(b"\n")
    newer = body.replace(b'"required_features":[]', b'"required_features":["signed"]')
    fresh = MemoryLog()
    fresh.append(1, "id", newer + b"\n" + sha256(newer).hexdigest().encode())

    with raises(CorruptLogError, "'signed'") as caught:
        Registry(fresh).snapshot()
    assert_names(caught.value, 1)


def _apply_services(folder: str, number: int, barrier) -> None:
    config = RepoConfig(project="shop", team=f"team_{number}", registry="registry.db")
    store = FeatureStore(folder, config=config)
    barrier.wait()
    for index in range(10):
        store.apply([FeatureService(name=f"s_{number}_{index}", features=["driver_stats"])])


def test_eight_processes_lose_nothing(platform: FeatureStore, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(8)
    processes = [
        context.Process(target=_apply_services, args=(str(tmp_path), number, barrier))
        for number in range(8)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0] * 8
    services = platform.list_feature_services()
    assert {s.name for s in services} == {f"s_{n}_{i}" for n in range(8) for i in range(10)}
    assert [c.version for c in platform.registry.history()] == list(range(1, 82))
