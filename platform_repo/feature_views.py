"""The features every team may build on."""

from datetime import timedelta

from data_sources import (
    aircraft_last_arrival_source,
    aircraft_profile_source,
    carrier_punctuality_source,
    hourly_congestion_source,
    hourly_weather_source,
)
from entities import aircraft, airport, carrier

from feature_platform import FeatureView, Field
from feature_platform.types import Float64, Int64, UnixTimestamp

hourly_weather = FeatureView(
    name="hourly_weather",
    description="The last complete hour's weather at a departure airport.",
    entities=[airport],
    ttl=timedelta(hours=3),
    schema=[
        Field(name="temp", dtype=Float64, description="Fahrenheit"),
        Field(name="wind_dir", dtype=Float64, description="degrees the wind comes from"),
        Field(name="wind_speed", dtype=Float64, description="miles per hour"),
        Field(name="precip", dtype=Float64, description="inches in the hour"),
        Field(name="visib", dtype=Float64, description="miles"),
        Field(name="pressure", dtype=Float64, description="millibars at sea level"),
    ],
    source=hourly_weather_source,
)

hourly_congestion = FeatureView(
    name="hourly_congestion",
    description="How busy and how late a departure airport is at the full hour.",
    entities=[airport],
    ttl=timedelta(hours=3),
    schema=[
        Field(name="flights_scheduled", dtype=Int64, description="to leave in the coming hour"),
        Field(name="flights_departed", dtype=Int64, description="in the hour before"),
        Field(name="mean_dep_delay", dtype=Float64, description="minutes, of those that departed"),
    ],
    source=hourly_congestion_source,
)

daily_carrier_punctuality = FeatureView(
    name="daily_carrier_punctuality",
    description="A carrier's arrivals of the last complete UTC day.",
    entities=[carrier],
    ttl=timedelta(days=7),
    schema=[
        Field(name="arrivals", dtype=Int64),
        Field(name="mean_arr_delay", dtype=Float64, description="minutes"),
        Field(name="on_time_share", dtype=Float64, description="less than 15 minutes late"),
    ],
    source=carrier_punctuality_source,
)

aircraft_profile = FeatureView(
    name="aircraft_profile",
    description="What the register says of an aircraft.",
    entities=[aircraft],
    schema=[
        Field(name="age_years", dtype=Int64, description="in 2013"),
        Field(name="seats", dtype=Int64),
        Field(name="engines", dtype=Int64),
    ],
    source=aircraft_profile_source,
)

aircraft_last_arrival = FeatureView(
    name="aircraft_last_arrival",
    description="The latest arrival of an aircraft that flew from New York.",
    entities=[aircraft],
    ttl=timedelta(days=2),
    schema=[
        Field(name="previous_arr_delay", dtype=Float64, description="minutes"),
        Field(name="previous_arrived_at", dtype=UnixTimestamp),
    ],
    source=aircraft_last_arrival_source,
)
