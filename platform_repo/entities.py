"""What features describe."""

from feature_platform import Entity
from feature_platform.types import String

airport = Entity(
    name="airport",
    join_keys=["origin"],
    value_type=String,
    description="An airport that flights depart from, by its three-letter code.",
)

carrier = Entity(
    name="carrier",
    join_keys=["carrier"],
    value_type=String,
    description="An airline, by its two-letter code.",
)

aircraft = Entity(
    name="aircraft",
    join_keys=["tailnum"],
    value_type=String,
    description="One aircraft, by the number on its tail.",
)
