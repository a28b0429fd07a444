"""The feature store in Dagster: assets, sensors, schedules and a resource."""

from feature_platform.dagster.definitions import platform_definitions as platform_definitions
from feature_platform.dagster.definitions import team_definitions as team_definitions
from feature_platform.dagster.resources import FeatureStoreResource as FeatureStoreResource
from feature_platform.dagster.specs import asset_key as asset_key
from feature_platform.dagster.specs import online_key as online_key
from feature_platform.dagster.specs import view_key as view_key
