"""Metadata of events: changes, commits, lineage and problems."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import dagster as dg

from feature_platform.definitions import Definition, Dependency
from feature_platform.errors import Problem
from feature_platform.governance import Change, Plan
from feature_platform.offline.statistics import QUANTILES, FeatureStatistics
from feature_platform.project import Cursor, ProjectSnapshot, column_lineage
from feature_platform.registry import Commit

_MOST_RECORDS = 200
"""A table of more is of no use to people, and costs every reader of the event log."""

_MOST_PLOTTED = 20
"""Features whose numbers are plotted: Dagster draws a plot for each number."""


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
            for change in plan.changes[:_MOST_RECORDS]
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


def statistics_metadata(described: Mapping[str, FeatureStatistics]) -> dict[str, Any]:
    """Return statistics of features as a table, and as numbers that Dagster plots over loads."""
    columns = ["feature", "rows", "null share", "distinct", "min", "mean", "max", "stddev"]
    columns += [f"{probability:.0%}" for probability in QUANTILES]
    records = [_statistics_record(each) for each in list(described.values())[:_MOST_RECORDS]]
    metadata: dict[str, Any] = {
        "statistics": dg.MetadataValue.table(
            records, schema=dg.TableSchema([dg.TableColumn(name) for name in columns])
        )
    }
    for name, each in list(described.items())[:_MOST_PLOTTED]:
        metadata[f"{name}: null share"] = each.null_share
        if each.mean is not None and math.isfinite(each.mean):
            metadata[f"{name}: mean"] = each.mean
    return metadata


def _statistics_record(statistics: FeatureStatistics) -> dg.TableRecord:
    numbers = {"null share": statistics.null_share, "mean": statistics.mean}
    numbers |= {"stddev": statistics.stddev}
    quantiles = statistics.quantiles or {}
    numbers |= {f"{probability:.0%}": quantiles.get(probability) for probability in QUANTILES}
    counts = {"rows": statistics.count, "distinct": statistics.distinct}
    bounds = {"min": _shown(statistics.min), "max": _shown(statistics.max)}
    shown = {name: _shown(value) for name, value in numbers.items()}
    return dg.TableRecord({"feature": statistics.feature, **counts, **bounds, **shown})


def _shown(value: Any) -> str | float | None:
    if isinstance(value, float):  # JSON has no infinity
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    return value if isinstance(value, (bool, int, type(None))) else str(value)


def problem_table(problems: Iterable[Problem]) -> dict[str, Any]:
    """Return broken rules as a table."""
    records = [
        dg.TableRecord({"rule": p.rule, "object": p.subject, "problem": p.message})
        for p in problems
    ]
    return {"problems": dg.MetadataValue.table(records)}
