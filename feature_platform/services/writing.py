"""Write rows from applications and brokers; delete and expire rows."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from threading import Event

import pyarrow as pa

from feature_platform.definitions import FeatureView, PushSource, StreamSource
from feature_platform.errors import (
    ConfigError,
    FeaturePlatformError,
    NotFoundError,
    PartialWriteError,
    RequestError,
    SchemaError,
    StoreError,
)
from feature_platform.project import ProjectSnapshot, table_of
from feature_platform.retrieval import to_arrow
from feature_platform.services import remote
from feature_platform.services.ingestion import Ingested, Rows, ingest_stream
from feature_platform.services.loading import (
    all_online_tables,
    online_tables,
    precomputed_writers,
    raise_all,
    table_writer,
)
from feature_platform.services.rows import (
    columns_for,
    declared_types,
    deletions,
    online_rows,
    source_rows,
)
from feature_platform.services.stores import Call
from feature_platform.streams import Stream, StreamState
from feature_platform.table import Table
from feature_platform.types.times import microseconds

_OLDEST = -(2**62)  # a ttl may reach further back than stores can count


class PushMode(Enum):
    """Stores to which rows are pushed.

    Source: Feast's class of this name.
    """

    ONLINE = 1
    OFFLINE = 2
    ONLINE_AND_OFFLINE = 3


def write_online(call: Call, view: str, df: object, *, ignore_unknown: bool = False) -> int:
    """Write rows to a view's online table; see `FeatureStore.write_to_online_store`."""
    if client := call.stores.online_server:
        return int(remote.write(client, "write-online", view, df, ignore_unknown=ignore_unknown))
    call, view = call.at("write", FeatureView.kind, view)
    [table] = online_tables(call.project, [view])
    sent = to_arrow(df, "df", declared_types([table]))
    rows = online_rows(table, sent, call.now, ignore_unknown=ignore_unknown)
    beside = precomputed_writers(call).get(table.name, ())
    return table_writer(call.stores, table, beside)(iter(rows.to_batches()))


def write_offline(call: Call, view: str, df: object, *, ignore_unknown: bool = False) -> str:
    """Add rows to a view's source; see `FeatureStore.write_to_offline_store`."""
    if client := call.stores.offline_server:
        return str(remote.write(client, "write-offline", view, df, ignore_unknown=ignore_unknown))
    call, view = call.at("write", FeatureView.kind, view)
    table = table_of(call.project, call.project.get(FeatureView, view))
    sent = to_arrow(df, "df", declared_types([table]))
    rows = online_rows(table, sent, call.now, ignore_unknown=ignore_unknown)
    return call.stores.offline.append(table, source_rows([table], [rows]))


def delete_online(call: Call, view: str, df: object) -> int:
    """Delete entities from a view's online table; see `FeatureStore.delete_from_online_store`."""
    if client := call.stores.online_server:
        return int(remote.write(client, "delete-online", view, df))
    call, view = call.at("write", FeatureView.kind, view)
    [table] = online_tables(call.project, [view])
    batches = deletions(table, to_arrow(df, "df"), call.now).to_batches()
    for writer in precomputed_writers(call).get(table.name, ()):
        call.stores.online.delete(writer.table, batches)
    return call.stores.online.delete(table, batches)


def expire(call: Call, views: Sequence[str] | None) -> dict[str, int]:
    """Remove rows older than their view's ttl; see `FeatureStore.expire_online_store`."""
    errors: list[FeaturePlatformError] = []
    if views is None:
        tables = all_online_tables(call.project, errors)
    else:
        tables = online_tables(call.project, views)
    call.stores.registry.check_clock(call.now, call.project.snapshot)
    writers = precomputed_writers(call)
    counts: dict[str, int] = {}
    for table in tables:
        for each in (table, *(writer.table for writer in writers.get(table.name, ()))):
            if each.ttl_us is not None:
                before = max(microseconds(call.now) - each.ttl_us, _OLDEST)
                counts[each.name] = call.stores.online.expire(each, before)
                call.stores.online.forget(each, before)
    raise_all(errors, "Rows of all other views were expired.")
    return counts


def push(call: Call, source: str, *, df: object, to: PushMode, ignore_unknown: bool = False) -> int:
    """Send rows to the views that a push source feeds; see `FeatureStore.push`."""
    if not isinstance(to, PushMode):
        raise RequestError(f"to is {to!r}, not one of {', '.join(map(str, PushMode))}.")
    if client := call.stores.online_server:
        options = {"to": to.name, "ignore_unknown": ignore_unknown}
        return int(remote.write(client, "push", source, df, **options))
    call, source = call.at("write", PushSource.kind, source)
    tables = _tables_fed_by(call.project, source, online=to is not PushMode.OFFLINE)
    rows = to_arrow(df, "df", declared_types(tables))
    # All rows are checked before any is written.
    checked = [
        online_rows(
            table, columns_for(table, tables, rows), call.now, ignore_unknown=ignore_unknown
        )
        for table in tables
    ]
    if to is not PushMode.ONLINE:  # the views share the batch source
        call.stores.offline.append(tables[0], source_rows(tables, checked))
    if to is PushMode.OFFLINE:
        return int(rows.num_rows)
    return _write_all(call, tables, checked)


def column_types(
    call: Call, *, view: str = "", source: str = ""
) -> Mapping[str, pa.DataType | None]:
    """Return the columns that rows of a view, or of a push source, may have, and their types."""
    kind = FeatureView.kind if view else PushSource.kind
    call, name = call.at("write", kind, view or source)
    if view:
        tables = [table_of(call.project, call.project.get(FeatureView, name))]
    else:
        tables = _tables_fed_by(call.project, name, online=False)
    return declared_types(tables)


def _tables_fed_by(project: ProjectSnapshot, source: str, *, online: bool) -> list[Table]:
    project.find(PushSource.kind, source)  # refuses what is no name
    views = [view for view, _ in project.of(FeatureView) if view.online or not online]
    sources = [each.name for each, _ in project.of(PushSource)]
    fed = [view for view in views if view.source == source and source in sources]
    if not fed:
        problem = project.not_found("push source", source, sources)
        is_there = source in sources
        remedy = "Use it as the source of a view first." if is_there else "Push to a PushSource."
        raise NotFoundError(f"{problem} {remedy}")
    return [table_of(project, view) for view in fed]


def _write_all(call: Call, tables: Sequence[Table], checked: Sequence[pa.Table]) -> int:
    """Write rows to every table, even if one of them fails.

    Raises:
        PartialWriteError: Some views were written and some were not.
        SchemaError: A row is too large for the store.
        StoreError: No view was written.
    """
    writers = precomputed_writers(call)
    counts: dict[str, int] = {}
    errors: dict[str, StoreError | SchemaError] = {}
    for table, rows in zip(tables, checked, strict=True):
        write = table_writer(call.stores, table, writers.get(table.name, ()))
        try:
            counts[table.name] = write(iter(rows.to_batches()))
        except (StoreError, SchemaError) as error:
            errors[table.name] = error
    if not errors:
        return sum(counts.values())
    first = next(iter(errors.values()))
    if rejected := [error for error in errors.values() if isinstance(error, SchemaError)]:
        raise rejected[0]
    if not counts:
        raise first
    raise PartialWriteError(
        written=tuple(counts), failed=tuple(errors), reason=str(first)
    ) from first


def ingest(
    call: Call,
    source: str,
    push_rows: Callable[[Rows], object],
    *,
    until_empty: bool,
    stop: Event | None,
    on_progress: Callable[[Ingested], None] | None,
) -> Ingested:
    """Push what a broker delivers for a stream source; see `FeatureStore.ingest`."""
    with _stream(call, source) as stream:
        return ingest_stream(
            stream,
            push_rows,
            until_empty=until_empty,
            stop=stop or Event(),
            on_progress=on_progress,
        )


def stream_state(call: Call, source: str) -> StreamState:
    """Return how far the ingestion of a stream source is; see `FeatureStore.stream_state`."""
    with _stream(call, source) as stream:
        return stream.state()


def _stream(call: Call, source: str) -> Stream:
    sources = {each.name: each for each, _ in call.project.of(StreamSource)}
    if call.project.find(StreamSource.kind, source) is None or source not in sources:
        raise NotFoundError(call.project.not_found("stream source", source, list(sources)))
    if call.stores.settings.broker is None:
        raise ConfigError(
            "feature_store.yaml has no broker. Add one, for example "
            "`broker: {type: redis, connection_string: 'localhost:6379'}`."
        )
    group = f"{call.project.name}.{source}"
    return call.stores.settings.broker.open(sources[source].topic, group)
