"""A call reads the registry once, and sees one version from start to end."""

import importlib.util
from pathlib import Path

import pyarrow as pa
import pytest
from tests_support import HOUR, NOON, raises

from feature_platform import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource
from feature_platform.errors import PartialWriteError, StoreError
from feature_platform.online import OnlineStore
from feature_platform.online.sqlite import SqliteOnlineStore
from feature_platform.types import Int64

_TOOL = Path(__file__).parents[1] / "tools" / "registry_reads.py"
# The present and the past; the plan and its report.
_TWICE = {"restore", "plan and review"}


def _tool():
    spec = importlib.util.spec_from_file_location("registry_reads", _TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_call_reads_the_registry_once(capsys) -> None:
    counts = _tool().counts()
    assert counts == {name: 2 if name in _TWICE else 1 for name in counts}


def test_every_public_method_is_counted() -> None:
    methods = {name for name in vars(FeatureStore) if not name.startswith("_")}
    without = {"registry", "offline", "online", "close"}  # they read nothing
    elsewhere = {
        "call", "load_project", "snapshot", "refresh_registry",  # what the others call
        "commit", "plan_restore",  # half of apply, and of restore
        "review",  # counted with plan
        "create_saved_dataset", "get_saved_dataset",  # files only
        "ingest",  # a push for each batch
        "sharing",  # methods of its own
        "stream_state",  # it needs a broker
        "get_online_features_async", "push_async",  # the same in a thread
    }  # fmt: skip
    counted = {name.split()[0] for name in _tool().counts()}
    # One of each pair of list_ and get_ stands for all.
    missing = {
        name
        for name in methods - without - elsewhere - counted
        if not name.startswith(("list_", "get_entity", "get_data_source"))
        and not name.endswith(("_feature_view", "_feature_service"))
    }
    assert missing == set()


@pytest.fixture
def pushed(open_store) -> FeatureStore:
    store = open_store()
    entity = Entity(name="e", join_keys=["k"], value_type=Int64)
    source = PushSource(name="pushed", batch_source=FileSource(name="h", path="h"))
    schema = [Field(name="x", dtype=Int64)]
    names = ("one", "three", "two")
    views = [FeatureView(name=n, entities=[entity], schema=schema, source=source) for n in names]
    store.apply([entity, *views])
    return store


ROWS = pa.table({"k": [1], "event_timestamp": [NOON - HOUR], "x": [7]})


def _fail_for(monkeypatch, *views: str) -> None:
    write = OnlineStore.write

    def refuse(self, table, batches, on_progress=None):
        if table.name in views:
            raise StoreError(f"{table.name} is full.")
        return write(self, table, batches, on_progress)

    monkeypatch.setattr(SqliteOnlineStore, "write", refuse)


def test_a_push_that_fails_for_one_view_writes_the_others_and_lists_both(
    pushed, monkeypatch
) -> None:
    _fail_for(monkeypatch, "three")
    with raises(PartialWriteError, "three is full", "one", "two") as caught:
        pushed.push("pushed", ROWS)
    assert (caught.value.written, caught.value.failed) == (("one", "two"), ("three",))
    assert caught.value.retryable
    features = ["one:x", "two:x", "three:x"]
    monkeypatch.undo()
    response = pushed.get_online_features(features, [{"k": 1}], full_feature_names=True)
    assert response.to_dict() == {"k": [1], "one__x": [7], "two__x": [7], "three__x": [None]}
    assert pushed.push("pushed", ROWS) == 3  # sending again is safe, and completes it


def test_a_push_that_fails_for_every_view_is_an_ordinary_store_error(pushed, monkeypatch) -> None:
    _fail_for(monkeypatch, "one", "two", "three")
    with raises(StoreError, "one is full") as caught:
        pushed.push("pushed", ROWS)
    assert not isinstance(caught.value, PartialWriteError)
