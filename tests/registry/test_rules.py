"""The rules of a federated registry, each in a plan that keeps it and one that breaks it."""

import re
from datetime import timedelta

import pytest
from tests_support import PLAN, assert_losses, assert_names, assert_problems, raises, refused

from feature_platform import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    Policy,
    PushSource,
    RequestSource,
    ViewReference,
)
from feature_platform.errors import DefinitionError, Problem, RefusedError, RequestError
from feature_platform.governance import Change, Plan
from feature_platform.types import Float64, Int64, String


def service(name: str, *features: object) -> FeatureService:
    return FeatureService(name=name, features=list(features) or ["driver_stats"])


def on_demand(name: str, *sources: str, output: str = "y") -> OnDemandFeatureView:
    def double(inputs: dict[str, float]) -> dict[str, float]:
        return {output: 2 * next(iter(inputs.values()))}

    return OnDemandFeatureView(
        name=name, sources=list(sources), schema=[Field(name=output, dtype=Float64)], udf=double
    )


def refusal(
    store: FeatureStore, *objects: object, delete: tuple[object, ...] = ()
) -> tuple[Problem, ...]:
    """Return why a plan is refused; nothing was written."""
    before = store.snapshot()
    with pytest.raises(RefusedError) as caught:
        store.apply(list(objects), objects_to_delete=delete)
    assert store.snapshot() is before or store.snapshot().version == before.version
    assert_names(caught.value, store.owner, store.project, len(caught.value.problems))
    assert all(str(problem) in str(caught.value) for problem in caught.value.problems)
    return caught.value.problems


def check_losses(store: FeatureStore, desired: list[object], *losses: tuple[object, ...]) -> None:
    """Expect a change to be refused for what it takes from readers, and to take just that."""
    assert {problem.rule for problem in refusal(store, *desired)} == {"contract"}
    assert_losses(store.review(store.plan(desired)), *losses)


def test_a_team_builds_on_what_the_platform_owns(platform, open_store) -> None:
    risk = open_store("risk")
    risk.apply([on_demand("risk_double", "driver_stats:trips"), service("risk_v1", "risk_double")])

    owners = {key.name: entry.owner for key, entry in risk.snapshot().entries.items()}
    assert owners["risk_v1"] == "risk"
    assert owners["driver_stats"] == "platform"


def test_a_team_cannot_redefine_a_platform_view(platform, open_store, driver_view) -> None:
    problems = refusal(open_store("risk"), driver_view.model_copy(update={"description": "mine"}))

    assert_problems(
        problems,  # the view brings its entity and its source along
        ("ownership", "entity 'driver'", "platform", "risk"),
        ("ownership", "source 'driver_source'", "platform", "risk"),
        ("ownership", "feature view 'driver_stats'", "platform", "risk"),
    )


def test_an_identical_copy_of_anothers_object_is_refused_too(platform, open_store, driver) -> None:
    problems = refusal(open_store("risk"), driver)

    assert_problems(problems, ("ownership", "entity 'driver'", "platform", "risk"))


def test_a_team_cannot_touch_another_teams_objects(platform, open_store) -> None:
    open_store("growth").apply([service("ranking")])
    risk = open_store("risk")

    foreign = ("ownership", "feature service 'ranking'", "growth", "risk")
    assert_problems(refusal(risk, service("ranking", "driver_stats:trips")), foreign)
    assert_problems(refusal(risk, delete=(service("ranking"),)), foreign)


@pytest.mark.parametrize(
    ("make", "subject"),
    [
        (lambda view: Entity(name="mine"), "entity 'mine'"),
        (lambda view: FileSource(path="mine.parquet"), "source 'mine'"),
        (lambda view: PushSource(name="mine"), "source 'mine'"),
        (
            lambda view: FeatureView(name="mine", source=view.source, schema=list(view.fields)),
            "feature view 'mine'",
        ),
        (lambda view: Policy(), "policy 'policy'"),
    ],
)
def test_teams_register_services_and_on_demand_views_only(
    platform, open_store, driver_view, make, subject
) -> None:
    problems = refusal(open_store("risk"), make(driver_view))

    assert_problems(problems, ("kind", subject, "platform"))


def test_the_platform_may_register_everything(platform) -> None:
    platform.apply([on_demand("double", "driver_stats:trips"), service("all", "double"), Policy()])

    assert platform.get_feature_service("all")


def test_an_owner_in_the_definition_changes_nothing(platform, open_store) -> None:
    forged = FeatureService(name="risk_v1", features=["driver_stats"], owner="platform")
    open_store("risk").apply([forged])

    [entry] = [e for k, e in platform.snapshot().entries.items() if k.name == "risk_v1"]
    assert entry.owner == "risk"


def test_all_problems_are_reported_at_once(platform, open_store) -> None:
    problems = refusal(
        open_store("risk"),
        service("a", "driver_stat"),
        service("b", "driver_stats:tripz"),
        Entity(name="mine"),
    )

    assert_problems(
        problems,
        ("kind", "entity 'mine'"),
        ("reference", "feature service 'a'", "driver_stat", "driver_stats"),
        ("reference", "feature service 'b'", "driver_stats", "tripz", "trips"),
    )
    missing = [problem.missing for problem in problems]
    assert missing == [None, "view 'driver_stat'", "driver_stats:tripz"]


def test_references_inside_one_apply_are_found(open_store, driver, driver_source, driver_view):
    store = open_store()
    store.apply([service("s"), driver_view, driver_source, driver])

    assert store.snapshot().version == 1


def test_a_view_needs_its_entity_and_source(open_store, driver, driver_view) -> None:
    by_name = driver_view.model_copy(update={"source": "elsewhere"})
    by_name = FeatureView(
        name="v", entities=["drivr"], source="elsewhere", schema=list(driver_view.fields)
    )
    open_store().apply([driver])

    problems = refusal(open_store(), by_name)
    assert_problems(
        problems,
        ("reference", "feature view 'v'", "drivr", "driver"),
        ("reference", "feature view 'v'", "elsewhere"),
    )
    assert [p.missing for p in problems] == ["entity 'drivr'", "source 'elsewhere'"]


def test_a_source_given_as_an_object_comes_along(open_store, driver, driver_view) -> None:
    store = open_store()
    store.apply([driver, driver_view])

    assert store.get_data_source("driver_source").path == "driver.parquet"


def test_names_that_differ_in_case_only_collide(platform, open_store) -> None:
    open_store("growth").apply([service("ranking")])

    problems = refusal(open_store("risk"), service("Ranking"))

    assert_problems(problems, ("collision", "feature service 'Ranking'", "ranking", "growth"))


def test_views_of_both_kinds_share_their_names(platform, open_store, driver_view) -> None:
    platform.apply([driver_view.model_copy(update={"name": "rides"})])
    problems = refusal(open_store("risk"), on_demand("driver_stats", "rides:trips"))

    taken = ("collision", "on-demand view 'driver_stats'", "driver_stats", "platform")
    assert_problems(problems, taken)


def test_a_join_key_map_names_join_keys(platform, open_store) -> None:
    mapped = ViewReference(view="driver_stats").with_join_key_map({"driver": "d"})

    problems = refusal(open_store("risk"), service("s", mapped))

    named = ("driver_stats", "driver", "driver_id")
    assert_problems(problems, ("reference", "feature service 's'", *named))


def test_without_a_policy_names_are_free(platform, open_store) -> None:
    open_store("risk").apply([service("anything")])


def test_the_policy_asks_for_prefixes_and_keeps_them(platform, open_store) -> None:
    platform.apply([Policy(prefixes={"risk": ["risk_", "rsk_"]})])
    open_store("risk").apply([service("risk_v1"), service("rsk_v1")])
    open_store("growth").apply([service("ranking")])

    bare, foreign = "feature service 'ranking_v2'", "feature service 'risk_v2'"
    problems = refusal(open_store("risk"), service("ranking_v2"))
    assert_problems(problems, ("naming", bare, "risk", "risk_", "rsk_"))
    problems = refusal(open_store("growth"), service("risk_v2"))
    assert_problems(problems, ("naming", foreign, "risk"))
    platform.apply([Policy(prefixes={"risk": ["risk_"]}, teams_need_prefix=True)])
    problems = refusal(open_store("growth"), service("ranking_v2"))
    assert_problems(problems, ("naming", bare, "growth"))


def test_a_policy_can_take_kinds_away(platform, open_store) -> None:
    platform.apply([Policy(team_kinds=["feature_service"])])

    problems = refusal(open_store("risk"), on_demand("o", "driver_stats:trips"))

    assert_problems(problems, ("kind", "on-demand view 'o'", "platform"))
    told = problems[0].message.replace(" ", "_")  # kinds may be written as words
    assert ("feature_service" in told, "on_demand_view" in told) == (True, False)
    open_store("risk").apply([service("still_fine")])


def test_what_others_use_cannot_be_deleted(platform, open_store, driver_view) -> None:
    open_store("risk").apply([on_demand("risk_o", "driver_stats:trips")])
    open_store("growth").apply([service("ranking")])

    problems = refusal(platform, delete=(driver_view,))
    named = (2, "ranking", "growth", "risk_o", "risk")
    assert_problems(problems, ("contract", "feature view 'driver_stats'", *named))
    assert_losses(
        platform.review(platform.plan([], [driver_view])),
        ("reference", "ranking", "growth"),
        ("reference", "risk_o", "risk"),
    )


@pytest.mark.parametrize(
    ("change", "kind", "names"),
    [
        ({"fields": (Field(name="rate", dtype=Int64),)}, "removed", ["trips"]),
        (
            {"fields": (Field(name="trips", dtype=String), Field(name="rate", dtype=Int64))},
            "retyped",
            ["trips", "Int64", "String"],
        ),
        ({"entities": ()}, "keys", ["driver_id", "Int64"]),
    ],
)
def test_what_others_use_cannot_be_broken(platform, open_store, driver_view, change, kind, names):
    open_store("risk").apply([service("risk_v1", "driver_stats:trips")])
    broken = driver_view.model_copy(update=change)

    check_losses(platform, [broken], (kind, "risk_v1", "risk", "driver_stats", *names))


def test_what_nobody_uses_can_be_changed(platform, open_store, driver_view) -> None:
    open_store("risk").apply([service("risk_v1", "driver_stats:trips")])
    fields = (Field(name="trips", dtype=Int64), Field(name="new", dtype=Int64))
    platform.apply([driver_view.model_copy(update={"fields": fields, "ttl": timedelta(days=2)})])

    assert platform.get_feature_view("driver_stats").feature_names == ("trips", "new")


def test_consumers_can_move_together_with_what_they_use(platform, driver_view) -> None:
    platform.apply([service("own", "driver_stats:trips")])
    narrow = driver_view.model_copy(update={"fields": (Field(name="rate", dtype=Float64),)})

    platform.apply([narrow, service("own", "driver_stats:rate")])
    platform.apply([], objects_to_delete=[narrow, service("own")])

    assert platform.list_feature_views() == []


def test_deleting_an_entity_or_source_in_use_is_refused(platform, driver, driver_source) -> None:
    for used in (driver, driver_source):
        problems = refusal(platform, delete=(used,))
        subject = f"{used.kind} {used.name!r}"
        assert_problems(problems, ("contract", subject, "driver_stats", "platform"))
        assert_losses(
            platform.review(platform.plan([], [used])), ("reference", "driver_stats", "platform")
        )


def test_on_demand_views_may_build_on_each_other_but_not_in_a_circle(platform, open_store) -> None:
    risk = open_store("risk")
    first, second = on_demand("ring_a", "driver_stats:trips"), on_demand("ring_b", "ring_a:y")
    risk.apply([first, second])

    [circle] = refusal(risk, on_demand("ring_a", "ring_b:y"))
    assert (circle.rule, circle.subject) == ("cycle", "on-demand view 'ring_a'")
    assert re.search(r"\bring_a\W+ring_b\W+ring_a\b", circle.message)  # the way round
    [circle] = refusal(risk, on_demand("ring_c", "ring_c:y"))
    assert (circle.rule, circle.subject) == ("cycle", "on-demand view 'ring_c'")
    assert re.search(r"\bring_c\W+ring_c\b", circle.message)


def test_a_full_sync_deletes_own_objects_and_nobody_elses(platform, open_store) -> None:
    risk = open_store("risk")
    risk.apply([service("old"), service("kept")])
    open_store("growth").apply([service("ranking")])
    risk.apply([service("kept")], partial=False)

    names = {s.name for s in platform.list_feature_services()}
    assert names == {"kept", "ranking"}
    assert platform.list_feature_views()


def test_partial_apply_deletes_nothing(platform, open_store) -> None:
    risk = open_store("risk")
    risk.apply([service("old")])
    risk.apply([service("new")])

    assert {s.name for s in risk.list_feature_services()} == {"old", "new"}


def test_teardown_removes_own_objects_in_the_own_project_only(platform, open_store) -> None:
    risk = open_store("risk")
    risk.apply([service("risk_v1")])
    elsewhere = open_store("risk", project="other")
    open_store(project="other").apply([Entity(name="driver")])

    with refused(("contract", "feature view 'driver_stats'", "risk_v1", "risk")):
        platform.teardown()
    elsewhere.teardown()
    risk.teardown()
    platform.teardown()

    snapshot = platform.snapshot()
    assert {k.project for k in snapshot.entries} == {"other"}


def whole(name: str = "risk_v1") -> FeatureService:
    return FeatureService(name=name, features=["driver_stats"])


def test_a_feature_of_a_view_that_others_read_whole_cannot_be_removed(
    platform, open_store, driver_view
) -> None:
    open_store("risk").apply([whole()])
    narrow = driver_view.model_copy(update={"fields": driver_view.fields[:1]})

    check_losses(platform, [narrow], ("removed", "risk_v1", "risk", "driver_stats", "rate"))


@pytest.mark.parametrize(
    "entity",
    [
        Entity(name="driver", join_keys=["drv"], value_type=Int64),
        Entity(name="driver", join_keys=["driver_id"], value_type=String),
        Entity(name="driver", join_keys=["driver_id", "extra"]),
    ],
)
def test_an_entity_behind_what_others_read_keeps_its_keys(platform, open_store, entity) -> None:
    open_store("risk").apply([whole()])

    check_losses(platform, [entity], ("keys", "risk_v1", "risk", "driver_stats", "driver_id"))
    open_store("risk").teardown()
    platform.apply([entity])


def test_a_source_behind_what_others_read_keeps_its_history(platform, open_store) -> None:
    open_store("risk").apply([whole()])

    push = PushSource(name="driver_source")
    check_losses(platform, [push], ("history", "risk_v1", "risk", "driver_stats"))


def test_a_view_that_others_read_does_not_ask_requests_for_more(platform, open_store) -> None:
    def view(*fields: Field) -> OnDemandFeatureView:
        sources = ["driver_stats:trips", RequestSource(schema=list(fields))]
        schema = [Field(name="y", dtype=Float64)]
        return OnDemandFeatureView(name="o", sources=sources, schema=schema, udf=identity)

    growth = open_store("growth")
    growth.apply([view(Field(name="a", dtype=Int64))])
    open_store("risk").apply([service("risk_v1", "o")])
    more = view(Field(name="a", dtype=Int64), Field(name="b", dtype=Int64))

    check_losses(growth, [more], ("request", "risk_v1", "risk", "o", "b", "Int64"))


def identity(inputs: dict[str, float]) -> dict[str, float]:
    value = 1.0 if inputs else 0.0
    return {"y": value, "base_y": value, "chain_y": value}


def test_the_platform_may_retype_what_only_it_uses(platform, driver_view) -> None:
    platform.apply([whole("own")])
    fields = (Field(name="trips", dtype=String), driver_view.fields[1])

    assert platform.apply([driver_view.model_copy(update={"fields": fields})])


def change(kind: str, name: str, after: str | None, before: str | None = None) -> Change:
    return Change(kind=kind, name=name, before=before, after=after)


VIEW_JSON = FeatureView(
    name="sneaky", source="driver_source", schema=[Field(name="trips", dtype=Int64)]
).to_json()


def service_json(name: str) -> str:
    return service("placeholder").to_json().replace("placeholder", name)


@pytest.mark.parametrize(
    ("changes", "subject", "names"),
    [
        (
            [change("on_demand_view", "sneaky", VIEW_JSON)],
            "on-demand view 'sneaky'",
            ["feature view", "sneaky"],
        ),
        ([change("feature_service", "foo", service_json("bar"))], "feature service 'foo'", ["bar"]),
        ([change("feature_service", "foo", "{}")], "feature service 'foo'", []),
        ([change("feature_service", "s", service_json("s") + " ")], "feature service 's'", []),
        ([change("bogus", "s", service_json("s"))], "bogus 's'", []),
        ([change("feature_service", "a  b", service_json("a  b"))], "feature service 'a  b'", []),
        ([change("feature_service", "s", None)], "feature service 's'", []),
        ([change("feature_service", "s", service_json("s"))] * 2, "feature service 's'", []),
    ],
    ids=["kind", "name", "empty", "spaces", "no such kind", "no name", "nothing", "twice"],
)
def test_a_plan_made_by_hand_is_checked_like_any_other(
    platform, open_store, changes, subject, names
):
    risk = open_store("risk")
    plan = Plan(project="shop", owner="risk", version=1, changes=tuple(changes))

    with refused(("form", subject, *names)):
        risk.commit(plan)
    assert risk.snapshot().version == 1


def test_a_plan_made_by_hand_is_fine_if_its_content_is(platform, open_store) -> None:
    """What the plans above would be without their one fault."""
    good = change("feature_service", "s", service_json("s"))
    plan = Plan(project="shop", owner="risk", version=1, changes=(good,))

    assert open_store("risk").commit(plan)


def test_nobody_commits_for_another_owner_or_project(platform, open_store) -> None:
    added = change("entity", "evil", Entity(name="evil").to_json())
    forged = Plan(project="shop", owner="platform", version=1, changes=(added,))
    elsewhere = Plan(project="staging", owner="risk", version=1, changes=(added,))

    with refused(("ownership", PLAN, "platform", "risk")):
        open_store("risk").commit(forged)
    with raises(RequestError, "staging", "shop"):
        open_store("risk").commit(elsewhere)


@pytest.mark.parametrize("name", ["RISK_v1", "risk-v1", "Risk v1"])
def test_a_reserved_prefix_is_reserved_in_every_case_and_with_every_separator(
    platform, open_store, name: str
) -> None:
    platform.apply([Policy(prefixes={"risk": ["risk_"]})])

    problems = refusal(open_store("growth"), service(name))
    assert_problems(problems, ("naming", f"feature service '{name}'", "risk"))
    open_store("risk").apply([service(name.lower())])


@pytest.mark.parametrize("name", ["big_model", "big-model", "Big model"])
def test_a_reserved_name_is_reserved_with_every_separator(platform, open_store, name: str) -> None:
    platform.apply([Policy(reserved=["big_model"])])

    problems = refusal(open_store("growth"), service(name))
    assert_problems(problems, ("naming", f"feature service '{name}'"))


def test_request_fields_and_join_keys_agree(platform, open_store) -> None:
    clash = OnDemandFeatureView(
        name="o",
        sources=["driver_stats", RequestSource(schema=[Field(name="driver_id", dtype=String)])],
        schema=[Field(name="y", dtype=Float64)],
        udf=identity,
    )

    named = ("driver_id", "String", "driver_stats", "Int64")
    problems = refusal(open_store("risk"), clash)
    assert_problems(problems, ("reference", "on-demand view 'o'", *named))


def test_on_demand_views_have_no_join_keys_to_map(platform, open_store) -> None:
    risk = open_store("risk")
    risk.apply([on_demand("o", "driver_stats:trips")])
    mapped = ViewReference(view="o").with_join_key_map({"driver_id": "d"})

    problems = refusal(risk, service("s", mapped))
    assert_problems(problems, ("reference", "feature service 's'", "o", "driver_id"))


@pytest.mark.parametrize("key", [Field(name="driver_id", dtype=Float64)])
def test_keys_that_cannot_be_keys_are_refused(platform, driver_view, key) -> None:
    view = driver_view.model_copy(update={"name": "v", "fields": (*driver_view.fields, key)})

    problems = refusal(platform, view)
    assert_problems(problems, ("reference", "feature view 'v'", "driver_id", "Float64"))


def test_a_web_of_on_demand_views_is_checked_quickly(platform, open_store) -> None:
    """Two views a layer, each reading both below: there are 2^60 ways from top to bottom."""
    layers = [on_demand(f"l0_{side}", "driver_stats:trips", output=f"y{side}") for side in "ab"]
    for layer in range(1, 60):
        below = [f"l{layer - 1}_{side}:y{side}" for side in "ab"]
        layers += [on_demand(f"l{layer}_{side}", *below, output=f"y{side}") for side in "ab"]

    assert open_store("risk").apply(layers)


def test_two_inline_sources_of_one_name_are_told_apart(open_store, driver, driver_view) -> None:
    views = [
        FeatureView(
            name=name,
            entities=["driver"],
            source=FileSource(path=f"{name}/readings.parquet"),
            schema=list(driver_view.fields),
        )
        for name in ("north", "south")
    ]

    with raises(DefinitionError, "south", "readings"):
        open_store().apply([driver, *views])


EXTRA = Field(name="extra", dtype=Int64)


def request_view(name: str, *sources: object) -> OnDemandFeatureView:
    schema = [Field(name=f"{name}_y", dtype=Float64)]
    return OnDemandFeatureView(name=name, sources=list(sources), schema=schema, udf=identity)


@pytest.mark.parametrize(
    ("change", "kind", "names"),
    [
        (Entity(name="driver", join_keys=["drv"]), "keys", ["driver_id", "drv"]),
        (PushSource(name="driver_source"), "history", []),
        (
            request_view("base", "driver_stats:trips", RequestSource(schema=[EXTRA])),
            "request",
            ["extra", "Int64"],
        ),
    ],
)
def test_contracts_reach_through_on_demand_views(platform, open_store, change, kind, names) -> None:
    platform.apply([request_view("base", "driver_stats:trips"), request_view("chain", "base")])
    open_store("risk").apply([service("risk_v1", "chain")])

    check_losses(platform, [change], (kind, "risk_v1", "risk", "chain", *names))


def test_a_new_feature_does_not_collide_in_what_others_read(
    platform, open_store, driver_view
) -> None:
    other = driver_view.model_copy(update={"name": "other", "fields": (EXTRA,)})
    platform.apply([other])
    open_store("risk").apply([service("risk_v1", "driver_stats", "other")])
    grown = other.model_copy(update={"fields": (EXTRA, driver_view.fields[0])})

    check_losses(platform, [grown], ("ambiguous", "risk_v1", "risk", "trips"))


def test_a_view_that_others_read_stays_online(platform, open_store, driver_view) -> None:
    open_store("risk").apply([whole()])

    offline = driver_view.model_copy(update={"online": False})
    check_losses(platform, [offline], ("online", "risk_v1", "risk", "driver_stats"))


def test_a_source_and_an_entity_can_be_renamed_in_one_plan(
    platform, open_store, driver_view, driver_source, driver
) -> None:
    open_store("risk").apply([whole()])
    source = driver_source.model_copy(update={"name": "renamed"})
    entity = driver.model_copy(update={"name": "chauffeur"})
    moved = driver_view.model_copy(update={"source": "renamed", "entities": ("chauffeur",)})

    assert platform.apply([source, entity, moved], objects_to_delete=[driver_source, driver])


def test_a_key_type_may_be_declared_later(platform, open_store, driver_view) -> None:
    loose = Entity(name="loose", join_keys=["loose_id"])
    view = driver_view.model_copy(update={"name": "loose_view", "entities": ("loose",)})
    platform.apply([loose, view])
    open_store("risk").apply([service("risk_v1", "loose_view")])

    assert platform.apply([Entity(name="loose", join_keys=["loose_id"], value_type=Int64)])


def test_contradicting_key_types_are_refused(platform, open_store, driver, driver_view) -> None:
    """Every request of both views would fail."""
    text = Field(name="driver_id", dtype=String)
    view = driver_view.model_copy(update={"name": "other", "fields": (text, *driver_view.fields)})
    with refused(("reference", "feature view 'other'", "driver_id", "Int64", "String")):
        platform.apply([view])

    rider = Entity(name="rider", join_keys=["driver_id"], value_type=String)
    view = driver_view.model_copy(update={"name": "other", "entities": ("rider",)})
    platform.apply([rider, view])
    both = FeatureService(name="both", features=["driver_stats", "other"])
    with refused(
        ("reference", "feature service 'both'", "driver_id", "'other'", "with_join_key_map")
    ):
        open_store("risk").apply([both])


def test_the_longest_reserved_prefix_decides(platform, open_store) -> None:
    platform.apply([Policy(prefixes={"risk": ["r_"], "growth": ["r_g_"]})])

    problems = refusal(open_store("risk"), service("r_g_x"))
    assert_problems(problems, ("naming", "feature service 'r_g_x'", "growth"))
    open_store("growth").apply([service("r_g_x")])


def test_a_source_without_a_name_redirects_nobody(platform: FeatureStore, open_store) -> None:
    """`a/stats.parquet` and `b/stats.parquet` are both named `stats`."""
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=Int64)

    def view(view_name: str, path: str, **options: str) -> FeatureView:
        source = FileSource(path=path, **options)
        schema = [Field(name="x", dtype=Float64)]
        return FeatureView(name=view_name, entities=[driver], schema=schema, source=source)

    store = open_store()
    store.apply([view("v1", "a/stats.parquet")])
    with raises(DefinitionError, "'stats'", "'v1'", "name="):
        store.apply([view("v2", "b/stats.parquet")])
    with raises(DefinitionError, "'stats'", "'v1'", "name="):
        store.apply([view("v2", "a/stats.parquet", timestamp_field="at")])
    assert store.load_project().get(FileSource, "stats").path == "a/stats.parquet"

    assert store.apply([view("v2", "b/stats.parquet", name="other_stats")])
    assert store.apply([view("v1", "moved/stats.parquet")])  # its only reader comes along
