"""Assets that read a feature service: training sets and batch scores."""

import tempfile
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias, cast

import dagster as dg

from feature_platform.dagster import beta
from feature_platform.dagster.apply import retried
from feature_platform.dagster.io_manager import Dataset, DatasetIOManager
from feature_platform.dagster.models import newest_model
from feature_platform.dagster.repo_context import RepoContext
from feature_platform.dagster.resources import FeatureStoreResource
from feature_platform.dagster.translator import FeatureStoreTranslator
from feature_platform.definitions import FeatureService, separators_folded
from feature_platform.errors import RequestError
from feature_platform.retrieval import Split, to_arrow, to_pandas
from feature_platform.table import EVENT_TIMESTAMP

Asset: TypeAlias = dg.AssetsDefinition | dg.AssetSpec | dg.AssetKey
Spine: TypeAlias = str | Path | Callable[..., Any] | Asset
"""Entity rows: SQL, a Parquet path, a function of the context, or an asset.

A function gets the asset's context, for its partition, and returns what `get_historical_features`
takes; so does the IO manager of an asset.
"""


def training_set_asset(
    service: str | FeatureService,
    *,
    repo: str | Path | FeatureStoreResource,
    spine: Spine,
    label: str = "",
    key: dg.AssetKey | list[str] | None = None,
    deps: Iterable[Asset] = (),
    partitions: dg.PartitionsDefinition[str] | None = None,
    split: Split | None = None,
    io_manager: Any = None,
    translator: FeatureStoreTranslator | None = None,
    **options: Any,
) -> dg.AssetsDefinition:
    """Build an asset that is a point-in-time correct training set.

    Args:
        service: The feature service.
        repo: The repo folder whose settings name registry and stores, or a resource.
        spine: The entity rows with their times, labels and request values.
        label: Column of the spine that the model learns; it has to be there.
        key: The asset's key; `[service, "training_set"]` by default.
        deps: What the spine is made from, for the lineage.
        partitions: Partitions; the spine's function reads the partition from its context.
        split: `RandomSplit` or `TimeSplit`.
        io_manager: Where the rows go: a `DatasetIOManager`, by default in `datasets/` of the
            offline store's root, or any IO manager for Arrow tables, such as a warehouse's.
        translator: The translator of the location.
        options: As for `dg.asset`, such as `group_name`.

    Returns:
        The asset. Its metadata has rows, columns, path, registry version and split; a downstream
        asset reads it as its argument is annotated.

    Example:
        >>> training_set = training_set_asset(  # doctest: +SKIP
        ...     "risk_v1",
        ...     repo="team_repos/risk",
        ...     spine="SELECT driver_id, event_timestamp, late FROM read_parquet('trips.parquet')",
        ...     label="late",
        ... )
    """
    target = RepoContext.of(repo, translator)
    name = service if isinstance(service, str) else service.name

    def compute(context: dg.AssetExecutionContext, rows: object) -> Dataset:
        with retried(context), target.open() as store:
            job = store.get_historical_features(rows, features=name)
            return Dataset(job, split, job.registry_version, label)

    return _asset(
        target, name, compute, spine=spine,
        key=key or [separators_folded(name), "training_set"], deps=deps, partitions=partitions,
        io_manager=io_manager, kind="training_set", options=options,
    )  # fmt: skip


def batch_scoring_asset(
    service: str | FeatureService,
    *,
    repo: str | Path | FeatureStoreResource,
    model: Callable[..., Any],
    spine: Spine,
    at: datetime | None = None,
    saved_model: str = "",
    key: dg.AssetKey | list[str] | None = None,
    deps: Iterable[Asset] = (),
    partitions: dg.PartitionsDefinition[str] | None = None,
    io_manager: Any = None,
    translator: FeatureStoreTranslator | None = None,
    **options: Any,
) -> dg.AssetsDefinition:
    """Build an asset that is the predictions of a model for many entities.

    Args:
        service: The feature service that the model reads.
        repo: The repo folder whose settings name registry and stores, or a resource.
        model: A function of the features as a pandas `DataFrame`; it returns one value per row, or
            a frame of them. It runs in the step, so it may load the model itself; with
            `saved_model` it also gets the folder that has its files.
        spine: The entities, and the request values.
        at: The time of the predictions, for a spine without times; now by default.
        saved_model: Name of a model in the model registry, whose newest version is used.
        key: The asset's key; `[service, "scores"]` by default.
        deps: What the scores are made from, such as the asset of the model.
        partitions: Partitions; the spine's function reads the partition from its context.
        io_manager: As for `training_set_asset`.
        translator: The translator of the location.
        options: As for `dg.asset`, such as `group_name`.

    Returns:
        The asset: the columns of the spine, and `score` or the columns that the model returned.
    """
    target = RepoContext.of(repo, translator)
    name = service if isinstance(service, str) else service.name

    def compute(context: dg.AssetExecutionContext, rows: object) -> Dataset:
        files: list[Path] = []
        with tempfile.TemporaryDirectory(prefix="model_") as folder:
            with retried(context), target.open() as store:
                asked = _at(rows, at or datetime.now(UTC))
                job = store.get_historical_features(asked, features=name)
                features = job.to_arrow()
                if saved_model:
                    version, path = newest_model(store, saved_model, Path(folder))
                    context.add_output_metadata({"model": str(version)})
                    files.append(path)
            scores = model(to_pandas(features), *files)
        # The answer starts with the columns of the spine, in their order.
        width = features.num_columns - len(job.outputs)
        scored = to_pandas(features.select(range(width)))
        for column, values in _columns(scores, scored).items():
            scored[column] = values
        return Dataset(scored, None, job.registry_version)

    return _asset(
        target, name, compute, spine=spine,
        key=key or [separators_folded(name), "scores"], deps=deps, partitions=partitions,
        io_manager=io_manager, kind="scores", options=options,
    )  # fmt: skip


def _asset(
    target: RepoContext,
    service: str,
    compute: Callable[[dg.AssetExecutionContext, object], Dataset],
    *,
    spine: Spine,
    key: dg.AssetKey | list[str],
    deps: Iterable[Asset],
    partitions: dg.PartitionsDefinition[str] | None,
    io_manager: Any,
    kind: str,
    options: Mapping[str, Any],
) -> dg.AssetsDefinition:
    service_key, named = target.key(FeatureService.kind, service), "io_manager_key" in options
    arguments: dict[str, Any] = {
        "key": key,
        "deps": [service_key, *deps],
        "kinds": {kind},
        "partitions_def": partitions,
        "io_manager_def": None if named else _io_manager(target, io_manager),
        "description": f"{kind.replace('_', ' ').capitalize()} of {service}.",
        "tags": target.tags,
        **options,
    }
    if isinstance(spine, (dg.AssetsDefinition, dg.AssetSpec, dg.AssetKey)):
        spine_key = spine if isinstance(spine, dg.AssetKey) else spine.key
        arguments["ins"] = {"rows": dg.AssetIn(spine_key)}

        def from_asset(context: dg.AssetExecutionContext, rows: Any) -> Any:
            return _output(context, compute(context, rows), io_manager)

        return _built(arguments, from_asset)

    def from_rows(context: dg.AssetExecutionContext) -> Any:
        rows = spine(context) if callable(spine) else spine
        return _output(context, compute(context, rows), io_manager)

    return _built(arguments, from_rows)


def _built(arguments: Mapping[str, Any], function: Callable[..., Any]) -> dg.AssetsDefinition:
    with beta.accepted():
        return cast("dg.AssetsDefinition", dg.asset(**arguments)(function))


def _io_manager(target: RepoContext, io_manager: Any) -> Any:
    if io_manager is not None:
        return io_manager
    root = target.repo.path / target.repo.config.offline_store.root / "datasets"
    return DatasetIOManager(root=str(root.resolve()))


def _output(context: dg.AssetExecutionContext, dataset: Dataset, io_manager: Any) -> Any:
    """Return what the IO manager takes: ours a dataset, others an Arrow table."""
    if io_manager is None or isinstance(io_manager, DatasetIOManager):
        return dataset
    with retried(context):
        rows = dataset.to_arrow()
    context.add_output_metadata(
        {"dagster/row_count": rows.num_rows, "registry_version": dataset.registry_version}
    )
    return rows


def _at(rows: object, at: datetime) -> object:
    """Add the time of the predictions to entity rows that have none."""
    if isinstance(rows, (str, Path)):
        return rows
    table = to_arrow(rows, "spine")
    if EVENT_TIMESTAMP in table.column_names:
        return table
    import pyarrow as pa

    times = pa.array([at] * table.num_rows, pa.timestamp("us", "UTC"))
    return table.append_column(EVENT_TIMESTAMP, times)


def _columns(scores: Any, asked: Any) -> Mapping[str, Any]:
    """Return what a model returned as columns of the rows that were asked about.

    Raises:
        RequestError: It is not one value per row of these.
    """
    names = getattr(scores, "columns", None)
    columns = {"score": scores} if names is None else {name: scores[name] for name in names}
    if scores is None or isinstance(scores, (dict, str)) or len(scores) != len(asked):
        size = f"{len(scores)} of them" if hasattr(scores, "__len__") else type(scores).__name__
        raise RequestError(
            f"The model returned {size} for {len(asked)} rows. Return one value per row, or a "
            "frame of them."
        )
    index = getattr(scores, "index", None)  # of pandas; rows in another order find theirs by it
    if index is not None and not callable(index) and set(index) != set(asked.index):
        raise RequestError("The model returned rows of another index than it was given. Keep it.")
    if taken := sorted(set(map(str, columns)) & set(asked.columns)):
        raise RequestError(f"The model returned a column {taken[0]!r}, which the spine has, too.")
    return columns
