"""The registry: read snapshots and commit plans."""

import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from threading import Lock
from time import monotonic

from feature_platform.definitions import feast_arguments
from feature_platform.errors import (
    BusyError,
    ClockError,
    ConflictError,
    LogReplacedError,
    NotFoundError,
    Problem,
    RefusedError,
    RequestError,
    StoreError,
    abbreviate,
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
)
from feature_platform.registry.logs import LAST, CommitLog, SigningLog
from feature_platform.registry.saved_plan import SavedPlan
from feature_platform.types.times import MAX_AHEAD, MAX_BEHIND, read_clock, utc_now

_log = logging.getLogger("feature_platform.registry")
_DEADLINE_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 1.0


class Registry:
    """All objects of all projects, with their history.

    Args:
        log: The log of commits.
        now: Clock for the timestamps of commits.
        deadline_seconds: Maximum time to retry a commit while other writers commit first.
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
        self.log.close()

    def __repr__(self) -> str:
        read = f"read to version {self._newest.version}" if self._newest.version else "not read yet"
        return f"Registry in {self.log}, {read}; snapshot() shows its objects"

    def snapshot(self, at: int | datetime | None = None) -> Snapshot:
        """Return the newest snapshot, or an earlier one. Reads only new commits.

        Args:
            at: A version or an aware time; the newest snapshot by default.

        Raises:
            CorruptLogError: The log is damaged. Versions before the damage can be read.
            LogReplacedError: The log was replaced or restored since it was last read.
            NotFoundError: The version does not exist.
            RequestError: The time has no time zone.
            StoreError: The backend cannot be read.
        """
        if isinstance(at, datetime):
            at = self._version_at(at)
        if at is not None and not isinstance(at, int):
            raise RequestError(f"{at!r} is not a registry version or a time with a time zone.")
        if at is not None:
            return self._snapshot_at(at)
        with self._lock:
            if not self._newest.version:
                self._newest = self._read_log()
            else:
                self._newest = self._read_new_commits(self._newest)
            return self._newest

    def recent(self, seconds: float) -> Snapshot:
        """Return a snapshot at most `seconds` old, for high-frequency readers.

        It includes commits of this process. If the backend cannot be read, the last snapshot is
        returned.

        Raises:
            StoreError: The backend cannot be read, and there is no last snapshot.
        """
        if not self._newest.version or monotonic() - self._read_at >= seconds:
            try:
                self.snapshot()
            except StoreError as error:
                if not self._newest.version:
                    raise
                version = self._newest.version
                _log.warning(
                    "The registry cannot be read; still serving version %s: %s", version, error
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
        commit_id: str = "",
    ) -> Commit | None:
        """Commit a plan.

        Every attempt checks the rules against the newest snapshot. Commits made since the plan are
        conflicts if they changed the same objects or, for a saved plan, its dependencies.

        Args:
            plan: The plan.
            principal: Owner who commits.
            client: Program that commits, for the history.
            message: Reason for the change, for the history.
            head: The newest snapshot, to save reading the log on the first attempt. The log
                refuses commits to an outdated snapshot.
            commit_id: Id of the commit: a call that is repeated with it writes nothing, and
                returns the commit. A new one if left out.

        Returns:
            The commit; `None` if the registry already contains the changes.

        Raises:
            RefusedError: The plan breaks rules; all of them are listed.
            ConflictError: An object changed since the plan; the commits are listed.
            LogReplacedError: The saved plan is for a log that was replaced or restored.
            BusyError: Other writers kept the log busy; nothing was written.
            StoreError: The backend failed; nothing was written.
            UnknownOutcomeError: The connection was lost, and the commit may have been written.
        """
        from tenacity import Retrying, retry_if_result, stop_after_delay, wait_random_exponential

        saved = plan if isinstance(plan, SavedPlan) else None
        plan = plan.plan if isinstance(plan, SavedPlan) else plan
        if plan.owner != principal:
            reason = f"it is a plan of {plan.owner!r}; {principal!r} cannot commit it."
            problem = Problem("ownership", "the plan", reason)
            raise RefusedError(plan.owner, plan.project, [problem])
        if not plan:
            return None
        stamp = {
            "commit_id": commit_id or uuid.uuid4().hex, "client": client, "message": message,
        }  # fmt: skip
        if isinstance(self.log, SigningLog):
            return self._send(self.log, saved or plan, stamp)
        # Random pauses spread concurrent writers out, which would otherwise collide again.
        retrying = Retrying(
            retry=retry_if_result(lambda outcome: outcome == "taken"),
            wait=wait_random_exponential(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS),
            stop=stop_after_delay(self._deadline_seconds),
            retry_error_callback=lambda _: "taken",
        )
        heads = iter([head] if head else [])

        def attempt() -> Commit | str | None:
            base = next(heads, None) or self.snapshot()
            # Read after the head: what was written since makes the attempt fail, not repeat.
            earlier = self._earlier(plan, commit_id) if commit_id else None
            return earlier or self._attempt(plan, saved, base, stamp)

        outcome = retrying(attempt)
        if isinstance(outcome, str):
            message = (
                f"Other writers kept the registry busy for {self._deadline_seconds:.0f} seconds."
            )
            raise BusyError(f"{message} Nothing was written. Retry later.")
        return outcome

    def check_clock(self, now: datetime, head: Snapshot) -> datetime:
        """Check a writer's clock against the backend's, and against the newest commit.

        Returns:
            Time of the backend's clock.

        Raises:
            ClockError: It is more than a year ahead of the backend's, or more than twenty years
                behind the commit, unless that is dated into the future itself.
        """
        present = self.log.time()
        if now - present > MAX_AHEAD:
            raise ClockError(
                f"The clock shows {now:%F %T}Z, but it is {present:%F %T}Z. Set the clock. Nothing "
                "was written."
            )
        if head.at - present <= MAX_AHEAD and head.at - now > MAX_BEHIND:
            raise ClockError(
                f"The clock shows {now:%F %T}Z, which is before the registry's newest commit, "
                f"version {head.version} at {head.at:%F %T}Z. Set the clock. Nothing was written."
            )
        return present

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
            project: Return only commits to this project.
            owner: Return only commits by this owner.
            name: Return only commits that changed an object of this name.
            since: Earliest time.
            until: Latest time.
            after: Return only versions after this one.
        """
        _check_aware(since)
        _check_aware(until)
        _check_version(after)
        self.snapshot()  # verifies the log
        return [
            commit
            for commit in self._commits(min(max(after, 0), LAST_VERSION))
            if project in (None, commit.plan.project)
            and owner in (None, commit.plan.owner)
            and (name is None or any(change.name == name for change in commit.plan.changes))
            and (since is None or commit.at >= since)
            and (until is None or commit.at <= until)
        ]

    def show(self, version: int) -> Commit:
        """Return one commit.

        Raises:
            NotFoundError: The version does not exist.
        """
        _check_version(version)
        records = self.log.read(version - 1, 1) if 0 < version < LAST_VERSION else []
        self.snapshot()
        if not records:
            raise NotFoundError(self._no_version(version))
        return read_commit(records[0], after=version - 1)

    def changes(self, since: Cursor | str = BEGINNING) -> list[Commit]:
        """Return the commits after a point in history, oldest first; each has a `cursor`.

        Args:
            since: Cursor of a commit or a snapshot, or its text; the beginning by default.

        Raises:
            RequestError: The argument is not a cursor.
            LogReplacedError: The log does not contain the cursor because it was replaced, or
                restored from an earlier backup. Restart from `snapshot()`.
        """
        if isinstance(since, str):
            since = Cursor.parse(since)
        if not isinstance(since, Cursor):
            raise RequestError(f"{since!r} is not a registry cursor (log:version:commit).")
        self.snapshot()
        if not since.version:
            return self._commits(0)
        commits = self._commits(since.version - 1)
        if not commits or commits[0].cursor != since:
            raise LogReplacedError(
                f"Registry {self.log} was replaced or restored: it does not contain version "
                f"{since.version} with commit {since.commit_id[:8]}. Read a new snapshot and "
                "continue from its cursor."
            )
        return commits[1:]

    def _send(
        self, log: SigningLog, plan: Plan | SavedPlan, stamp: dict[str, str]
    ) -> Commit | None:
        """Send a plan to the server that writes the log."""
        kind = "saved" if isinstance(plan, SavedPlan) else "plan"
        record = log.commit({kind: plan.model_dump(mode="json"), **stamp})
        return read_commit(record, after=self._newest.version) if record else None

    def _earlier(self, plan: Plan, commit_id: str) -> Commit | None:
        """Return the commit of an earlier call with the same id."""
        same = (c for c in self._commits(plan.version) if c.commit_id == commit_id)
        earlier = next(same, None)
        if earlier is not None and _content(earlier.plan) != _content(plan):
            raise ConflictError(f"The id {commit_id} belongs to another commit. Make a new one.")
        return earlier

    def _attempt(
        self, plan: Plan, saved: SavedPlan | None, head: Snapshot, stamp: dict[str, str]
    ) -> Commit | str | None:
        """Try once: return the commit, `None` if there is nothing to do, or `"taken"`."""
        if _is_applied(plan, head):
            return None
        self._check_unchanged(plan, saved, head)
        now = read_clock(self._now)
        context = PlanContext.of(plan, head, now, present=self.check_clock(now, head))
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
            reason = f"its commit is {len(record):,} bytes long; the maximum is {MAX_BYTES:,}."
            problem = Problem("size", "the plan", f"{reason} Apply it in parts.")
            raise RefusedError(plan.owner, plan.project, [problem])
        if not self.log.append(commit.version, commit.commit_id, record):
            return "taken"
        digest = sha256(record).hexdigest()
        self._store_snapshot(
            replace(context.after.snapshot, cursor=commit.cursor, sha256=digest, at=commit.at)
        )
        return commit

    def _store_snapshot(self, snapshot: Snapshot) -> None:
        with self._lock:
            if self._newest.version < snapshot.version:
                self._newest = snapshot
        if is_due(snapshot.version, len(snapshot.entries)):
            with suppress(StoreError):  # a checkpoint is a cache, and the commit is written
                self.log.keep(snapshot.version, Checkpoint.of(snapshot).to_bytes())

    def _check_unchanged(self, plan: Plan, saved: SavedPlan | None, head: Snapshot) -> None:
        changed = saved.moved(head) if saved else set[Key]()
        if saved and saved.base.version:
            # Objects that were changed and changed back count: a reverted plan is not reapplied.
            keys = {plan.key(change) for change in plan.changes}
            for commit in self.changes(saved.base):
                changed |= keys & {commit.plan.key(change) for change in commit.plan.changes}
        for change in plan.changes:
            entry = head.entries.get(plan.key(change))
            if (entry.body if entry else None) != change.before:
                changed.add(plan.key(change))
        if changed:
            commits = [
                f"version {commit.version} by {commit.principal!r} at {commit.at:%F %T}Z"
                + (f" ({commit.message})" if commit.message else "")
                for commit in self._commits(plan.version)
                if changed & {commit.plan.key(change) for change in commit.plan.changes}
            ]
            names = ", ".join(str(key) for key in sorted(changed))
            cause = "; ".join(commits) or "no commit changed it, so the plan was altered"
            raise ConflictError(
                f"The plan of version {plan.version} is outdated: {names} changed since: {cause}. "
                "Nothing was written. Plan again."
            )

    def _read_log(self) -> Snapshot:
        """Read the log from its newest checkpoint and verify that no records exist past its end."""
        start = self._from_checkpoint(LAST)
        snapshot = replay(start, self.log.read(start.version))
        if (last := self.log.last(snapshot.version)) > snapshot.version:
            # Another writer may have added it after the read.
            snapshot = replay(snapshot, self.log.read(snapshot.version))
            if last > snapshot.version:
                raise broken_after(snapshot.version, f"is missing, but commit {last} exists")
        return snapshot

    def _read_new_commits(self, cached: Snapshot) -> Snapshot:
        """Apply new commits, after verifying that the newest cached commit still exists."""
        records = self.log.read(cached.version - 1)
        if not records or sha256(records[0]).hexdigest() != cached.sha256:
            raise LogReplacedError(
                f"Registry {self.log} was replaced or restored: it no longer contains version "
                f"{cached.version} with commit {cached.cursor.commit_id[:8]}. If this was "
                "intended, restart this process; otherwise restore the log."
            )
        return replay(cached, records[1:])

    def _from_checkpoint(self, upto: int) -> Snapshot:
        """Return the newest checkpoint at or before a version; the empty snapshot if none."""
        stored = self.log.checkpoint(upto)
        checkpoint = Checkpoint.read(stored) if stored else None
        if checkpoint is None or checkpoint.cursor.version > upto:
            return Snapshot()
        records = self.log.read(checkpoint.cursor.version - 1, 1)
        return (checkpoint.snapshot(records[0]) if records else None) or Snapshot()

    def _snapshot_at(self, version: int) -> Snapshot:
        with self._lock:
            if version == self._newest.version:
                return self._newest
        if not 0 <= version < LAST_VERSION:
            raise NotFoundError(self._no_version(version))
        start = self._from_checkpoint(version) if version else Snapshot()
        snapshot = replay(start, self.log.read(start.version, max(version - start.version, 0)))
        if snapshot.version != version:
            raise NotFoundError(self._no_version(version))
        return snapshot

    def _version_at(self, time_: datetime) -> int:
        _check_aware(time_)
        return max((c.version for c in self._commits(0) if c.at <= time_), default=0)

    def _commits(self, after: int) -> list[Commit]:
        records = self.log.read(after)
        return [read_commit(record, after=after + i) for i, record in enumerate(records)]

    def _no_version(self, version: int) -> str:
        return f"The registry has versions 1 to {self.snapshot().version}; there is no {version}."


def _content(plan: Plan) -> tuple[object, ...]:
    return plan.project, plan.owner, plan.changes


feast_arguments.explain_attributes(Registry)


def _check_version(version: object) -> None:
    if not isinstance(version, int):
        raise RequestError(f"{abbreviate(version)} is not a registry version.")


def _check_aware(time_: datetime | None) -> None:
    if time_ is not None and not isinstance(time_, datetime):
        raise RequestError(f"{abbreviate(time_)} is not a time.")
    if time_ is not None and time_.tzinfo is None:
        raise RequestError(f"{time_} has no time zone. Pass an aware time, such as UTC.")


def _is_applied(plan: Plan, head: Snapshot) -> bool:
    """Return whether the registry already contains a plan, as after a lost response."""
    if any(change.before is None and change.after is None for change in plan.changes):
        return False  # an empty change; the rules report it
    pairs = ((head.entries.get(key), entry) for key, entry in plan.entries())
    return all((a and (a.owner, a.body)) == (b and (b.owner, b.body)) for a, b in pairs)
