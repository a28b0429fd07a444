"""A whole registry in one file, and a registry from such a file."""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from feature_platform.errors import ConflictError, CorruptLogError
from feature_platform.project import Snapshot
from feature_platform.registry.commit import read_commit, replay
from feature_platform.registry.logs import CommitLog

_END = b"end "


def export_records(records: Sequence[bytes]) -> Iterator[bytes]:
    """Yield a backup's lines: each commit as it is stored, two lines, and a line that ends it.

    The last line counts the commits and hashes them all, so a backup that was cut short is noticed.
    """
    total = sha256()
    for record in records:
        total.update(record)
        yield record + b"\n"
    yield _END + f"{len(records)} {total.hexdigest()}\n".encode()


def read_export(content: bytes) -> list[bytes]:
    """Return the records of a backup.

    Raises:
        CorruptLogError: The backup is damaged, cut short, or not a backup.
    """
    lines = content.split(b"\n")
    if len(lines) < 2 or not lines[-2].startswith(_END) or lines[-1]:  # noqa: PLR2004
        raise CorruptLogError("The backup has no last line: it was cut short, or is no backup.")
    pairs = zip(lines[:-2:2], lines[1:-2:2], strict=False)
    records = [body + b"\n" + line for body, line in pairs]
    total = sha256(b"".join(records)).hexdigest()
    if len(lines[:-2]) % 2 or lines[-2] != _END + f"{len(records)} {total}".encode():
        raise CorruptLogError("The backup was altered: its commits do not match its last line.")
    replay(Snapshot(), records)
    return records


def import_records(records: Sequence[bytes], log: CommitLog) -> int:
    """Write a backup's records into a log that is empty, or holds a beginning of them.

    An import that was interrupted can be repeated.

    Returns:
        How many were added.

    Raises:
        ConflictError: The log has other commits.
        StoreError: The log cannot be written; what was added stays.
    """
    present = log.read(0)
    if present != list(records[: len(present)]):
        raise ConflictError(
            f"Registry {log} already has {len(present)} commits, which are not the beginning of "
            "the backup. Import into an empty one: nothing is ever overwritten."
        )
    for number, record in enumerate(records[len(present) :], len(present) + 1):
        commit = read_commit(record, after=number - 1)
        if not log.append(number, commit.commit_id, record):
            raise ConflictError(f"Registry {log}: somebody else wrote commit {number} meanwhile.")
    return len(records) - len(present)
