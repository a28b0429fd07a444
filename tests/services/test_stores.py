"""Stores are opened when they are used, closed together, and opened again."""

import pytest
from tests_support import NOON, raises

from feature_platform import FeatureStore, RepoConfig
from feature_platform.errors import ConfigError
from feature_platform.registry import MemoryLog, Registry


def test_a_store_contacts_nothing_before_it_is_used(tmp_path) -> None:
    settings = {"type": "postgres", "host": "127.0.0.1", "port": 1}
    config = RepoConfig(project="p", registry="postgresql://127.0.0.1:1/x", online_store=settings)
    with FeatureStore(tmp_path, config=config) as store:
        assert store.project == "p"
    assert list(tmp_path.iterdir()) == []


def test_a_closed_store_opens_again(open_store, driver, driver_view) -> None:
    with open_store() as store:
        store.apply([driver, driver_view])
        store.materialize(NOON.replace(hour=0), NOON)
    expected = {"driver_id": [1], "trips": [11]}
    assert (
        store.get_online_features(["driver_stats:trips"], [{"driver_id": 1}]).to_dict() == expected
    )
    store.close()
    assert store.list_entities()


def test_closing_closes_what_the_store_opened_and_nothing_else(tmp_path) -> None:
    closed = []

    class Log(MemoryLog):
        def close(self) -> None:
            closed.append(self)

    config = RepoConfig(project="p")
    store = FeatureStore(tmp_path, config=config, registry=Registry(Log()))
    store.list_entities()
    store.close()
    assert closed == []  # whoever passed the registry closes it
    registry = Registry(Log())
    registry.close()
    assert closed == [registry.log]


def test_no_online_store_is_said_when_it_is_needed(tmp_path, driver) -> None:
    config = RepoConfig(project="p", registry="r.db", online_store=None)
    with FeatureStore(tmp_path, config=config) as store:
        store.apply([driver])
        with raises(ConfigError, "online_store"):
            _ = store.online
        assert not store.stores.has_online


def test_the_store_is_closed_when_its_block_fails(tmp_path) -> None:
    config = RepoConfig(project="p", registry="r.db")
    with pytest.raises(ZeroDivisionError), FeatureStore(tmp_path, config=config) as store:  # noqa: PT012
        store.online.close()
        _ = 1 / 0
    assert not store.stores._online.is_open
