"""A feature store that has nothing but an address and a key does what an embedded one does."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import urllib3
from server.conftest import Served
from tests_support import HOUR, NOON, raises, refused

from feature_platform import (
    Entity,
    FeatureService,
    FeatureStore,
    OnDemandFeatureView,
    PushMode,
    SavedDatasetFileStorage,
    ViewReference,
)
from feature_platform.errors import (
    AccessError,
    ConfigError,
    ConflictError,
    NotFoundError,
    RequestError,
    SchemaError,
    StoreError,
    UnknownWriteError,
)
from feature_platform.types import Int64

ASKED = pd.DataFrame({"city": [1, 2, 3], "event_timestamp": [NOON] * 3, "note": list("abc")})
ROWS = [{"city": 1}, {"city": 2}, {"city": 9}]


@pytest.fixture
def client(served: Served, tmp_path: Path) -> FeatureStore:
    return served.client(tmp_path)


def test_online_features_are_those_of_the_embedded_store(client, prod) -> None:
    for features in ("forecast", ["weather:sky", "weather:temp"], ["weather"]):
        for full in (False, True):
            ours = client.get_online_features(features, ROWS, full_feature_names=full)
            expected = prod.get_online_features(features, ROWS, full_feature_names=full)
            assert ours.to_dict() == expected.to_dict()
            assert ours.statuses() == expected.statuses()
            assert ours.to_arrow().equals(expected.to_arrow())
            assert ours.to_dict(include_event_timestamps=True) == expected.to_dict(
                include_event_timestamps=True
            )
            assert ours.registry_version == expected.registry_version
    references = [ViewReference(view="weather", features=("temp",)).with_name("w")]
    answer = client.get_online_features(references, {"city": [1]}, full_feature_names=True)
    assert answer.to_dict() == {"city": [1], "w__temp": [2]}
    frame = client.get_online_features("forecast", pd.DataFrame({"city": [2]}))
    assert frame.to_dict()["temp"] == [2**53 + 1]


def test_training_sets_are_those_of_the_embedded_store(client, prod, tmp_path) -> None:
    for options in ({}, {"full_feature_names": True}, {"filter_by_created_timestamp": True}):
        ours = client.get_historical_features(ASKED, "forecast", **options).to_arrow()
        expected = prod.get_historical_features(ASKED, "forecast", **options).to_arrow()
        assert ours.equals(expected)
    span = {"start_date": NOON - timedelta(days=1), "end_date": NOON}
    ours = client.get_historical_features(features=["weather:temp"], **span).to_df()
    assert sorted(ours["temp"]) == [1, 2, 2**53 + 1]
    ASKED.to_parquet(tmp_path / "asked.parquet")
    job = client.get_historical_features(str(tmp_path / "asked.parquet"), ["weather:temp"])
    assert job.to_df()["temp"].tolist()[:2] == [2, 2**53 + 1]
    assert "http" in job.explain()
    with raises(RequestError, "SQL"):
        client.get_historical_features("SELECT 1", ["weather:temp"])
    with raises(RequestError, "to_sql"):
        job.to_sql()
    dataset = client.create_saved_dataset(
        client.get_historical_features(ASKED, ["weather:temp"]), "remote_set"
    )
    assert dataset.to_df()["temp"].tolist()[:2] == [2, 2**53 + 1]


def test_the_manifest_of_a_saved_dataset_is_that_of_the_embedded_store(
    client, prod, tmp_path
) -> None:
    manifests = []
    for store in (client, prod):
        job = store.get_historical_features(ASKED, "forecast", filter_by_created_timestamp=True)
        target = SavedDatasetFileStorage(tmp_path / f"set_{len(manifests)}")
        dataset = store.create_saved_dataset(job, "forecast_set", target)
        assert set(dataset.manifest["features"]) <= set(dataset.to_df().columns)
        manifests.append({k: v for k, v in dataset.manifest.items() if k != "created"})
    assert manifests[0] == manifests[1]
    assert manifests[0]["registry_version"] == prod.snapshot().version


def test_a_job_records_the_version_that_the_server_reads(client, prod) -> None:
    job = client.get_historical_features(ASKED, ["weather:temp"])
    before = job.registry_version
    prod.apply([Entity(name="later", value_type=Int64)])
    job.to_arrow()
    assert (before, job.registry_version) == (before, prod.snapshot().version)
    assert before < job.registry_version


def test_a_server_answers_no_older_version(client) -> None:
    version = client.snapshot().version
    pinned = FeatureStore(client.repo.path, config=client.config, registry_version=version)
    with raises(RequestError, "newest"):
        pinned.get_historical_features(ASKED, ["weather:temp"])
    with raises(RequestError, "newest"):
        pinned.get_online_features(["weather:temp"], ROWS)


def test_a_large_training_set_streams(client, served) -> None:
    size = 20_000
    asked = pd.DataFrame({"city": np.arange(size) % 3, "event_timestamp": [NOON] * size})
    reader = client.get_historical_features(asked, ["weather:temp"]).to_batches()
    assert sum(batch.num_rows for batch in reader) == size


def test_rows_are_written_through_the_server(client, prod) -> None:
    rows = pd.DataFrame({"city": [7], "event_timestamp": [NOON], "temp": [3], "wind": [1.0],
                         "sky": ["fog"]})  # fmt: skip
    assert client.write_to_online_store("weather", rows) == 1
    assert prod.get_online_features(["weather:sky"], [{"city": 7}]).to_dict()["sky"] == ["fog"]
    assert client.push("push", rows.assign(temp=4), to=PushMode.ONLINE_AND_OFFLINE) == 1
    assert client.get_online_features(["weather:temp"], [{"city": 7}]).to_dict()["temp"] == [4]
    assert client.write_to_offline_store("weather", rows.assign(city=8))
    asked = pd.DataFrame({"city": [7, 8], "event_timestamp": [NOON] * 2})
    history = client.get_historical_features(asked, ["weather:temp"]).to_df()
    assert history["temp"].tolist() == [4, 3]
    client.delete_from_online_store("weather", rows[["city", "event_timestamp"]])
    assert client.get_online_features(["weather:temp"], [{"city": 7}]).to_dict()["temp"] == [None]
    with raises(SchemaError, "sky"):
        client.write_to_online_store("weather", rows.drop(columns=["sky"]))


def test_loads_run_on_the_server(client, prod) -> None:
    assert client.materialize(NOON - timedelta(days=1), NOON) == {"weather": 2}
    assert client.materialize_incremental(NOON, ["weather"]) == {"weather": 2}
    with raises(NotFoundError, "nope"):
        client.materialize(NOON - HOUR, NOON, ["nope"])


def test_the_registry_is_written_by_the_server(client, prod, served, tmp_path) -> None:
    commit = client.apply([Entity(name="driver", join_keys=["d"])], message="over http")
    assert (commit.principal, commit.message) == ("platform", "over http")
    assert "key" in commit.client
    [stored] = prod.registry.history(name="driver")
    assert stored == commit
    assert client.apply([Entity(name="driver", join_keys=["d"])]) is None
    team = served.client(tmp_path, team="risk")
    with refused(("ownership", "entity 'driver'")):
        team.apply([Entity(name="driver", join_keys=["d", "e"])])
    service = FeatureService(name="risk_v1", features=["weather:temp"])
    assert team.apply([service]).principal == "risk"
    assert [entry.owner for entry in prod.load_project().entries()].count("risk") == 1
    stale = client.plan([Entity(name="driver", join_keys=["x"])])
    client.apply([Entity(name="driver", join_keys=["y"])])
    with raises(ConflictError, "driver"):
        client.commit(stale)
    saved_at = client.snapshot().version
    assert client.registry.snapshot(saved_at - 1).version == saved_at - 1
    assert client.registry.log.last() == saved_at
    assert client.plan_restore(1).changes


def test_an_owner_that_the_key_does_not_act_for(served, tmp_path) -> None:
    config = served.config(team="platform", key=served.key("risk"))
    store = FeatureStore(tmp_path, config=config)
    with refused(("ownership", "the plan", "risk", "platform")):
        store.apply([Entity(name="driver", join_keys=["d"])])
    other = served.config("dev", key=served.key(project="prod"))
    with raises(AccessError, "dev"):
        FeatureStore(tmp_path, config=other).snapshot()


def test_a_commit_that_is_sent_twice_is_written_once(client, prod) -> None:
    plan = client.plan([Entity(name="driver", join_keys=["d"])])
    first = client.commit(plan, commit_id="a" * 32)
    undo = client.plan(objects=[], objects_to_delete=[Entity(name="driver", join_keys=["d"])])
    client.commit(undo)
    again = client.commit(plan, commit_id="a" * 32)  # the answer was lost, and it came late
    assert again == first
    assert len(prod.registry.history(name="driver")) == 2
    with raises(RequestError, "commit_id"):
        client.commit(plan, commit_id="xyz")


def test_deleted_views_are_emptied_by_the_server(client, prod) -> None:
    objects = [
        prod.get_feature_service("forecast"),
        prod.get_feature_view("weather"),
        prod.get_data_source("push"),
    ]
    client.apply([], objects_to_delete=objects)
    prod.apply([*objects, prod.get_data_source("history"), prod.get_entity("city")])
    assert prod.get_online_features(["weather:temp"], ROWS).to_dict()["temp"] == [None] * 3


def test_projects_share_over_the_server(served, prod, tmp_path) -> None:
    dev = served.client(tmp_path, "dev")
    with raises(AccessError, "prod"):
        dev.get_online_features(["prod/weather:temp"], ROWS)
    served.client(tmp_path).sharing.share("dev", ["weather:temp"])
    dev.sharing.accept("prod")
    assert dev.get_online_features(["prod/weather:temp"], ROWS).to_dict()["temp"][0] == 2
    table = dev.get_historical_features(ASKED, ["prod/weather"]).to_arrow()
    assert table.column_names == [*ASKED.columns, "temp"]
    with raises(AccessError, "prod"):
        dev.get_historical_features(ASKED, ["prod/weather:sky"]).to_arrow()
    rows = pd.DataFrame({"city": [7], "event_timestamp": [NOON], "temp": [3]})
    with raises(AccessError, "reading only"):
        dev.write_to_online_store("prod/weather", rows)
    prod.sharing.revoke("dev")
    with raises(AccessError, "prod"):
        dev.get_online_features(["prod/weather:temp"], ROWS)


def test_expressions_run_on_the_server(client) -> None:
    client.apply(
        [
            OnDemandFeatureView(
                name="double", mode="sql", sources=["weather:temp"],
                expressions={"twice": "temp * 2"}, schema=[{"name": "twice", "dtype": Int64}],
            )
        ]
    )  # fmt: skip
    assert client.get_online_features(["double"], [{"city": 1}]).to_dict()["twice"] == [4]
    table = client.get_historical_features(ASKED.head(1), ["double"]).to_arrow()
    assert table["twice"].to_pylist() == [4]


def test_what_needs_the_store_itself_says_so(client) -> None:
    with raises(ConfigError, "remote"):
        client.get_statistics("weather")
    with raises(ConfigError, "remote"):
        client.verify_parity(["weather"], pd.DataFrame({"city": [1]}))


def test_settings_of_a_client(served, tmp_path, monkeypatch) -> None:
    def config(**changes: Any) -> FeatureStore:
        from feature_platform import RepoConfig

        settings = {"project": "prod", "registry": f"{served.url}/prod", **changes}
        return FeatureStore(tmp_path, config=RepoConfig(**settings))

    monkeypatch.delenv("FEATURE_PLATFORM_API_KEY", raising=False)
    with raises(ConfigError, "FEATURE_PLATFORM_API_KEY"):
        config().snapshot()
    (tmp_path / "key").write_text(served.key() + "\n")
    assert config(connection={"api_key_file": "key"}).snapshot().version == 1
    monkeypatch.setenv("FEATURE_PLATFORM_API_KEY", served.key())
    assert config().snapshot().version == 1
    with raises(ConfigError, "nothing"):
        config(connection={"api_key_file": "nothing"}).snapshot()
    with raises(ConfigError, "prod", "other"):
        config(project="other")
    with raises(ConfigError, "registry"):
        config(registry="r.db", online_store={"type": "remote"})
    with raises(ConfigError, "https"):
        config(registry="http://example.com/prod").snapshot()
    gone = served.url
    served.stop()
    monkeypatch.setattr("feature_platform.server_client._LONGEST_TRY_SECONDS", 0.2)
    with raises(StoreError, gone):
        config().snapshot()
    assert "fp_" not in repr(config().config)


def test_an_answer_that_ends_early_is_an_error(client, monkeypatch) -> None:
    from feature_platform.services import remote

    body = remote.packed(pa.table({"a": [1]}), {})
    with raises(StoreError, "answer"):
        remote.response_of(body)
    with raises(StoreError, "answer"):
        remote.response_of(body[:-20])


def test_connections_are_given_back(client) -> None:
    pool = client.stores.offline_server._pool.get()
    for _ in range(3):
        client.get_historical_features(ASKED, ["weather:temp"]).to_arrow()
    reader = client.get_historical_features(ASKED, ["weather:temp"]).to_batches()
    reader.close()
    [host] = [pool.pools[key] for key in pool.pools.keys()]  # noqa: SIM118 - it is no dict
    assert host.num_connections <= 3


@pytest.fixture
def requests(client, monkeypatch) -> list[dict[str, Any]]:
    """What the client sends; the first answer is lost after the server gave it."""
    pool, sent = client.stores.offline_server._pool.get(), []
    send = pool.request

    def request(method: str, url: str, **options: Any) -> Any:
        answer = send(method, url, **options)
        if "/v1/registry" in url:
            return answer
        sent.append({"path": url.removeprefix(client.stores.offline_server.address), **options})
        if len(sent) == 1:
            raise urllib3.exceptions.ProtocolError("the answer was lost")
        return answer

    monkeypatch.setattr(pool, "request", request)
    return sent


def test_rows_that_are_appended_are_sent_once(client, folder, requests) -> None:
    rows = pd.DataFrame({"city": [7], "event_timestamp": [NOON], "temp": [1],
                         "wind": [1.0], "sky": ["fog"]})  # fmt: skip

    for number, write in enumerate(
        (
            lambda: client.write_to_offline_store("weather", rows),
            lambda: client.push("push", rows, PushMode.OFFLINE),
            lambda: client.push("push", rows, PushMode.ONLINE_AND_OFFLINE),
        ),
        start=1,
    ):
        requests.clear()
        with raises(UnknownWriteError, "look"):
            write()
        assert len(requests) == 1
        stored = [pd.read_parquet(file) for file in (folder / "weather").iterdir()]
        assert sum((part["city"] == 7).sum() for part in stored) == number
    for write in (
        lambda: client.write_to_online_store("weather", rows),
        lambda: client.push("push", rows, PushMode.ONLINE),
        lambda: client.materialize(NOON - HOUR, NOON),
    ):
        requests.clear()
        write()
        assert len(requests) == 2


def test_what_takes_long_is_waited_for(client, requests) -> None:
    requests.append({})
    client.materialize(NOON - HOUR, NOON)
    client.materialize_incremental(NOON)
    client.get_historical_features(ASKED, ["weather:temp"]).to_arrow()
    client.get_online_features(["weather:temp"], ROWS)
    seconds = {r["path"]: r["timeout"].read_timeout for r in requests[1:]}
    assert seconds["/v1/materialize"] == seconds["/v1/materialize-incremental"] >= 3600
    assert seconds["/v1/training-set"] >= 3600 > seconds["/v1/online-features"]
