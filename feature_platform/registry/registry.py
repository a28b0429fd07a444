"""Reading and changing the registry."""

import random
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from feature_platform.errors import (
    ConflictError,
    CorruptLogError,
    NotFoundError,
    Problem,
    RefusedError,
)
from feature_platform.registry.commit import Commit, read_commit, replay, utc_now
from feature_platform.registry.logs import CommitLog
from feature_platform.registry.plan import Plan
from feature_platform.registry.rules import check
from feature_platform.registry.snapshot import Snapshot

_DEADLINE_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 1.0


class Registry:
    """All objects of all projects, with their history.

    Args:
        log: Where commits are kept.
        now: The clock that stamps commits.
    """

    def __init__(self, log: CommitLog, *, now: Callable[[], datetime] = utc_now) -> None:
        self._log = log
        self._now = now
        self._newest = Snapshot()
        self._lock = Lock()

    def snapshot(self) -> Snapshot:
        """Return the newest state. Only commits that were not seen before are read.

        Raises:
            CorruptLogError: The log does not verify.
            StoreError: The backend cannot be read.
        """
        with self._lock:
            self._newest = replay(self._newest, self._log.read(self._newest.version))
            return self._newest

    def commit(
        self, plan: Plan, *, principal: str, client: str = "python", message: str = ""
    ) -> Commit | None:
        """Write a plan as the next commit, or nothing if it changes nothing.

        The rules are checked against the head the commit will sit on, on every attempt. Commits
        made since the plan do no harm unless they touched the same objects.

        Raises:
            RefusedError: The plan breaks a rule; every broken rule is listed.
            ConflictError: An object is no longer as the plan found it, or other writers kept the
                log busy for half a minute.
            StoreError: The backend refused; nothing was written.
            UnknownOutcomeError: The backend never said whether the commit landed.
        """
        if plan.owner != principal:
            message = f"it was made for {plan.owner!r} and cannot be committed by {principal!r}."
            problem = Problem("ownership", "the plan", message)
            raise RefusedError(plan.owner, plan.project, [problem])
        commit_id = uuid.uuid4().hex
        deadline = time.monotonic() + _DEADLINE_SECONDS
        pause = _FIRST_PAUSE_SECONDS
        while plan:
            head = self.snapshot()
            _check_unchanged(plan, head)
            if problems := check(plan, head):
                raise RefusedError(plan.owner, plan.project, problems)
            commit = _next(
                head,
                plan,
                commit_id=commit_id,
                at=max(self._now(), head.at + timedelta(milliseconds=1)),
                principal=principal,
                client=client,
                message=message,
            )
            if self._log.append(commit.version, commit.to_bytes()) or self._landed(commit):
                return commit
            if time.monotonic() > deadline:
                raise ConflictError(
                    f"Other writers kept the registry busy for {_DEADLINE_SECONDS:.0f} seconds. "
                    "Nothing was written; try again."
                )
            time.sleep(random.uniform(0, pause))  # noqa: S311 - full jitter, not a secret
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        return None

    def history(self, *, project: str | None = None, after: int = 0) -> list[Commit]:
        """Return commits newer than version `after`, oldest first."""
        records = self._log.read(after)
        commits = [read_commit(r, after=after + i) for i, r in enumerate(records)]
        return [c for c in commits if project in (None, c.plan.project)]

    def show(self, version: int) -> Commit:
        """Return one commit.

        Raises:
            NotFoundError: The registry has no such version.
        """
        records = self._log.read(version - 1) if version > 0 else []
        if not records:
            head = self.snapshot().version
            raise NotFoundError(f"The registry has versions 1 to {head}, but no {version}.")
        return read_commit(records[0], after=version - 1)

    def _landed(self, commit: Commit) -> bool:
        """Say whether the record that took the slot is this commit after all."""
        records = self._log.read(commit.version - 1)
        if not records:
            raise CorruptLogError(
                f"The registry's log ends before version {commit.version - 1}, which was read from "
                "it before: it was restored or truncated. Nothing was written; open it again."
            )
        return records[0] == commit.to_bytes()


def _next(head: Snapshot, plan: Plan, **stamp: Any) -> Commit:
    version = head.version + 1
    return Commit(
        log_id=head.cursor.log_id or uuid.uuid4().hex,
        version=version,
        parent_id=head.cursor.commit_id,
        parent_sha256=head.sha256,
        plan=plan,
        state=f"{head.with_entries(plan.entries(version)).digest:064x}",
        **stamp,
    )


def _check_unchanged(plan: Plan, head: Snapshot) -> None:
    stale = []
    for change, (key, _) in zip(plan.changes, plan.entries(), strict=True):
        entry = head.entries.get(key)
        if (entry.body if entry else None) != change.before:
            who = f"by {entry.owner!r} in version {entry.version}" if entry else "away"
            stale.append(f"{key} ({who})")
    if stale:
        raise ConflictError(
            f"Changed since the plan was made at version {plan.version}: {', '.join(stale)}. "
            "Nothing was written; plan again."
        )
