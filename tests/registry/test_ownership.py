"""Ownership: transfers in two steps, names that rest, quotas, and the brake."""

from datetime import UTC, datetime, timedelta

import pytest

from feature_platform import FeatureService, Policy, Transfer
from feature_platform.errors import DefinitionError, RefusedError


def service(name: str, *features: str) -> FeatureService:
    return FeatureService(name=name, features=list(features) or ["driver_stats"])


def owner(store, name: str) -> str:
    return store.snapshot().find("shop", "feature_service", name).owner


RANKING = service("ranking")
OFFER = Transfer(name="ranking_to_growth", objects=[RANKING], to="growth")


def test_an_object_changes_hands_in_two_steps(platform, open_store) -> None:
    risk, growth = open_store("risk"), open_store("growth")
    risk.apply([RANKING])
    with pytest.raises(RefusedError, match="belongs to 'risk'; 'growth' cannot change it"):
        growth.apply([RANKING])

    risk.apply([OFFER])
    assert owner(risk, "ranking") == "risk"
    growth.apply([RANKING])
    assert owner(risk, "ranking") == "growth"

    with pytest.raises(RefusedError, match="'growth' took it over: remove it, and the transfer"):
        risk.apply([service("ranking", "driver_stats:trips"), OFFER])
    risk.apply([service("other")], partial=False)
    growth.apply([service("ranking", "driver_stats:trips")])
    assert owner(risk, "ranking") == "growth"


def test_only_whom_it_is_offered_to_takes_an_object(platform, open_store) -> None:
    open_store("risk").apply([RANKING, OFFER])

    with pytest.raises(RefusedError, match="belongs to 'risk'"):
        open_store("ops").apply([RANKING])
    with pytest.raises(RefusedError, match="belongs to 'risk'; 'growth' cannot delete it"):
        open_store("growth").apply([], objects_to_delete=[RANKING])


def test_nobody_offers_what_is_not_its_own(platform, open_store) -> None:
    open_store("risk").apply([RANKING])
    theft = Transfer(name="theft", objects=["feature_service/ranking"], to="ops")

    with pytest.raises(RefusedError, match="'ops' has not registered feature_service/ranking"):
        open_store("ops").apply([theft])
    with pytest.raises(RefusedError, match="offers objects to their owner 'risk'"):
        open_store("risk").apply([Transfer(name="t", objects=[RANKING], to="risk")])
    with pytest.raises(RefusedError, match="has not registered feature_service/nothing"):
        open_store("risk").apply([Transfer(name="t", objects=["feature_service/nothing"], to="a")])
    with pytest.raises(DefinitionError, match="is not an object; write kind/name"):
        Transfer(name="t", objects=["ranking"], to="ops")


def test_an_offer_of_a_former_owner_is_void(platform, open_store) -> None:
    risk, growth, ops = open_store("risk"), open_store("growth"), open_store("ops")
    risk.apply([RANKING, OFFER, Transfer(name="also", objects=[RANKING], to="ops")])
    growth.apply([RANKING])

    with pytest.raises(RefusedError, match="belongs to 'growth'"):
        ops.apply([RANKING])


def test_teams_do_not_receive_what_only_the_platform_registers(
    platform, open_store, driver_view
) -> None:
    platform.apply([Transfer(name="t", objects=[driver_view], to="risk")])

    with pytest.raises(RefusedError, match="only the platform team registers objects of this"):
        open_store("risk").apply([driver_view])


def test_a_deleted_name_rests_before_others_take_it(platform, open_store) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    risk = open_store("risk", clock=lambda: now[0])
    growth = open_store("growth", clock=lambda: now[0])
    risk.apply([RANKING])
    risk.apply([], objects_to_delete=[RANKING])

    now[0] += timedelta(days=29)
    with pytest.raises(
        RefusedError, match="the name was of 'risk' and is free again on 2026-01-31"
    ):
        growth.apply([service("Ranking")])
    now[0] += timedelta(days=2)
    growth.apply([service("Ranking")])


def test_an_owner_takes_its_own_name_again_at_once(platform, open_store) -> None:
    risk = open_store("risk")
    risk.apply([RANKING])
    risk.apply([], objects_to_delete=[RANKING])

    assert risk.apply([RANKING])


def test_reserved_names_and_quotas(platform, open_store) -> None:
    platform.apply([Policy(reserved=["default"], max_objects=2)])
    risk = open_store("risk")
    risk.apply([service("a"), service("b")])

    with pytest.raises(RefusedError, match="would have 3 objects; the policy allows 2"):
        risk.apply([service("c")])
    with pytest.raises(RefusedError, match="the platform's policy reserves this name"):
        risk.apply([service("Default")])
    assert risk.apply([service("b", "driver_stats:trips")])
    assert platform.apply([service("default"), service("x"), service("y")])


@pytest.mark.parametrize(
    ("owned", "kept", "allowed"),
    [(3, 0, True), (4, 0, False), (10, 7, True), (10, 6, False), (100, 80, True), (100, 79, False)],
)
def test_a_full_sync_that_deletes_much_is_held(platform, open_store, owned, kept, allowed) -> None:
    risk = open_store("risk")
    services = [service(f"s{n}") for n in range(owned)]
    risk.apply(services)
    rest = services[:kept] or [service("another")]

    if not allowed:
        with pytest.raises(RefusedError, match=rf"delete {owned - kept} of the {owned} objects"):
            risk.apply(rest, partial=False)
    assert risk.apply(rest, partial=False, mass_delete=not allowed)
    assert len(risk.list_feature_services()) == max(kept, 1)


def test_taking_over_counts_as_having(platform, open_store) -> None:
    platform.apply([Policy(max_objects=2)])
    growth = open_store("growth")
    growth.apply([service("a"), service("b")])
    open_store("risk").apply([RANKING, OFFER])

    with pytest.raises(RefusedError, match="'growth' would have 3 objects; the policy allows 2"):
        growth.apply([RANKING])


def test_a_name_rests_whoever_had_it_before_and_however_the_registry_was_opened(
    platform, open_store
) -> None:
    """An old memory of one spelling does not hide a fresh one of another."""
    from feature_platform.registry.checkpoint import Checkpoint

    now = [datetime(2026, 1, 1, tzinfo=UTC)]

    def store(team: str):
        return open_store(team, clock=lambda: now[0])

    store("b").apply([service("foo")])
    store("b").apply([], objects_to_delete=[service("foo")])
    now[0] += timedelta(days=40)
    store("a").apply([service("FOO")])
    store("a").apply([], objects_to_delete=[service("FOO")])
    for _ in range(2):
        with pytest.raises(RefusedError, match="the name was of 'a'"):
            store("c").apply([service("Foo")])
        log, snapshot = platform.registry.log, platform.snapshot()
        log.keep(snapshot.version, Checkpoint.of(snapshot).to_bytes())


def test_one_clock_that_is_ahead_does_not_end_what_was_promised(platform, open_store) -> None:
    from feature_platform import Deprecation

    now = datetime(2026, 1, 1, tzinfo=UTC)
    ours = open_store(clock=lambda: now)
    view = ours.get_feature_view("driver_stats")
    ours.apply([view.model_copy(update={"deprecated": Deprecation(remove_after="2026-03-01")})])
    open_store("risk").apply([service("s")])
    ahead = open_store("growth", clock=lambda: datetime(2099, 1, 1, tzinfo=UTC))
    ahead.apply([service("t")])

    with pytest.raises(RefusedError, match="would break 2 readers"):
        open_store(clock=lambda: now).apply([], objects_to_delete=[view])
