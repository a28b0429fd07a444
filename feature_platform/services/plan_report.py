"""Plan reports: effects, problems and costs of a plan before it is applied."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from feature_platform.definitions import FeatureView, View
from feature_platform.errors import FeaturePlatformError, Problem
from feature_platform.governance import Contracts, Effect, Plan, PlanContext, check
from feature_platform.offline import OfflineStore
from feature_platform.online import OnlineStore, Window, rounded_features, unreadable_features
from feature_platform.project import Advisory, ProjectSnapshot, advisories, table_of
from feature_platform.project.interface import interface_of
from feature_platform.services.models import ModelVersion
from feature_platform.table import Table
from feature_platform.types.times import earlier


@dataclass(frozen=True)
class Backfill:
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
        advisories: Deprecations and breakages that affect the owner's objects, and join keys
            without a type.
        backfills: Online tables to reload.
        models: Models that were trained on services which lose something.
    """

    plan: Plan
    problems: tuple[Problem, ...]
    effects: tuple[Effect, ...]
    advisories: tuple[Advisory, ...]
    backfills: tuple[Backfill, ...]
    models: tuple[ModelVersion, ...] = ()


def report(
    context: PlanContext, offline: Callable[[], OfflineStore], online: OnlineStore | None
) -> PlanReport:
    """Report a plan's effects and problems.

    Args:
        context: The plan, and the project before and after it.
        offline: Opens where history is, if there are rows to count.
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
        tuple(
            advisory
            for advisory in (*advisories(context.after, plan.owner), *_untyped_keys(context))
            if advisory.subject not in reported
        ),
        tuple(_backfills(context, offline, online)) if online else (),
    )


def _untyped_keys(context: PlanContext) -> Iterator[Advisory]:
    """Yield the changed views with join keys that nobody declares a type of."""
    for change, definition in context.changed:
        exposed = interface_of(context.after, definition) if isinstance(definition, View) else None
        untyped = [key for key, dtype in exposed.keys.items() if dtype is None] if exposed else []
        if untyped and isinstance(definition, FeatureView):
            keys = ", ".join(map(repr, untyped))
            yield Advisory(
                context.plan.key(change),
                f"has no type for {keys}, so 1 and '1' are different keys. Declare value_type on "
                "the entity, or the key in the schema.",
            )


def _backfills(
    context: PlanContext, offline: Callable[[], OfflineStore], online: OnlineStore
) -> Iterator[Backfill]:
    for name in sorted(Contracts(context).altered_views()):
        old, new = _online_table(context.before, name), _online_table(context.after, name)
        reason = _reason(old, new) if old and new else ""
        windows = tuple(online.windows(old)) if old and reason else ()
        if old and new and windows:
            windows = _to_load(new, old, windows)
            yield Backfill(name, reason, windows, _count(offline, new, windows))


def _online_table(project: ProjectSnapshot, name: str) -> Table | None:
    view = project.look_up(FeatureView, name)
    if view is None or not view.online:
        return None
    try:
        return table_of(project, view)
    except FeaturePlatformError:  # it refers to an unregistered object, which is a problem itself
        return None


def _reason(old: Table, new: Table) -> str:
    if old.identity != new.identity:
        return "its keys or times change, so its rows move to a new table"
    if old.source != new.source and old.content != new.content:
        return "its source changes"
    if _is_longer(new.ttl, old.ttl):
        return "its ttl grows, so older rows count"
    added = unreadable_features(old.layout, new.layout)
    if added:
        return f"{', '.join(added)} would be null until then"
    rounded = rounded_features(old.layout, new.layout)
    return f"{', '.join(rounded)} was rounded to 32 bits" if rounded else ""


def _is_longer(new: timedelta | None, old: timedelta | None) -> bool:
    return old is not None and (new is None or new > old)


def _to_load(new: Table, old: Table, windows: tuple[Window, ...]) -> tuple[Window, ...]:
    """Return the loaded windows; with a longer ttl, everything that now counts."""
    if not windows or not _is_longer(new.ttl, old.ttl):
        return windows
    end = windows[-1].end
    return (Window(min(earlier(end, new.ttl), windows[0].start), end),)


def _count(
    offline: Callable[[], OfflineStore], table: Table, windows: tuple[Window, ...]
) -> int | None:
    if table.source is None:
        return None
    try:
        return sum(offline().count(table, window.start, window.end) for window in windows)
    except FeaturePlatformError:
        return None
