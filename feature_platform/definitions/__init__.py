"""Definitions of every kind: frozen and validated, without I/O."""

from feature_platform.definitions.applicable import applicable as applicable
from feature_platform.definitions.base import Definition as Definition
from feature_platform.definitions.base import Dependency as Dependency
from feature_platform.definitions.base import Deprecation as Deprecation
from feature_platform.definitions.base import is_name as is_name
from feature_platform.definitions.base import label_of as label_of
from feature_platform.definitions.base import with_related as with_related
from feature_platform.definitions.checks import Between as Between
from feature_platform.definitions.checks import Check as Check
from feature_platform.definitions.checks import Drift as Drift
from feature_platform.definitions.checks import FieldCheck as FieldCheck
from feature_platform.definitions.checks import Fresh as Fresh
from feature_platform.definitions.checks import NotNull as NotNull
from feature_platform.definitions.checks import OneOf as OneOf
from feature_platform.definitions.checks import Parity as Parity
from feature_platform.definitions.checks import RowCount as RowCount
from feature_platform.definitions.checks import UniqueRows as UniqueRows
from feature_platform.definitions.checks import ViewCheck as ViewCheck
from feature_platform.definitions.code import Code as Code
from feature_platform.definitions.code import fingerprint as fingerprint
from feature_platform.definitions.code import source_fingerprint as source_fingerprint
from feature_platform.definitions.entity import Entity as Entity
from feature_platform.definitions.feature_service import FeatureService as FeatureService
from feature_platform.definitions.feature_view import FeatureView as FeatureView
from feature_platform.definitions.feature_view import StreamFeatureView as StreamFeatureView
from feature_platform.definitions.field import Field as Field
from feature_platform.definitions.kinds import from_json as from_json
from feature_platform.definitions.kinds import kinds as kinds
from feature_platform.definitions.kinds import kinds_in as kinds_in
from feature_platform.definitions.kinds import namespace_of as namespace_of
from feature_platform.definitions.on_demand_view import OnDemandFeatureView as OnDemandFeatureView
from feature_platform.definitions.on_demand_view import (
    on_demand_feature_view as on_demand_feature_view,
)
from feature_platform.definitions.policy import Policy as Policy
from feature_platform.definitions.reference import View as View
from feature_platform.definitions.reference import ViewReference as ViewReference
from feature_platform.definitions.reference import reference as reference
from feature_platform.definitions.sharing import Acceptance as Acceptance
from feature_platform.definitions.sharing import Share as Share
from feature_platform.definitions.source import BatchSource as BatchSource
from feature_platform.definitions.source import FileSource as FileSource
from feature_platform.definitions.source import PushSource as PushSource
from feature_platform.definitions.source import RequestSource as RequestSource
from feature_platform.definitions.source import SnowflakeSource as SnowflakeSource
from feature_platform.definitions.source import Source as Source
from feature_platform.definitions.source import SparkSource as SparkSource
from feature_platform.definitions.source import StreamSource as StreamSource
from feature_platform.definitions.sql_expressions import check_expressions as check_expressions
from feature_platform.definitions.sql_expressions import parse_expression as parse_expression
from feature_platform.definitions.sql_expressions import type_errors as type_errors
from feature_platform.definitions.strict_json import check_strict as check_strict
from feature_platform.definitions.transfer import Transfer as Transfer
from feature_platform.definitions.unreadable import attributes as attributes
from feature_platform.definitions.unreadable import read_stored as read_stored
