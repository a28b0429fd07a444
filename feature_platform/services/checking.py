"""Check rows: whether a window of history is as its owner declared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import log, log2, sqrt
from typing import Self

from feature_platform.definitions import (
    Between,
    Check,
    Drift,
    FeatureService,
    FeatureView,
    Fresh,
    NotNull,
    OneOf,
    Parity,
    RowCount,
    UniqueRows,
)
from feature_platform.errors import FeaturePlatformError, RequestError, SchemaError, StoreError
from feature_platform.offline import Histogram, Measure
from feature_platform.project import resolve, table_of
from feature_platform.retrieval import Parity as Comparison
from feature_platform.services.loading import view_names
from feature_platform.services.stores import Call
from feature_platform.services.training import compare, sample_rows
from feature_platform.table import Table
from feature_platform.types.times import earlier, from_microseconds, utc_time

SCHEMA = "schema"
"""The check of every view that its source has the declared columns, in types that fit."""

_ROWS = Measure("rows")
_NEWEST = Measure("newest")
_LEAST_SHARE = 1e-4
"""An empty bin counts as this share, so that the population stability index is finite."""


@dataclass(frozen=True)
class CheckResult:
    """The outcome of a check.

    Attributes:
        view: The view or service.
        check: Name of the check; `<field>_<check>` for one of a field.
        passed: Whether the rows are as declared.
        severity: `error` or `warn`.
        blocking: Whether nothing downstream of the view should run.
        value: What was measured: a share, a number of rows, an age in seconds, a drift. `None`
            where nothing could be.
        limit: What was declared.
        message: Description.
        rows: Rows of the window.
        histogram: The distributions that a drift was computed from.
    """

    view: str
    check: str
    passed: bool
    severity: str
    blocking: bool
    value: float | None
    limit: str
    message: str
    rows: int | None = None
    histogram: Histogram | None = None

    @classmethod
    def of(
        cls,
        check: Check,
        *,
        view: str,
        name: str,
        passed: bool,
        value: float | None,
        limit: str,
        message: str,
        rows: int | None,
    ) -> Self:
        """Return the outcome of a check, with what was declared of it."""
        return cls(
            view=view,
            check=name,
            passed=passed,
            severity=check.severity,
            blocking=check.blocking,
            value=value,
            limit=limit,
            message=message,
            rows=rows,
        )

    @property
    def is_failed_error(self) -> bool:
        return not self.passed and self.severity == "error"


def declared_checks(checked: FeatureView | FeatureService) -> dict[str, Check]:
    """Return check name → check of a service, or of a view and its fields.

    Every view has `SCHEMA`.
    """
    if isinstance(checked, FeatureService):
        return {check.label: check for check in checked.checks}
    view = checked
    of_fields = {f"{f.name}_{c.label}": c for f in view.fields for c in f.checks}
    return {SCHEMA: Check(blocking=True), **of_fields, **{c.label: c for c in view.checks}}


def check_rows(
    call: Call, names: Sequence[str] | None, start: datetime | None, end: datetime | None
) -> list[CheckResult]:
    """Evaluate the checks of views and services; see `FeatureStore.check`."""
    last = utc_time(call.now if end is None else end, "end_date")
    first = None if start is None else utc_time(start, "start_date")
    if first is not None and first >= last:
        raise RequestError(f"The window from {first} to {last} is empty.")
    results: list[CheckResult] = []
    for checked in _listed(call, view_names(names)):
        if isinstance(checked, FeatureView):
            results += _ViewWindow(call, checked, first, last).results()
        else:
            results += [parity_result(call, checked, c, first, last) for c in checked.checks]
    return results


def _listed(call: Call, names: Sequence[str] | None) -> list[FeatureView | FeatureService]:
    """Return views and services by name; all with a history, and one's own services, if left out.

    A service reads with its owner's functions, which are not here if it is another team's.
    """
    project = call.project
    if names is None:
        views = [view for view, _ in project.of(FeatureView) if _has_history(call, view)]
        owner = call.stores.settings.team
        services = [service for service, e in project.of(FeatureService) if e.owner == owner]
        return [*views, *services]
    services_by_name = {service.name: service for service, _ in project.of(FeatureService)}
    views_by_name = {view.name: view for view, _ in project.of(FeatureView)}
    return [
        views_by_name.get(name) or services_by_name.get(name) or project.get(FeatureView, name)
        for name in names
    ]


def parity_result(
    call: Call, service: FeatureService, check: Parity, start: datetime | None, end: datetime
) -> CheckResult:
    """Compare a sample of what a service serves with history."""
    limit = f"at most {check.max_share:.1%} of {check.rows:,} rows differ"
    value, passed, rows = None, False, None
    try:
        retrieval = resolve(call.project, service.references)
        sample = sample_rows(call, retrieval, check.rows, start, end)
        compared = compare(call, retrieval, sample)
    except StoreError:
        raise
    except FeaturePlatformError as error:
        message = str(error)
    else:
        rows = compared.rows
        if rows:
            value = compared.mismatches / (rows * len(compared.features))
            passed = value <= check.max_share
        message = _parity_message(compared)
    return CheckResult.of(
        check,
        view=service.name,
        name=check.label,
        passed=passed,
        value=value,
        limit=limit,
        message=message,
        rows=rows,
    )


def _parity_message(compared: Comparison) -> str:
    if not compared.rows:
        return "There are no rows to compare."
    if not compared.mismatches:
        return f"{compared.rows:,} rows match history."
    counts = ", ".join(f"{n} {count:,}" for n, count in compared.features.items() if count)
    first = compared.examples[0]
    return (
        f"{compared.rows:,} rows compared; differing values: {counts}. First: {first.feature} of "
        f"{dict(first.entity)}: served {first.online!r} ({first.status.value}), in history "
        f"{first.offline!r}."
    )


def _has_history(call: Call, view: FeatureView) -> bool:
    try:
        return table_of(call.project, view).source is not None
    except FeaturePlatformError:  # what it refers to is gone: that is a problem to report
        return True


class _ViewWindow:
    """The checks of one view over one window, measured in one pass."""

    def __init__(
        self, call: Call, view: FeatureView, start: datetime | None, end: datetime
    ) -> None:
        self._call = call
        self._view = view
        self._start = start
        self._end = end
        self._checks = declared_checks(view)
        self._columns = {f"{f.name}_{c.label}": f.name for f in view.fields for c in f.checks}
        self._measured: dict[Measure, int | None] = {}

    def results(self) -> Iterator[CheckResult]:
        schema = self._checks[SCHEMA]
        try:
            table = table_of(self._call.project, self._view)
            self._measured = self._measure(table)
        except (SchemaError, RequestError) as error:
            yield self._result(SCHEMA, schema, None, "as declared", str(error), passed=False)
            return
        yield self._result(SCHEMA, schema, None, "as declared", "", passed=True)
        for name, check in self._checks.items():
            if isinstance(check, Drift):
                yield self._drift(table, check)
            elif name != SCHEMA:
                yield self._judged(name, check)

    @property
    def _rows(self) -> int:
        return int(self._measured.get(_ROWS) or 0)

    def _measure(self, table: Table) -> dict[Measure, int | None]:
        needed = [_ROWS, _NEWEST]
        for name, check in self._checks.items():
            measure = _measure_of(check, self._columns.get(name, ""))
            needed += [measure] if measure else []
        offline = self._call.stores.offline
        values = offline.measure(table, needed, self._start, self._end)
        return dict(zip(needed, values, strict=True))

    def _judged(self, name: str, check: Check) -> CheckResult:
        rows = self._rows
        if isinstance(check, RowCount):
            most = "" if check.max is None else f" and at most {check.max:,}"
            limit = f"at least {check.min:,}{most} rows"
            passed = rows >= check.min and (check.max is None or rows <= check.max)
            return self._result(name, check, rows, limit, f"{rows:,} rows.", passed=passed)
        if isinstance(check, Fresh):
            return self._fresh(name, check)
        measure = _measure_of(check, self._columns.get(name, ""))
        count = int(self._measured[measure] or 0) if measure else 0
        most_share = check.max_share if isinstance(check, NotNull) else 0.0
        share = count / rows if rows else 0.0
        limit = _limit(check)
        message = f"{count:,} of {rows:,} rows are not {limit}."
        return self._result(name, check, share, limit, message, passed=share <= most_share)

    def _fresh(self, name: str, check: Fresh) -> CheckResult:
        newest, limit = self._measured[_NEWEST], f"newest row within {check.within}"
        if newest is None:
            return self._result(name, check, None, limit, "There are no rows.", passed=False)
        age = self._end - from_microseconds(newest)
        message = f"The newest row is {age} old at {self._end:%F %T}Z."
        passed = age <= check.within
        return self._result(name, check, age.total_seconds(), limit, message, passed=passed)

    def _drift(self, table: Table, check: Drift) -> CheckResult:
        name, limit = check.label, f"{check.method} at most {check.max}"
        start = earlier(self._end, check.reference) if self._start is None else self._start
        reference, window = (earlier(start, check.reference), start), (start, self._end)
        offline = self._call.stores.offline
        try:
            histogram = offline.histogram(table, check.feature, reference, window, check.bins)
        except RequestError as error:
            return self._result(name, check, None, limit, str(error), passed=False)
        if not sum(histogram.reference) or not sum(histogram.window):
            message = "Nothing to compare: the reference or the window has no rows."
            return self._result(name, check, None, limit, message, passed=True)
        value = (psi if check.method == "psi" else js_distance)(histogram)
        message = (
            f"The {check.method} of {check.feature!r} is {value:.3f} against the "
            f"{check.reference} before {start:%F %T}Z."
        )
        result = self._result(name, check, value, limit, message, passed=value <= check.max)
        return replace(result, histogram=histogram)

    def _result(
        self,
        name: str,
        check: Check,
        value: float | None,
        limit: str,
        message: str,
        *,
        passed: bool,
    ) -> CheckResult:
        return CheckResult.of(
            check,
            view=self._view.name,
            name=name,
            passed=passed,
            value=value,
            limit=limit,
            message=message,
            rows=self._rows if self._measured else None,
        )


def _measure_of(check: Check, column: str) -> Measure | None:
    match check:
        case NotNull():
            return Measure("nulls", column)
        case Between():
            return Measure("outside", column, low=check.min, high=check.max)
        case OneOf():
            return Measure("others", column, values=check.values)
        case UniqueRows():
            return Measure("duplicates")
    return None


def _limit(check: Check) -> str:
    match check:
        case NotNull():
            return f"present, except {check.max_share:.1%}" if check.max_share else "present"
        case Between():
            low = "" if check.min is None else f"{check.min} ≤ "
            high = "" if check.max is None else f" ≤ {check.max}"
            return f"in {low}value{high}"
        case OneOf():
            return f"among {len(check.values)} values"
    return "unique"


def psi(histogram: Histogram) -> float:
    """Return the population stability index of two distributions.

    Example:
        >>> round(psi(Histogram(("a", "b"), (50, 50), (80, 20))), 3)
        0.416
    """
    return sum((q - p) * log(q / p) for p, q in _shares(histogram, _LEAST_SHARE))


def js_distance(histogram: Histogram) -> float:
    """Return the Jensen-Shannon distance of two distributions, 0 to 1.

    Example:
        >>> js_distance(Histogram(("a", "b"), (10, 0), (0, 10)))
        1.0
    """
    total = 0.0
    for p, q in _shares(histogram, 0.0):
        mean = (p + q) / 2
        total += sum(share * log2(share / mean) for share in (p, q) if share) / 2
    return sqrt(max(total, 0.0))


def _shares(histogram: Histogram, least: float) -> Iterator[tuple[float, float]]:
    totals = sum(histogram.reference), sum(histogram.window)
    for p, q in zip(histogram.reference, histogram.window, strict=True):
        if p or q:
            yield max(p / totals[0], least), max(q / totals[1], least)
