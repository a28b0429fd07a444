"""Declarations of a source's columns, so that nobody has to type them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa

from feature_platform.definitions import (
    BatchSource,
    Definition,
    FeatureView,
    Field,
    PushSource,
    Source,
)
from feature_platform.errors import FeaturePlatformError, RequestError
from feature_platform.offline import Measure, OfflineStore
from feature_platform.project import source_table
from feature_platform.services.stores import Call
from feature_platform.table import Table
from feature_platform.types.arrow import (
    TIMESTAMP,
    arrow_type,
    feature_type,
    is_list,
    is_pandas_index,
)


class SourceSchema(NamedTuple):
    """The columns of a source, without its times.

    Attributes:
        fields: A field for each column that a feature type carries, keys included.
        others: Column → stored type of the others.
    """

    fields: Sequence[Field]
    others: Mapping[str, str]


def source_schema(call: Call, source: Source | str) -> SourceSchema:
    """Return the columns of a source; see `FeatureStore.get_source_schema`."""
    if not isinstance(source, Source):
        source = call.project.get(Source, source)
    if isinstance(source, PushSource):
        if source.batch_source is None:
            raise RequestError(f"{source} has no batch_source, so it has no columns.")
        source = call.project.get(BatchSource, source.batch_source)
    if not isinstance(source, BatchSource):
        raise RequestError(f"{source} has no columns.")
    table = Table(call.project.name, source.name, {}, pa.schema([]), source=source_table(source))
    times = {source.timestamp_field, source.created_timestamp_column, source.day_column}
    fields, others = [], {}
    for column, stored in call.stores.offline.columns(table).items():
        name = source.field_mapping.get(column, column)
        if name in times or column in times or is_pandas_index(column):
            continue
        try:
            fields.append(Field(name=name, dtype=feature_type(str(_carried(stored)))))
        except ValueError:
            others[name] = str(stored)
    return SourceSchema(fields, others)


def source_problems(offline: OfflineStore, definitions: Iterable[Definition]) -> Iterator[str]:
    """Yield what is wrong with the sources of feature views that are defined together with them.

    Args:
        offline: Reads the sources.
        definitions: The views and the sources. Views on sources from elsewhere are left out.
    """
    defined = list(definitions)
    sources = {each.name: each for each in defined if isinstance(each, Source)}
    for view in (each for each in defined if isinstance(each, FeatureView)):
        source = sources.get(view.source)
        if isinstance(source, Source) and not isinstance(source, BatchSource):
            source = sources.get(source.history or "")
        if not isinstance(source, BatchSource):
            continue
        columns = pa.schema([(field.name, arrow_type(field.dtype)) for field in view.fields])
        table = Table("", view.name, {}, columns, source=source_table(source))
        try:
            offline.measure(table, [Measure("rows")], None, datetime.now(UTC))
        except FeaturePlatformError as error:
            yield f"{view}: {error}"


def _carried(dtype: pa.DataType) -> pa.DataType:
    """Return the type in which values of a stored type are carried, if there is one."""
    if pa.types.is_nested(dtype):
        return _carried_nested(dtype)
    if pa.types.is_dictionary(dtype):
        return _carried(dtype.value_type)
    if pa.types.is_timestamp(dtype) or pa.types.is_date(dtype):
        return TIMESTAMP
    if pa.types.is_large_string(dtype) or isinstance(dtype, pa.UuidType):
        return pa.string()
    if pa.types.is_integer(dtype):
        return pa.int64() if dtype.bit_width == 64 else pa.int32()  # noqa: PLR2004
    return dtype


def _carried_nested(dtype: pa.DataType) -> pa.DataType:
    if is_list(dtype):
        return pa.list_(_carried(dtype.value_type))
    if pa.types.is_struct(dtype):
        return pa.struct([(field.name, _carried(field.type)) for field in dtype])
    return pa.map_(dtype.key_type, dtype.item_type) if pa.types.is_map(dtype) else dtype
