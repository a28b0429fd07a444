"""What every builder of Dagster definitions of one repo needs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Self

import dagster as dg

from feature_platform.dagster.metadata import lineage_metadata
from feature_platform.dagster.resources import FeatureStoreResource
from feature_platform.dagster.translator import OWNER_TAG, PROJECT_TAG, FeatureStoreTranslator
from feature_platform.definitions import (
    Definition,
    FeatureView,
    OnDemandFeatureView,
    Source,
    View,
    namespace_of,
    with_related,
)
from feature_platform.errors import ConfigError, DefinitionError
from feature_platform.project import ProjectSnapshot
from feature_platform.repo import Repo
from feature_platform.services.reconciling import state_of
from feature_platform.store import FeatureStore


def _path_of(resource: FeatureStoreResource) -> str:
    """Return the repo folder of a resource; a variable is read while the location loads.

    Raises:
        ConfigError: The variable is not set.
    """
    path = resource.repo_path
    if not isinstance(path, dg.EnvVar):
        return path
    if (value := path.get_value()) is None:
        raise ConfigError(f"repo_path is the variable {path.env_var_name}, which is not set.")
    return value


@dataclass(frozen=True)
class RepoContext:
    """A repo in a code location.

    Attributes:
        repo: The repo.
        resource: Opens its feature store. Assets and sensors keep it, instead of sharing a resource
            key, so that one location can have several repos.
        translator: Gives its assets.
        name: Suffix of the names of its jobs, sensors and schedules.
    """

    repo: Repo
    resource: FeatureStoreResource
    translator: FeatureStoreTranslator
    name: str

    @classmethod
    def of(
        cls,
        repo: str | Path | FeatureStoreResource,
        translator: FeatureStoreTranslator | None = None,
        name: str = "",
    ) -> Self:
        """Load a repo folder, or the one of a resource.

        Raises:
            ConfigError: It cannot be loaded.
        """
        loaded = Repo.load(_path_of(repo) if isinstance(repo, FeatureStoreResource) else repo)
        resource = FeatureStoreResource(repo_path=str(loaded.path))
        return cls(
            repo=loaded,
            resource=repo if isinstance(repo, FeatureStoreResource) else resource,
            translator=translator or FeatureStoreTranslator(),
            name=name or loaded.config.team,
        )

    @property
    def project(self) -> str:
        return self.repo.config.project

    @property
    def owner(self) -> str:
        return self.repo.config.team

    @property
    def apply_job(self) -> str:
        return f"apply_{self.name}"

    @property
    def pool(self) -> str:
        """The pool of the steps that write to the project's online store."""
        return f"{self.project}_online_store"

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the runs that apply the repo, by which its sensor knows them."""
        return {PROJECT_TAG: self.project, OWNER_TAG: self.owner}

    @cached_property
    def _definitions(self) -> list[Definition]:
        return with_related(self.repo.definitions)

    @cached_property
    def specs(self) -> list[dg.AssetSpec]:
        """The assets of the repo's objects, upstream first, as Dagster expects their events.

        Raises:
            ConfigError: Two objects have one asset key.
            DefinitionError: On-demand views form a cycle.
        """
        specs = [self.translator.get_asset_spec(d, self.repo) for d in self._definitions]
        self._check_keys(specs)
        graph = {spec.key: [dep.asset_key for dep in spec.deps] for spec in specs}
        by_key = {spec.key: spec for spec in specs}
        try:
            return [by_key[key] for key in TopologicalSorter(graph).static_order() if key in by_key]
        except CycleError as error:
            path = " → ".join(key.path[-1] for key in error.args[1])
            raise DefinitionError(f"On-demand views form a dependency cycle: {path}.") from None

    def _check_keys(self, specs: Sequence[dg.AssetSpec]) -> None:
        """Refuse objects that would be one asset: one of them would be applied as if it were gone.

        Raises:
            ConfigError: Two have one key, or the translator gives keys in two ways.
        """
        by_key: dict[dg.AssetKey, Definition] = {}
        for spec, definition in zip(specs, self._definitions, strict=True):
            key = spec.key.to_user_string()
            if spec.key != self.key(definition.kind, definition.name):
                raise ConfigError(
                    f"The translator's get_asset_spec gives {definition} the key {key}. Change "
                    "keys in get_asset_key, from which all others follow."
                )
            if (other := by_key.setdefault(spec.key, definition)) is not definition:
                raise ConfigError(
                    f"{other} and {definition} would be one asset, {key}. Rename one of them, or "
                    "tell them apart in the translator's get_asset_key."
                )

    @cached_property
    def objects(self) -> dict[dg.AssetKey, Definition]:
        """Asset key → definition, upstream first."""
        by_key = {self.key(d.kind, d.name): d for d in self._definitions}
        return {spec.key: by_key[spec.key] for spec in self.specs}

    @cached_property
    def state(self) -> str:
        """Id of what the repo defines. Loading a location does not need it, runs and ticks do."""
        return state_of(self.objects.values())

    @cached_property
    def loaded_views(self) -> list[View]:
        """The views that have an online table and a history to load it from."""
        views: list[View] = []
        for definition in self.objects.values():
            if isinstance(definition, OnDemandFeatureView):
                views += [definition] if definition.write_to_online_store else []
            elif isinstance(definition, FeatureView) and definition.online:
                views += [definition] if self.has_history(definition) else []
        return views

    def has_history(self, view: FeatureView) -> bool:
        """Return whether a view has rows other than pushed ones, as far as the repo says."""
        return view.source not in self._pushed_only

    @cached_property
    def _pushed_only(self) -> set[str]:
        sources = (d for d in self.objects.values() if isinstance(d, Source))
        return {source.name for source in sources if source.history is None}

    @cached_property
    def registration(self) -> dg.AssetSpec:
        """The asset that stands for all of the repo's objects."""
        return self.translator.get_registration_spec(self.repo)

    def key(self, kind: str, name: str) -> dg.AssetKey:
        """Return the asset key of an object of this project."""
        return self.translator.get_asset_key(self.project, namespace_of(kind), name)

    def online_key(self, view: str) -> dg.AssetKey:
        """Return the asset key of a view's online table."""
        return self.translator.get_asset_key(self.project, "online", view)

    def owns(self, project: ProjectSnapshot, definition: Definition) -> bool:
        """Return whether the owner may act on an object: the name is free, or its own.

        Another owner's object with the name has the asset key, too.
        """
        entry = project.find(namespace_of(definition.kind), definition.name)
        return entry is None or (entry.owner, entry.key.kind) == (self.owner, definition.kind)

    def lineage(self, project: ProjectSnapshot, definition: Definition) -> dict[str, Any]:
        """Return metadata about the columns that an object's columns come from."""
        key_of = self.translator.get_asset_key
        return lineage_metadata(
            project, definition, lambda d: key_of(d.project or project.name, d.namespace, d.name)
        )

    @contextmanager
    def open(self) -> Iterator[FeatureStore]:
        """Open the feature store. Nothing is contacted before it is used."""
        resource = self.resource.process_config_and_initialize_cm()
        with resource as initialized, initialized.open() as store:
            yield store
