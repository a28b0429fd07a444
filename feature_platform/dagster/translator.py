"""Translate registered objects into Dagster assets: keys, lineage and metadata, in one place."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from feature_platform.dagster import beta
from feature_platform.definitions import (
    Definition,
    FeatureView,
    FileSource,
    Source,
    View,
    namespace_of,
)
from feature_platform.repo import Repo

UPSTREAM_TAG = "dagster/asset_key"
"""Tag of a source that names the asset whose table it reads, as `some/key`."""

PROJECT_TAG = "feature_platform/project"
OWNER_TAG = "feature_platform/owner"


class FeatureStoreTranslator:
    """Decides which assets stand for a repo's objects.

    Subclass it to change keys, groups, owners, tags, descriptions, automation or freshness, and
    pass the same translator to every code location, so that lineage across locations joins.

    Example:
        >>> class OurTranslator(FeatureStoreTranslator):
        ...     def get_asset_key(self, project, namespace, name):
        ...         return super().get_asset_key(project, namespace, name).with_prefix("features")
        ...
        ...     def get_asset_spec(self, definition, repo):
        ...         return super().get_asset_spec(definition, repo).replace_attributes(
        ...             group_name="features"
        ...         )
        >>> OurTranslator().get_asset_key("shop", "entity", "driver").to_user_string()
        'features/shop/entity/driver'
    """

    def get_asset_key(self, project: str, namespace: str, name: str) -> dg.AssetKey:
        """Return the key of an object, or of what belongs to one.

        It follows from the reference alone, so a team's location needs neither the platform's code
        nor the registry to draw an edge.

        Args:
            project: The project.
            namespace: `entity`, `source`, `feature_view` (on-demand views share it),
                `feature_service`, `policy`, `transfer`, `share`, `acceptance` or `project`;
                `online` for the online table of a view; `registration` for an owner's registration.
            name: Name of the object, the view or the owner.
        """
        return dg.AssetKey([project, namespace, name.replace(" ", "_")])  # steps have no spaces

    def get_asset_spec(self, definition: Definition, repo: Repo) -> dg.AssetSpec:
        """Return the asset of a definition. It is materialized when registered or changed.

        `skippable` must stay true: what did not change emits nothing.
        """
        project = repo.config.project
        return dg.AssetSpec(
            key=self._key(project, definition),
            deps=list(self._upstream(project, definition)),
            skippable=True,
            group_name=repo.config.team,
            owners=[f"team:{repo.config.team}"],
            kinds=_kinds(definition, repo),
            description=definition.description or None,
            code_version=definition.digest(),
            tags={"feature_platform/kind": definition.kind, PROJECT_TAG: project},
            metadata=_metadata(definition),
        )

    def get_online_spec(self, view: View, repo: Repo) -> dg.AssetSpec:
        """Return the asset of a view's online table. It is materialized by loads."""
        project, owner = repo.config.project, repo.config.team
        store = repo.config.online_store
        return dg.AssetSpec(
            key=self.get_asset_key(project, "online", view.name),
            deps=[self._key(project, view)],
            group_name=owner,
            owners=[f"team:{owner}"],
            kinds={"online_table", *([store.type] if store else [])},
            description=f"Newest values of {view.name}, served online.",
            tags={PROJECT_TAG: project},
        )

    def get_registration_spec(self, repo: Repo) -> dg.AssetSpec:
        """Return the asset that stands for all of a repo's objects in the registry.

        It is materialized by each commit, and has the checks of the whole repo.
        """
        project, owner = repo.config.project, repo.config.team
        return dg.AssetSpec(
            key=self.get_asset_key(project, "registration", owner),
            skippable=True,
            group_name=owner,
            owners=[f"team:{owner}"],
            kinds={"registry"},
            description=f"What {owner} has registered in project {project}.",
            tags={PROJECT_TAG: project},
        )

    def _key(self, project: str, definition: Definition) -> dg.AssetKey:
        return self.get_asset_key(project, namespace_of(definition.kind), definition.name)

    def _upstream(self, project: str, definition: Definition) -> Iterator[dg.AssetKey]:
        for namespace, name, other in definition.dependencies():
            yield self.get_asset_key(other or project, namespace, name)
        if table := definition.tags.get(UPSTREAM_TAG):
            yield dg.AssetKey(table.split("/"))


def asset_key(project: str, definition: Definition) -> dg.AssetKey:
    """Return the asset key of a definition, as the default translator gives it."""
    return view_key(project, definition.name, namespace_of(definition.kind))


def view_key(project: str, view: str, namespace: str = View.namespace) -> dg.AssetKey:
    """Return the asset key of a view, as the default translator gives it."""
    return FeatureStoreTranslator().get_asset_key(project, namespace, view)


def online_key(project: str, view: str) -> dg.AssetKey:
    """Return the asset key of a view's online table, as the default translator gives it."""
    return view_key(project, view, "online")


def _kinds(definition: Definition, repo: Repo) -> set[str]:
    """Return the kind, and the engine or format, for which Dagster has icons."""
    if isinstance(definition, FileSource):
        return {definition.kind, definition.location()["format"]}
    if isinstance(definition, (Source, FeatureView)):
        return {definition.kind, repo.config.offline_store.type}
    return {definition.kind}


def _metadata(definition: Definition) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    if definition.place:
        file, line = definition.place
        with beta.accepted():
            reference = dg.LocalFileCodeReference(file_path=file, line_number=line)
            references = dg.CodeReferencesMetadataValue(code_references=[reference])
        metadata["dagster/code_references"] = references
    if isinstance(definition, View):
        columns = [
            dg.TableColumn(f.name, str(f.dtype), description=f.description or None)
            for f in definition.fields
        ]
        schema = dg.TableSchema(columns=columns)
        metadata["dagster/column_schema"] = dg.MetadataValue.table_schema(schema)
    elif definition.references:
        listed = "\n".join(f"- `{reference}`" for reference in definition.references)
        metadata["features"] = dg.MetadataValue.md(listed)
    return metadata
