"""Features of a flight that only exist once somebody asks about it."""

import math
from datetime import datetime
from zoneinfo import ZoneInfo

from feature_platform import Field, OnDemandFeatureView, RequestSource
from feature_platform.types import Float64, Int64, UnixTimestamp

NEW_YORK = ZoneInfo("America/New_York")


@OnDemandFeatureView(
    sources=[
        "hourly_weather:wind_dir",
        "hourly_weather:wind_speed",
        RequestSource(schema=[Field(name="runway_heading", dtype=Float64)]),
    ],
    schema=[Field(name="crosswind", dtype=Float64, description="miles per hour")],
)
def delay_risk_crosswind(inputs: dict[str, float | None]) -> dict[str, float | None]:
    """How hard the wind blows across the runway."""
    direction, speed = inputs["wind_dir"], inputs["wind_speed"]
    if direction is None or speed is None or inputs["runway_heading"] is None:
        return {"crosswind": None}
    angle = math.radians(direction - inputs["runway_heading"])
    return {"crosswind": abs(speed * math.sin(angle))}


@OnDemandFeatureView(
    sources=[
        RequestSource(
            schema=[
                Field(name="scheduled_departure", dtype=UnixTimestamp),
                Field(name="requested_at", dtype=UnixTimestamp),
            ]
        )
    ],
    schema=[
        Field(name="minutes_to_departure", dtype=Float64),
        Field(name="local_hour", dtype=Int64, description="of the scheduled departure"),
        Field(name="weekday", dtype=Int64, description="0 is Monday"),
    ],
    mode="python",
)
def delay_risk_schedule(inputs: dict[str, list[datetime]]) -> dict[str, list[float] | list[int]]:
    """Where the scheduled departure lies in the day and the week, and how far away it is."""
    departures = inputs["scheduled_departure"]
    local = [departure.astimezone(NEW_YORK) for departure in departures]
    waits = zip(departures, inputs["requested_at"], strict=True)
    return {
        "minutes_to_departure": [(to - now).total_seconds() / 60 for to, now in waits],
        "local_hour": [time.hour for time in local],
        "weekday": [time.weekday() for time in local],
    }
