"""Time travel: earlier states, differences, restores, pins, filters and the change feed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError
from tests_support import PLAN, assert_losses, assert_names, raises, refused

from feature_platform import Entity, FeatureService, FeatureStore, FeatureView, Field
from feature_platform.errors import (
    ConflictError,
    CorruptLogError,
    LogReplacedError,
    NotFoundError,
    RequestError,
)
from feature_platform.governance import plan, plans_between
from feature_platform.project import Cursor, ProjectSnapshot
from feature_platform.registry import FilesLog, Registry, open_log
from feature_platform.types import Float32, Int64

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def apply(registry: Registry, *names: str, owner: str = "platform", message: str = "") -> int:
    """Register entities, or services for a team; the description changes with the message."""
    make = Entity if owner == "platform" else FeatureService
    more = {} if owner == "platform" else {"features": ["base"]}
    desired = [make(name=name, description=message, **more) for name in names]
    made = plan(ProjectSnapshot(registry.snapshot(), "shop"), owner=owner, desired=desired)
    return registry.commit(made, principal=owner, message=message).version


@pytest.fixture
def daily(log) -> Registry:
    """A registry of each kind that was committed to on five days in a row, at midnight."""
    days = (START + n * DAY for n in range(100))
    registry = Registry(log, now=lambda: next(days))
    for name in "abcde":
        apply(registry, name, message=f"day {name}")
    return registry


def test_every_version_can_be_read_again(daily: Registry) -> None:
    for version in range(6):
        then = daily.snapshot(version)
        assert then.version == version
        assert ProjectSnapshot(then, "shop").names("entity") == list("abcde"[:version])
    for version in (6, -1):
        with raises(NotFoundError) as caught:
            daily.snapshot(version)
        assert_names(caught.value, 1, 5, version)


def test_the_state_at_a_time(daily: Registry) -> None:
    assert daily.snapshot(START + 2 * DAY).version == 3
    assert daily.snapshot(START + 2 * DAY - timedelta(microseconds=1)).version == 2
    assert daily.snapshot(START - DAY).version == 0
    assert daily.snapshot(START + 99 * DAY).version == 5
    with raises(RequestError, "2026-01-01 00:00:00"):
        daily.snapshot(datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_history_can_be_filtered(daily: Registry) -> None:
    assert [c.version for c in daily.history(name="c")] == [3]
    assert [c.version for c in daily.history(since=START + DAY, until=START + 2 * DAY)] == [2, 3]
    assert [c.version for c in daily.history(owner="nobody")] == []
    assert [c.version for c in daily.history(project="shop", after=3)] == [4, 5]


def test_the_difference_of_two_versions_is_told_by_owner(platform, open_store) -> None:
    open_store("risk").apply([FeatureService(name="s", features=["driver_stats"])])
    registry = platform.registry
    [ours] = plans_between(
        ProjectSnapshot(registry.snapshot(1), "shop"), ProjectSnapshot(registry.snapshot(2), "shop")
    )

    assert (ours.owner, [c.action for c in ours.changes]) == ("risk", ["create"])
    [back] = plans_between(
        ProjectSnapshot(registry.snapshot(2), "shop"), ProjectSnapshot(registry.snapshot(1), "shop")
    )
    assert [c.action for c in back.changes] == ["delete"]


def test_an_owner_restores_what_it_had(platform: FeatureStore, open_store, driver_view) -> None:
    service = FeatureService(name="s", features=["driver_stats:rate"])
    open_store("risk").apply([service])
    more = driver_view.model_copy(
        update={"fields": (*driver_view.fields, Field(name="new", dtype=Int64))}
    )
    platform.apply([more, Entity(name="extra")])
    restored = platform.restore(1)

    assert restored.version == 4
    assert_names(restored.message, "restore", 1)
    assert platform.get_feature_view("driver_stats").feature_names == ("trips", "rate")
    assert [e.name for e in platform.list_entities()] == ["driver"]
    assert platform.list_feature_services() == [service]
    assert platform.restore(4) is None


def test_a_restore_breaks_nobody(platform: FeatureStore, open_store, driver_view) -> None:
    more = driver_view.model_copy(
        update={"fields": (*driver_view.fields, Field(name="new", dtype=Int64))}
    )
    platform.apply([more])
    open_store("risk").apply([FeatureService(name="s", features=["driver_stats:new"])])

    loss = ("removed", "s", "risk", "driver_stats", "new")
    assert_losses(platform.review(platform.plan_restore(1)), loss)
    with refused(("contract", "feature view 'driver_stats'", "s", "risk", "new")):
        platform.restore(1)


def test_after_a_disaster_everything_is_as_it_was(platform: FeatureStore) -> None:
    """T36: all objects are destroyed, and one restore brings the same state back."""
    before = platform.snapshot()
    platform.teardown()
    assert not platform.snapshot().entries

    platform.restore(before.version)

    after = platform.snapshot()
    bodies = {key: entry.body for key, entry in before.entries.items()}
    assert {key: entry.body for key, entry in after.entries.items()} == bodies
    assert after.digest == before.digest


def test_a_pinned_store_reads_the_past_and_writes_nothing(
    platform: FeatureStore, open_store, driver_view
) -> None:
    fields = (Field(name="trips", dtype=Int64),)
    platform.apply([driver_view.model_copy(update={"fields": fields})])
    pinned = open_store(registry_version=1)

    assert pinned.get_feature_view("driver_stats").feature_names == ("trips", "rate")
    with raises(RequestError, "registry_version") as caught:
        pinned.apply([Entity(name="x")])
    assert_names(caught.value, 1)
    with raises(NotFoundError) as caught:
        open_store(registry_version=9).list_entities()
    assert_names(caught.value, 1, 2, 9)


def test_a_training_set_says_which_version_it_was_built_from(
    platform: FeatureStore, open_store, tmp_path: Path
) -> None:
    from pyarrow import parquet

    platform.apply([Entity(name="more")])
    rows = pd.DataFrame({"driver_id": [1], "event_timestamp": [START + 10 * DAY]})
    for store, version in ((platform, 2), (open_store(registry_version=1), 1)):
        job = store.get_historical_features(rows, ["driver_stats"])
        assert job.registry_version == version
        marked = {b"feature_platform.registry_version": b"%d" % version}
        assert job.to_arrow().schema.metadata == marked
        path = job.to_parquet(tmp_path / "set.parquet")
        assert parquet.read_schema(path).metadata.items() >= marked.items()


def test_the_change_feed_goes_on_from_a_cursor(daily: Registry) -> None:
    first, *rest = daily.changes()

    assert [c.version for c in daily.changes(first.cursor)] == [2, 3, 4, 5]
    assert daily.changes(daily.snapshot().cursor) == []
    assert Cursor.parse(str(rest[0].cursor)) == rest[0].cursor
    assert daily.changes(str(rest[0].cursor)) == rest[1:]
    for wrong in (3, None, "f:3"):
        with raises(RequestError, repr(wrong), "log:version:commit"):
            daily.changes(wrong)
    assert Cursor.parse("").version == 0
    with raises(RequestError, "'5'", "log:version:commit"):
        Cursor.parse("5")


def test_a_swapped_log_is_noticed_by_cursors_and_readers(tmp_path: Path) -> None:
    mine, other = (Registry(FilesLog(tmp_path / name)) for name in ("mine", "other"))
    for name in "abc":
        apply(mine, name)
        apply(other, name)
    cursor = mine.snapshot().cursor
    (tmp_path / "mine").rename(tmp_path / "gone")
    (tmp_path / "other").rename(tmp_path / "mine")

    for read in (mine.snapshot, lambda: Registry(FilesLog(tmp_path / "mine")).changes(cursor)):
        with raises(LogReplacedError, tmp_path / "mine", cursor.commit_id[:8]) as caught:
            read()
        assert_names(caught.value, 3)


def test_a_log_restored_from_an_old_backup_is_noticed(tmp_path: Path) -> None:
    """F16: five versions are lost, others are written in their place, an old cursor comes back."""
    import shutil

    registry = Registry(FilesLog(tmp_path / "r"))
    apply(registry, "a")
    shutil.copytree(tmp_path / "r", tmp_path / "backup")
    for name in "bcdef":
        apply(registry, name)
    cursor = registry.snapshot().cursor
    shutil.rmtree(tmp_path / "r")
    shutil.copytree(tmp_path / "backup", tmp_path / "r")

    with pytest.raises(LogReplacedError):
        registry.snapshot()
    restored = Registry(FilesLog(tmp_path / "r"))
    with raises(LogReplacedError, tmp_path / "r", cursor.commit_id[:8]) as caught:
        restored.changes(cursor)
    assert_names(caught.value, 6)
    for name in "vwxyz":
        apply(restored, name)
    with pytest.raises(LogReplacedError):
        restored.changes(cursor)
    with pytest.raises(LogReplacedError):
        registry.snapshot()
    with pytest.raises(LogReplacedError):
        apply(registry, "late")


def test_a_hole_in_the_log_is_noticed(tmp_path: Path) -> None:
    registry = Registry(FilesLog(tmp_path / "r"))
    for name in "abcde":
        apply(registry, name)
    (tmp_path / "r" / "_log" / f"{3:020d}.json").unlink()

    with raises(CorruptLogError, "registry_version=2", "fsck") as caught:
        Registry(FilesLog(tmp_path / "r")).snapshot()
    assert_names(caught.value, 2, 5)
    assert caught.type is CorruptLogError  # nothing was read before, so nothing was replaced
    assert Registry(FilesLog(tmp_path / "r")).snapshot(2).version == 2
    for read in (Registry.history, Registry.changes, lambda r: r.show(5)):
        with pytest.raises(CorruptLogError):
            read(Registry(FilesLog(tmp_path / "r")))


def test_a_saved_plan_that_was_applied_and_undone_is_not_applied_again(
    platform: FeatureStore, open_store
) -> None:
    from feature_platform.registry import SavedPlan

    risk = open_store("risk")
    service = FeatureService(name="s", features=["driver_stats"])
    saved = SavedPlan.of(risk.plan([service]), risk.snapshot())
    risk.commit(saved)
    risk.apply([], objects_to_delete=[service])

    with raises(ConflictError, "shop/feature_service/s", "risk") as caught:
        risk.commit(saved)
    assert_names(caught.value, 1, 2, 3)  # made at, created in, deleted in


def test_a_refresh_reads_what_is_new_and_nothing_else(log) -> None:
    reads: list[tuple[int, int]] = []
    original = log.read

    def watched(after: int, limit: int | None = None) -> list[bytes]:
        records = original(after, limit)
        reads.append((after, len(records)))
        return records

    writer = Registry(log)
    for name in "abcdefgh":
        apply(writer, name)
    log.read = watched
    reader = Registry(log)
    reader.snapshot()
    apply(writer, "i")
    reads.clear()
    reader.snapshot()

    assert reads == [(7, 2)]


def test_a_saved_plan_is_applied_later(platform: FeatureStore, open_store) -> None:
    from feature_platform.registry import SavedPlan

    risk = open_store("risk")
    service = FeatureService(name="s", features=["driver_stats"])
    saved = SavedPlan.of(risk.plan([service]), risk.snapshot())
    stored = saved.to_bytes()
    open_store("growth").apply([FeatureService(name="other", features=["driver_stats"])])

    again = SavedPlan.read(stored, "plan.json")
    assert risk.commit(again).version == 3
    assert risk.commit(again) is None


def test_a_saved_plan_is_stale_once_what_it_rests_on_moves(
    platform: FeatureStore, open_store, driver_view
) -> None:
    from feature_platform.registry import SavedPlan

    risk = open_store("risk")
    service = FeatureService(name="s", features=["driver_stats"])
    saved = SavedPlan.of(risk.plan([service]), risk.snapshot())
    platform.apply([driver_view.model_copy(update={"description": "other"})], message="reworded")

    changed = platform.registry.show(2)
    with raises(ConflictError, "shop/feature_view/driver_stats", "reworded") as caught:
        risk.commit(saved)
    assert_names(caught.value, 2, "platform", f"{changed.at:%F %T}Z")
    assert risk.apply([service])


def test_a_saved_plan_is_for_one_registry(
    platform: FeatureStore, open_store, tmp_path: Path
) -> None:
    from feature_platform.registry import SavedPlan

    saved = SavedPlan.of(platform.plan([Entity(name="x")]), platform.snapshot())
    (tmp_path / "registry.db").unlink()
    fresh = open_store()
    fresh.apply([Entity(name="y")])

    with raises(LogReplacedError, tmp_path / "registry.db", saved.base.commit_id[:8]) as caught:
        fresh.commit(saved)
    assert_names(caught.value, 1)


@pytest.mark.parametrize("damage", [b"", b"{}", b"nonsense", b"flip"])
def test_what_is_no_saved_plan_is_refused(platform: FeatureStore, damage: bytes) -> None:
    from feature_platform.registry import SavedPlan

    stored = SavedPlan.of(platform.plan([Entity(name="x")]), platform.snapshot()).to_bytes()
    damaged = stored.replace(b"create", b"delete").replace(b'"x"', b'"z"')
    with raises(RequestError, "plan.json", "plan --out") as caught:
        SavedPlan.read(damaged if damage == b"flip" else damage, "plan.json")
    assert isinstance(caught.value.__cause__, CorruptLogError)  # the seal is broken


def test_plans_are_not_stale_because_others_are_busy(open_store, driver, driver_view) -> None:
    store = open_store()
    store.apply([driver, driver_view])
    wider = driver_view.model_copy(
        update={"fields": (*driver_view.fields, Field(name="z", dtype=Float32))}
    )
    made = store.plan([wider])
    assert isinstance(wider, FeatureView)
    for number in range(5):
        team = open_store(f"team_{number}")
        team.apply([FeatureService(name=f"s{number}", features=["driver_stats"])])

    assert store.commit(made).version == 7


def test_the_newest_state_is_read_through_any_url(log_url: str, tmp_path: Path) -> None:
    writer = Registry(open_log(log_url, tmp_path))
    reader = Registry(open_log(log_url, tmp_path))
    apply(writer, "a")
    assert reader.snapshot().version == 1
    apply(writer, "b")
    assert ProjectSnapshot(reader.snapshot(), "shop").names("entity") == ["a", "b"]


def test_a_restore_is_held_when_it_would_delete_much(platform: FeatureStore, open_store) -> None:
    risk = open_store("risk")
    services = [FeatureService(name=f"s{n}", features=["driver_stats"]) for n in range(6)]
    risk.apply(services)

    with raises(RequestError, "2020-01-01"):
        risk.restore(datetime(2020, 1, 1, tzinfo=UTC))
    with raises(RequestError) as caught:
        risk.restore(0)
    assert_names(caught.value, 0)
    with refused(("brake", PLAN, 6, "risk", "--allow-mass-delete", "mass_delete=True")):
        risk.restore(1)
    assert risk.restore(1, mass_delete=True)


def test_a_restore_leaves_alone_what_changed_hands(platform: FeatureStore, open_store) -> None:
    from feature_platform import Transfer

    risk, growth = open_store("risk"), open_store("growth")
    one, two = (FeatureService(name=n, features=["driver_stats"]) for n in ("one", "two"))
    risk.apply([one, two])
    damaged = two.model_copy(update={"description": "damaged"})
    risk.apply([damaged, Transfer(name="t", objects=[one], to="growth")])
    growth.apply([one])
    risk.restore(2)

    assert risk.get_feature_service("two") == two
    assert platform.load_project().find("feature_service", "one").owner == "growth"


def test_a_process_remembers_its_own_commits(tmp_path: Path) -> None:
    registry = Registry(FilesLog(tmp_path / "r"))
    apply(registry, "a")
    apply(registry, "b")
    cursor = registry.history()[-1].cursor
    (tmp_path / "r" / "_log" / f"{2:020d}.json").unlink()

    with raises(LogReplacedError, tmp_path / "r", cursor.commit_id[:8]) as caught:
        apply(registry, "c")
    assert_names(caught.value, 2)


@pytest.mark.parametrize("wrong", ["1", START.date(), 1.5])
def test_what_is_no_point_of_history_is_said_to_be_none(daily: Registry, wrong: object) -> None:
    with raises(RequestError, repr(wrong)):
        daily.snapshot(wrong)


def test_versions_beyond_all_and_times_without_zones(daily: Registry) -> None:
    for version in (2**63, 10**30, -(10**30)):
        for read in (daily.snapshot, daily.show):
            with raises(NotFoundError) as caught:
                read(version)
            assert_names(caught.value, 1, 5, version)
    assert len(daily.history(after=-5)) == 5
    with raises(RequestError, "2026-01-01 00:00:00"):
        daily.history(since=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_a_pinned_store_writes_no_features_either(platform: FeatureStore, open_store) -> None:
    pinned = open_store(registry_version=1)
    rows = pd.DataFrame({"driver_id": [1], "event_timestamp": [START]})
    for write in (
        lambda: pinned.materialize(START, START + DAY),
        lambda: pinned.materialize_incremental(START),
        lambda: pinned.push("x", rows),
        lambda: pinned.write_to_online_store("driver_stats", rows),
        lambda: pinned.restore(1),
    ):
        with raises(RequestError, "registry_version") as caught:
            write()
        assert_names(caught.value, 1)


@pytest.mark.parametrize(
    "edit",
    [
        {"reads": {"x": "y"}},
        {"base": ["a" * 32, 10**30, "b" * 32]},
        {"plan": {"project": "shop", "owner": "platform", "version": 10**30, "changes": []}},
    ],
)
def test_a_saved_plan_that_was_edited_and_sealed_again_is_refused(platform, edit) -> None:
    import json

    from feature_platform.registry import SavedPlan
    from feature_platform.registry.serialization import encode_record

    made = SavedPlan.of(platform.plan([Entity(name="x")]), platform.snapshot())
    content = json.loads(made.to_bytes().partition(b"\n")[0]) | edit
    with raises(RequestError, "plan.json", "plan --out") as caught:
        SavedPlan.read(encode_record(content), "plan.json")
    cause = caught.value.__cause__
    assert isinstance(cause, ValidationError)
    assert [error["loc"][0] for error in cause.errors()] == list(edit)


def test_texts_that_are_not_unicode_are_refused(platform: FeatureStore) -> None:
    with raises(RequestError, "unreadable: ") as caught:
        platform.apply([Entity(name="x")], message="unreadable: \udcff")
    assert isinstance(caught.value.__cause__, UnicodeEncodeError)
    assert platform.snapshot().version == 1
