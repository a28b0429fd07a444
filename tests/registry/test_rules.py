"""The rules of a federated registry, each in a plan that keeps it and one that breaks it."""

from datetime import timedelta

import pytest

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
from feature_platform.errors import DefinitionError, RefusedError, RequestError
from feature_platform.registry import Change, Plan
from feature_platform.types import Float64, Int64, String


def service(name: str, *features: object) -> FeatureService:
    return FeatureService(name=name, features=list(features) or ["driver_stats"])


def on_demand(name: str, *sources: str, output: str = "y") -> OnDemandFeatureView:
    def double(inputs: dict[str, float]) -> dict[str, float]:
        return {output: 2 * next(iter(inputs.values()))}

    return OnDemandFeatureView(
        name=name, sources=list(sources), schema=[Field(name=output, dtype=Float64)], udf=double
    )


def refusal(store: FeatureStore, *objects: object, delete: object = ()) -> str:
    before = store.snapshot()
    with pytest.raises(RefusedError) as caught:
        store.apply(list(objects), objects_to_delete=delete)
    assert store.snapshot() is before or store.snapshot().version == before.version
    return str(caught.value)


def test_a_team_builds_on_what_the_platform_owns(platform, open_store) -> None:
    risk = open_store("risk")
    risk.apply([on_demand("risk_double", "driver_stats:trips"), service("risk_v1", "risk_double")])

    owners = {key.name: entry.owner for key, entry in risk.snapshot().entries.items()}
    assert owners["risk_v1"] == "risk"
    assert owners["driver_stats"] == "platform"


def test_a_team_cannot_redefine_a_platform_view(platform, open_store, driver_view) -> None:
    message = refusal(open_store("risk"), driver_view.model_copy(update={"description": "mine"}))

    assert "feature view 'driver_stats': belongs to 'platform'; 'risk' cannot change it" in message


def test_an_identical_copy_of_anothers_object_is_refused_too(platform, open_store, driver) -> None:
    assert "belongs to 'platform'" in refusal(open_store("risk"), driver)


def test_a_team_cannot_touch_another_teams_objects(platform, open_store) -> None:
    open_store("growth").apply([service("ranking")])
    risk = open_store("risk")

    assert "belongs to 'growth'; 'risk' cannot change it" in refusal(
        risk, service("ranking", "driver_stats:trips")
    )
    assert "belongs to 'growth'; 'risk' cannot delete it" in refusal(
        risk, delete=[service("ranking")]
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda view: Entity(name="mine"),
        lambda view: FileSource(path="mine.parquet"),
        lambda view: PushSource(name="mine"),
        lambda view: view.model_copy(update={"name": "mine"}),
        lambda view: Policy(),
    ],
)
def test_teams_register_services_and_on_demand_views_only(
    platform, open_store, driver_view, make
) -> None:
    assert "only the platform team registers objects of this kind" in refusal(
        open_store("risk"), make(driver_view)
    )


def test_the_platform_may_register_everything(platform) -> None:
    platform.apply([on_demand("double", "driver_stats:trips"), service("all", "double"), Policy()])

    assert platform.get_feature_service("all")


def test_an_owner_in_the_definition_changes_nothing(platform, open_store) -> None:
    forged = FeatureService(name="risk_v1", features=["driver_stats"], owner="platform")
    open_store("risk").apply([forged])

    [entry] = [e for k, e in platform.snapshot().entries.items() if k.name == "risk_v1"]
    assert entry.owner == "risk"


def test_all_problems_are_reported_at_once(platform, open_store) -> None:
    message = refusal(
        open_store("risk"),
        service("a", "driver_stat"),
        service("b", "driver_stats:tripz"),
        Entity(name="mine"),
    )

    assert "has 3 problems" in message
    assert "view 'driver_stat' is not registered. Did you mean 'driver_stats'?" in message
    assert "view 'driver_stats' has no feature 'tripz'. Did you mean 'trips'?" in message


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

    message = refusal(open_store(), by_name)
    assert "entity 'drivr' is not registered. Did you mean 'driver'?" in message
    assert "source 'elsewhere' is not registered" in message


def test_a_source_given_as_an_object_comes_along(open_store, driver, driver_view) -> None:
    store = open_store()
    store.apply([driver, driver_view])

    assert store.get_data_source("driver_source").path == "driver.parquet"


def test_names_that_differ_in_case_only_collide(platform, open_store) -> None:
    open_store("growth").apply([service("ranking")])

    assert "the name is taken by feature service 'ranking' of 'growth'" in refusal(
        open_store("risk"), service("Ranking")
    )


def test_views_of_both_kinds_share_their_names(platform, open_store) -> None:
    assert "the name is taken by feature view 'driver_stats'" in refusal(
        open_store("risk"), on_demand("driver_stats", "driver_stats:trips")
    )


def test_a_join_key_map_names_join_keys(platform, open_store) -> None:
    mapped = ViewReference(view="driver_stats").with_join_key_map({"driver": "d"})

    assert "has no join key 'driver'; it has ['driver_id']" in refusal(
        open_store("risk"), service("s", mapped)
    )


def test_without_a_policy_names_are_free(platform, open_store) -> None:
    open_store("risk").apply([service("anything")])


def test_the_policy_asks_for_prefixes_and_keeps_them(platform, open_store) -> None:
    platform.apply([Policy(prefixes={"risk": ["risk_", "rsk_"]})])
    open_store("risk").apply([service("risk_v1"), service("rsk_v1")])
    open_store("growth").apply([service("ranking")])

    assert "names of team 'risk' start with 'risk_' or 'rsk_'" in refusal(
        open_store("risk"), service("ranking_v2")
    )
    assert "this prefix is reserved for team 'risk'" in refusal(
        open_store("growth"), service("risk_v2")
    )
    platform.apply([Policy(prefixes={"risk": ["risk_"]}, teams_need_prefix=True)])
    assert "team 'growth' has no prefix" in refusal(open_store("growth"), service("ranking_v2"))


def test_a_policy_can_take_kinds_away(platform, open_store) -> None:
    platform.apply([Policy(team_kinds=["feature_service"])])

    assert "teams register feature services" in refusal(
        open_store("risk"), on_demand("o", "driver_stats:trips")
    )


def test_what_others_use_cannot_be_deleted(platform, open_store, driver_view) -> None:
    open_store("risk").apply([on_demand("risk_o", "driver_stats:trips")])
    open_store("growth").apply([service("ranking")])

    message = refusal(platform, delete=[driver_view])
    assert "the delete would break 2 readers" in message
    assert "feature service 'ranking' of 'growth' (it reads this)" in message
    assert "on demand view 'risk_o' of 'risk' (it reads this)" in message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"fields": (Field(name="rate", dtype=Int64),)},
            "'driver_stats' loses the feature 'trips'",
        ),
        (
            {"fields": (Field(name="trips", dtype=String), Field(name="rate", dtype=Int64))},
            "'trips' of 'driver_stats' changes from Int64 to String",
        ),
        (
            {"entities": ()},
            "the join keys of 'driver_stats' change from {'driver_id': 'Int64'} to {}",
        ),
    ],
)
def test_what_others_use_cannot_be_broken(platform, open_store, driver_view, change, reason):
    open_store("risk").apply([service("risk_v1", "driver_stats:trips")])
    broken = driver_view.model_copy(update=change)

    with pytest.raises(RefusedError, match=reason):
        platform.apply([broken])


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
        with pytest.raises(RefusedError, match=r"feature view 'driver_stats' of 'platform'"):
            platform.apply([], objects_to_delete=[used])


def test_on_demand_views_may_build_on_each_other_but_not_in_a_circle(platform, open_store) -> None:
    risk = open_store("risk")
    risk.apply([on_demand("a", "driver_stats:trips"), on_demand("b", "a:y", output="z")])

    assert "it reads itself: a → b → a" in refusal(risk, on_demand("a", "b:z"))
    assert "it reads itself: c → c" in refusal(risk, on_demand("c", "c:y"))


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

    with pytest.raises(RefusedError, match="would break"):
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

    assert "'driver_stats' loses the feature 'rate'" in refusal(platform, narrow)


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

    assert "the join keys of 'driver_stats' change" in refusal(platform, entity)
    open_store("risk").teardown()
    platform.apply([entity])


def test_a_source_behind_what_others_read_keeps_its_history(platform, open_store) -> None:
    open_store("risk").apply([whole()])

    assert "'driver_stats' loses its history" in refusal(platform, PushSource(name="driver_source"))


def test_a_view_that_others_read_does_not_ask_requests_for_more(platform, open_store) -> None:
    def view(*fields: Field) -> OnDemandFeatureView:
        sources = ["driver_stats:trips", RequestSource(schema=list(fields))]
        schema = [Field(name="y", dtype=Float64)]
        return OnDemandFeatureView(name="o", sources=sources, schema=schema, udf=identity)

    growth = open_store("growth")
    growth.apply([view(Field(name="a", dtype=Int64))])
    open_store("risk").apply([service("risk_v1", "o")])
    more = view(Field(name="a", dtype=Int64), Field(name="b", dtype=Int64))

    assert "'o' asks requests for 'b' of type Int64" in refusal(growth, more)


def identity(inputs: dict[str, float]) -> dict[str, float]:
    return {"y": inputs["a"]}


def test_the_platform_may_retype_what_only_it_uses(platform, driver_view) -> None:
    platform.apply([whole("own")])
    fields = (Field(name="trips", dtype=String), driver_view.fields[1])

    assert platform.apply([driver_view.model_copy(update={"fields": fields})])


def change(kind: str, name: str, after: str | None, before: str | None = None) -> Change:
    return Change(kind=kind, name=name, before=before, after=after)


VIEW_JSON = FeatureView(
    name="sneaky", source="driver_source", schema=[Field(name="trips", dtype=Int64)]
).to_json()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([change("on_demand_view", "sneaky", VIEW_JSON)], "content is feature_view 'sneaky'"),
        (
            [change("feature_service", "foo", service("bar").to_json())],
            "content is feature_service",
        ),
        ([change("feature_service", "foo", "{}")], "content is not a definition"),
        ([change("feature_service", "s", service("s").to_json() + " ")], "is not canonical"),
        ([change("bogus", "s", service("s").to_json())], "no such kind"),
        ([change("feature_service", "a b", "{}")], "name is not valid"),
        ([change("feature_service", "s", None)], "the change is empty"),
        ([change("feature_service", "s", service("s").to_json())] * 2, "changes it twice"),
    ],
)
def test_a_plan_made_by_hand_is_checked_like_any_other(platform, open_store, changes, message):
    risk = open_store("risk")
    plan = Plan(project="shop", owner="risk", version=1, changes=tuple(changes))

    with pytest.raises(RefusedError, match=message):
        risk.commit(plan)
    assert risk.snapshot().version == 1


def test_nobody_commits_for_another_owner_or_project(platform, open_store) -> None:
    added = change("entity", "evil", Entity(name="evil").to_json())
    forged = Plan(project="shop", owner="platform", version=1, changes=(added,))
    elsewhere = Plan(project="other", owner="risk", version=1, changes=(added,))

    with pytest.raises(RefusedError, match="made for 'platform' and cannot be committed by 'risk'"):
        open_store("risk").commit(forged)
    with pytest.raises(RequestError, match="is for project 'other', not 'shop'"):
        open_store("risk").commit(elsewhere)


def test_a_reserved_prefix_is_reserved_in_every_case(platform, open_store) -> None:
    platform.apply([Policy(prefixes={"risk": ["risk_"]})])

    assert "reserved for team 'risk'" in refusal(open_store("growth"), service("RISK_v1"))


def test_request_fields_and_join_keys_agree(platform, open_store) -> None:
    clash = OnDemandFeatureView(
        name="o",
        sources=["driver_stats", RequestSource(schema=[Field(name="driver_id", dtype=String)])],
        schema=[Field(name="y", dtype=Float64)],
        udf=identity,
    )

    assert "is keyed by 'driver_id' of type Int64" in refusal(open_store("risk"), clash)


def test_on_demand_views_have_no_join_keys_to_map(platform, open_store) -> None:
    risk = open_store("risk")
    risk.apply([on_demand("o", "driver_stats:trips")])
    mapped = ViewReference(view="o").with_join_key_map({"driver_id": "d"})

    assert "has no join key 'driver_id'; it has []" in refusal(risk, service("s", mapped))


@pytest.mark.parametrize("key", [Field(name="driver_id", dtype=Float64)])
def test_keys_that_cannot_be_keys_are_refused(platform, driver_view, key) -> None:
    view = driver_view.model_copy(update={"name": "v", "fields": (*driver_view.fields, key)})

    assert "join key 'driver_id' cannot be Float64" in refusal(platform, view)


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
            source=FileSource(path=f"{name}/data.parquet"),
            schema=list(driver_view.fields),
        )
        for name in ("a", "b")
    ]

    with pytest.raises(DefinitionError, match="differs from another source 'data'"):
        open_store().apply([driver, *views])


EXTRA = Field(name="extra", dtype=Int64)


def request_view(name: str, *sources: object) -> OnDemandFeatureView:
    schema = [Field(name=f"{name}_y", dtype=Float64)]
    return OnDemandFeatureView(name=name, sources=list(sources), schema=schema, udf=identity)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Entity(name="driver", join_keys=["drv"]), "the join keys of 'chain' change"),
        (PushSource(name="driver_source"), "'chain' loses its history"),
        (
            request_view("base", "driver_stats:trips", RequestSource(schema=[EXTRA])),
            "'chain' asks requests for 'extra'",
        ),
    ],
)
def test_contracts_reach_through_on_demand_views(platform, open_store, change, reason) -> None:
    platform.apply([request_view("base", "driver_stats:trips"), request_view("chain", "base")])
    open_store("risk").apply([service("risk_v1", "chain")])

    assert reason in refusal(platform, change)


def test_a_new_feature_does_not_collide_in_what_others_read(
    platform, open_store, driver_view
) -> None:
    other = driver_view.model_copy(update={"name": "other", "fields": (EXTRA,)})
    platform.apply([other])
    open_store("risk").apply([service("risk_v1", "driver_stats", "other")])
    grown = other.model_copy(update={"fields": (EXTRA, driver_view.fields[0])})

    assert "'trips' would come from two of the views it reads" in refusal(platform, grown)


def test_a_view_that_others_read_stays_online(platform, open_store, driver_view) -> None:
    open_store("risk").apply([whole()])

    assert "is no longer served online" in refusal(
        platform, driver_view.model_copy(update={"online": False})
    )


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


def test_the_longest_reserved_prefix_decides(platform, open_store) -> None:
    platform.apply([Policy(prefixes={"risk": ["r_"], "growth": ["r_g_"]})])

    assert "reserved for team 'growth'" in refusal(open_store("risk"), service("r_g_x"))
    open_store("growth").apply([service("r_g_x")])
