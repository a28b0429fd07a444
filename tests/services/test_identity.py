"""Nobody takes away in the name of a team that the settings do not state."""

from pathlib import Path

import pandas as pd
import pytest
from tests_support import HOUR, NOON, PLAN, raises, refused

from feature_platform import (
    Entity,
    FeatureService,
    FeatureStore,
    Policy,
    PushMode,
    RepoConfig,
    Transfer,
)
from feature_platform.errors import RefusedError, RequestError
from feature_platform.types import Int64

STRAY = Entity(name="stray", value_type=Int64)


@pytest.fixture
def consumer(platform: FeatureStore, tmp_path: Path) -> FeatureStore:
    """A notebook's store: its settings name no team."""
    config = RepoConfig(
        project="shop", registry="registry.db", online_store={"type": "sqlite", "path": "online.db"}
    )
    return FeatureStore(tmp_path, config=config, clock=lambda: NOON)


def test_a_repo_that_names_no_team_adds_and_updates(consumer: FeatureStore, driver_view) -> None:
    assert consumer.apply([STRAY])
    assert consumer.apply([driver_view.model_copy(update={"description": "ours"})])
    assert consumer.get_feature_view("driver_stats").description == "ours"


def test_a_repo_that_names_no_team_deletes_nothing(
    consumer: FeatureStore, driver_view, tmp_path: Path
) -> None:
    before = consumer.snapshot()
    for attempt in (
        lambda: consumer.apply([], objects_to_delete=[driver_view]),
        lambda: consumer.apply([STRAY], partial=False, mass_delete=True),
        consumer.teardown,
        lambda: consumer.commit(consumer.plan([STRAY], partial=False)),
    ):
        with pytest.raises(RefusedError) as caught:
            attempt()
        assert "identity" in {problem.rule for problem in caught.value.problems}
        assert "team: platform" in str(caught.value)
        identity = [p for p in caught.value.problems if p.rule == "identity"]
        assert len(identity) == 1  # not one for each object
    assert consumer.snapshot() == before
    review = consumer.review(consumer.plan([], objects_to_delete=[driver_view]))
    assert ("identity", "feature view 'driver_stats'") in {
        (p.rule, p.subject) for p in review.problems
    }


@pytest.mark.parametrize(
    "definition", [Policy(), Transfer(name="t", objects=["entity/driver"], to="risk")], ids=str
)
def test_a_repo_that_names_no_team_sets_no_policy_and_hands_nothing_over(
    consumer: FeatureStore, definition
) -> None:
    with refused(("identity", str(definition), "platform")):
        consumer.apply([definition])


def test_a_repo_that_names_no_team_overrides_nothing(consumer: FeatureStore) -> None:
    with refused(("identity", PLAN, "platform")):
        consumer.apply([STRAY], override="in a hurry")


def test_a_reader_reads_and_writes_nothing(platform: FeatureStore, open_store) -> None:
    platform.materialize(NOON - 3 * HOUR, NOON)
    reader: FeatureStore = open_store("none")
    rows = pd.DataFrame({"driver_id": [1], "event_timestamp": [NOON], "trips": [1], "rate": [0.5]})

    assert reader.get_online_features(["driver_stats:trips"], [{"driver_id": 1}]).to_dict()
    for write in (
        lambda: reader.materialize(NOON - HOUR, NOON),
        reader.materialize_incremental,
        lambda: reader.write_to_online_store("driver_stats", rows),
        lambda: reader.write_to_offline_store("driver_stats", rows),
        lambda: reader.delete_from_online_store("driver_stats", rows),
        reader.expire_online_store,
        lambda: reader.push("p", rows, to=PushMode.ONLINE),
        lambda: reader.ingest("s", until_empty=True),
    ):
        with raises(RequestError, "team: none"):
            write()
    with refused(("identity", PLAN, "team: none")):
        reader.apply([FeatureService(name="s", features=["driver_stats"])])


@pytest.mark.parametrize("name", ["Platform", "pIatform", "p1atform", "platform_", "Risk", "risk_"])
def test_an_owner_does_not_look_like_another(platform: FeatureStore, open_store, name: str) -> None:
    open_store("risk").apply([FeatureService(name="risk_v1", features=["driver_stats"])])

    other = "risk" if name.casefold().startswith("risk") else "platform"
    with refused(("naming", PLAN, other)):
        open_store(name).apply([FeatureService(name="x", features=["driver_stats"])])
    assert open_store("growth").apply([FeatureService(name="y", features=["driver_stats"])])


def test_the_platform_takes_a_reserved_name_back_with_an_override(
    platform: FeatureStore, open_store
) -> None:
    squatter = open_store("risk")
    service = FeatureService(name="ranking", features=["driver_stats"])
    squatter.apply([service])
    squatter.apply([], objects_to_delete=[service])

    with refused(("collision", "feature service 'ranking'", "risk")):
        platform.apply([service])
    commit = platform.apply([service], override="the name is ours")
    assert commit is not None
    assert commit.plan.override == "the name is ours"
