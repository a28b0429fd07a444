"""Projects share views with each other: definitions, contracts, reads and writes."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from tests_support import HOUR, NOON, raises, refused

from feature_platform import (
    Acceptance,
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    PushSource,
    RepoConfig,
    Share,
)
from feature_platform.errors import (
    AccessError,
    DefinitionError,
    NotFoundError,
    RefusedError,
    RequestError,
    SchemaError,
)
from feature_platform.project import ShareState
from feature_platform.types import Float64, Int64

Open = Callable[..., FeatureStore]
ROW = [{"city": 1}]
ASKED = pd.DataFrame({"city": [1, 2], "event_timestamp": [NOON, NOON]})
SERVICE = FeatureService(name="mine", features=["prod/weather"])


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> Any:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_project(tmp_path: Path, clock: Clock) -> Open:
    """Open a project of one registry; each project has stores of its own."""

    def open_(project: str, team: str = "platform", **settings: Any) -> FeatureStore:
        folder = tmp_path / project
        folder.mkdir(exist_ok=True)
        stores = {other: {"path": f"../{other}"} for other in ("prod", "dev", "staging")}
        stores.pop(project)
        config = {
            "project": project,
            "team": team,
            "registry": str(tmp_path / "registry.db"),
            "online_store": {"type": "sqlite", "path": "online.db"},
            "projects": stores,
            "registry_cache_seconds": 0,
            **settings,
        }
        return FeatureStore(folder, config=RepoConfig(**config), clock=clock)

    return open_


@pytest.fixture
def prod(open_project: Open, tmp_path: Path) -> FeatureStore:
    store = open_project("prod")
    times = [NOON - 2 * HOUR, NOON - HOUR]
    frame = pd.DataFrame({"city": [1, 1], "event_timestamp": times, "temp": [1, 2], "wind": [5, 6]})
    (tmp_path / "prod" / "weather").mkdir(parents=True)
    frame.to_parquet(tmp_path / "prod" / "weather" / "day.parquet")
    store.apply(definitions())
    store.materialize(NOON - timedelta(days=1), NOON)
    return store


def definitions(fields: tuple[str, ...] = ("temp", "wind")) -> list[Any]:
    city = Entity(name="city", join_keys=["city"], value_type=Int64)
    history = FileSource(name="weather_history", path="weather")
    schema = [Field(name=name, dtype=Int64) for name in fields]
    return [
        city,
        FeatureView(
            name="weather", entities=[city], schema=schema,
            source=PushSource(name="weather_push", batch_source=history),
        ),
        OnDemandFeatureView(
            name="heat", mode="sql", sources=["weather"], expressions={"heat": "temp * 10.0"},
            schema=[Field(name="heat", dtype=Float64)],
        ),
        FeatureService(name="forecast", features=["weather:temp", "heat"]),
    ]  # fmt: skip


@pytest.fixture
def dev(open_project: Open, prod: FeatureStore) -> FeatureStore:
    return open_project("dev")


@pytest.fixture
def shared(prod: FeatureStore, dev: FeatureStore) -> FeatureStore:
    """`dev`, with the whole store of `prod` shared."""
    prod.sharing.share("dev")
    dev.sharing.accept("prod")
    return dev


# Definitions


def test_shares_are_named_after_projects() -> None:
    assert Share(to="dev").name == "dev"
    assert Acceptance(of="prod").name == "prod"
    with pytest.raises(DefinitionError):
        Share(to="dev", name="other")
    with pytest.raises(DefinitionError):
        Share(to="dev", access="admin")  # type: ignore[arg-type]
    with raises(DefinitionError, "other/v"):
        Share(to="dev", views=["other/v"])


def test_shares_of_a_team_or_of_a_repo_without_a_name_are_refused(open_project, prod) -> None:
    with refused(("kind", "share 'dev'")):
        open_project("prod", team="risk").apply([Share(to="dev")])
    with refused(("kind", "acceptance 'prod'")):
        open_project("dev", team="risk").apply([Acceptance(of="prod")])
    nameless = RepoConfig(project="prod", registry=prod.config.registry)
    with refused(("identity", "share 'dev'")):
        FeatureStore(prod.repo.path, config=nameless).apply([Share(to="dev")])


def test_a_project_shares_nothing_with_itself(prod) -> None:
    for definition in (Share(to="prod"), Acceptance(of="prod")):
        with refused(("reference", f"{definition.kind} 'prod'")):
            prod.apply([definition])


def test_a_share_lists_what_is_registered(prod) -> None:
    with refused(("reference", "share 'dev'", "nope"), ("reference", "share 'dev'", "hail")):
        prod.sharing.share("dev", ["nope", "weather:hail"])


# Offering and accepting


def test_a_share_is_pending_until_it_is_accepted(prod, dev) -> None:
    prod.sharing.share("dev", ["weather:temp"])
    with refused(("reference", "feature service 'mine'", "accept prod")):
        dev.apply([SERVICE])
    [offered] = dev.sharing.list()
    assert (offered.owner, offered.reader, offered.state) == ("prod", "dev", ShareState.PENDING)
    assert (offered.access, offered.views) == ("read", ("weather:temp",))
    assert offered.shared_by == "platform"
    assert offered.shared_at - NOON < timedelta(seconds=1)
    dev.sharing.accept("prod")
    assert dev.apply([SERVICE])
    [accepted] = prod.sharing.list()
    assert (accepted.state, accepted.answered_by) == (ShareState.ACCEPTED, "platform")


def test_a_requested_share_is_accepted_as_soon_as_it_is_offered(prod, dev) -> None:
    with raises(NotFoundError, "prod"):
        dev.sharing.accept("prod")
    dev.sharing.request("prod")
    assert [s.state for s in prod.sharing.list()] == [ShareState.REQUESTED]
    prod.sharing.share("dev")
    assert [s.state for s in prod.sharing.list()] == [ShareState.ACCEPTED]


def test_nothing_changes_twice(prod, dev) -> None:
    assert prod.sharing.share("dev")
    assert prod.sharing.share("dev") is None
    assert dev.sharing.accept("prod")
    assert dev.sharing.accept("prod") is None


# Reading


def test_one_request_over_two_projects(shared, tmp_path) -> None:
    frame = pd.DataFrame({"city": [1, 2], "event_timestamp": NOON - HOUR, "people": [100, 200]})
    frame.to_parquet(tmp_path / "dev" / "cities.parquet")
    city = Entity(name="city", join_keys=["city"], value_type=Int64)
    shared.apply(
        [
            city,
            FeatureView(
                name="cities", schema=[Field(name="people", dtype=Int64)],
                entities=[city],
                source=FileSource(name="cities", path="cities.parquet"),
            ),
            OnDemandFeatureView(
                name="feel", mode="sql", sources=["prod/weather:temp", "cities"],
                expressions={"feel": "temp * people"}, schema=[Field(name="feel", dtype=Int64)],
            ),
            FeatureService(name="both", features=["prod/heat", "cities", "prod/weather", "feel"]),
        ]
    )  # fmt: skip
    shared.materialize(NOON - timedelta(days=1), NOON)
    expected = {"heat": [20.0, None], "people": [100, 200], "temp": [2, None], "wind": [6, None],
                "feel": [200, None]}  # fmt: skip

    job = shared.get_historical_features(ASKED, "both")
    table = job.to_arrow()
    assert {name: table[name].to_pylist() for name in expected} == expected
    assert table.num_rows == 2
    online = shared.get_online_features("both", [{"city": 1}, {"city": 2}]).to_dict()
    assert {name: online[name] for name in expected} == expected
    assert shared.verify_parity("both", ASKED[["city"]]).mismatches == 0

    assert "prod/weather" in job.explain()
    with raises(RequestError, "prod", "dev"):
        shared.get_historical_features(ASKED, ["prod/weather", "cities"]).to_sql()
    with raises(RequestError, "entity_df"):
        shared.get_historical_features(features=["prod/weather", "cities"], start_date=NOON - HOUR)


def test_every_form_of_entity_rows_joins_other_projects(shared, tmp_path) -> None:
    path = tmp_path / "rows.parquet"
    ASKED.to_parquet(path)
    for rows in (ASKED, str(path), f"SELECT * FROM '{path}'"):
        table = shared.get_historical_features(rows, ["prod/weather:temp"]).to_arrow()
        assert table.to_pydict() == {
            "city": [1, 2], "event_timestamp": [NOON, NOON], "temp": [2, None],
        }  # fmt: skip
    times = ASKED.rename(columns={"event_timestamp": "at"}).assign(note=["a", "b"])
    table = shared.get_historical_features(times, ["prod/weather:temp"]).to_arrow()
    assert table.column_names == ["city", "at", "note", "temp"]


def test_a_service_of_another_project(shared) -> None:
    answer = shared.get_online_features("prod/forecast", ROW).to_dict()
    assert answer == {"city": [1], "temp": [2], "heat": [20.0]}
    with raises(NotFoundError, "nothing"):
        shared.get_online_features("prod/nothing", ROW)


def test_two_projects_views_of_one_name(shared, tmp_path) -> None:
    city = Entity(name="city", join_keys=["city"], value_type=Int64)
    own = pd.DataFrame({"city": [1], "event_timestamp": [NOON - HOUR], "temp": [77]})
    own.to_parquet(tmp_path / "dev" / "weather.parquet")
    shared.apply(
        [
            city,
            FeatureView(
                name="weather", schema=[Field(name="temp", dtype=Int64)],
                entities=[city],
                source=FileSource(name="own", path="weather.parquet"),
            ),
        ]
    )  # fmt: skip
    # The on-demand view of prod reads prod's view, whatever the request calls by that name.
    table = shared.get_historical_features(ASKED, ["weather:temp", "prod/heat"]).to_arrow()
    assert table["temp"].to_pylist() == [77, None]
    assert table["heat"].to_pylist() == [20.0, None]


def test_without_settings_another_project_is_in_the_same_stores(open_store, driver, driver_view):
    prod, dev = open_store(project="prod"), open_store(project="dev")
    prod.apply([driver, driver_view])
    prod.materialize(NOON - timedelta(days=1), NOON)
    prod.sharing.share("dev")
    dev.sharing.accept("prod")
    asked = pd.DataFrame({"driver_id": [1], "event_timestamp": [NOON]})
    job = dev.get_historical_features(asked, ["prod/driver_stats:trips"])
    assert job.to_arrow()["trips"].to_pylist() == [11]
    assert "prod/driver_stats" not in job.explain()  # one join, not one for each store
    answer = dev.get_online_features(["prod/driver_stats:trips"], [{"driver_id": 1}])
    assert answer.to_dict()["trips"] == [11]


# Access in part, and its end


def test_features_that_are_not_shared_stay_hidden(prod, dev) -> None:
    prod.sharing.share("dev", ["weather:temp"])
    dev.sharing.accept("prod")
    dev.apply([SERVICE])
    assert dev.get_online_features("mine", ROW).to_dict() == {"city": [1], "temp": [2]}
    table = dev.get_historical_features(ASKED, ["prod/weather"]).to_arrow()
    assert table.column_names == ["city", "event_timestamp", "temp"]
    assert list(dev.get_statistics("prod/weather")) == ["temp"]
    for features in (["prod/weather:wind"], ["prod/heat"], "prod/forecast"):
        with raises(AccessError, "prod"):
            dev.get_online_features(features, ROW)
        with raises(AccessError, "prod"):
            dev.get_historical_features(ASKED, features)
    derived = OnDemandFeatureView(
        name="chill", mode="sql", sources=["prod/weather"], expressions={"chill": "wind + 1"},
        schema=[Field(name="chill", dtype=Int64)],
    )  # fmt: skip
    with refused(("reference", "on-demand view 'chill'", "wind")):
        dev.apply([derived])


def test_an_expired_share_ends_prepared_requests(prod, dev, clock) -> None:
    prod.sharing.share("dev", until=date(2026, 1, 1))
    dev.sharing.accept("prod")
    dev.apply([SERVICE])
    assert dev.get_online_features("mine", ROW).to_dict()["temp"] == [2]
    clock.now = NOON + timedelta(hours=11, minutes=59)
    assert dev.get_online_features("mine", ROW).to_dict()["temp"] == [2]
    clock.now = NOON + timedelta(hours=12)
    with raises(AccessError, "2026-01-01"):
        dev.get_online_features("mine", ROW)
    with raises(AccessError, "2026-01-01"):
        dev.get_historical_features(ASKED, "mine")
    assert [a.breaks for a in dev.review(dev.plan([])).advisories] == [True]
    assert {finding.rule for finding in dev.audit([SERVICE])} == {"reference", "undefined"}


def test_revoking_says_who_loses_what_and_ends_access_at_once(prod, shared) -> None:
    through = FeatureService(name="through", features=["derived"])
    derived = OnDemandFeatureView(
        name="derived", mode="sql", sources=["prod/weather"], expressions={"t": "temp + 1"},
        schema=[Field(name="t", dtype=Int64)],
    )  # fmt: skip
    other = FeatureService(name="unconcerned", features=["prod/weather:temp"])
    shared.apply([SERVICE, derived, through, other])
    assert shared.get_online_features("mine", ROW).to_dict()["temp"] == [2]

    narrower = prod.review(prod.sharing.plan_share("dev", ["weather:temp"]))
    assert _lost(narrower) == {"mine", "derived", "through"}  # they read all of it
    report = prod.review(prod.sharing.plan_revoke("dev"))
    assert report.problems == ()
    assert _lost(report) == {"mine", "derived", "through", "unconcerned"}
    assert {str(effect) for effect in report.effects} >= {
        "feature service 'mine' of 'dev/platform'"
    }

    prod.sharing.revoke("dev")
    with raises(AccessError, "2026-01-01"):
        shared.get_online_features("mine", ROW)
    with raises(NotFoundError, "dev"):
        prod.sharing.revoke("dev")
    assert [s.state for s in prod.sharing.list()] == [ShareState.REVOKED]


def test_widening_says_whose_names_become_ambiguous(prod, dev) -> None:
    prod.sharing.share("dev", ["weather:temp"])
    dev.sharing.accept("prod")
    breeze = OnDemandFeatureView(
        name="breeze", mode="sql", sources=["prod/weather:temp"], expressions={"wind": "temp + 1"},
        schema=[Field(name="wind", dtype=Int64)],
    )  # fmt: skip
    dev.apply([breeze, FeatureService(name="both", features=["prod/weather", "breeze"]), SERVICE])
    assert dev.get_online_features("both", ROW).to_dict() == {"city": [1], "temp": [2], "wind": [3]}

    report = prod.review(prod.sharing.plan_share("dev"))
    assert report.problems == ()
    assert _lost(report) == {"both"}
    prod.sharing.share("dev")
    with raises(RequestError, "wind"):
        dev.get_online_features("both", ROW)


def _lost(report: Any) -> set[str]:
    assert all(e.kind == "access" and e.excuse for e in report.effects if e.breaks)
    return {effect.reader.name for effect in report.effects if effect.breaks}


def test_rejecting_what_is_read_is_refused(prod, shared) -> None:
    shared.apply([SERVICE])
    with refused(("contract", "acceptance 'prod'", "mine")):
        shared.sharing.reject("prod")
    shared.apply(objects_to_delete=[SERVICE], objects=[])
    assert shared.sharing.reject("prod")
    assert [s.state for s in prod.sharing.list()] == [ShareState.REJECTED]
    with raises(AccessError, "rejected"):
        shared.get_online_features(["prod/weather"], ROW)


# Contracts


def test_readers_of_other_projects_are_consumers(prod, shared) -> None:
    shared.apply([SERVICE])
    with refused(("contract", "feature view 'weather'", "wind", "dev/platform")):
        prod.apply(definitions(fields=("temp",)))
    assert prod.apply(definitions(fields=("temp", "wind", "rain")))


def test_what_a_share_lists_cannot_be_deleted_alone(prod, dev) -> None:
    prod.sharing.share("dev", ["heat"])
    heat, forecast = (prod.get_on_demand_feature_view("heat"), prod.get_feature_service("forecast"))
    with refused(("contract", "on-demand view 'heat'", "dev")):
        prod.apply([], objects_to_delete=[heat, forecast])
    share = prod.load_project().get(Share, "dev")
    assert prod.apply([], objects_to_delete=[heat, forecast, share])


def test_cycles_through_two_projects_are_refused(prod, shared) -> None:
    prod.sharing.request("dev")
    shared.sharing.share("prod")

    def ends(name: str, source: str) -> OnDemandFeatureView:
        one = {"temp": "temp + 1"}
        return OnDemandFeatureView(
            name=name, mode="sql", sources=[source], expressions=one,
            schema=[Field(name="temp", dtype=Int64)],
        )  # fmt: skip

    prod.apply([ends("a", "weather:temp")])
    shared.apply([ends("b", "prod/a")])
    with pytest.raises(RefusedError) as caught:
        prod.apply([ends("a", "dev/b")])
    assert ("cycle", "on-demand view 'a'") in {(p.rule, p.subject) for p in caught.value.problems}


def test_precomputing_from_another_project_is_refused(shared) -> None:
    derived = OnDemandFeatureView(
        name="d", mode="sql", sources=["prod/weather:temp"], expressions={"t": "temp + 1"},
        schema=[Field(name="t", dtype=Int64)], write_to_online_store=True,
    )  # fmt: skip
    with refused(("reference", "on-demand view 'd'", "write_to_online_store")):
        shared.apply([derived])


def test_the_names_of_shares_are_not_chosen(prod, dev) -> None:
    from feature_platform import Policy

    prod.apply([Policy(prefixes={"dev": ["dev"]}, reserved=["dev"])])
    assert prod.sharing.share("dev")


# Writing


def rows(temp: int) -> pd.DataFrame:
    return pd.DataFrame({"city": [1], "event_timestamp": [NOON], "temp": [temp], "wind": [0]})


def test_rows_are_written_with_the_right_to_write(prod, dev, open_project) -> None:
    prod.sharing.share("dev")
    dev.sharing.accept("prod")
    writes: list[Callable[[FeatureStore], object]] = [
        lambda store: store.write_to_online_store("prod/weather", rows(3)),
        lambda store: store.push("prod/weather_push", rows(4)),
        lambda store: store.write_to_offline_store("prod/weather", rows(5)),
        lambda store: store.delete_from_online_store("prod/weather", rows(0).iloc[:, :2]),
    ]
    for write in writes:
        with raises(AccessError, "reading only"):
            write(dev)
    prod.sharing.share("dev", access="write")
    for write in writes:
        with raises(RequestError, "team: none"):
            write(open_project("dev", team="none"))
    writes[0](dev)
    assert prod.get_online_features(["weather"], ROW).to_dict()["temp"] == [3]
    writes[1](open_project("dev", team="risk"))
    assert prod.get_online_features(["weather"], ROW).to_dict()["temp"] == [4]
    writes[2](dev)
    assert prod.get_historical_features(ASKED, ["weather:temp"]).to_arrow()["temp"][0].as_py() == 5
    writes[3](dev)
    assert prod.get_online_features(["weather"], ROW).to_dict()["temp"] == [None]


def test_definitions_of_another_project_cannot_be_changed(shared, prod) -> None:
    prod.sharing.share("dev", access="write")
    version = prod.registry.snapshot().version
    assert shared.apply([], objects_to_delete=[prod.get_feature_view("weather")]) is None
    assert prod.registry.snapshot().version == version


def test_a_full_sync_keeps_the_shares_that_the_repo_defines(prod, shared) -> None:
    assert prod.plan([*definitions(), Share(to="dev")], partial=False).changes == ()
    [change] = prod.plan(definitions(), partial=False).changes
    assert (change.kind, change.action) == ("share", "delete")


def test_online_over_stores_of_two_kinds(
    open_project: Open, tmp_path: Path, redis_server: str, aws: None, s3_endpoint: str
) -> None:
    """Each view is read from the store of its own project, whatever kind it is of."""
    redis = {"type": "redis", "connection_string": redis_server}
    dynamo = {"type": "dynamodb", "region": "us-west-2", "endpoint_url": s3_endpoint}
    prod = open_project("prod", online_store=redis)
    stores = {"prod": {"path": "../prod", "online_store": redis}}
    dev = open_project("dev", online_store=dynamo, projects=stores)
    (tmp_path / "prod" / "weather").mkdir()
    times = [NOON - HOUR] * 50
    numbers = list(range(50))
    frame = pd.DataFrame({"city": numbers, "event_timestamp": times, "temp": numbers, "wind": 1})
    frame.to_parquet(tmp_path / "prod" / "weather" / "day.parquet")
    own = pd.DataFrame({"city": numbers[::2], "event_timestamp": times[::2], "people": 7})
    own.to_parquet(tmp_path / "dev" / "cities.parquet")
    prod.apply(definitions())
    prod.sharing.share("dev")
    dev.sharing.accept("prod")
    city = Entity(name="city", join_keys=["city"], value_type=Int64)
    view = FeatureView(
        name="cities", schema=[Field(name="people", dtype=Int64)], entities=[city],
        source=FileSource(name="cities", path="cities.parquet"),
    )  # fmt: skip
    dev.apply([city, view, FeatureService(name="both", features=["prod/weather", "cities"])])
    for store in (prod, dev):
        store.materialize(NOON - timedelta(days=1), NOON)
    asked = [{"city": number} for number in range(60)]
    answer = dev.get_online_features("both", asked).to_dict()
    assert answer["temp"] == [*numbers, *[None] * 10]
    assert answer["people"] == [7 if n < 50 and n % 2 == 0 else None for n in range(60)]
    assert dev.verify_parity("both", pd.DataFrame({"city": range(60)})).mismatches == 0


def test_readers_without_access_do_not_hold_the_owner(prod, shared) -> None:
    shared.apply([SERVICE])
    prod.sharing.revoke("dev")
    assert prod.apply(definitions(fields=("temp",)))


def test_readers_of_other_features_do_not_hold_the_owner(prod, dev) -> None:
    prod.sharing.share("dev", ["weather:temp"])
    dev.sharing.accept("prod")
    dev.apply([SERVICE])
    assert prod.apply(definitions(fields=("temp",)))


def test_on_demand_views_may_read_namesakes_of_two_projects(shared, tmp_path) -> None:
    own = pd.DataFrame({"city": [1], "event_timestamp": [NOON - HOUR], "temp": [77]})
    own.to_parquet(tmp_path / "dev" / "weather.parquet")
    city = Entity(name="city", join_keys=["city"], value_type=Int64)

    def derived(name: str, source: str) -> OnDemandFeatureView:
        return OnDemandFeatureView(
            name=name, mode="sql", sources=[source], expressions={name: "temp + 0"},
            schema=[Field(name=name, dtype=Int64)],
        )  # fmt: skip

    view = FeatureView(
        name="weather", schema=[Field(name="temp", dtype=Int64)], entities=[city],
        source=FileSource(name="own", path="weather.parquet"),
    )  # fmt: skip
    both = FeatureService(name="both", features=["ours", "theirs"])
    shared.apply([city, view, derived("ours", "weather"), derived("theirs", "prod/weather"), both])
    table = shared.get_historical_features(ASKED.head(1), "both").to_arrow()
    assert (table["ours"].to_pylist(), table["theirs"].to_pylist()) == ([77], [2])


def test_existence_is_not_told(prod, dev) -> None:
    prod.sharing.share("dev", ["weather:temp"])
    dev.sharing.accept("prod")

    def answer(features: object, name: str) -> str:
        with pytest.raises(AccessError) as caught:
            dev.get_online_features(features, ROW)
        return str(caught.value).replace(name, "NAME")

    assert answer(["prod/weather:wind"], "wind") == answer(["prod/weather:nope"], "nope")
    assert answer("prod/forecast", "forecast") == answer("prod/nope", "nope")


def test_times_that_no_reader_could_give_back_are_refused(prod) -> None:
    table = pa.table(
        {
            "city": [1], "temp": [1], "wind": [1],
            "event_timestamp": pa.array([253_402_300_800_000_000], pa.timestamp("us", "UTC")),
        }
    )  # fmt: skip
    with raises(SchemaError, "9999"):
        prod.write_to_online_store("weather", table)
    assert prod.get_online_features(["weather:temp"], ROW).to_dict()["temp"] == [2]
