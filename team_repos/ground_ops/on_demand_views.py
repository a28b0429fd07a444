"""Features for the people who turn aircraft around."""

from typing import Any

from feature_platform import Field, OnDemandFeatureView, RequestSource
from feature_platform.types import Float64, UnixTimestamp

PLANNED_MINUTES = 45


@OnDemandFeatureView(
    sources=[
        "aircraft_last_arrival:previous_arrived_at",
        RequestSource(schema=[Field(name="scheduled_departure", dtype=UnixTimestamp)]),
    ],
    schema=[
        Field(name="turnaround_minutes", dtype=Float64),
        Field(name="turnaround_slack", dtype=Float64, description="minutes beyond the planned"),
    ],
)
def ground_ops_turnaround(inputs: dict[str, Any]) -> dict[str, float | None]:
    """How long the aircraft stands before it is due to leave again."""
    arrived, departs = inputs["previous_arrived_at"], inputs["scheduled_departure"]
    if arrived is None or departs is None:
        return {"turnaround_minutes": None, "turnaround_slack": None}
    minutes = (departs - arrived).total_seconds() / 60
    return {"turnaround_minutes": minutes, "turnaround_slack": minutes - PLANNED_MINUTES}
