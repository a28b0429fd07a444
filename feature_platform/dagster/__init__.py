"""The feature store in Dagster: assets, sensors, schedules and a resource."""

from feature_platform.dagster.components import PlatformRepoComponent as PlatformRepoComponent
from feature_platform.dagster.components import TeamRepoComponent as TeamRepoComponent
from feature_platform.dagster.components import TrainingSetComponent as TrainingSetComponent
from feature_platform.dagster.datasets import batch_scoring_asset as batch_scoring_asset
from feature_platform.dagster.datasets import training_set_asset as training_set_asset
from feature_platform.dagster.definitions import platform_definitions as platform_definitions
from feature_platform.dagster.definitions import team_definitions as team_definitions
from feature_platform.dagster.io_manager import DatasetIOManager as DatasetIOManager
from feature_platform.dagster.models import model_asset as model_asset
from feature_platform.dagster.resources import FeatureStoreResource as FeatureStoreResource
from feature_platform.dagster.translator import FeatureStoreTranslator as FeatureStoreTranslator
from feature_platform.dagster.translator import asset_key as asset_key
from feature_platform.dagster.translator import online_key as online_key
from feature_platform.dagster.translator import view_key as view_key
from feature_platform.dagster.watch import RegistryChange as RegistryChange
from feature_platform.dagster.watch import registry_sensor as registry_sensor
