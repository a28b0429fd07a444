"""Declared checks of rows as asset checks of views."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import dagster as dg

from feature_platform.dagster.apply import retried
from feature_platform.dagster.online import OnlineLoads
from feature_platform.dagster.repo_context import RepoContext
from feature_platform.definitions import FeatureView, PushSource
from feature_platform.services.checking import CheckResult, declared_checks

_MOST_BINS = 50


def row_checks(target: RepoContext, loads: OnlineLoads) -> list[dg.AssetChecksDefinition]:
    """Build the checks that the repo's views declare of their rows.

    A view's checks are evaluated together, in one pass over the history; with windows, over the
    newest complete one. A failed blocking check keeps what is downstream from running: the view is
    checked on its own asset, before its online table is loaded.
    """
    pushed = {
        d.name for d in target.objects.values() if isinstance(d, PushSource) and d.history is None
    }
    views = [d for d in target.objects.values() if isinstance(d, FeatureView)]
    return [_checks(target, view, loads) for view in views if view.source not in pushed]


def _checks(target: RepoContext, view: FeatureView, loads: OnlineLoads) -> dg.AssetChecksDefinition:
    key = target.key(view.kind, view.name)
    specs = [
        dg.AssetCheckSpec(name, asset=key, blocking=check.blocking)
        for name, check in declared_checks(view).items()
    ]

    @dg.multi_asset_check(name=f"check_{target.project}_{view.name}", specs=specs, can_subset=True)
    def evaluate(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        start, end = _newest_window(loads, view)
        with retried(context), target.open() as store:
            results = {r.check: r for r in store.check([view.name], start, end)}
        for check in context.selected_asset_check_keys:
            if check.name in results:
                yield _result(check, results[check.name], start, end)

    return evaluate


def _newest_window(
    loads: OnlineLoads, view: FeatureView
) -> tuple[datetime | None, datetime | None]:
    """Return the newest complete window of a view with windows; everything of others."""
    partitions = loads.of(view.name)
    window = partitions.get_last_partition_window() if partitions else None
    return (window.start, window.end) if window else (None, None)


def _result(
    key: dg.AssetCheckKey, result: CheckResult, start: datetime | None, end: datetime | None
) -> dg.AssetCheckResult:
    severity = (
        dg.AssetCheckSeverity.ERROR if result.severity == "error" else dg.AssetCheckSeverity.WARN
    )
    metadata: dict[str, Any] = {"declared": result.limit}
    if result.value is not None:
        metadata["value"] = float(result.value)
    if result.rows is not None:
        metadata["rows"] = result.rows
    if start and end:
        metadata["window"] = f"{start.isoformat()} / {end.isoformat()}"
    if histogram := result.histogram:
        bins = zip(histogram.labels, histogram.reference, histogram.window, strict=True)
        records = [
            dg.TableRecord({"bin": str(label), "reference": before, "window": now})
            for label, before, now in list(bins)[:_MOST_BINS]
        ]
        metadata["distribution"] = dg.MetadataValue.table(records)
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=result.passed,
        severity=severity,
        description=result.message or None,
        metadata=metadata,
    )
