"""Metadata of events: changes, commits, lineage and problems."""

from collections.abc import Callable, Iterable
from typing import Any

import dagster as dg

from feature_platform.definitions import Definition, Dependency
from feature_platform.errors import Problem
from feature_platform.governance import Change, Plan
from feature_platform.project import Cursor, ProjectSnapshot, column_lineage
from feature_platform.registry import Commit

_MOST_CHANGES = 200
"""A table of more is of no use to people, and costs every reader of the event log."""


def change_metadata(change: Change | None) -> dict[str, Any]:
    """Return what a commit did to an object."""
    metadata: dict[str, Any] = {"action": change.action if change else "unchanged"}
    if change and change.action == "update":
        differences = {n: {"before": b, "after": a} for n, b, a in change.differences()}
        metadata["difference"] = dg.MetadataValue.json(differences)
    return metadata


def commit_metadata(
    commit: Commit | None, cursor: Cursor, plan: Plan | None = None
) -> dict[str, Any]:
    """Return the version that is registered, and who registered it.

    Args:
        commit: The commit; `None` if nothing changed.
        cursor: The newest commit.
        plan: Lists all changes, for the asset that stands for them.
    """
    metadata: dict[str, Any] = {"registry_version": commit.version if commit else cursor.version}
    if commit:
        metadata |= {"commit_id": commit.commit_id, "author": commit.principal}
        metadata |= {"client": commit.client, "message": commit.message}
    if plan is not None:
        metadata["cursor"] = str(cursor)
        metadata["changes"] = len(plan.changes)
        records = [
            dg.TableRecord({"object": change.subject, "action": change.action})
            for change in plan.changes[:_MOST_CHANGES]
        ]
        if records:
            metadata["changed"] = dg.MetadataValue.table(records)
    return metadata


def lineage_metadata(
    project: ProjectSnapshot, definition: Definition, key_of: Callable[[Dependency], dg.AssetKey]
) -> dict[str, Any]:
    """Return which upstream columns the columns of an object come from."""
    deps = {
        column: [
            dg.TableColumnDep(asset_key=key_of(source.dependency), column_name=source.name)
            for source in sources
        ]
        for column, sources in column_lineage(project, definition).items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)} if any(deps.values()) else {}


def problem_table(problems: Iterable[Problem]) -> dict[str, Any]:
    """Return broken rules as a table."""
    records = [
        dg.TableRecord({"rule": p.rule, "object": p.subject, "problem": p.message})
        for p in problems
    ]
    return {"problems": dg.MetadataValue.table(records)}
