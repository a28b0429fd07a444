"""References and contracts carry a project, so that sharing can be added."""

from datetime import UTC, datetime

import pytest
from tests_support import raises

from feature_platform import (
    Acceptance,
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    Share,
    ViewReference,
)
from feature_platform.definitions import Definition, Dependency, from_json
from feature_platform.errors import NotFoundError, RefusedError
from feature_platform.governance import Contracts, PlanContext, plan
from feature_platform.project import (
    PLATFORM_KINDS,
    Key,
    ProjectSnapshot,
    Registered,
    Snapshot,
    interface,
    resolve,
    upstream,
)
from feature_platform.types import Int64

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENTITY = Entity(name="e", join_keys=["k"], value_type=Int64)
SOURCE = FileSource(name="h", path="h.parquet")


def view(*features: str) -> FeatureView:
    schema = [Field(name=name, dtype=Int64) for name in features]
    return FeatureView(name="v", entities=[ENTITY], schema=schema, source=SOURCE)


def _owner(project: str, definition: Definition) -> str:
    return "platform" if definition.kind in PLATFORM_KINDS else f"owner_of_{project}"


def snapshot(**projects: list[Definition]) -> Snapshot:
    """Return a registry as sharing will allow it: the rules of today are not asked."""
    entries = [
        Registered(Key(project, d.kind, d.name), _owner(project, d), d.to_json(), 1, parsed=d)
        for project, definitions in projects.items()
        for d in definitions
    ]
    return Snapshot().with_entries([(entry.key, entry) for entry in entries], NOW)


def test_references_name_a_project() -> None:
    service = FeatureService(name="s", features=["prod/v:a", "prod/v:b", "w"])
    prod, own = service.features
    assert (prod.project, prod.view, prod.features) == ("prod", "v", ("a", "b"))
    assert (own.project, own.features) == (None, None)
    assert str(prod) == "prod/v:a,b"
    assert list(service.dependencies()) == [
        Dependency("feature_view", "v", "prod"),
        Dependency("feature_view", "w", ""),
    ]
    assert from_json(service.to_json()) == service


def test_a_view_of_two_projects_needs_two_names() -> None:
    with pytest.raises(ValueError, match="v"):
        FeatureService(name="s", features=["prod/v:a", ViewReference(view="v", project="dev")])
    renamed = ViewReference(view="v", project="dev").with_name("dev_v")
    assert len(FeatureService(name="s", features=["prod/v:a", renamed]).features) == 2


def test_the_own_project_can_be_written(open_store, driver, driver_view) -> None:
    store = open_store()
    store.apply(
        [driver, driver_view, FeatureService(name="s", features=["shop/driver_stats:trips"])]
    )
    response = store.get_online_features("s", [{"driver_id": 1}])
    assert response.to_dict() == {"driver_id": [1], "trips": [None]}
    assert store.get_online_features(["shop/driver_stats:trips"], [{"driver_id": 1}])


def test_another_project_is_refused_until_it_shares(open_store, driver, driver_view) -> None:
    open_store(project="prod").apply([driver, driver_view])
    store = open_store()
    with raises(RefusedError, "prod", "driver_stats") as caught:
        store.apply([FeatureService(name="s", features=["prod/driver_stats:trips"])])
    assert [(p.rule, p.subject) for p in caught.value.problems] == [
        ("reference", "feature service 's'")
    ]
    with raises(NotFoundError, "prod", "driver_stats"):
        store.get_online_features(["prod/driver_stats:trips"], [{"driver_id": 1}])


def test_contracts_see_readers_of_every_project() -> None:
    reader = FeatureService(name="s", features=["prod/v:a"])
    derived = OnDemandFeatureView(
        name="d", mode="sql", sources=["prod/v:b"], expressions={"y": "b + 1"},
        schema=[Field(name="y", dtype=Int64)],
    )  # fmt: skip
    second = FeatureService(name="s2", features=["d"])
    registry = snapshot(
        prod=[ENTITY, SOURCE, view("a", "b"), Share(to="dev")],
        dev=[reader, derived, second, Acceptance(of="prod")],
        other=[view("b")],
    )
    made = plan(ProjectSnapshot(registry, "prod"), owner="owner_of_prod", desired=[view("b")])
    effects = {e.reader: e.kind for e in Contracts(PlanContext.of(made, registry, NOW)).effects()}
    assert effects[Key("dev", "feature_service", "s")] == "removed"
    assert effects[Key("dev", "on_demand_view", "d")] == "none"
    assert effects[Key("dev", "feature_service", "s2")] == "none"
    assert {key.project for key in effects} == {"dev"}  # what `other` calls v is another view


def test_a_name_means_the_own_project() -> None:
    registry = snapshot(prod=[ENTITY, SOURCE, view("a")], dev=[ENTITY, SOURCE, view("b")])
    dev = ProjectSnapshot(registry, "dev")
    assert list(interface(dev, ViewReference(view="v")).features) == ["b"]
    assert list(interface(dev, ViewReference(view="v", project="prod")).features) == ["a"]
    assert resolve(dev, [ViewReference(view="v")]).outputs == {"b": "v:b"}
    service = FeatureService(name="s", features=["prod/v", ViewReference(view="v", alias="mine")])
    keys = {key for key in upstream(dev, service) if key.kind == "feature_view"}
    assert keys == {Key("prod", "feature_view", "v"), Key("dev", "feature_view", "v")}


def test_views_of_two_projects_that_read_each_other_do_not_loop() -> None:
    def derived(source: str) -> OnDemandFeatureView:
        return OnDemandFeatureView(
            name="d", mode="sql", sources=[source], expressions={"y": "y + 1"},
            schema=[Field(name="y", dtype=Int64)],
        )  # fmt: skip

    registry = snapshot(prod=[derived("dev/d")], dev=[derived("prod/d")])
    dev = ProjectSnapshot(registry, "dev")
    assert list(interface(dev, ViewReference(view="d")).features) == ["y"]
    assert len(list(upstream(dev, derived("prod/d")))) == 2
