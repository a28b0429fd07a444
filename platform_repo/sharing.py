"""What other projects may use: a sandbox, to try features out beside production's."""

from feature_platform import Share

sandbox = Share(
    to="sandbox",
    views=["hourly_weather", "hourly_congestion"],
    description="For experiments: features of production can be joined, not changed.",
)
