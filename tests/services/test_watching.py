"""Which commits concern a feature service."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests_support import raises

from feature_platform import (
    Acceptance,
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    PushSource,
    RepoConfig,
    Share,
)
from feature_platform.errors import RequestError
from feature_platform.project.snapshot import BEGINNING
from feature_platform.services.watching import Interest
from feature_platform.types import Int64


def view(name: str, description: str = "") -> FeatureView:
    return FeatureView(
        name=name, entities=[Entity(name="city", value_type=Int64)], description=description,
        schema=[Field(name="value", dtype=Int64)], source=PushSource(name=f"{name}_push"),
    )  # fmt: skip


def service(*features: str) -> FeatureService:
    return FeatureService(name="model", features=list(features))


@pytest.fixture
def stores(tmp_path: Path) -> tuple[FeatureStore, FeatureStore]:
    """A project that shares, and one that reads; one registry."""
    prod, dev = (
        FeatureStore(
            tmp_path, config=RepoConfig(project=name, team="platform", registry="registry.db")
        )
        for name in ("prod", "dev")
    )
    prod.apply([view("shared"), Share(to="dev", views=["shared"])])  # 1
    dev.apply([Acceptance(of="prod"), view("first")])  # 2
    dev.apply([view("second")])  # 3
    dev.apply([service("first", "prod/shared")])  # 4
    dev.apply([view("second", "read by nobody")])  # 5
    prod.apply([view("shared", "of other projects, too")])  # 6
    prod.apply([view("not_shared")])  # 7
    dev.apply([service("second")])  # 8
    dev.apply([view("first", "read no longer")])  # 9
    dev.apply([view("second", "read now")])  # 10
    dev.apply(objects_to_delete=[service("second")])  # 11
    dev.apply([view("second", "read no longer")])  # 12
    return prod, dev


CONCERNED = [(4, ["model"]), (6, ["shared"]), (8, ["model"]), (10, ["second"]), (11, ["model"])]


@pytest.mark.parametrize("stops", [(), (4,), (3, 6, 7), range(1, 12)])
def test_what_concerns_a_service_does_not_depend_on_when_one_looks(
    stores: tuple[FeatureStore, FeatureStore], stops: Sequence[int]
) -> None:
    _, dev = stores
    cursor, seen = BEGINNING, []
    for stop in (*stops, 12):
        past = FeatureStore(dev.repo.path, config=dev.config, registry_version=stop)
        watched = past.watch(cursor, Interest(reads="model"))
        cursor = watched.cursor
        seen += [(c.version, [change.name for change in changes]) for c, changes in watched.commits]
    assert seen == CONCERNED


def test_without_a_service_the_own_project_counts(
    stores: tuple[FeatureStore, FeatureStore],
) -> None:
    prod, dev = stores
    versions = [[c.version for c, _ in s.watch(BEGINNING).commits] for s in (prod, dev)]
    assert versions == [[1, 6, 7], [2, 3, 4, 5, 8, 9, 10, 11, 12]]


def test_an_interest_is_in_whole_names_of_kinds_that_exist() -> None:
    assert Interest(names="model").names == ("model",)
    with raises(RequestError, "featureview", "feature_view"):
        Interest(kinds=["featureview"])
