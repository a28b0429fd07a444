"""What the ground crews' planning reads."""

from feature_platform import FeatureService

turnaround_v1 = FeatureService(
    name="ground_ops_turnaround_v1",
    description="Where is a crew needed first?",
    features=["aircraft_last_arrival", "hourly_congestion", "ground_ops_turnaround"],
)
