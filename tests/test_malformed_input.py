"""Malformed input: every argument gets every odd value, and is refused with an error of ours."""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from tests_support import NOON

from feature_platform import (
    Deprecation,
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    LabelView,
    OnDemandFeatureView,
    Policy,
    PushSource,
    RepoConfig,
    Share,
    TimeSplit,
    Transfer,
)
from feature_platform.errors import FeaturePlatformError
from feature_platform.types import Array, Int64, Struct

KEY = Entity(name="k", value_type=Int64)
SCHEMA = [Field(name="x", dtype=Int64)]
FILE = FileSource(name="f", path="f.parquet")
VIEW = FeatureView(
    name="v", entities=[KEY], schema=SCHEMA, source=PushSource(name="p", batch_source=FILE)
)
GOOD = pd.DataFrame({"k": [1], "event_timestamp": [NOON]})
DAY = timedelta(days=1)


ODD: dict[str, Callable[[], Any]] = {
    "dict of numbers": lambda: {1: 2},
    "none": lambda: None, "int": lambda: 7, "float": lambda: 1.5, "nan": lambda: math.nan,
    "huge": lambda: 10**400, "empty": str, "space": lambda: " ", "long": lambda: "é" * 300,
    "path": lambda: "a/b", "nul": lambda: "a\0b", "bytes": lambda: b"x", "object": object,
    "type": lambda: int, "list": list, "dict": dict, "list of none": lambda: [None],
    "mixed": lambda: ["v", 1], "nested": lambda: [[["v"]]], "set": lambda: {"v"},
    "generator": lambda: (n for n in [1]), "date": lambda: date(2026, 1, 1),
    "min": lambda: datetime.min,  # noqa: DTZ901 - a naive time is one of the cases
    "max": lambda: datetime.max.replace(tzinfo=UTC),
    "frame": lambda: pd.DataFrame({"z": [1]}), "empty frame": pd.DataFrame,
    "series": lambda: pd.Series([1]), "table": lambda: pa.table({"k": pa.array([[1]])}),
    "duplicates": lambda: pa.table([pa.array([1]), pa.array([2])], names=["k", "k"]),
}  # fmt: skip

CALLS: dict[str, Callable[[FeatureStore, Any], object]] = {
    "apply": lambda s, odd: s.apply(odd),
    "full sync": lambda s, odd: s.plan([KEY], partial=odd),
    "mass deletion": lambda s, odd: s.plan([KEY], mass_delete=odd),
    "trials": lambda s, odd: s.plan([KEY], try_functions=odd),
    "review": lambda s, odd: s.review(odd),
    "commit": lambda s, odd: s.commit(odd),
    "assessed definitions": lambda s, odd: s.assess(odd),
    "assessed cursor": lambda s, odd: s.assess([KEY], applied=odd),
    "audited definition": lambda s, odd: s.audit([odd]),
    "watch": lambda s, odd: s.watch(odd),
    "restored deletions": lambda s, odd: s.plan_restore(1, mass_delete=odd),
    "accept": lambda s, odd: s.sharing.accept(odd),
    "share": lambda s, odd: s.sharing.share(odd),
    "names online": lambda s, odd: s.get_online_features(["v"], [{"k": 1}], odd),
    "names of history": lambda s, odd: s.get_historical_features(GOOD, ["v"], odd),
    "created of history": lambda s, odd: s.get_historical_features(
        GOOD, ["v"], filter_by_created_timestamp=odd
    ),
    "job of a dataset": lambda s, odd: s.create_saved_dataset(odd, "set"),
    "storage of a dataset": lambda s, odd: s.create_saved_dataset(
        s.get_historical_features(GOOD, ["v"]), "set", odd
    ),
    "split by time": lambda _, odd: TimeSplit(odd),
    "settings": lambda s, odd: FeatureStore(s.repo.path, config=odd),
    "path beside settings": lambda s, odd: FeatureStore(odd, config=s.config),
    "positional": lambda _, odd: (FileSource(odd), FeatureView(odd), PushSource(odd)),
    "deprecated": lambda _, odd: Field(name="f", dtype=Int64, deprecated=odd),
    "views of a share": lambda _, odd: Share(to="x", views=odd),
    "applied object": lambda s, odd: s.apply([odd]),
    "delete": lambda s, odd: s.apply([], objects_to_delete=odd),
    "deleted object": lambda s, odd: s.apply([], objects_to_delete=[odd]),
    "override": lambda s, odd: s.apply([KEY], override=odd),
    "features online": lambda s, odd: s.get_online_features(odd, [{"k": 1}]),
    "feature online": lambda s, odd: s.get_online_features([odd], [{"k": 1}]),
    "rows online": lambda s, odd: s.get_online_features(["v"], odd),
    "row online": lambda s, odd: s.get_online_features(["v"], [odd]),
    "key online": lambda s, odd: s.get_online_features(["v"], [{"k": odd}]),
    "rows of history": lambda s, odd: s.get_historical_features(odd, ["v"]).to_arrow(),
    "features of history": lambda s, odd: s.get_historical_features(GOOD, odd).to_arrow(),
    "feature of history": lambda s, odd: s.get_historical_features(GOOD, [odd]).to_arrow(),
    "start of history": lambda s, odd: s.get_historical_features(
        features=["v"], start_date=odd
    ).to_arrow(),
    "key of history": lambda s, odd: s.get_historical_features(
        pd.DataFrame({"k": pd.Series([odd], dtype=object), "event_timestamp": [NOON]}), ["v"]
    ).to_arrow(),
    "start of a load": lambda s, odd: s.materialize(odd, NOON),
    "end of a load": lambda s, odd: s.materialize(NOON - DAY, odd),
    "views of a load": lambda s, odd: s.materialize(NOON - DAY, NOON, odd),
    "view of a load": lambda s, odd: s.materialize(NOON - DAY, NOON, [odd]),
    "end of an increment": lambda s, odd: s.materialize_incremental(odd),
    "lookback of an increment": lambda s, odd: s.materialize_incremental(NOON, lookback=odd),
    "source of a push": lambda s, odd: s.push(odd, GOOD),
    "rows of a push": lambda s, odd: s.push("p", odd),
    "target of a push": lambda s, odd: s.push("p", GOOD.assign(x=1), to=odd),
    "value of a push": lambda s, odd: s.push(
        "p",
        pd.DataFrame({"k": [1], "x": pd.Series([odd], dtype=object), "event_timestamp": [NOON]}),
    ),
    "view of a write": lambda s, odd: s.write_to_online_store(odd, GOOD),
    "rows of a write": lambda s, odd: s.write_to_online_store("v", odd),
    "rows of history written": lambda s, odd: s.write_to_offline_store("v", odd),
    "deleted rows": lambda s, odd: s.delete_from_online_store("v", odd),
    "expired views": lambda s, odd: s.expire_online_store(odd),
    "feature view": lambda s, odd: s.get_feature_view(odd),
    "entity": lambda s, odd: s.get_entity(odd),
    "feature service": lambda s, odd: s.get_feature_service(odd),
    "snapshot": lambda s, odd: s.registry.snapshot(odd),
    "history": lambda s, odd: s.registry.history(since=odd),
    "history after": lambda s, odd: s.registry.history(after=odd),
    "show": lambda s, odd: s.registry.show(odd),
    "changes": lambda s, odd: s.registry.changes(odd),
    "restore": lambda s, odd: s.restore(odd),
    "view of statistics": lambda s, odd: s.get_statistics(odd),
    "start of statistics": lambda s, odd: s.get_statistics("v", start_date=odd),
    "parity": lambda s, odd: s.verify_parity(["v"], odd),
    "ingest": lambda s, odd: s.ingest(odd),
    "saved dataset": lambda s, odd: s.get_saved_dataset(odd),
    "tags of a list": lambda s, odd: s.list_entities(tags=odd),
    "tags of datasets": lambda s, odd: s.list_saved_datasets(tags=odd),
    "source schema": lambda s, odd: s.get_source_schema(odd),
    "type of an array": lambda _, odd: Field(name="f", dtype=Array(odd)),
    "types of a struct": lambda _, odd: Field(name="f", dtype=Struct(odd)),
    "type in a struct": lambda _, odd: Field(name="f", dtype=Struct({"a": odd})),
    "policy of labels": lambda _, odd: LabelView(
        name="l", conflict_policy=odd, entities=[KEY], schema=SCHEMA, source=FILE
    ),
    "entity name": lambda _, odd: Entity(name=odd),
    "join keys": lambda _, odd: Entity(name="k", join_keys=odd),
    "key type": lambda _, odd: Entity(name="k", value_type=odd),
    "field name": lambda _, odd: Field(name=odd, dtype=Int64),
    "field type": lambda _, odd: Field(name="f", dtype=odd),
    "file path": lambda _, odd: FileSource(name="f", path=odd),
    "timestamp field": lambda _, odd: FileSource(name="f", path="f", timestamp_field=odd),
    "view name": lambda _, odd: FeatureView(name=odd, entities=[KEY], schema=SCHEMA, source=FILE),
    "view entities": lambda _, odd: FeatureView(name="w", entities=odd, schema=SCHEMA, source=FILE),
    "view schema": lambda _, odd: FeatureView(name="w", entities=[KEY], schema=odd, source=FILE),
    "view source": lambda _, odd: FeatureView(name="w", entities=[KEY], schema=SCHEMA, source=odd),
    "view ttl": lambda _, odd: FeatureView(
        name="w", entities=[KEY], ttl=odd, schema=SCHEMA, source=FILE
    ),
    "view tags": lambda _, odd: FeatureView(
        name="w", entities=[KEY], tags=odd, schema=SCHEMA, source=FILE
    ),
    "service features": lambda _, odd: FeatureService(name="s", features=odd),
    "service name": lambda _, odd: FeatureService(name=odd, features=["v"]),
    "on-demand sources": lambda _, odd: OnDemandFeatureView(
        name="z",
        sources=odd,
        schema=[Field(name="y", dtype=Int64)],
        mode="sql",
        expressions={"y": "x"},
    ),
    "expressions": lambda _, odd: OnDemandFeatureView(
        name="z", sources=["v"], schema=[Field(name="y", dtype=Int64)], mode="sql", expressions=odd
    ),
    "expression": lambda _, odd: OnDemandFeatureView(
        name="z",
        sources=["v"],
        schema=[Field(name="y", dtype=Int64)],
        mode="sql",
        expressions={"y": odd},
    ),
    "mode": lambda _, odd: OnDemandFeatureView(
        name="z",
        sources=["v"],
        schema=[Field(name="y", dtype=Int64)],
        mode=odd,
        expressions={"y": "x"},
    ),
    "project": lambda _, odd: RepoConfig(project=odd),
    "team": lambda _, odd: RepoConfig(project="p", team=odd),
    "registry": lambda _, odd: RepoConfig(project="p", registry=odd),
    "online store": lambda _, odd: RepoConfig(project="p", online_store=odd),
    "cache seconds": lambda _, odd: RepoConfig(project="p", registry_cache_seconds=odd),
    "repo path": lambda _, odd: FeatureStore(odd),
    "pinned version": lambda s, odd: FeatureStore(
        s.repo.path, config=s.config, registry_version=odd
    ).list_feature_views(),
    "policy": lambda _, odd: Policy(prefixes=odd),
    "deprecation": lambda _, odd: Deprecation(remove_after=odd),
    "transfer": lambda _, odd: Transfer(name="t", objects=odd, to="x"),
}
ACCEPTED = {
    "assessed definitions": {"list", "none"},
    "assessed cursor": {"none"},
    "storage of a dataset": {"none"},
    "path beside settings": {"empty", "none", "path", "space"},
    "deprecated": {"none"},
    "views of a share": {"list", "none"},
    "apply": {"dict", "empty frame", "none", "list", "empty"},
    "delete": {"dict", "empty frame", "list", "empty"},
    "override": {"long", "path", "empty", "nul"},
    "key online": {"int"},
    "start of history": {"min"},
    "key of history": {"none", "nan", "int"},
    "start of a load": {"min"},
    "end of a load": {"max"},
    "views of a load": {"none", "list"},
    "end of an increment": {"min", "none", "max"},
    "value of a push": {"none", "nan", "int"},
    "expired views": {"none", "list"},
    "snapshot": {"max", "none"},
    "history": {"max", "none"},
    "history after": {"huge", "int"},
    "changes": {"empty"},
    "restore": {"max", "none"},
    "start of statistics": {"min", "none", "max"},
    "join keys": {"dict", "set", "none", "list", "empty"},
    "key type": {"none"},
    "file path": {"long", "path"},
    "timestamp field": {"long", "path", "space", "nul", "none"},
    "view entities": {"list", "none"},
    "view ttl": {"none", "series", "float", "int"},
    "view tags": {"dict", "none"},
    "service features": {"path"},
    "on-demand sources": {"path"},
    "expression": {"long", "bytes", "path"},
    "registry": {"long", "path"},
    "online store": {"none"},
    "cache seconds": {"series", "float", "int"},
    "pinned version": {"max", "none"},
    "policy": {"dict", "none"},
    "tags of a list": {"dict", "dict of numbers", "none"},
    "tags of datasets": {"dict", "dict of numbers", "none"},
    "deprecation": {"min", "date"},
    "transfer": {"path"},
}
"""What is right, or is refused by the rules when it is applied."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("repo")
    GOOD.assign(x=2).to_parquet(folder / "f.parquet")
    online = {"type": "sqlite", "path": "o.db"}
    config = RepoConfig(project="shop", team="platform", registry="r.db", online_store=online)
    store = FeatureStore(folder, config=config, clock=lambda: NOON)
    store.apply([KEY, VIEW, FeatureService(name="s", features=[VIEW])])
    return store


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.filterwarnings("ignore::FutureWarning")  # pandas converts a series of one to a number
def test_malformed_input_is_refused(
    store: FeatureStore, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # no settings are here
    accepted, messages = set(), {}
    for name, odd in ODD.items():
        try:
            CALLS[call](store, odd())
            accepted.add(name)
        except FeaturePlatformError as error:
            messages[name] = str(error)
    assert not [name for name, text in messages.items() if not text or "pydantic" in text]
    assert accepted == ACCEPTED.get(call, set())
