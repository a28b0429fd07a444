"""Reviews: everything a person wants to know about a plan before it is applied."""

from collections.abc import Iterator
from dataclasses import dataclass

from feature_platform.definitions import FeatureView
from feature_platform.errors import FeaturePlatformError, Problem
from feature_platform.offline import OfflineStore
from feature_platform.online import OnlineStore, Window, unreadable
from feature_platform.registry import (
    Contracts,
    Effect,
    Notice,
    Plan,
    Proposal,
    Snapshot,
    check,
    notices,
)
from feature_platform.resolve import table_of
from feature_platform.table import Table


@dataclass(frozen=True)
class Backfill:
    """An online table that has to be loaded again.

    Attributes:
        view: The view.
        reason: Why.
        windows: What was loaded.
        rows: How many rows of history these windows hold; `None` if the source cannot be read.
    """

    view: str
    reason: str
    windows: tuple[Window, ...]
    rows: int | None


@dataclass(frozen=True)
class Review:
    """What a plan does, and what speaks against it.

    Attributes:
        plan: The plan.
        problems: Why it would be refused; none if it may be committed.
        effects: What happens to each reader of what it changes, whoever owns the reader.
        notices: Deprecations that concern the owner's objects, as they would be.
        backfills: Online tables that would have to be loaded again.
    """

    plan: Plan
    problems: tuple[Problem, ...]
    effects: tuple[Effect, ...]
    notices: tuple[Notice, ...]
    backfills: tuple[Backfill, ...]


def review(proposal: Proposal, offline: OfflineStore | None, online: OnlineStore | None) -> Review:
    """Look at a plan from every side.

    Args:
        proposal: The plan and the registry it would sit on.
        offline: Where history is, to count rows; `None` if it cannot be read from here.
        online: Where the newest values are, to know what was loaded; `None` without one.
    """
    plan = proposal.plan
    problems = check(proposal)
    malformed = any(problem.rule == "form" for problem in problems)
    told = {problem.subject for problem in problems}
    known = () if malformed else notices(proposal.after, plan.project, plan.owner)
    return Review(
        plan,
        problems,
        () if malformed else tuple(Contracts(proposal).effects()),
        tuple(notice for notice in known if notice.subject not in told),
        () if malformed or not online else tuple(_backfills(proposal, offline, online)),
    )


def _backfills(
    proposal: Proposal, offline: OfflineStore | None, online: OnlineStore
) -> Iterator[Backfill]:
    for name in sorted(Contracts(proposal).altered_views()):
        old = _online_table(proposal.before, proposal.plan.project, name)
        new = _online_table(proposal.after, proposal.plan.project, name)
        reason = _reason(old, new) if old and new else ""
        windows = tuple(online.windows(old)) if old and reason else ()
        if new and windows:
            yield Backfill(name, reason, windows, _count(offline, new, windows))


def _online_table(snapshot: Snapshot, project: str, name: str) -> Table | None:
    entry = snapshot.find(project, FeatureView.kind, name)
    view = entry.definition if entry else None
    if not isinstance(view, FeatureView) or not view.online:
        return None
    try:
        return table_of(snapshot, project, view)
    except FeaturePlatformError:  # it refers to what is not there, which is a problem by itself
        return None


def _reason(old: Table, new: Table) -> str:
    if old.identity != new.identity:
        return "other keys are another table"
    if old.ledger != new.ledger:
        return "its rows come from elsewhere"
    added = unreadable(old.layout, new.layout)
    return f"{', '.join(added)} would read null until then" if added else ""


def _count(offline: OfflineStore | None, table: Table, windows: tuple[Window, ...]) -> int | None:
    if offline is None or table.history is None:
        return None
    try:
        return sum(offline.count(table, window.start, window.end) for window in windows)
    except FeaturePlatformError:
        return None
