"""The types of features and join keys, under the names Feast gives them."""

from feature_platform.types.feature_types import SCALARS as SCALARS
from feature_platform.types.feature_types import Array as Array
from feature_platform.types.feature_types import Bool as Bool
from feature_platform.types.feature_types import Bytes as Bytes
from feature_platform.types.feature_types import Decimal as Decimal
from feature_platform.types.feature_types import DType as DType
from feature_platform.types.feature_types import FeatureType as FeatureType
from feature_platform.types.feature_types import Float32 as Float32
from feature_platform.types.feature_types import Float64 as Float64
from feature_platform.types.feature_types import ImageBytes as ImageBytes
from feature_platform.types.feature_types import Int32 as Int32
from feature_platform.types.feature_types import Int64 as Int64
from feature_platform.types.feature_types import Json as Json
from feature_platform.types.feature_types import Map as Map
from feature_platform.types.feature_types import PdfBytes as PdfBytes
from feature_platform.types.feature_types import Set as Set
from feature_platform.types.feature_types import String as String
from feature_platform.types.feature_types import Struct as Struct
from feature_platform.types.feature_types import UnixTimestamp as UnixTimestamp
from feature_platform.types.feature_types import Uuid as Uuid
from feature_platform.types.feature_types import ValueType as ValueType
from feature_platform.types.feature_types import parse_type as parse_type

FeastType = FeatureType
