"""What rules look at: a plan, and the registry before and after it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from feature_platform.definitions import Definition, View
from feature_platform.errors import Problem
from feature_platform.registry.offers import view_of
from feature_platform.registry.plan import Change, Plan
from feature_platform.registry.snapshot import Snapshot

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Proposal:
    """A plan that may be committed at some time.

    Attributes:
        plan: The plan.
        before: The registry it would sit on.
        after: The registry as it would be.
        now: What the writer's clock says; dates in rules are compared with it.
        at: What the commit would be stamped with: later than its parent, whoever's clock was ahead.
    """

    plan: Plan
    before: Snapshot
    after: Snapshot
    now: datetime
    at: datetime

    @classmethod
    def of(cls, plan: Plan, snapshot: Snapshot, now: datetime) -> Self:
        """Work out what a plan leads to."""
        at = max(now, snapshot.at + _MILLISECOND)
        after = snapshot.with_entries(plan.entries(snapshot.version + 1), at)
        return cls(plan, snapshot, after, now, at)

    def changed(self) -> Iterator[tuple[Change, Definition]]:
        """Yield what the plan creates or updates."""
        for change in self.plan.changes:
            if change.after is not None:
                yield change, change.definition

    def view(self, name: str) -> View | None:
        """Return a view as it will be."""
        return view_of(self.after, self.plan.project, name)


def problem_of(rule: str, change: Change, message: str, missing: str | None = None) -> Problem:
    """Return what speaks against one change."""
    return Problem(rule=rule, subject=change.subject, message=message, missing=missing)
