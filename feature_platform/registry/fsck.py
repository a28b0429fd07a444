"""Check a log for damage, and repair it into another log."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from feature_platform.errors import ConflictError, CorruptLogError, NotFoundError
from feature_platform.governance import PlanContext, check
from feature_platform.project import Snapshot
from feature_platform.registry.backup import import_records
from feature_platform.registry.checkpoint import Checkpoint
from feature_platform.registry.commit import read_commit, replay
from feature_platform.registry.logs import CommitLog
from feature_platform.types.times import MAX_AHEAD


@dataclass(frozen=True)
class Finding:
    """A problem with a commit: damage, after which commits cannot be read, or a warning."""

    version: int
    message: str
    damage: bool = True


@dataclass(frozen=True)
class Report:
    """Valid records up to the first damaged one, highest stored number, and findings."""

    good: tuple[bytes, ...]
    stored: int
    findings: tuple[Finding, ...]

    @property
    def is_damaged(self) -> bool:
        return any(finding.damage for finding in self.findings)


def examine(log: CommitLog) -> Report:
    """Read a whole log and check everything that can be checked.

    This includes the rules, which a faulty or malicious writer may have skipped.

    Raises:
        StoreError: The backend cannot be read.
    """
    records = log.read(0)
    stored = max(log.last(), len(records))
    snapshot, findings, ids = Snapshot(), list[Finding](), set[str]()
    good, present = 0, log.time()
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
            message = f"commit id {commit.commit_id} occurs twice"
            findings.append(Finding(good, message, damage=False))
        ids.add(commit.commit_id)
        if commit.at - present > MAX_AHEAD:
            message = (
                f"its time {commit.at:%F %T}Z is in the future: check the clock of "
                f"{commit.principal!r}. Commits of others are dated right"
            )
            findings.append(Finding(good, message, damage=False))
        findings += [Finding(good, f"breaks the rules: {p}", damage=False) for p in problems]
    findings += [
        Finding(entry.version, f"{key.subject} of {key.project!r}: {fault}", damage=False)
        for key, entry in snapshot.entries.items()
        if (fault := entry.definition.fault)
    ]
    if good == len(records) < stored:
        message = f"commit {good + 1} is missing, but commits up to {stored} exist"
        findings.append(Finding(good + 1, message))
    findings += _check_checkpoint(log, records[:good])
    return Report(tuple(records[:good]), stored, tuple(findings))


def compare(report: Report, backup: Sequence[bytes], log: CommitLog) -> Report:
    """Add a finding if a backup of the same registry contains commits that the log has lost.

    Raises:
        ConflictError: The backup is of another registry.
    """
    _check_same(report.good, backup, log)
    if len(backup) <= len(report.good):
        return report
    message = f"commits up to version {len(backup)} of the backup were lost"
    return replace(report, findings=(*report.findings, Finding(len(report.good) + 1, message)))


def _check_same(good: Sequence[bytes], backup: Sequence[bytes], log: CommitLog) -> None:
    shared = min(len(good), len(backup))
    if list(backup[:shared]) != list(good[:shared]):
        raise ConflictError(f"The backup is of another registry. Pass a backup of {log}.")


def _check_checkpoint(log: CommitLog, records: Sequence[bytes]) -> list[Finding]:
    stored = log.checkpoint()
    if stored is None:
        return []
    checkpoint = Checkpoint.read(stored)
    if checkpoint is None:
        message = "the newest checkpoint is damaged and ignored"
        return [Finding(len(records), message, damage=False)]
    version = checkpoint.cursor.version
    if version > len(records):
        message = f"a checkpoint of version {version} exists: commits were lost"
        return [Finding(len(records) + 1, message, damage=False)]
    if checkpoint.snapshot(records[version - 1]) != replay(Snapshot(), records[:version]):
        message = "the newest checkpoint does not match its commits; it is ignored"
        return [Finding(version, message, damage=False)]
    return []


def repair(log: CommitLog, target: CommitLog, backup: Sequence[bytes] = ()) -> tuple[int, int]:
    """Copy the valid commits to another log. The damaged log is not changed.

    Args:
        log: The damaged log.
        target: An empty log.
        backup: Records of a backup of the same registry, for the commits after the damage.

    Returns:
        Number of commits from the log, and number of commits from the backup.

    Raises:
        NotFoundError: The first commit is damaged, and there is no backup.
        ConflictError: The target is the damaged log or is not empty, or the backup is of another
            registry.
    """
    if str(log) == str(target) or target.read(0, 1):
        raise ConflictError(f"Registry {target} is not empty; repair into a new registry.")
    good = examine(log).good
    _check_same(good, backup, log)
    records = [*good, *backup[len(good) :]]
    if not records:
        raise NotFoundError(f"Registry {log} has no valid commit. Restore it from a backup.")
    import_records(records, target)
    return len(good), len(records) - len(good)
