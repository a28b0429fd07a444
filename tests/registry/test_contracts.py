"""Contracts between owners: what breaks readers, and when it may all the same."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tests_support import PLAN, assert_losses, assert_names, raises, refused

from feature_platform import (
    Deprecation,
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    Policy,
    PushSource,
)
from feature_platform.errors import NotFoundError
from feature_platform.project import Key
from feature_platform.types import Array, Decimal, Float32, Float64, Int32, Int64, String

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = Entity(name="driver", join_keys=["driver_id"], value_type=Int64)
SOURCE = FileSource(name="rows", path="rows.parquet", timestamp_field="seen")

Open = Callable[..., FeatureStore]


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(open_store: Open, clock: Clock) -> Open:
    return lambda team="platform": open_store(team, clock=clock)


def view(dtype: object = Int32, **options: Any) -> FeatureView:
    fields = {"schema": [Field(name="x", dtype=dtype), Field(name="y", dtype=Float32)]}
    settings = {"name": "stats", "entities": ["driver"], "source": "rows", **fields}
    return FeatureView(**{**settings, "ttl": timedelta(days=2), **options})


def service(*features: str, name: str = "risk_v1") -> FeatureService:
    return FeatureService(name=name, features=list(features) or ["stats"])


@pytest.fixture
def platform(opened: Open) -> FeatureStore:
    store = opened()
    store.apply([KEY, SOURCE, view()])
    opened("risk").apply([service()])
    return store


X, Y = Field(name="x", dtype=Int32), Field(name="y", dtype=Float32)


@pytest.mark.parametrize(
    ("change", "kind", "names"),
    [
        (view(schema=[Y]), "removed", ["x"]),
        (view(String), "retyped", ["x", "Int32", "String"]),
        (view(entities=[]), "keys", ["driver_id", "Int64"]),
        (
            Entity(name="driver", join_keys=["driver_id"], value_type=String),
            "keys",
            ["driver_id", "Int64", "String"],
        ),
        (view(ttl=timedelta(days=1)), "ttl", ["1 day", "2 days"]),
        (FileSource(name="rows", path="moved.parquet", timestamp_field="seen"), "source", []),
        (FileSource(name="rows", path="rows.parquet", timestamp_field="at"), "source", []),
        (PushSource(name="rows"), "history", []),
        (view(online=False), "online", []),
    ],
)
def test_what_breaks_a_reader_is_classified_and_refused(platform, change, kind, names) -> None:
    assert_losses(
        platform.review(platform.plan([change])), (kind, "risk_v1", "risk", "stats", *names)
    )
    subject = f"{change.kind.replace('_', ' ')} {change.name!r}"
    with refused(("contract", subject, "risk_v1", "risk", "stats", *names)):
        platform.apply([change])
    assert platform.snapshot().version == 2


@pytest.mark.parametrize(
    "change",
    [
        view(schema=[X, Y, Field(name="z", dtype=String)]),
        view(ttl=timedelta(days=3)),
        view(ttl=None),
        view(description="better words", tags={"a": "b"}),
        FileSource(name="rows", path="rows.parquet", timestamp_field="seen", description="words"),
    ],
)
def test_what_takes_nothing_away_is_fine(platform, change) -> None:
    review = platform.review(platform.plan([change]))

    assert {e.kind for e in review.effects} <= {"none"}
    assert platform.apply([change])


def test_a_ttl_for_ever_cannot_end(opened: Open) -> None:
    opened().apply([KEY, SOURCE, view(ttl=None)])
    opened("risk").apply([service()])

    limited = opened().plan([view()])
    assert_losses(opened().review(limited), ("ttl", "risk_v1", "risk", "stats", "2 days"))
    with refused(("contract", "feature view 'stats'", "risk_v1", "risk", "2 days")):
        opened().commit(limited)


WIDER = [
    (Int32, Int64), (Int32, Float64), (Float32, Float64), (Array(Int32), Array(Int64)),
    (Array(Float32), Array(Float64)), (Array(Int32), Array(Float64)),
    (Decimal(9, 2), Decimal(10, 2)), (Decimal(9, 3), Decimal(11, 3)),
    (Array(Decimal(9, 2)), Array(Decimal(10, 2))),
]  # fmt: skip
TYPES = [Int32, Int64, Float32, Float64, String, Array(Int32), Array(Int64), Array(Float32),
         Array(Float64), Decimal(9, 2), Decimal(10, 2), Decimal(11, 3), Decimal(9, 3),
         Array(Decimal(9, 2)), Array(Decimal(10, 2))]  # fmt: skip


@pytest.mark.parametrize("before", TYPES, ids=str)
@pytest.mark.parametrize("after", TYPES, ids=str)
def test_the_widening_matrix(opened: Open, before, after) -> None:
    opened().apply([KEY, SOURCE, view(before)])
    opened("risk").apply([service()])
    fits = before == after or (before, after) in WIDER

    review = opened().review(opened().plan([view(after)]))

    assert bool(review.problems) is not fits


def test_rows_stored_before_a_type_was_widened_read_as_they_are(opened: Open, clock) -> None:
    import pandas as pd

    opened().apply([KEY, SOURCE, view(Int32)])
    rows = {"driver_id": [1], "seen": [clock.now], "x": [7], "y": [0.5]}
    opened().write_to_online_store("stats", pd.DataFrame(rows))
    widened = [Field(name="x", dtype=Float64), Field(name="y", dtype=Float64)]
    opened().apply([view(schema=widened)])

    answer = opened().get_online_features(["stats"], [{"driver_id": 1}]).to_dict()
    assert answer == {"driver_id": [1], "x": [7.0], "y": [0.5]}
    assert isinstance(answer["x"][0], float)


def deprecated(day: date) -> FeatureView:
    return view(deprecated=Deprecation(remove_after=day, replacement="stats_v2"))


def test_a_deprecation_gives_readers_the_time_that_the_policy_promises(platform) -> None:
    with refused(("notice", "feature view 'stats'", "2026-01-15", 14)):
        platform.apply([deprecated(date(2026, 1, 14))])
    platform.apply([Policy(notice_days=3)])

    platform.apply([deprecated(date(2026, 1, 4))])
    platform.apply([deprecated(date(2026, 1, 9))])
    with refused(("notice", "feature view 'stats'", "2026-01-04", 3)):
        platform.apply([deprecated(date(2026, 1, 3))])


def test_after_its_date_a_deprecated_view_may_go(platform, opened: Open, clock) -> None:
    platform.apply([deprecated(date(2026, 1, 15))])
    [notice] = opened("risk").review(opened("risk").plan([service()])).advisories
    assert notice.reader == Key("shop", "feature_service", "risk_v1")
    assert_names(notice.message, "stats", "2026-01-15", "stats_v2")
    assert_names(notice, "risk_v1")

    clock.now = datetime(2026, 1, 15, 23, 59, tzinfo=UTC)
    early = platform.review(platform.plan([], [view()]))
    assert_losses(early, ("reference", "risk_v1", "risk"))
    with refused(("contract", "feature view 'stats'", "risk_v1", "risk")):
        platform.apply([], objects_to_delete=[view()])
    clock.now = datetime(2026, 1, 16, tzinfo=UTC)
    [effect] = platform.review(platform.plan([], [view()])).effects
    assert (effect.kind, effect.reader.name, effect.owner) == ("reference", "risk_v1", "risk")
    assert_names(effect.excuse, "2026-01-15", "stats_v2")
    platform.apply([], objects_to_delete=[view()])

    with raises(NotFoundError, "'stats'", "'platform'", "2026-01-16"):
        opened("risk").get_online_features("risk_v1", [{"driver_id": 1}])
    with refused(("reference", "feature service 'other'", "stats")) as caught:
        opened("risk").apply([service(name="other")])
    assert caught.value.problems[0].missing == "view 'stats'"
    assert opened("risk").apply([], objects_to_delete=[service()])


def test_a_deprecated_view_may_go_together_with_its_source(platform, clock) -> None:
    """Though the two have the same name."""
    twin = FileSource(name="stats", path="rows.parquet", timestamp_field="seen")
    moved = view(source="stats", deprecated=Deprecation(remove_after="2026-01-20"))
    platform.apply([KEY, twin, moved], partial=False)
    clock.now = datetime(2026, 2, 1, tzinfo=UTC)

    assert platform.apply([KEY], partial=False)
    assert not platform.list_data_sources()


def test_a_change_of_a_source_is_not_excused_by_a_view_that_stays(platform, clock) -> None:
    platform.apply([deprecated(date(2026, 1, 20)), service(name="own")])
    other = view(name="other")
    platform.apply([other])
    clock.now = datetime(2026, 2, 1, tzinfo=UTC)

    moved = FileSource(name="rows", path="moved.parquet", timestamp_field="seen")
    assert_losses(platform.review(platform.plan([moved])), ("source", "risk_v1", "risk", "stats"))
    with refused(("contract", "source 'rows'", "risk_v1", "risk", "stats")):
        platform.apply([moved])


def test_one_feature_can_be_deprecated(platform, clock) -> None:
    old = Field(name="x", dtype=Int32, deprecated=Deprecation(remove_after="2026-02-01"))
    platform.apply([view(schema=[old, Y])])
    clock.now = datetime(2026, 2, 2, tzinfo=UTC)

    without_y = platform.plan([view(schema=[X])])
    assert_losses(platform.review(without_y), ("removed", "risk_v1", "risk", "stats", "y"))
    with refused(("contract", "feature view 'stats'", "risk_v1", "risk", "y")):
        platform.commit(without_y)
    assert platform.apply([view(schema=[Y])])


def test_an_owner_does_not_leave_its_own_readers_dangling(platform, clock) -> None:
    platform.apply([service(name="own"), deprecated(date(2026, 1, 20))])
    clock.now = datetime(2026, 2, 1, tzinfo=UTC)

    deleted = platform.review(platform.plan([], [view()]))
    assert_losses(deleted, ("reference", "own", "platform"))  # the others' loss is excused
    with refused(("contract", "feature view 'stats'", "own", "platform")):
        platform.apply([], objects_to_delete=[view()])
    assert platform.apply([], objects_to_delete=[view(), service(name="own")])


def test_the_platform_can_override_and_it_is_written_down(platform, opened: Open) -> None:
    commit = platform.apply([view(String)], override="x was never a number (INC-7)")

    shown = platform.registry.show(commit.version)
    assert shown.plan.override == "x was never a number (INC-7)"
    [contract] = shown.waived
    assert_names(contract, "stats", "risk_v1", "risk", "x", "Int32", "String")
    with refused(("override", PLAN, "platform")):
        opened("risk").apply([service("stats:y")], override="because")


def test_an_override_covers_contracts_only(platform, opened: Open) -> None:
    foreign = FeatureService(name="risk_v1", features=["stats:y"])

    with refused(("ownership", "feature service 'risk_v1'", "risk", "platform")):
        platform.apply([foreign], override="we know better")
    with refused(("reference", "feature service 's'", "nowhere")):
        platform.apply([service("nowhere", name="s")], override="we know better")


def test_effects_reach_through_on_demand_views(platform, opened: Open) -> None:
    computed = OnDemandFeatureView(
        name="growth_double",
        sources=["stats:x"],
        schema=[Field(name="double", dtype=Float64)],
        udf=double,
    )
    opened("growth").apply([computed, service("growth_double", name="growth_v1")])
    review = platform.review(platform.plan([view(ttl=timedelta(hours=1))]))

    assert {(e.reader.name, e.kind) for e in review.effects} == {
        ("risk_v1", "ttl"), ("growth_double", "ttl"), ("growth_v1", "ttl"),
    }  # fmt: skip


def double(inputs: dict[str, float]) -> dict[str, float]:
    return {"double": 2.0 * inputs["x"]}


def test_a_changed_source_or_key_names_the_online_tables_to_load_again(
    platform, opened: Open, tmp_path
) -> None:
    import pandas as pd

    times = [NOW - timedelta(hours=h) for h in (1, 2, 30)]
    rows = pd.DataFrame({"driver_id": [1, 1, 2], "seen": times, "x": [1, 2, 3], "y": 0.5})
    rows["x"] = rows["x"].astype("int32")
    rows["y"] = rows["y"].astype("float32")
    for name in ("rows", "moved"):
        rows.to_parquet(tmp_path / f"{name}.parquet")
    platform.materialize(NOW - timedelta(days=1), NOW)
    moved = FileSource(name="rows", path="moved.parquet", timestamp_field="seen")
    more = view(schema=[X, Y, Field(name="z", dtype=String)])

    [backfill] = platform.review(platform.plan([moved])).backfills
    assert (backfill.view, backfill.rows, len(backfill.windows)) == ("stats", 2, 1)
    [added] = platform.review(platform.plan([more])).backfills
    assert added.view == "stats"
    assert_names(added.reason, "z")
    assert platform.review(platform.plan([view(description="d")])).backfills == ()


def test_a_new_feature_does_not_take_the_name_of_a_key_that_a_reader_passes(
    platform, opened: Open
) -> None:
    other = Entity(name="rider", join_keys=["rider_id"], value_type=Int64)
    second = view(name="rides", entities=["rider"])
    opened().apply([other, second])
    both = FeatureService(name="growth_v1", features=["stats:x", "rides:y"])
    whole = FeatureService(name="ops_v1", features=["stats", second[["y"]].with_name("r")])
    opened("growth").apply([both])
    opened("ops").apply([whole])
    grown = view(schema=[X, Y, Field(name="rider_id", dtype=Int64)])

    grow = platform.plan([grown])
    assert_losses(platform.review(grow), ("ambiguous", "ops_v1", "ops", "rider_id"))
    with refused(("contract", "feature view 'stats'", "ops_v1", "ops", "rider_id")):
        platform.commit(grow)


def test_a_push_source_may_gain_a_history(opened: Open) -> None:
    pushed = PushSource(name="rows")
    opened().apply([KEY, pushed, view()])
    opened("risk").apply([service()])

    assert opened().apply([SOURCE.model_copy(update={"name": "batch"}),
                           PushSource(name="rows", batch_source="batch")])  # fmt: skip


def test_whoever_was_overridden_is_told(platform, opened: Open) -> None:
    platform.apply([view(schema=[Y])], override="x was wrong")
    risk = opened("risk")
    risk.apply([service("stats:y", name="other")])
    platform.apply([view(schema=[X])], override="y was wrong")

    [notice] = risk.review(risk.plan([])).advisories
    assert notice.reader == Key("shop", "feature_service", "other")
    assert_names(notice.message, "stats", "y", "platform", 5)
    assert_names(notice, "other")


def test_a_refusal_names_the_ways_out(platform) -> None:
    broken = ("contract", "feature view 'stats'", "risk_v1", "risk", "x", "--override")
    with refused(broken) as early:
        platform.apply([view(schema=[Y])])
    platform.apply([deprecated(date(2026, 1, 20))])
    with refused((*broken, "2026-01-20")):
        platform.apply([view(schema=[Y])])
    assert "2026" not in early.value.problems[0].message


def test_only_the_platform_is_told_to_override(platform, opened: Open) -> None:
    growth = opened("growth")
    computed = OnDemandFeatureView(
        name="growth_double",
        sources=["stats:x"],
        schema=[Field(name="double", dtype=Float64)],
        udf=double,
    )
    growth.apply([computed])
    opened("risk").apply([service("growth_double", name="risk_v2")])
    deleted = ("contract", "on-demand view 'growth_double'", "risk_v2", "risk")
    with refused(deleted) as caught:
        growth.apply([], objects_to_delete=[computed])
    assert "override" not in caught.value.problems[0].message
