"""Handles in the words of Hopsworks: connections, feature groups, queries and feature views.

They are another way to say what `FeatureStore` does. A feature group is a registered feature view,
a feature view of Hopsworks is a registered feature service.
"""

from feature_platform.handles.connection import Connection as Connection
from feature_platform.handles.connection import connection as connection
from feature_platform.handles.feature_group import FeatureGroup as FeatureGroup
from feature_platform.handles.project_store import ProjectStore as ProjectStore
from feature_platform.handles.query import Query as Query
from feature_platform.handles.training_view import TrainingView as TrainingView
