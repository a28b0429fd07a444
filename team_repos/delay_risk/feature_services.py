"""What each version of the delay model reads."""

from feature_platform import FeatureService

departure_v1 = FeatureService(
    name="delay_risk_departure_v1",
    description="Will a flight leave more than 15 minutes late?",
    features=[
        "hourly_weather:temp",
        "hourly_weather:precip",
        "hourly_weather:visib",
        "hourly_congestion",
        "daily_carrier_punctuality:mean_arr_delay",
        "daily_carrier_punctuality:on_time_share",
        "aircraft_profile:age_years",
        "aircraft_last_arrival:previous_arr_delay",
        "delay_risk_crosswind",
        "delay_risk_schedule",
    ],
)
