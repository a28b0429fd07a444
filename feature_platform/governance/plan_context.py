"""The input of rules: a plan, and the project before and after it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Self

from feature_platform.definitions import Definition
from feature_platform.errors import Problem
from feature_platform.governance.plan import Change, Plan
from feature_platform.project import ProjectSnapshot, Snapshot
from feature_platform.types.times import MAX_AHEAD, later

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class PlanContext:
    """A plan at the time of its commit.

    Attributes:
        plan: The plan.
        before: The project before the plan.
        after: The project after the plan.
        now: Time of the writer's clock; rules compare dates with it.
        at: Timestamp of the commit. It is later than its parent's, unless the parent's clock was
            wrong.
    """

    plan: Plan
    before: ProjectSnapshot
    after: ProjectSnapshot
    now: datetime
    at: datetime

    @classmethod
    def of(
        cls, plan: Plan, snapshot: Snapshot, now: datetime, *, present: datetime | None = None
    ) -> Self:
        """Apply a plan to a snapshot in memory.

        Args:
            plan: The plan.
            snapshot: The snapshot.
            now: Time of the writer's clock.
            present: Time of the registry's clock, to detect a snapshot from the future.
        """
        at = max(now, later(snapshot.at, _MILLISECOND))
        if present and snapshot.at - max(now, present) > MAX_AHEAD:
            at = now
        after = snapshot.with_entries(plan.entries(snapshot.version + 1), at)
        before = ProjectSnapshot(snapshot, plan.project, now)
        return cls(plan, before, ProjectSnapshot(after, plan.project, now), now, at)

    @cached_property
    def changed(self) -> tuple[tuple[Change, Definition], ...]:
        """Created and updated objects."""
        changes = [change for change in self.plan.changes if change.after is not None]
        return tuple((change, self.plan.definition(change)) for change in changes)


def problem_of(rule: str, change: Change, message: str, missing: str | None = None) -> Problem:
    return Problem(rule=rule, subject=change.subject, message=message, missing=missing)
