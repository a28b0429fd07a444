"""Reading and changing the registry."""

import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from threading import Lock
from time import monotonic

from feature_platform.errors import (
    BusyError,
    ConflictError,
    LogReplacedError,
    NotFoundError,
    Problem,
    RefusedError,
    RequestError,
    StoreError,
)
from feature_platform.governance import Plan, PlanContext, check
from feature_platform.governance.rules import waived
from feature_platform.project import Cursor, Key, Snapshot
from feature_platform.project.snapshot import BEGINNING
from feature_platform.registry.checkpoint import Checkpoint, is_due
from feature_platform.registry.commit import (
    LAST_VERSION,
    MAX_BYTES,
    Commit,
    broken_after,
    read_commit,
    replay,
    utc_now,
)
from feature_platform.registry.logs import LAST, CommitLog
from feature_platform.registry.saved_plan import SavedPlan

_log = logging.getLogger("feature_platform.registry")
_DEADLINE_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 1.0


class Registry:
    """All objects of all projects, with their history.

    Args:
        log: Where commits are kept.
        now: Clock for the time of commits.
        deadline_seconds: How long to go on while other writers are faster.
    """

    def __init__(
        self,
        log: CommitLog,
        *,
        now: Callable[[], datetime] = utc_now,
        deadline_seconds: float = _DEADLINE_SECONDS,
    ) -> None:
        self.log = log
        self._now = now
        self._deadline_seconds = deadline_seconds
        self._newest = Snapshot()
        self._read_at = 0.0
        self._lock = Lock()

    def close(self) -> None:
        """Close the log's connections; it opens new ones when it is used again."""
        self.log.close()

    def snapshot(self, at: int | datetime | None = None) -> Snapshot:
        """Return the newest state, or an earlier one. Only new commits are read.

        Args:
            at: A version or a time; the newest state by default.

        Raises:
            CorruptLogError: The log is damaged. Versions before the damage can be read.
            LogReplacedError: The log was swapped or restored since the last read.
            NotFoundError: The version does not exist.
            RequestError: The time has no zone.
            StoreError: The backend cannot be read.
        """
        if isinstance(at, datetime):
            at = self._version_at(at)
        if at is not None and not isinstance(at, int):
            raise RequestError(f"{at!r} is not a registry version or a time with a zone.")
        if at is not None:
            return self._earlier(at)
        with self._lock:
            if not self._newest.version:
                self._newest = self._opened()
            else:
                self._newest = self._refreshed(self._newest)
            return self._newest

    def recent(self, seconds: float) -> Snapshot:
        """Return a snapshot at most `seconds` old, for high-frequency readers.

        It contains all commits of this process. While the backend is unavailable, the last snapshot
        is returned.

        Raises:
            StoreError: The backend cannot be read, and there is no snapshot yet.
        """
        if not self._newest.version or monotonic() - self._read_at >= seconds:
            try:
                self.snapshot()
            except StoreError as error:
                if not self._newest.version:
                    raise
                _log.warning(
                    "The registry is unavailable; using version %s: %s",
                    self._newest.version,
                    error,
                )
            self._read_at = monotonic()
        return self._newest

    def commit(
        self,
        plan: Plan | SavedPlan,
        *,
        principal: str,
        client: str = "python",
        message: str = "",
        head: Snapshot | None = None,
    ) -> Commit | None:
        """Write a plan as the next commit, or nothing if it changes nothing.

        Every attempt checks the rules against the state that the commit builds on. Commits since
        the plan conflict if they changed the same objects; with a saved plan, if they changed
        anything that it depends on.

        Args:
            plan: The plan.
            principal: Who commits it.
            client: Which program commits it, for the history.
            message: Description of the commit, for the history.
            head: The newest state as the caller has just read it; the first attempt builds on it
                instead of reading the log again. The log refuses an attempt on an old state.

        Returns:
            The commit; `None` if nothing changes.

        Raises:
            RefusedError: The plan breaks rules; all problems are listed.
            ConflictError: An object changed since the plan; the commits that changed it are listed.
            LogReplacedError: The saved plan is for another log, or the log was restored.
            BusyError: Other writers kept the log busy; nothing was written.
            StoreError: The backend refused; nothing was written.
            UnknownOutcomeError: The backend did not confirm whether the commit was written.
        """
        from tenacity import Retrying, retry_if_result, stop_after_delay, wait_random_exponential

        saved = plan if isinstance(plan, SavedPlan) else None
        plan = plan.plan if isinstance(plan, SavedPlan) else plan
        if plan.owner != principal:
            reason = f"it belongs to {plan.owner!r} and cannot be committed by {principal!r}."
            problem = Problem("ownership", "the plan", reason)
            raise RefusedError(plan.owner, plan.project, [problem])
        if not plan:
            return None
        # Random pauses spread out concurrent writers.
        retrying = Retrying(
            retry=retry_if_result(lambda outcome: outcome == "taken"),
            wait=wait_random_exponential(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS),
            stop=stop_after_delay(self._deadline_seconds),
            retry_error_callback=lambda _: "taken",
        )
        stamp = {"commit_id": uuid.uuid4().hex, "client": client, "message": message}
        heads = iter([head] if head else [])
        outcome = retrying(
            lambda: self._attempt(plan, saved, next(heads, None) or self.snapshot(), stamp)
        )
        if isinstance(outcome, str):
            raise BusyError(
                f"Other writers kept the registry busy for {self._deadline_seconds:g} seconds. "
                "Nothing was written; retry."
            )
        return outcome

    def history(
        self,
        *,
        project: str | None = None,
        owner: str | None = None,
        name: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: int = 0,
    ) -> list[Commit]:
        """Return commits, oldest first.

        Args:
            project: Only commits of this project.
            owner: Only commits of this owner.
            name: Only commits that changed an object of this name.
            since: Only commits at this time or later.
            until: Only commits at this time or earlier.
            after: Only commits newer than this version.
        """
        for moment in (since, until):
            _check_aware(moment)
        self.snapshot()  # verifies the log
        return [
            commit
            for commit in self._commits(max(after, 0))
            if project in (None, commit.plan.project)
            and owner in (None, commit.plan.owner)
            and (name is None or any(change.name == name for change in commit.plan.changes))
            and (since is None or commit.at >= since)
            and (until is None or commit.at <= until)
        ]

    def show(self, version: int) -> Commit:
        """Return one commit.

        Raises:
            NotFoundError: The registry has no such version.
        """
        records = self.log.read(version - 1, 1) if 0 < version < LAST_VERSION else []
        self.snapshot()
        if not records:
            raise NotFoundError(self._no_version(version))
        return read_commit(records[0], after=version - 1)

    def changes(self, since: Cursor | str = BEGINNING) -> list[Commit]:
        """Return the commits after a point in history, oldest first; each has a `cursor`.

        Args:
            since: A cursor of a commit or a snapshot, or its text; by default the beginning.

        Raises:
            RequestError: It is not a cursor.
            LogReplacedError: The log does not contain that point: it was swapped or restored from a
                backup. Start again from `snapshot()`.
        """
        if isinstance(since, str):
            since = Cursor.parse(since)
        if not isinstance(since, Cursor):
            raise RequestError(f"{since!r} is not a registry cursor (log:version:commit).")
        self.snapshot()
        if not since.version:
            return self._commits(0)
        found = self._commits(since.version - 1)
        if not found or found[0].cursor != since:
            raise LogReplacedError(
                f"Registry {self.log} no longer contains version {since.version} (commit "
                f"{since.commit_id[:8]}): the log was swapped or restored from a backup. Read the "
                "current state, and continue from there."
            )
        return found[1:]

    def _attempt(
        self, plan: Plan, saved: SavedPlan | None, head: Snapshot, stamp: dict[str, str]
    ) -> Commit | str | None:
        """Try once: return the commit, `None` if there is nothing to do, or "taken"."""
        if _is_done(plan, head):
            return None
        self._check_unchanged(plan, saved, head)
        context = PlanContext.of(plan, head, self._now())
        if problems := check(context):
            raise RefusedError(plan.owner, plan.project, problems)
        commit = Commit(
            log_id=head.cursor.log_id or uuid.uuid4().hex,
            version=head.version + 1,
            parent_id=head.cursor.commit_id,
            parent_sha256=head.sha256,
            principal=plan.owner,
            plan=plan,
            waived=waived(context),
            at=context.at,
            state=f"{context.after.snapshot.digest:064x}",
            **stamp,
        )
        record = commit.to_bytes()
        if len(record) > MAX_BYTES:
            reason = f"its commit has {len(record):,} bytes; the maximum is {MAX_BYTES:,}."
            problem = Problem("size", "the plan", f"{reason} Apply it in parts.")
            raise RefusedError(plan.owner, plan.project, [problem])
        if not self.log.append(commit.version, commit.commit_id, record):
            return "taken"
        digest = sha256(record).hexdigest()
        self._remember(
            replace(context.after.snapshot, cursor=commit.cursor, sha256=digest, at=commit.at)
        )
        return commit

    def _remember(self, written: Snapshot) -> None:
        """Keep the state after a commit of this process, and checkpoint it if that is due."""
        with self._lock:
            if self._newest.version < written.version:
                self._newest = written
        if is_due(written.version, len(written.entries)):
            with suppress(StoreError):  # only a cache, and the commit is written
                self.log.keep(written.version, Checkpoint.of(written).to_bytes())

    def _check_unchanged(self, plan: Plan, saved: SavedPlan | None, head: Snapshot) -> None:
        moved = saved.moved(head) if saved else set[Key]()
        if saved and saved.base.version:
            # Also what was changed and changed back: an undone plan must not be applied again.
            own = {plan.key(change) for change in plan.changes}
            for commit in self.changes(saved.base):
                moved |= own & {commit.plan.key(change) for change in commit.plan.changes}
        for change in plan.changes:
            entry = head.entries.get(plan.key(change))
            if (entry.body if entry else None) != change.before:
                moved.add(plan.key(change))
        if moved:
            touched = [
                f"version {commit.version} by {commit.principal!r} at {commit.at:%F %T}Z"
                + (f" ({commit.message})" if commit.message else "")
                for commit in self._commits(plan.version)
                if moved & {commit.plan.key(change) for change in commit.plan.changes}
            ]
            names = ", ".join(str(key) for key in sorted(moved))
            cause = "; ".join(touched) or "no commit changed it: the plan was altered"
            raise ConflictError(
                f"Since the plan at version {plan.version}, {names} changed: {cause}. Nothing was "
                "written; plan again."
            )

    def _opened(self) -> Snapshot:
        """Read the log from scratch and verify that no records exist past its end."""
        start = self._from_checkpoint(LAST)
        found = replay(start, self.log.read(start.version))
        if (last := self.log.last(found.version)) > found.version:
            found = replay(found, self.log.read(found.version))  # it may have just been written
            if last > found.version:
                raise broken_after(found.version, f"is missing, but commit {last} exists")
        return found

    def _refreshed(self, known: Snapshot) -> Snapshot:
        """Read new commits, and the newest known one again, which must be unchanged."""
        records = self.log.read(known.version - 1)
        if not records or sha256(records[0]).hexdigest() != known.sha256:
            raise LogReplacedError(
                f"Registry {self.log} no longer contains version {known.version} (commit "
                f"{known.cursor.commit_id[:8]}): the log was swapped or restored from a backup. If "
                "that was intended, open the registry again."
            )
        return replay(known, records[1:])

    def _from_checkpoint(self, upto: int) -> Snapshot:
        """Return the newest checkpointed state up to a version; the empty state without one."""
        stored = self.log.checkpoint(upto)
        checkpoint = Checkpoint.read(stored) if stored else None
        if checkpoint is None or checkpoint.cursor.version > upto:
            return Snapshot()
        records = self.log.read(checkpoint.cursor.version - 1, 1)
        return (checkpoint.snapshot(records[0]) if records else None) or Snapshot()

    def _earlier(self, version: int) -> Snapshot:
        with self._lock:
            if version == self._newest.version:
                return self._newest
        if not 0 <= version < LAST_VERSION:
            raise NotFoundError(self._no_version(version))
        start = self._from_checkpoint(version) if version else Snapshot()
        found = replay(start, self.log.read(start.version, max(version - start.version, 0)))
        if found.version != version:
            raise NotFoundError(self._no_version(version))
        return found

    def _version_at(self, time_: datetime) -> int:
        _check_aware(time_)
        return max((c.version for c in self._commits(0) if c.at <= time_), default=0)

    def _commits(self, after: int) -> list[Commit]:
        records = self.log.read(after)
        return [read_commit(record, after=after + i) for i, record in enumerate(records)]

    def _no_version(self, version: int) -> str:
        return f"Version {version} does not exist. Versions go from 1 to {self.snapshot().version}."


def _check_aware(moment: datetime | None) -> None:
    if moment is not None and moment.tzinfo is None:
        raise RequestError(f"{moment} has no time zone: pass an aware time.")


def _is_done(plan: Plan, head: Snapshot) -> bool:
    """Return whether the registry already agrees, as after a commit that was not confirmed."""
    if any(change.before is None and change.after is None for change in plan.changes):
        return False  # malformed: the rules report it
    held = ((head.entries.get(key), wanted) for key, wanted in plan.entries())
    return all((h and (h.owner, h.body)) == (w and (w.owner, w.body)) for h, w in held)
