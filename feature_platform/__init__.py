"""A federated feature store that runs on Dagster.

The names here are the public API, under the names Feast gives them; `feature_platform.checks` holds
the checks of rows, `feature_platform.dagster` the Dagster side. Everything else may change.
"""

from feature_platform.config import RepoConfig as RepoConfig
from feature_platform.definitions import Deprecation as Deprecation
from feature_platform.definitions import Entity as Entity
from feature_platform.definitions import FeatureService as FeatureService
from feature_platform.definitions import FeatureView as FeatureView
from feature_platform.definitions import Field as Field
from feature_platform.definitions import FileSource as FileSource
from feature_platform.definitions import OnDemandFeatureView as OnDemandFeatureView
from feature_platform.definitions import Policy as Policy
from feature_platform.definitions import PushSource as PushSource
from feature_platform.definitions import RequestSource as RequestSource
from feature_platform.definitions import SnowflakeSource as SnowflakeSource
from feature_platform.definitions import SparkSource as SparkSource
from feature_platform.definitions import StreamFeatureView as StreamFeatureView
from feature_platform.definitions import StreamSource as StreamSource
from feature_platform.definitions import Transfer as Transfer
from feature_platform.definitions import ViewReference as ViewReference
from feature_platform.definitions import on_demand_feature_view as on_demand_feature_view
from feature_platform.errors import FeaturePlatformError as FeaturePlatformError
from feature_platform.retrieval import FieldStatus as FieldStatus
from feature_platform.retrieval import OnlineResponse as OnlineResponse
from feature_platform.retrieval import Parity as Parity
from feature_platform.retrieval import RandomSplit as RandomSplit
from feature_platform.retrieval import RetrievalJob as RetrievalJob
from feature_platform.retrieval import SavedDataset as SavedDataset
from feature_platform.retrieval import SavedDatasetFileStorage as SavedDatasetFileStorage
from feature_platform.retrieval import TimeSplit as TimeSplit
from feature_platform.services.writing import PushMode as PushMode
from feature_platform.store import FeatureStore as FeatureStore
from feature_platform.types import ValueType as ValueType
