"""Declared checks of rows as asset checks of views."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from feature_platform.dagster.apply import retried
from feature_platform.dagster.online import OnlineLoads
from feature_platform.dagster.repo_context import RepoContext
from feature_platform.definitions import FeatureService, FeatureView, separators_folded
from feature_platform.errors import FeaturePlatformError
from feature_platform.services.checking import CheckResult, declared_checks
from feature_platform.services.loading import raise_all

_MOST_BINS = 50


def row_checks(target: RepoContext, loads: OnlineLoads) -> list[dg.AssetChecksDefinition]:
    """Build the checks that the repo's views declare of their rows.

    A view's checks are evaluated together, in one pass over the history; with windows, over the
    newest complete one. A failed blocking check keeps what is downstream in the same run from
    running, such as the load of the online table.
    """
    views = {target.key(d.kind, d.name): d for d in _checked(target)}
    specs = [
        dg.AssetCheckSpec(separators_folded(name), asset=key, blocking=check.blocking)
        for key, view in views.items()
        for name, check in declared_checks(view).items()
    ]
    if not specs:
        return []

    @dg.multi_asset_check(
        name=f"check_rows_{target.project}_{target.owner}", specs=specs, can_subset=True
    )
    def check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        selected: dict[dg.AssetKey, list[dg.AssetCheckKey]] = {}
        for check_key in context.selected_asset_check_keys:
            selected.setdefault(check_key.asset_key, []).append(check_key)
        with retried(context), target.open() as store:
            errors: list[FeaturePlatformError] = []
            for key, checks in selected.items():
                start, end = _newest_window(loads, views[key])
                try:
                    evaluated = store.check([views[key].name], start, end)
                except FeaturePlatformError as error:  # of this view; the others are evaluated
                    errors.append(error)
                    continue
                results = {separators_folded(result.check): result for result in evaluated}
                for check_key in checks:
                    if check_key.name in results:
                        yield _result(check_key, results[check_key.name], start, end)
            raise_all(errors, "The checks of all others were evaluated.")

    return [check]


def _checked(target: RepoContext) -> Iterator[FeatureView | FeatureService]:
    """Yield the repo's services, and its views with a history."""
    for definition in target.objects.values():
        if isinstance(definition, FeatureService) or (
            isinstance(definition, FeatureView) and target.has_history(definition)
        ):
            yield definition


def _newest_window(
    loads: OnlineLoads, checked: FeatureView | FeatureService
) -> tuple[datetime | None, datetime | None]:
    """Return the newest complete window of a view with windows; everything of others."""
    partitions = loads.of(checked.name) if isinstance(checked, FeatureView) else None
    window = partitions.get_last_partition_window() if partitions else None
    while partitions and window and window.end > datetime.now(UTC):  # with an end_offset
        window = partitions.get_prev_partition_window(window.start)
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
