"""Assets that are models: trained on a training set, kept in the model registry."""

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

import dagster as dg

from feature_platform.dagster.apply import retried
from feature_platform.dagster.repo_context import RepoContext
from feature_platform.dagster.resources import FeatureStoreResource
from feature_platform.dagster.translator import FeatureStoreTranslator
from feature_platform.definitions import FeatureService, is_identifier
from feature_platform.errors import ConfigError, RequestError
from feature_platform.retrieval import SavedDataset
from feature_platform.services.models import Models, ModelVersion, links_of
from feature_platform.store import FeatureStore

Train: TypeAlias = Callable[[SavedDataset, Path], Mapping[str, float]]
"""Trains on a dataset, writes the files of the model into a folder, and returns its metrics."""


def model_asset(
    service: str | FeatureService,
    *,
    repo: str | Path | FeatureStoreResource,
    train: Train,
    training_set: dg.AssetsDefinition | dg.AssetKey | None = None,
    name: str = "",
    key: dg.AssetKey | list[str] | None = None,
    deps: Iterable[Any] = (),
    translator: FeatureStoreTranslator | None = None,
    **options: Any,
) -> dg.AssetsDefinition:
    """Build an asset that trains a model and saves it as the next version in the model registry.

    A version keeps the feature service, the registry version and the dataset that it was trained
    on, so that a plan names the models whose features a change would take away.

    Args:
        service: The feature service whose features the model reads.
        repo: The repo folder whose settings name registry and stores, or a resource.
        train: Gets the dataset and an empty folder, writes the model's files there, and returns
            its metrics, which Dagster plots over versions.
        training_set: The asset of the training set; `[service, "training_set"]` by default.
        name: Name of the model; that of the service by default.
        key: The asset's key; `[service, "model"]` by default.
        deps: What else it is made from.
        translator: The translator of the location.
        options: As for `dg.asset`, such as `group_name`.

    Returns:
        The asset. Its metadata has the version, the metrics, the dataset and the registry version.

    Raises:
        ConfigError: The name cannot be one of a model.

    Example:
        >>> def train(dataset, folder):
        ...     model = fit(dataset.to_df()[list(dataset.manifest["features"])])
        ...     model.save_model(folder / "model.ubj")
        ...     return {"auc": model.auc}
        >>> model = model_asset("risk_v1", repo="team_repos/risk", train=train)  # doctest: +SKIP
    """
    target = RepoContext.of(repo, translator)
    service_name = service if isinstance(service, str) else service.name
    model = name or service_name
    if not is_identifier(model):
        raise ConfigError(f"{model!r} is not a name of a model. Pass name= with letters and _.")
    rows = training_set or dg.AssetKey([service_name, "training_set"])

    def compute(context: dg.AssetExecutionContext, dataset: SavedDataset) -> Any:
        with tempfile.TemporaryDirectory(prefix="model_") as temporary:
            metrics = train(dataset, Path(temporary)) or {}
            if not isinstance(metrics, Mapping):
                kind = type(metrics).__name__
                raise RequestError(f"train() of model {model!r} returned a {kind}, not metrics.")
            with retried(context), target.open() as store:
                if not any(Path(temporary).iterdir()):
                    raise RequestError(f"train() of model {model!r} left its folder empty.")
                trained_on = f"{store.project}/{service_name}"
                links = links_of(trained_on, str(dataset.path), dataset.registry_version)
                saved = Models(store.config, store.repo.path).save(
                    store.project, model, Path(temporary),
                    metrics=dict(metrics), description="", links=dict(links),
                )  # fmt: skip
        return dg.MaterializeResult(metadata=_described(saved))

    asset = dg.asset(
        **{
            "key": key or [service_name, "model"],
            "ins": {"dataset": dg.AssetIn(rows if isinstance(rows, dg.AssetKey) else rows.key)},
            "deps": [target.key(FeatureService.kind, service_name), *deps],
            "kinds": {"model", "mlflow"},
            "description": f"Model {model}, trained on {service_name}.",
            "tags": target.tags,
            **options,
        }
    )
    return cast("dg.AssetsDefinition", asset(compute))


def newest_model(store: FeatureStore, name: str, folder: Path) -> tuple[ModelVersion, Path]:
    """Copy the files of a model's newest version into a folder.

    Returns:
        The version, and the folder in which `train` left its files.

    Raises:
        RequestError: The model has no version.
    """
    models = Models(store.config, store.repo.path)
    newest = models.newest(store.project, name)
    if newest is None:
        raise RequestError(f"Model {name!r} has no version. Materialize its asset.")
    return newest, models.download(newest, folder)


def _described(saved: ModelVersion) -> dict[str, Any]:
    return {
        "model": saved.name,
        "model_version": saved.version,
        "dataset": saved.dataset,
        "registry_version": saved.registry_version,
        **{name: float(value) for name, value in saved.metrics.items()},
    }
