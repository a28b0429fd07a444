"""Clocks: a wrong one is refused, and one that got through stops nobody else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests_support import HOUR, NOON, raises, refused

from feature_platform import FeatureService, FeatureStore
from feature_platform.errors import ClockError, RequestError
from feature_platform.online.base import LedgerEntry
from feature_platform.online.sqlite import SqliteOnlineStore
from feature_platform.registry import SqliteLog
from feature_platform.registry.fsck import examine
from feature_platform.services import loading
from feature_platform.types.times import microseconds

FAR = [datetime(2100, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)]


def service(name: str) -> FeatureService:
    return FeatureService(name=name, features=["driver_stats"])


@pytest.fixture(params=FAR, ids=["2100", "9999"])
def far(request: pytest.FixtureRequest) -> datetime:
    return request.param


def commit_far(open_store: Any, far: datetime, *objects: Any, **options: Any) -> None:
    """Commit from a machine whose clock is wrong and whose registry has no clock of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteLog, "time", lambda _: far)
        open_store("growth", clock=lambda: far).apply(list(objects), **options)


def test_a_clock_far_ahead_is_refused(platform: FeatureStore, open_store: Any, far) -> None:
    ahead = open_store("growth", clock=lambda: far)
    with raises(ClockError, f"{far:%F}"):
        ahead.apply([service("s")])
    assert platform.list_feature_services() == []


def test_a_clock_far_behind_is_refused(platform: FeatureStore, open_store: Any) -> None:
    with raises(ClockError, "1970-01-01", "2026-01-01"):
        open_store("risk", clock=lambda: datetime(1970, 1, 1, tzinfo=UTC)).apply([service("s")])


@pytest.mark.parametrize("time", [datetime(2026, 1, 1), "noon", None], ids=str)  # noqa: DTZ001
def test_a_clock_without_time_zone_is_refused(platform, open_store: Any, time: Any) -> None:
    store = open_store("risk", clock=lambda: time)
    with raises(RequestError):
        store.apply([service("s")])
    with raises(RequestError):
        open_store(clock=lambda: time).materialize_incremental()


def test_a_commit_from_the_future_stops_nobody(platform, open_store: Any, far) -> None:
    commit_far(open_store, far, service("s"), service("gone"))
    commit_far(open_store, far, objects_to_delete=[service("gone")])

    risk = open_store("risk")
    with refused(("collision", "feature service 'gone'", "growth", "2026-01-31")):
        risk.apply([service("gone")])
    assert risk.apply([service("t")])
    times = [commit.at for commit in risk.registry.history()]
    assert times[-1] == NOON
    assert times[-2] > NOON + timedelta(days=366)

    # The commit has dated the deletion back: the name is free after thirty days.
    later = open_store("risk", clock=lambda: NOON + timedelta(days=31))
    assert later.apply([service("gone")])
    findings = examine(risk.registry.log).findings
    assert {(f.version, f.damage) for f in findings} == {(2, False), (3, False)}
    fresh = open_store("risk")
    assert fresh.registry.snapshot() == later.registry.snapshot()


def test_a_window_from_the_future_does_not_count(platform, open_store: Any, far) -> None:
    """Increments would skip everything until then."""
    platform.materialize(NOON - 3 * HOUR, NOON)
    [table] = loading.online_tables(platform.load_project(), ["driver_stats"])
    entry = platform.online._ledger(table)[0]
    wrong = LedgerEntry(microseconds(NOON), microseconds(far), entry.layout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("feature_platform.online.base.utc_now", lambda: FAR[0])
        platform.online._add_to_ledger(table, wrong)
    assert platform.online.windows(table) == []

    assert open_store().materialize_incremental(NOON) == {"driver_stats": 2}
    [window] = platform.online.windows(table)
    assert window.end == NOON
    assert isinstance(platform.online, SqliteOnlineStore)


def test_a_clock_far_ahead_does_not_expire_rows(platform, open_store: Any, far) -> None:
    platform.materialize(NOON - 3 * HOUR, NOON)
    with raises(ClockError, f"{far:%F}"):
        open_store(clock=lambda: far).expire_online_store()
    with raises(ClockError, f"{far:%F}"):
        open_store(clock=lambda: far).materialize_incremental()
    rows = platform.get_online_features(["driver_stats:trips"], [{"driver_id": 1}]).to_dict()
    assert rows["trips"] == [11]
