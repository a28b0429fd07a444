"""Models in MLflow, and the feature services that they were trained on."""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from feature_platform.config import RepoConfig
from feature_platform.errors import ConfigError, StoreError, first_line, missing_extra
from feature_platform.lazy import Lazy
from feature_platform.server_client import is_server_url

SERVICE: Final = "feature_platform.service"
VERSION: Final = "feature_platform.registry_version"
DATASET: Final = "feature_platform.dataset"
_ENVIRONMENT: Final = "MLFLOW_TRACKING_URI"
_PROGRESS_BAR: Final = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
_EMBEDDED: Final = "data/models"


class ModelVersion(NamedTuple):
    """A version of a model.

    Attributes:
        project: Its project.
        name: Its name.
        version: Its version.
        service: Project and name of the feature service that it was trained on; empty if unknown.
        dataset: Name of the saved training data, or where a Dagster run has left it; empty if
            unknown.
        registry_version: Registry version of the training data; 0 if unknown.
        metrics: Its metrics.
        description: Its description.
        source: Where its files are.
    """

    project: str
    name: str
    version: int
    service: str
    dataset: str
    registry_version: int
    metrics: Mapping[str, float]
    description: str
    source: str

    def __str__(self) -> str:
        return f"{self.project}/{self.name} version {self.version}"


class Models:
    """The models of all projects, in MLflow.

    Without a tracking URI, in `model_registry` or the environment variable `MLFLOW_TRACKING_URI`,
    they are in a SQLite file of the repo folder.

    Args:
        settings: The settings of the repo.
        folder: The repo folder.
    """

    def __init__(self, settings: RepoConfig, folder: Path) -> None:
        self._folder = folder / _EMBEDDED
        self._is_set = bool(settings.model_registry)
        self._uri = settings.model_registry or os.environ.get(_ENVIRONMENT, "")
        self._is_served = is_server_url(settings.registry)
        self._client = Lazy(self._open)

    @property
    def is_configured(self) -> bool:
        """Whether the repo has models: in its `model_registry`, or in the file of its folder.

        A server that only the environment names may be there for other work.
        """
        return self._is_set if self._uri else (self._folder / "mlflow.db").exists()

    def save(
        self,
        project: str,
        name: str,
        path: Path,
        *,
        metrics: Mapping[str, float],
        description: str,
        links: Mapping[str, str],
    ) -> ModelVersion:
        """Save the files of a model as its next version.

        Raises:
            StoreError: MLflow cannot be written.
        """
        client = self._client.get()
        with _errors():
            run = client.create_run(self._experiment(project), run_name=name)
            log = client.log_artifacts if path.is_dir() else client.log_artifact
            log(run.info.run_id, str(path), "model")
            for metric, value in metrics.items():
                client.log_metric(run.info.run_id, metric, float(value))
            client.set_terminated(run.info.run_id)
            full = _full(project, name)
            if not client.search_registered_models(f"name = '{full}'"):
                client.create_registered_model(full)
            made = client.create_model_version(
                full, f"{run.info.artifact_uri}/model", run.info.run_id,
                tags=dict(links), description=description,
            )  # fmt: skip
            return self._read(made)

    def _experiment(self, project: str) -> str:
        """Return the MLflow experiment of a project."""
        client = self._client.get()
        experiment = client.get_experiment_by_name(project)
        if experiment is not None:
            return str(experiment.experiment_id)
        location = None if self._uri else (self._folder / project).resolve().as_uri()
        return str(client.create_experiment(project, artifact_location=location))

    def newest(self, project: str, name: str) -> ModelVersion | None:
        """Return the newest version of a model; `None` if it has none."""
        client = self._client.get()
        with _errors():
            listed = client.search_model_versions(f"name = '{_full(project, name)}'")
            return self._read(max(listed, key=_number)) if listed else None

    def versions(self, project: str, name: str) -> list[ModelVersion]:
        """Return all versions of a model, oldest first."""
        client = self._client.get()
        with _errors():
            listed = client.search_model_versions(f"name = '{_full(project, name)}'")
            return [self._read(stored) for stored in sorted(listed, key=_number)]

    def trained_on(self, services: Collection[str]) -> list[ModelVersion]:
        """Return the newest version of each model that was trained on one of some services.

        Args:
            services: `project/service`.
        """
        newest: dict[str, Any] = {}
        client = self._client.get()
        with _errors():
            for service in sorted(services):
                listed = client.search_model_versions(f"tags.`{SERVICE}` = '{service}'")
                for stored in sorted(listed, key=_number):
                    other = newest.setdefault(stored.name, stored)
                    newest[stored.name] = max(other, stored, key=_number)
            return [self._read(newest[name]) for name in sorted(newest)]

    def download(self, model: ModelVersion, folder: Path) -> Path:
        """Copy the files of a model into a folder."""
        self._client.get()
        from mlflow.artifacts import download_artifacts

        folder.mkdir(parents=True, exist_ok=True)
        with _errors():
            path = download_artifacts(
                artifact_uri=model.source, dst_path=str(folder), tracking_uri=self._address()
            )
        return Path(path)

    def _read(self, stored: Any) -> ModelVersion:
        project, _, name = stored.name.partition(".")
        run = self._client.get().get_run(stored.run_id)
        tags = stored.tags
        return ModelVersion(
            project=project,
            name=name,
            version=int(stored.version),
            service=tags.get(SERVICE, ""),
            dataset=tags.get(DATASET, ""),
            registry_version=int(tags.get(VERSION, 0)),
            metrics=dict(run.data.metrics),
            description=stored.description or "",
            source=stored.source,
        )

    def _address(self) -> str:
        if self._uri:
            return self._uri
        if self._is_served:
            raise ConfigError(
                "The feature server keeps no models. Set MLFLOW_TRACKING_URI, or model_registry in "
                "feature_store.yaml, to the MLflow server."
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{self._folder / 'mlflow.db'}"

    def _open(self) -> Any:
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise missing_extra("The model registry", "models") from error
        address = self._address()
        os.environ.setdefault(_PROGRESS_BAR, "false")  # logs would have it for every file
        with _errors():
            return MlflowClient(tracking_uri=address, registry_uri=address)


@contextmanager
def _errors() -> Iterator[None]:
    """Turn the errors of MLflow into ours."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise StoreError(f"MLflow: {first_line(error)}.") from error


def links_of(service: str, dataset: str, registry_version: int) -> Iterator[tuple[str, str]]:
    """Yield the tags of a model version that say what it was trained on."""
    if service:
        yield SERVICE, service
    if dataset:
        yield DATASET, dataset
    if registry_version:
        yield VERSION, str(registry_version)


def _number(stored: Any) -> int:
    """Return the number of a version, which MLflow has as text."""
    return int(stored.version)


def _full(project: str, name: str) -> str:
    return f"{project}.{name}"
