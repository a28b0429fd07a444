"""Models of a project, each with the features that it was trained on."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from feature_platform.definitions import is_identifier
from feature_platform.errors import AccessError, NotFoundError, RequestError
from feature_platform.handles.project_store import ProjectStore, version_of
from feature_platform.handles.training_view import TrainingView
from feature_platform.project import ShareState, grant
from feature_platform.services.models import Models, ModelVersion, links_of

if TYPE_CHECKING:
    from feature_platform.store import FeatureStore


class Model:
    """A model, or one version of it.

    Attributes:
        name: Its name.
        version: Its version; `None` before it is saved.
        description: Description.
        metrics: Metrics by name.

    Source: the models of Hopsworks.
    """

    def __init__(
        self,
        registry: "ModelRegistry",
        name: str,
        *,
        saved: ModelVersion | None = None,
        metrics: Mapping[str, float] | None = None,
        description: str = "",
        links: Mapping[str, str] | None = None,
    ) -> None:
        self._registry = registry
        self._saved = saved
        self._links = dict(links or {})
        self.name = name
        self.version = saved.version if saved else None
        self.metrics = dict(saved.metrics if saved else metrics or {})
        self.description = saved.description if saved else description

    def __repr__(self) -> str:
        return f"model {self.name!r}, version {self.version}"

    @property
    def saved(self) -> ModelVersion:
        """The saved version, with what it was trained on.

        Raises:
            RequestError: It is not saved yet.
        """
        if self._saved is None:
            raise RequestError(f"Model {self.name!r} is not saved. Call save(path).")
        return self._saved

    def save(self, model_path: str | Path) -> "Model":
        """Save a file or a folder as the next version of the model.

        Raises:
            RequestError: There is no such file, or this version is saved already.
            StoreError: MLflow cannot be written.
        """
        path = Path(model_path)
        if self._saved is not None:
            raise RequestError(f"{self!r} is saved, and versions never change. Create a model.")
        if not path.exists():
            raise RequestError(f"There is no file {path}.")
        registry = self._registry
        self._saved = registry.models.save(
            registry.project_name, self.name, path,
            metrics=self.metrics, description=self.description, links=self._links,
        )  # fmt: skip
        self.version = self._saved.version
        return self

    def download(self, local_path: str | Path | None = None) -> str:
        """Copy the files of the version into a folder, and return where they are."""
        folder = Path(local_path) if local_path else Path(tempfile.mkdtemp(prefix="model_"))
        return str(self._registry.models.download(self.saved, folder))

    def get_feature_view(self) -> TrainingView:
        """Return the feature view that the version was trained on.

        Raises:
            NotFoundError: It names none, or it is gone.
        """
        project, _, service = self.saved.service.partition("/")
        if not service:
            raise NotFoundError(
                f"{self!r} records no feature view. Pass feature_view to create_model."
            )
        return ProjectStore(self._registry.store, project).open_view(service)

    @property
    def training_dataset(self) -> str:
        """Name of the saved training data; empty if it names none."""
        return self.saved.dataset


class ModelRegistry:
    """The models of one project.

    Attributes:
        project_name: The project.
        store: The feature store of the connection.
        models: The models of all projects.

    Source: the model registry of Hopsworks, kept in MLflow.
    """

    def __init__(self, store: "FeatureStore", project: str) -> None:
        self.store = store
        self.project_name = project
        self.models = Models(store.config, store.repo.path)

    @classmethod
    def open(cls, store: "FeatureStore", project: str | None) -> "ModelRegistry":
        """Return the registry of a project; that of another one if it shares its whole store.

        Raises:
            AccessError: It does not.
        """
        if project in {None, store.project}:
            return cls(store, store.project)
        here = store.load_project()
        shared = grant(here.snapshot, str(project), here.name, here.now)
        if shared.state is not ShareState.ACCEPTED or not shared.is_whole:
            raise AccessError(
                f"The models of project {project!r} cannot be read: it does not share its whole "
                f"store with {here.name!r}, or that was not accepted."
            )
        return cls(store, str(project))

    def create_model(
        self,
        name: str,
        *,
        metrics: Mapping[str, float] | None = None,
        description: str = "",
        feature_view: TrainingView | None = None,
        training_dataset_version: int | None = None,
    ) -> Model:
        """Return a new version of a model, which `save` stores.

        Args:
            name: Its name.
            metrics: Metrics by name.
            description: Description.
            feature_view: What it was trained on; `plan` then names the model before a change
                breaks its features.
            training_dataset_version: Version of the saved training data of that feature view.

        Raises:
            AccessError: It is another project's registry.
            RequestError: The name is not valid.
        """
        if self.project_name != self.store.project:
            raise AccessError(
                f"Only a repo of project {self.project_name!r} saves its models. Use "
                "get_model_registry() without a name."
            )
        if not is_identifier(name):
            raise RequestError(f"{name!r} is not a valid name of a model.")
        service = feature_view.path if feature_view else ""
        dataset, version = "", self.store.snapshot().version
        if feature_view is not None and training_dataset_version is not None:
            saved = feature_view.dataset(training_dataset_version)
            dataset, version = saved.name, saved.registry_version
        links = dict(links_of(service, dataset, version))
        return Model(self, name, metrics=metrics, description=description, links=links)

    def get_model(self, name: str, version: int | str | None = None) -> Model:
        """Return a version of a model; 1, with a warning, if it is left out.

        Raises:
            NotFoundError: It does not exist.
        """
        number = version_of(version, f"model {name!r}")
        for model in self.get_models(name):
            if model.version == number:
                return model
        raise NotFoundError(
            f"Project {self.project_name!r} has no model {name!r} of version {number}."
        )

    def get_models(self, name: str) -> list[Model]:
        """Return all versions of a model, oldest first."""
        if not is_identifier(name):
            raise RequestError(f"{name!r} is not a valid name of a model.")
        listed = self.models.versions(self.project_name, name)
        return [Model(self, name, saved=version) for version in listed]

    def get_best_model(
        self, name: str, metric: str, direction: Literal["max", "min"] = "max"
    ) -> Model:
        """Return the version with the greatest or least value of a metric; the newest of equals.

        Raises:
            NotFoundError: No version has the metric.
        """
        if direction not in {"max", "min"}:
            raise RequestError(f"direction={direction!r} is neither 'max' nor 'min'.")
        rated = [model for model in self.get_models(name) if metric in model.metrics]
        if not rated:
            raise NotFoundError(f"No version of model {name!r} has the metric {metric!r}.")
        sign = 1 if direction == "max" else -1
        return max(rated, key=lambda model: (sign * model.metrics[metric], model.version or 0))
