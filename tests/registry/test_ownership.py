"""Ownership: transfers in two steps, names that rest, quotas, and the brake."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from tests_support import PLAN, raises, refused

from feature_platform import FeatureService, Policy, Transfer
from feature_platform.errors import DefinitionError
from feature_platform.registry import SqliteLog


def service(name: str, *features: str) -> FeatureService:
    return FeatureService(name=name, features=list(features) or ["driver_stats"])


def owner(store, name: str) -> str:
    return store.load_project().find("feature_service", name).owner


RANKING = service("ranking")
SUBJECT = "feature service 'ranking'"
OFFER = Transfer(name="ranking_to_growth", objects=[RANKING], to="growth")


def test_an_object_changes_hands_in_two_steps(platform, open_store) -> None:
    risk, growth = open_store("risk"), open_store("growth")
    risk.apply([RANKING])
    with refused(("ownership", SUBJECT, "risk", "growth")) as stranger:
        growth.apply([RANKING])

    risk.apply([OFFER])
    assert owner(risk, "ranking") == "risk"
    growth.apply([RANKING])
    assert owner(risk, "ranking") == "growth"

    with refused(("ownership", SUBJECT, "growth", "risk")) as former:
        risk.apply([service("ranking", "driver_stats:trips"), OFFER])
    # Who gave it away gets other advice than who never had it.
    advice = [
        re.sub("'(risk|growth)'", "", e.value.problems[0].message) for e in (stranger, former)
    ]
    assert advice[0] != advice[1]
    risk.apply([service("other")], partial=False)
    growth.apply([service("ranking", "driver_stats:trips")])
    assert owner(risk, "ranking") == "growth"


def test_only_whom_it_is_offered_to_takes_an_object(platform, open_store) -> None:
    open_store("risk").apply([RANKING, OFFER])

    with refused(("ownership", SUBJECT, "risk", "ops")):
        open_store("ops").apply([RANKING])
    with refused(("ownership", SUBJECT, "risk", "growth")):
        open_store("growth").apply([], objects_to_delete=[RANKING])


def test_nobody_offers_what_is_not_its_own(platform, open_store) -> None:
    open_store("risk").apply([RANKING])
    theft = Transfer(name="theft", objects=["feature_service/ranking"], to="growth")

    with refused(("reference", "transfer 'theft'", "ops", "feature_service/ranking")):
        open_store("ops").apply([theft])
    with refused(("reference", "transfer 't'", "risk")):
        open_store("risk").apply([Transfer(name="t", objects=[RANKING], to="risk")])
    with refused(("reference", "transfer 't'", "risk", "feature_service/nothing")):
        open_store("risk").apply([Transfer(name="t", objects=["feature_service/nothing"], to="a")])
    with raises(DefinitionError, "objects", "'ranking'", "kind/name"):
        Transfer(name="t", objects=["ranking"], to="ops")


def test_an_offer_of_a_former_owner_is_void(platform, open_store) -> None:
    risk, growth, ops = open_store("risk"), open_store("growth"), open_store("ops")
    risk.apply([RANKING, OFFER, Transfer(name="also", objects=[RANKING], to="ops")])
    growth.apply([RANKING])

    with refused(("ownership", SUBJECT, "growth", "ops")):
        ops.apply([RANKING])


def test_teams_do_not_receive_what_only_the_platform_registers(
    platform, open_store, driver_view
) -> None:
    platform.apply([Transfer(name="t", objects=[driver_view], to="risk")])

    with refused(
        ("ownership", "entity 'driver'", "platform", "risk"),  # the view brings these along
        ("ownership", "source 'driver_source'", "platform", "risk"),
        ("kind", "feature view 'driver_stats'", "platform"),
    ):
        open_store("risk").apply([driver_view])


def test_a_deleted_name_rests_before_others_take_it(platform, open_store) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    risk = open_store("risk", clock=lambda: now[0])
    growth = open_store("growth", clock=lambda: now[0])
    risk.apply([RANKING])
    risk.apply([], objects_to_delete=[RANKING])

    now[0] += timedelta(days=29)
    with refused(("collision", "feature service 'Ranking'", "risk", "2026-01-31")):
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

    with refused(("quota", PLAN, "risk", 3, 2)):
        risk.apply([service("c")])
    with refused(("naming", "feature service 'Default'"), ("quota", PLAN, "risk", 3, 2)):
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
        flags = ("--allow-mass-delete", "mass_delete=True")
        with refused(("brake", PLAN, owned - kept, owned, "risk", *flags)):
            risk.apply(rest, partial=False)
    assert risk.apply(rest, partial=False, mass_delete=not allowed)
    assert len(risk.list_feature_services()) == max(kept, 1)


def test_taking_over_counts_as_having(platform, open_store) -> None:
    platform.apply([Policy(max_objects=2)])
    growth = open_store("growth")
    growth.apply([service("a"), service("b")])
    open_store("risk").apply([RANKING, OFFER])

    with refused(("quota", PLAN, "growth", 3, 2)):
        growth.apply([RANKING])


def test_a_name_rests_whoever_had_it_before_and_however_the_registry_was_opened(
    platform, open_store
) -> None:
    """An old memory of one spelling does not hide a fresh one of another."""
    from feature_platform.registry.checkpoint import Checkpoint

    now = [datetime(2026, 1, 1, tzinfo=UTC)]

    def store(team: str):
        return open_store(team, clock=lambda: now[0])

    store("ops").apply([service("foo")])
    store("ops").apply([], objects_to_delete=[service("foo")])
    now[0] += timedelta(days=40)
    store("risk").apply([service("FOO")])
    store("risk").apply([], objects_to_delete=[service("FOO")])
    for _ in range(2):
        with refused(("collision", "feature service 'Foo'", "risk", "2026-03-12")):
            store("growth").apply([service("Foo")])
        log, snapshot = platform.registry.log, platform.snapshot()
        log.keep(snapshot.version, Checkpoint.of(snapshot).to_bytes())


def test_one_clock_that_is_ahead_does_not_end_what_was_promised(platform, open_store) -> None:
    from feature_platform import Deprecation

    now = datetime(2026, 1, 1, tzinfo=UTC)
    ours = open_store(clock=lambda: now)
    view = ours.get_feature_view("driver_stats")
    ours.apply([view.model_copy(update={"deprecated": Deprecation(remove_after="2026-03-01")})])
    open_store("risk").apply([service("s")])
    far = datetime(2099, 1, 1, tzinfo=UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqliteLog, "time", lambda _: far)
        open_store("growth", clock=lambda: far).apply([service("t")])

    readers = (2, "s", "risk", "t", "growth")
    with refused(("contract", "feature view 'driver_stats'", *readers)):
        open_store(clock=lambda: now).apply([], objects_to_delete=[view])
