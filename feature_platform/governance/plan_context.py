"""What rules look at: a plan, and the project before and after it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Self

from feature_platform.definitions import Definition
from feature_platform.errors import Problem
from feature_platform.governance.plan import Change, Plan
from feature_platform.project import Project, Snapshot

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class PlanContext:
    """A plan that may be committed at some time.

    Attributes:
        plan: The plan.
        before: The project that it would be applied to.
        after: The project as it would be.
        now: What the writer's clock says; dates in rules are compared with it.
        at: What the commit would be stamped with: later than its parent, whoever's clock was ahead.
    """

    plan: Plan
    before: Project
    after: Project
    now: datetime
    at: datetime

    @classmethod
    def of(cls, plan: Plan, snapshot: Snapshot, now: datetime) -> Self:
        """Compute what a plan leads to."""
        at = max(now, snapshot.at + _MILLISECOND)
        after = snapshot.with_entries(plan.entries(snapshot.version + 1), at)
        return cls(plan, Project(snapshot, plan.project), Project(after, plan.project), now, at)

    @cached_property
    def changed(self) -> tuple[tuple[Change, Definition], ...]:
        """What the plan creates or updates."""
        changes = [change for change in self.plan.changes if change.after is not None]
        return tuple((change, self.plan.definition(change)) for change in changes)


def problem_of(rule: str, change: Change, message: str, missing: str | None = None) -> Problem:
    """Return a problem of one change."""
    return Problem(rule=rule, subject=change.subject, message=message, missing=missing)
