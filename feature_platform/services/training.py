"""Read history: training sets, saved datasets, statistics and parity checks."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from feature_platform.definitions import FeatureView, ViewReference, is_name
from feature_platform.errors import RequestError, check_type
from feature_platform.offline import Span, Statistics
from feature_platform.offline.files import Location
from feature_platform.project import (
    Features,
    ProjectSnapshot,
    Retrieval,
    parse_features,
    resolve,
    table_of,
)
from feature_platform.retrieval import (
    OnlineReader,
    Parity,
    RetrievalJob,
    SavedDataset,
    SavedDatasetFileStorage,
    Split,
    entity_rows,
    historical,
    to_arrow,
    verify,
)
from feature_platform.retrieval.datasets import MANIFEST
from feature_platform.services import remote
from feature_platform.services.stores import Call, Stores
from feature_platform.table import EVENT_TIMESTAMP
from feature_platform.types.arrow import TIMESTAMP
from feature_platform.types.times import earlier, utc_time


def training_set(
    call: Call,
    entity_df: object,
    features: Features,
    *,
    full_feature_names: bool,
    start_date: datetime | None,
    end_date: datetime | None,
    known_only: bool,
    as_of: datetime | None = None,
) -> RetrievalJob:
    """Prepare a training set; see `FeatureStore.get_historical_features`."""
    if (entity_df is None) == (start_date is None) or (
        entity_df is not None and end_date is not None
    ):
        raise RequestError("Pass either entity_df or start_date (and optionally end_date).")
    check_type(full_feature_names, bool, "full_feature_names")
    check_type(known_only, bool, "filter_by_created_timestamp")
    if entity_df is None:
        start = utc_time(start_date, "start_date")
        end = utc_time(call.now if end_date is None else end_date, "end_date")
        if start > end:
            raise RequestError(f"start_date {start} is after end_date {end}.")
        entity_df = Span(start, end)
    time = as_of and utc_time(as_of, "as_of")
    retrieval = _resolve(call.project, features, full_feature_names=full_feature_names)
    if client := call.stores.offline_server:
        remote.check_newest(is_pinned=call.is_pinned)
        rows = entity_rows(entity_df, maps=True)
        return remote.training_set(
            client, retrieval, rows, features,
            full_feature_names=full_feature_names, known_only=known_only, as_of=time,
        )  # fmt: skip
    rows = entity_rows(entity_df, retrieval.request_fields)
    return historical(call.stores, retrieval, rows, known_only=known_only, as_of=time)


def column_types(call: Call, features: Features) -> Mapping[str, pa.DataType | None]:
    """Return the columns that the entity rows of a request need, and their types."""
    retrieval = _resolve(call.project, features, full_feature_names=True)
    return {
        **retrieval.request_fields, **retrieval.join_keys, EVENT_TIMESTAMP: TIMESTAMP,
    }  # fmt: skip


def parity(
    call: Call,
    features: Features,
    entities: object,
    *,
    full_feature_names: bool,
) -> Parity:
    """Compare online features with history; see `FeatureStore.verify_parity`."""
    retrieval = _resolve(call.project, features, full_feature_names=full_feature_names)
    rows = to_arrow(entities, "entity_rows", retrieval.request_fields)
    if not rows.num_rows:
        raise RequestError("verify_parity: there are no rows to compare.")
    return compare(call, retrieval, rows)


def compare(call: Call, retrieval: Retrieval, rows: pa.Table) -> Parity:
    """Compare a request's online features with history."""
    reader = OnlineReader(call.stores, retrieval)
    return verify(reader, call.stores, retrieval, rows, now=call.now)


def sample_rows(
    call: Call, retrieval: Retrieval, size: int, start: datetime | None, end: datetime
) -> pa.Table:
    """Return entity rows of a request: a random sample of each table's keys, side by side.

    Args:
        call: The call.
        retrieval: The request.
        size: Number of rows; fewer if no table has as many keys, one if none has keys.
        start: Rows observed from here; from one ttl before `end` if left out,
        end: to here.

    Raises:
        RequestError: The request needs values that history does not have.
    """
    if retrieval.request_fields:
        names = ", ".join(retrieval.request_fields)
        raise RequestError(f"History has no request values: {names}. Use verify_parity with them.")
    types = retrieval.join_keys
    if not types:
        return pa.table({EVENT_TIMESTAMP: [end]})  # a request has a row, also without keys
    columns: dict[str, pa.ChunkedArray] = {}
    # Keys that belong together first: the others only fill up what these lack.
    for read in sorted(retrieval.reads, key=lambda read: -len(read.keys)):
        if all(name in columns for name in read.keys.values()):
            continue
        keys_only = replace(read.table, features=pa.schema([]))
        first = start or earlier(end, read.table.ttl)
        offline = call.stores.offline_of(read.table.project)
        with offline.latest(keys_only, first, end).reader() as reader:
            keys = _sample(reader, list(read.keys), size)
        columns = {name: keys[key] for key, name in read.keys.items()} | columns
    lengths = [len(values) for values in columns.values()]
    rows = range(max(lengths) if all(lengths) else 0)
    asked = {}
    for name, values in columns.items():
        chosen = pa.array([row % len(values) for row in rows], pa.int64())
        asked[name] = values.take(chosen).cast(types[name] or values.type)
    return pa.table(asked)


def _sample(reader: pa.RecordBatchReader, columns: list[str], size: int) -> pa.Table:
    """Return a random sample of rows, without holding many more."""
    import numpy as np

    random = np.random.default_rng(0)
    schema = pa.schema([reader.schema.field(name) for name in columns])
    kept, ranks = schema.empty_table(), np.empty(0)
    for batch in reader:
        rows = pa.concat_tables([kept, pa.Table.from_batches([batch.select(columns)], schema)])
        ranks = np.concatenate([ranks, random.random(batch.num_rows)])
        chosen = np.argsort(ranks)[:size]
        kept, ranks = rows.take(chosen), ranks[chosen]
    return kept


def statistics(
    call: Call,
    view: str,
    start_date: datetime | None,
    end_date: datetime | None,
) -> Statistics:
    """Describe the features of a view's history; see `FeatureStore.get_statistics`."""
    home, name = call.at("read", FeatureView.kind, view)
    table = table_of(home.project, home.project.get(FeatureView, name))
    shared = call.project.may_read(ViewReference(view=name, project=home.project.name)).features
    if shared is not None:
        table = replace(table, features=pa.schema([f for f in table.features if f.name in shared]))
    start = utc_time(start_date, "start_date") if start_date is not None else None
    end = utc_time(end_date, "end_date") if end_date is not None else None
    if start and end and start > end:
        raise RequestError(f"start_date {start} is after end_date {end}.")
    return home.stores.offline.statistics(table, start, end)


def save_dataset(
    stores: Stores,
    job: RetrievalJob,
    name: str,
    storage: SavedDatasetFileStorage | None,
    *,
    split: Split | None,
    tags: Mapping[str, str] | None,
) -> SavedDataset:
    """Save a training set; see `FeatureStore.create_saved_dataset`."""
    check_type(job, RetrievalJob, "from_")
    check_type(storage, (SavedDatasetFileStorage, type(None)), "storage")
    if storage is None:
        folder: Path | str = _dataset_folder(stores, name)
    else:
        folder = Location.parse(storage.path, "SavedDatasetFileStorage", _root(stores)).result()
    return job.persist(SavedDatasetFileStorage(folder), name=name, split=split, tags=tags)


def saved_dataset(stores: Stores, name: str) -> SavedDataset:
    """Open a saved dataset; see `FeatureStore.get_saved_dataset`."""
    return SavedDataset.load(_dataset_folder(stores, name))


def saved_datasets(stores: Stores) -> list[SavedDataset]:
    """Open all saved datasets; see `FeatureStore.list_saved_datasets`."""
    manifests = sorted((_root(stores) / "datasets").glob(f"*/{MANIFEST}"))
    return [SavedDataset.load(manifest.parent) for manifest in manifests]


def _dataset_folder(stores: Stores, name: str) -> Path:
    if not is_name(name):
        raise RequestError(f"{name!r} is invalid; use letters, digits and underscores.")
    return _root(stores) / "datasets" / name


def _root(stores: Stores) -> Path:
    return stores.repo.path / stores.settings.offline_store.root


def _resolve(
    project: ProjectSnapshot, features: Features, *, full_feature_names: bool
) -> Retrieval:
    references = parse_features(project, features)
    return resolve(project, references, full_feature_names=full_feature_names)
