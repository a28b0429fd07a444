"""Examining a log: what is wrong with it, and what of it can be saved."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from feature_platform.errors import ConflictError, CorruptLogError, NotFoundError
from feature_platform.governance import PlanContext, check
from feature_platform.project import Snapshot
from feature_platform.registry.backup import import_records
from feature_platform.registry.checkpoint import Checkpoint
from feature_platform.registry.commit import read_commit, replay, utc_now
from feature_platform.registry.logs import CommitLog

_CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a log.

    Attributes:
        version: The commit concerned.
        message: What is wrong.
        damage: Whether the log cannot be read past it. Otherwise it is only suspicious.
    """

    version: int
    message: str
    damage: bool = True


@dataclass(frozen=True)
class Report:
    """What an examination found.

    Attributes:
        good: The records that verify, from the first one.
        stored: The highest number that anything is stored under.
        findings: What is wrong.
    """

    good: tuple[bytes, ...]
    stored: int
    findings: tuple[Finding, ...]

    @property
    def is_damaged(self) -> bool:
        """Whether commits cannot be read."""
        return any(finding.damage for finding in self.findings)


def examine(log: CommitLog) -> Report:
    """Read a log from its beginning, and everything about it that can be checked.

    Commits that the rules would refuse, although the chain is whole, were written by a program
    that does not keep them; they are reported, too.

    Raises:
        StoreError: The backend cannot be read.
    """
    records = log.read(0)
    stored = max(log.last(), len(records))
    snapshot, findings, ids = Snapshot(), list[Finding](), set[str]()
    good = 0
    for record in records:
        try:
            commit = read_commit(record, after=good)
            after = replay(snapshot, [record])
            problems = check(PlanContext.of(commit.plan, snapshot, commit.at))
        except CorruptLogError as error:
            findings.append(Finding(good + 1, str(error)))
            break
        snapshot = after
        good += 1
        if commit.commit_id in ids:
            findings.append(Finding(good, f"commit id {commit.commit_id} occurs twice", False))  # noqa: FBT003
        ids.add(commit.commit_id)
        findings += [Finding(good, f"breaks the rules: {p}", damage=False) for p in problems]
    if snapshot.at > utc_now() + _CLOCKS_DIFFER:
        message = f"it is dated {snapshot.at:%F %T}Z, which is to come: a writer's clock was ahead"
        findings.append(Finding(good, message, damage=False))
    if good == len(records) < stored:
        message = f"commit {good + 1} is missing, and commits up to {stored} are there"
        findings.append(Finding(good + 1, message))
    findings += _about_checkpoints(log, records[:good])
    return Report(tuple(records[:good]), stored, tuple(findings))


def compare(report: Report, backup: Sequence[bytes], log: CommitLog) -> Report:
    """Add what a backup of the same registry shows to be lost.

    Raises:
        ConflictError: The backup is of another registry.
    """
    _check_same(report.good, backup, log)
    if len(backup) <= len(report.good):
        return report
    message = f"the backup goes on to version {len(backup)}: commits were lost"
    return replace(report, findings=(*report.findings, Finding(len(report.good) + 1, message)))


def _check_same(good: Sequence[bytes], backup: Sequence[bytes], log: CommitLog) -> None:
    shared = min(len(good), len(backup))
    if list(backup[:shared]) != list(good[:shared]):
        raise ConflictError(f"The backup is of another registry than {log}.")


def _about_checkpoints(log: CommitLog, records: Sequence[bytes]) -> list[Finding]:
    stored = log.checkpoint()
    if stored is None:
        return []
    checkpoint = Checkpoint.read(stored)
    if checkpoint is None:
        message = "the newest checkpoint is damaged; it is ignored"
        return [Finding(len(records), message, damage=False)]
    version = checkpoint.cursor.version
    if version > len(records):
        message = f"there is a checkpoint of version {version}: later commits were lost"
        return [Finding(len(records) + 1, message, damage=False)]
    if checkpoint.snapshot(records[version - 1]) != replay(Snapshot(), records[:version]):
        message = "the checkpoint is not the state its commits lead to; it is ignored"
        return [Finding(version, message, damage=False)]
    return []


def repair(log: CommitLog, target: CommitLog, backup: Sequence[bytes] = ()) -> tuple[int, int]:
    """Write what verifies into another log, and leave the damaged one as it is.

    Args:
        log: The damaged log.
        target: An empty log.
        backup: Records of a backup of the same registry, to go on where the log breaks off.

    Returns:
        How many commits came from the log, and how many more from the backup.

    Raises:
        NotFoundError: Not even the first commit verifies.
        ConflictError: The target is the damaged log or is not empty, or the backup is of another
            registry.
    """
    if str(log) == str(target) or target.read(0, 1):
        raise ConflictError(f"Registry {target} is not empty; repair into a new one.")
    good = examine(log).good
    _check_same(good, backup, log)
    records = [*good, *backup[len(good) :]]
    if not records:
        raise NotFoundError(f"Registry {log}: no commit verifies, so there is nothing to save.")
    import_records(records, target)
    return len(good), len(records) - len(good)
