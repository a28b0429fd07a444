"""Describe registered objects as Dagster assets: keys, lineage and metadata."""

from collections.abc import Iterator

import dagster as dg

from feature_platform.definitions import Definition, View, namespace_of

UPSTREAM_TAG = "dagster/asset_key"
"""Tag of a source that names the asset whose table it reads, as `some/key`."""


def asset_key(project: str, definition: Definition) -> dg.AssetKey:
    """Return the asset key of a registered object."""
    return dg.AssetKey([project, namespace_of(definition.kind), definition.name])


def view_key(project: str, view: str) -> dg.AssetKey:
    """Return the asset key of a view, which follows from its name alone.

    Feature views and on-demand views share their names, and so they share a key's form: a team's
    code location needs neither the other's code nor the registry to draw the edge.
    """
    return dg.AssetKey([project, View.namespace, view])


def online_key(project: str, view: str) -> dg.AssetKey:
    """Return the asset key of a view's online table."""
    return dg.AssetKey([project, "online", view])


def object_spec(project: str, owner: str, definition: Definition) -> dg.AssetSpec:
    """Return the asset spec of a definition. It is emitted when registered or changed."""
    return dg.AssetSpec(
        key=asset_key(project, definition),
        deps=list(_upstream(project, definition)),
        skippable=True,
        group_name=owner,
        owners=[f"team:{owner}"],
        kinds={definition.kind},
        description=definition.description or None,
        code_version=definition.digest(),
        tags={"feature_platform/kind": definition.kind, "feature_platform/project": project},
        metadata=_metadata(definition),
    )


def _upstream(project: str, definition: Definition) -> Iterator[dg.AssetKey]:
    for namespace, name, other in definition.dependencies():
        yield dg.AssetKey([other or project, namespace, name])
    if table := definition.tags.get(UPSTREAM_TAG):
        yield dg.AssetKey(table.split("/"))


def _metadata(definition: Definition) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {}
    if definition.place:
        file, line = definition.place
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
