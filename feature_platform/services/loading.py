"""Materialize: load history into the online store."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import pyarrow as pa

from feature_platform.definitions import FeatureView, OnDemandFeatureView, ViewReference
from feature_platform.errors import FeaturePlatformError, RequestError, not_served_online
from feature_platform.offline import Deliver, OfflineStore, check_times_of
from feature_platform.online import OnlineStore, Window, write_rows
from feature_platform.project import (
    ProjectSnapshot,
    online_table,
    precomputed_of,
    resolve,
    table_of,
)
from feature_platform.retrieval import PrecomputedWriter
from feature_platform.services import remote
from feature_platform.services.stores import Call, Stores
from feature_platform.table import Table
from feature_platform.types.times import earlier, utc_time

_log = logging.getLogger("feature_platform.online")
DEFAULT_LOOKBACK = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)

OnProgress = Callable[[str, int], None]
"""Called with a view's name and its number of loaded rows, after each batch."""


@dataclass(frozen=True, slots=True)
class Load:
    """One load: which history is read and how it is written.

    Attributes:
        source: The table whose history is read.
        target: The written table, whose ledger records the load.
        write: Writes batches of the source's rows, and returns how many.
        deliver: Writes from the workers of a distributed engine; `None` if it cannot.
        source_state: State of the source before it is read; empty if it is unknown.
    """

    source: Table
    target: Table
    write: Callable[[Iterator[pa.RecordBatch]], int]
    deliver: Deliver | None = None
    source_state: str = ""


def materialize(
    call: Call,
    *,
    start: datetime,
    end: datetime,
    views: Sequence[str] | None,
    include_end: bool = True,
    on_progress: OnProgress | None = None,
) -> dict[str, int]:
    """Load rows observed from `start` to `end`; see `FeatureStore.materialize`."""
    first, last = utc_time(start, "start_date"), utc_time(end, "end_date")
    if client := call.stores.online_server:
        period = remote.times(start=first, end=last)
        content = {"views": views, "include_end": include_end, **period}
        return dict(remote.call(client, "materialize", content))
    call.stores.registry.check_clock(call.now, call.project.snapshot)
    errors: list[FeaturePlatformError] = []
    loads: list[tuple[Load, datetime | None]] = [
        (load, first) for load in _loads(call, views, errors)
    ]
    return _load_all(call, loads, last, on_progress, errors, include_end=include_end)


def materialize_incremental(
    call: Call,
    *,
    end: datetime | None,
    views: Sequence[str] | None,
    lookback: timedelta,
    on_progress: OnProgress | None = None,
) -> dict[str, int]:
    """Load what is new since the last load; see `FeatureStore.materialize_incremental`."""
    last = utc_time(call.now if end is None else end, "end_date")
    if client := call.stores.online_server:
        seconds = lookback.total_seconds()
        content = {"views": views, "lookback_seconds": seconds, **remote.times(end=last)}
        return dict(remote.call(client, "materialize-incremental", content))
    call.stores.registry.check_clock(call.now, call.project.snapshot)
    errors: list[FeaturePlatformError] = []
    loads: list[tuple[Load, datetime | None]] = []
    for load in _loads(call, views, errors):
        start = incremental_start(call.stores.online, load, last, lookback)
        loads.append((load, start if start < last else None))
    return _load_all(call, loads, last, on_progress, errors)


def windows(call: Call, view: str) -> list[Window]:
    """Return the loaded ranges of a view; see `FeatureStore.online_windows`."""
    call, view = call.at("read", FeatureView.kind, view)
    table = online_table(call.project, call.project.view(ViewReference(view=view)))
    return call.stores.online.windows(table) if table else []


def all_online_tables(project: ProjectSnapshot, errors: list[FeaturePlatformError]) -> list[Table]:
    """Return the tables of all views that are served online.

    A view that cannot be resolved, because something it refers to is gone, stops no other view:
    its error is added to `errors`.
    """
    tables = []
    for view in (view for view, _ in project.of(FeatureView) if view.online):
        try:
            tables.append(table_of(project, view))
        except FeaturePlatformError as error:
            errors.append(error)
    return tables


def online_tables(project: ProjectSnapshot, names: Sequence[str]) -> list[Table]:
    """Return the tables of views.

    Raises:
        NotFoundError: A view is not registered.
        RequestError: A view is not served online.
    """
    views = [project.get(FeatureView, name) for name in view_names(names) or ()]
    if offline := [view.name for view in views if not view.online]:
        raise not_served_online(offline[0])
    return [table_of(project, view) for view in views]


def view_names(names: Sequence[str] | None) -> list[str] | None:
    """Normalize names of views to a list; a single string is accepted.

    Raises:
        RequestError: They have another type.
    """
    if names is None or isinstance(names, str):
        return None if names is None else [names]
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise RequestError(f"feature_views is {names!r}, not a list of names.")
    return list(names)


def precomputed_writer(call: Call, view: OnDemandFeatureView) -> PrecomputedWriter:
    """Return the writer of an on-demand view's precomputed features."""
    retrieval = resolve(call.project, [view.reference()], use_precomputed=False)
    extend = call.stores.computing(retrieval)
    return PrecomputedWriter(precomputed_of(call.project, view), retrieval, extend)


def precomputed_writers(call: Call) -> dict[str, list[PrecomputedWriter]]:
    """Return source view → writers of the features precomputed from it.

    Views that cannot be resolved are skipped and logged: readers get the error.
    """
    writers: dict[str, list[PrecomputedWriter]] = {}
    for view, entry in call.project.of(OnDemandFeatureView):
        if not view.write_to_online_store:
            continue
        try:
            writer = precomputed_writer(call, view)
        except (
            FeaturePlatformError,
            RecursionError,
        ) as error:  # its owner's trouble stops nobody's rows
            _log.warning("Features of %s of %r are not precomputed: %s", view, entry.owner, error)
            continue
        writers.setdefault(writer.source.name, []).append(writer)
    return writers


def table_writer(
    stores: Stores, table: Table, beside: Sequence[PrecomputedWriter]
) -> Callable[[Iterator[pa.RecordBatch]], int]:
    """Return a writer of a table's rows and of the features precomputed from them."""

    def write(batches: Iterator[pa.RecordBatch]) -> int:
        count = 0
        for batch in batches:
            count += stores.online.write(table, [batch])
            for writer in beside:
                writer.try_write(stores.online, batch)
        return count

    return write


def incremental_start(
    online: OnlineStore, load: Load, end: datetime, lookback: timedelta
) -> datetime:
    """Return where an incremental load up to `end` starts.

    That is where the loaded windows end, less `lookback` for rows that arrive late, unless the
    source is as it was when these windows were read; for a table that was never loaded, one ttl
    before `end`, or the beginning of time.
    """
    table = load.target
    if not isinstance(lookback, timedelta) or lookback < timedelta(0):
        raise RequestError(f"lookback is {lookback!r}, not a timedelta of zero or more.")
    windows = online.windows(table)
    if windows:
        last = min(windows[-1].end, end)
        late = earlier(last, lookback)
        read = online.windows(table, load.source_state) if load.source_state else []
        return last if any(w.start <= late and last <= w.end for w in read) else late
    return earlier(end, table.ttl)


def load_window(
    offline: OfflineStore,
    online: OnlineStore,
    load: Load,
    start: datetime,
    end: datetime,
    *,
    now: datetime,
    include_end: bool = True,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Load the newest row of each key observed from `start` to `end`.

    The window `[start, end)`, as far as it lies in the past, is recorded once the rows are
    stored. Repeating a load changes nothing, and an older load never replaces newer rows.

    Returns:
        How many rows were loaded, at most one per key.

    Raises:
        RequestError: `start` is not before `end`.

    Source: Feast's `materialize`, whose window is closed, as it is here with `include_end`.
    """
    if start >= end:
        raise RequestError(f"The window from {start} to {end} is empty: start must be before end.")
    query = offline.latest(load.source, start, end if include_end else end - _MICROSECOND)
    count = query.deliver(load.deliver) if load.deliver else None
    if count is None:
        with query.reader() as reader:
            count = load.write(_counted(load.source.name, reader, on_progress))
    if start < now:
        online.record(load.target, Window(start, min(end, now)), load.source_state)
    return count


def _counted(
    view: str, batches: Iterable[pa.RecordBatch], on_progress: Callable[[int], None] | None
) -> Iterator[pa.RecordBatch]:
    """Yield batches whose times every store can give back, and report how many rows are written."""
    count = 0
    for batch in batches:
        check_times_of(batch, f"The source of view {view!r}")
        yield batch
        count += batch.num_rows
        if on_progress:
            on_progress(count)


def _loads(
    call: Call, names: Sequence[str] | None, errors: list[FeaturePlatformError]
) -> list[Load]:
    """Return the loads of views, and of on-demand views that are precomputed."""
    listed = view_names(names)
    computed = {
        view.name: precomputed_writer(call, view)
        for view, _ in call.project.of(OnDemandFeatureView)
        if view.write_to_online_store and view.name in (listed or ())
    }
    if listed is None:
        online = all_online_tables(call.project, errors)
        tables = [table for table in online if table.source is not None]
    else:
        tables = online_tables(call.project, [name for name in listed if name not in computed])
    writers = precomputed_writers(call)
    stores = call.stores
    loads = [
        Load(
            source=table,
            target=table,
            write=table_writer(stores, table, writers.get(table.name, ())),
            deliver=_delivery(stores, table),
            source_state=_source_state(call, table),
        )
        for table in tables
    ]
    # What is computed also depends on code, so no state of the source says that it is unchanged.
    return loads + [
        Load(writer.source, writer.table, writer.writing(stores.online))
        for writer in computed.values()
    ]


def _source_state(call: Call, table: Table) -> str:
    """Return the state of a table's source; none for pushed rows, which may replace loaded ones."""
    is_pushed = table.source is not None and table.source.is_pushed
    return "" if is_pushed else call.stores.offline.source_state(table, call.now)


def _delivery(stores: Stores, table: Table) -> Deliver | None:
    """Return the task with which an engine's workers write a table; `None` if they cannot.

    Precomputed features are left to readers and to loads of the on-demand view itself.
    """
    settings = stores.settings.online_store
    if settings is None or not settings.is_reachable:
        return None
    return partial(write_rows, settings, stores.repo.path, table)


def _load_all(
    call: Call,
    loads: Iterable[tuple[Load, datetime | None]],
    end: datetime,
    on_progress: OnProgress | None,
    errors: list[FeaturePlatformError],
    *,
    include_end: bool = True,
) -> dict[str, int]:
    """Load views one by one; a failed view does not stop the others."""
    counts: dict[str, int] = {}
    for load, start in loads:
        name = load.target.name
        report = partial(on_progress, name) if on_progress else None
        if start is None:
            counts[name] = 0
            continue
        try:
            counts[name] = load_window(
                call.stores.offline,
                call.stores.online,
                load,
                start,
                end,
                now=call.now,
                include_end=include_end,
                on_progress=report,
            )
        except FeaturePlatformError as error:
            errors.append(error)
    raise_all(errors, f"Loaded: {', '.join(counts)}." if counts else "")
    return counts


def raise_all(errors: Sequence[FeaturePlatformError], done: str) -> None:
    """Raise one error for the views that failed, if any did.

    Args:
        errors: Their errors.
        done: What was done for the others.

    Raises:
        FeaturePlatformError: All of them, as the first one that a retry cannot mend, if there is
            one: trying again is worth it only if it can mend all of them.
    """
    if errors:
        lasting = next((error for error in errors if not error.retryable), errors[0])
        lines = [*map(str, errors), *filter(None, [done])]
        raise type(lasting)("\n".join(lines)) from lasting
