"""A new kind touches its own file and the table of kinds, and works everywhere from then on."""

import json
from typing import ClassVar, Literal

import dagster as dg
import pytest
from click.testing import CliRunner
from tests_support import raises

from feature_platform import Entity, FeatureStore
from feature_platform.cli import main
from feature_platform.dagster import FeatureStoreTranslator
from feature_platform.definitions import Definition, Dependency, from_json, kinds, kinds_in
from feature_platform.definitions.kinds import TYPES
from feature_platform.errors import NotFoundError, RefusedError
from feature_platform.repo import Repo


class Check(Definition):
    """An expectation of an entity, as a project could add it."""

    kind: ClassVar[str] = "check"

    type: Literal["check"] = "check"
    entity: str
    minimum: int = 0

    def dependencies(self):
        yield Dependency("entity", self.entity)


@pytest.fixture(autouse=True)
def new_kind():
    TYPES.append(Check)
    yield
    TYPES.remove(Check)


def test_a_new_kind_is_read_back_from_json() -> None:
    check = Check(name="some", entity="driver", minimum=3)
    assert from_json(check.to_json()) == check
    assert kinds()[-1] == "check"
    assert kinds_in("check") == ("check",)


def test_a_new_kind_is_planned_committed_restored_and_deleted(open_store, driver) -> None:
    store: FeatureStore = open_store()
    first = store.apply([driver, Check(name="some", entity="driver")])
    assert first.summary() == "+1 entity, +1 check"
    [change] = store.plan([Check(name="some", entity="driver", minimum=2)]).changes
    assert change.differences() == [("minimum", None, 2)]
    store.apply([Check(name="some", entity="driver", minimum=2)])
    store.restore(first.version)
    assert store.load_project().get(Check, "some").minimum == 0
    store.apply(objects_to_delete=[Check(name="some", entity="driver")], objects=[])
    with raises(NotFoundError, "some", "platform"):
        store.load_project().get(Check, "some")


def test_its_dependencies_are_followed(open_store, driver) -> None:
    store: FeatureStore = open_store()
    with raises(RefusedError, "driver") as caught:
        store.apply([Check(name="some", entity="driver")])
    assert [(p.rule, p.subject, p.missing) for p in caught.value.problems] == [
        ("reference", "check 'some'", "entity 'driver'")
    ]
    store.apply([driver, Check(name="some", entity="driver")])
    with raises(RefusedError, "some") as caught:
        store.apply([], objects_to_delete=[driver])
    assert {(p.rule, p.subject) for p in caught.value.problems} == {("contract", "entity 'driver'")}


def test_teams_may_not_register_it(open_store, driver) -> None:
    open_store().apply([driver])
    with raises(RefusedError) as caught:
        open_store("risk").apply([Check(name="some", entity="driver")])
    assert {p.rule for p in caught.value.problems} == {"kind"}


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_front_doors_show_it(open_store, driver, tmp_path) -> None:
    store: FeatureStore = open_store()
    store.apply([driver, Check(name="some", entity="driver")])
    (tmp_path / "feature_store.yaml").write_text("project: shop\nregistry: registry.db\n")
    listed = CliRunner().invoke(main, ["-C", str(tmp_path), "list", "--json"])
    assert {(o["kind"], o["name"]) for o in json.loads(listed.stdout)} >= {("check", "some")}
    shown = CliRunner().invoke(main, ["-C", str(tmp_path), "describe", "some", "--json"])
    assert json.loads(shown.stdout)[0]["definition"]["entity"] == "driver"
    spec = FeatureStoreTranslator().get_asset_spec(
        Check(name="some", entity="driver"), Repo.load(tmp_path)
    )
    assert spec.key == dg.AssetKey(["shop", "check", "some"])
    assert [dep.asset_key for dep in spec.deps] == [dg.AssetKey(["shop", "entity", "driver"])]


def test_entities_are_still_entities() -> None:
    assert isinstance(from_json(Entity(name="e").to_json()), Entity)
