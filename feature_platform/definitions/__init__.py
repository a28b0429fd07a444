"""The kinds of definition, and the union that reads any of them back from JSON."""

from typing import Annotated

from pydantic import Discriminator, TypeAdapter

from feature_platform.definitions.applicable import applicable as applicable
from feature_platform.definitions.base import Definition as Definition
from feature_platform.definitions.base import Deprecation as Deprecation
from feature_platform.definitions.base import is_name as is_name
from feature_platform.definitions.base import with_related as with_related
from feature_platform.definitions.code import Code as Code
from feature_platform.definitions.code import fingerprint as fingerprint
from feature_platform.definitions.entity import Entity as Entity
from feature_platform.definitions.expressions import check_expressions as check_expressions
from feature_platform.definitions.expressions import misfits as misfits
from feature_platform.definitions.feature_service import FeatureService as FeatureService
from feature_platform.definitions.feature_view import FeatureView as FeatureView
from feature_platform.definitions.feature_view import StreamFeatureView as StreamFeatureView
from feature_platform.definitions.field import Field as Field
from feature_platform.definitions.on_demand import OnDemandFeatureView as OnDemandFeatureView
from feature_platform.definitions.on_demand import on_demand_feature_view as on_demand_feature_view
from feature_platform.definitions.policy import Policy as Policy
from feature_platform.definitions.reference import View as View
from feature_platform.definitions.reference import ViewReference as ViewReference
from feature_platform.definitions.reference import reference as reference
from feature_platform.definitions.source import BatchSource as BatchSource
from feature_platform.definitions.source import FileSource as FileSource
from feature_platform.definitions.source import PushSource as PushSource
from feature_platform.definitions.source import RequestSource as RequestSource
from feature_platform.definitions.source import SnowflakeSource as SnowflakeSource
from feature_platform.definitions.source import Source as Source
from feature_platform.definitions.source import SparkSource as SparkSource
from feature_platform.definitions.source import StreamSource as StreamSource
from feature_platform.definitions.transfer import Transfer as Transfer

_ANY: TypeAdapter[Definition] = TypeAdapter(
    Annotated[
        Entity
        | FileSource
        | SnowflakeSource
        | SparkSource
        | PushSource
        | StreamSource
        | FeatureView
        | StreamFeatureView
        | OnDemandFeatureView
        | FeatureService
        | Policy
        | Transfer,
        Discriminator("type"),
    ]
)

KINDS = (
    "entity",
    "source",
    "feature_view",
    "on_demand_view",
    "feature_service",
    "policy",
    "transfer",
)


def from_json(text: str) -> Definition:
    """Read a definition back from its canonical JSON."""
    return _ANY.validate_json(text)
