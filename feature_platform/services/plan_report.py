"""Plan reports: effects, problems and costs of a plan before it is applied."""

from collections.abc import Iterator
from dataclasses import dataclass

from feature_platform.definitions import FeatureView
from feature_platform.errors import FeaturePlatformError, Problem
from feature_platform.governance import Contracts, Effect, Plan, PlanContext, check
from feature_platform.offline import OfflineStore
from feature_platform.online import OnlineStore, Window, unreadable_features
from feature_platform.project import Advisory, Project, advisories, table_of
from feature_platform.table import Table


@dataclass(frozen=True)
class Reload:
    """An online table that must be reloaded.

    Attributes:
        view: The view.
        reason: Why.
        windows: The loaded time ranges.
        rows: Rows of history in them; `None` if the source cannot be read.
    """

    view: str
    reason: str
    windows: tuple[Window, ...]
    rows: int | None


@dataclass(frozen=True)
class PlanReport:
    """Effects of a plan, and the problems that block it.

    Attributes:
        plan: The plan.
        problems: Broken rules; empty if the plan can be committed.
        effects: What changes for each reader, whoever owns it.
        advisories: Deprecations and breakages that affect the owner's objects.
        reloads: Online tables to reload.
    """

    plan: Plan
    problems: tuple[Problem, ...]
    effects: tuple[Effect, ...]
    advisories: tuple[Advisory, ...]
    reloads: tuple[Reload, ...]


def report(
    context: PlanContext, offline: OfflineStore | None, online: OnlineStore | None
) -> PlanReport:
    """Report a plan's effects and problems.

    Args:
        context: The plan, and the project before and after it.
        offline: Where history is, to count rows; `None` if it cannot be read from here.
        online: Where the newest values are, to know what was loaded; `None` without one.
    """
    plan = context.plan
    problems = check(context)
    if any(problem.rule == "form" for problem in problems):
        return PlanReport(plan, problems, (), (), ())
    reported = {problem.subject for problem in problems}
    return PlanReport(
        plan,
        problems,
        tuple(Contracts(context).effects()),
        tuple(a for a in advisories(context.after, plan.owner) if a.subject not in reported),
        tuple(_reloads(context, offline, online)) if online else (),
    )


def _reloads(
    context: PlanContext, offline: OfflineStore | None, online: OnlineStore
) -> Iterator[Reload]:
    for name in sorted(Contracts(context).altered_views()):
        old, new = _online_table(context.before, name), _online_table(context.after, name)
        reason = _reason(old, new) if old and new else ""
        windows = tuple(online.windows(old)) if old and reason else ()
        if new and windows:
            yield Reload(name, reason, windows, _count(offline, new, windows))


def _online_table(project: Project, name: str) -> Table | None:
    view = project.look_up(FeatureView, name)
    if view is None or not view.online:
        return None
    try:
        return table_of(project, view)
    except FeaturePlatformError:  # it refers to an unregistered object, which is a problem itself
        return None


def _reason(old: Table, new: Table) -> str:
    if old.identity != new.identity:
        return "its keys change, so its rows move to a new table"
    if old.ledger != new.ledger:
        return "its source changes"
    added = unreadable_features(old.layout, new.layout)
    return f"{', '.join(added)} would be null until then" if added else ""


def _count(offline: OfflineStore | None, table: Table, windows: tuple[Window, ...]) -> int | None:
    if offline is None or table.source is None:
        return None
    try:
        return sum(offline.count(table, window.start, window.end) for window in windows)
    except FeaturePlatformError:
        return None
