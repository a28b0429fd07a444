"""Where rows come from: tables that the assets in `table_assets.py` build.

A row's event timestamp is the moment it became known, never the moment it is about.
"""

from feature_platform import FileSource


def _table(name: str, description: str) -> FileSource:
    return FileSource(
        name=f"{name}_table",
        path=f"features/{name}.parquet",
        timestamp_field="known_at",
        description=description,
        tags={"dagster/asset_key": f"tables/{name}"},
    )


hourly_weather_source = _table(
    "hourly_weather", "Weather at the departure airports, known when the hour is over."
)
hourly_congestion_source = _table(
    "hourly_congestion", "Flights about to leave, and how late those were that just left."
)
carrier_punctuality_source = _table(
    "daily_carrier_punctuality", "How punctual each carrier's arrivals of one UTC day were."
)
aircraft_profile_source = _table("aircraft_profile", "The register of aircraft.")
aircraft_last_arrival_source = _table(
    "aircraft_last_arrival", "Every arrival of every aircraft, known when it is at the gate."
)
