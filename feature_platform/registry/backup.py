"""Export of a registry to one file, and import."""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from feature_platform.errors import ConflictError, CorruptLogError
from feature_platform.project import Snapshot
from feature_platform.registry.commit import read_commit, replay
from feature_platform.registry.logs import CommitLog

_END = b"end "


def export_records(records: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the lines of a backup: two for each stored commit, and a last line.

    The last line has the number of commits and a checksum, so a truncated backup is detected.
    """
    total = sha256()
    for record in records:
        total.update(record)
        yield record + b"\n"
    yield _END + f"{len(records)} {total.hexdigest()}\n".encode()


def read_export(content: bytes) -> list[bytes]:
    """Return the records of a backup.

    Raises:
        CorruptLogError: The backup is damaged, truncated, or not a backup.
    """
    lines = content.split(b"\n")
    if len(lines) < 2 or not lines[-2].startswith(_END) or lines[-1]:  # noqa: PLR2004
        raise CorruptLogError("The backup has no last line: it was truncated, or is not a backup.")
    pairs = zip(lines[:-2:2], lines[1:-2:2], strict=False)
    records = [body + b"\n" + line for body, line in pairs]
    total = sha256(b"".join(records)).hexdigest()
    if len(lines[:-2]) % 2 or lines[-2] != _END + f"{len(records)} {total}".encode():
        raise CorruptLogError("The backup was altered: its checksum does not match.")
    replay(Snapshot(), records)
    return records


def import_records(records: Sequence[bytes], log: CommitLog) -> int:
    """Write the records of a backup to a log that is empty, or contains the first of them.

    An interrupted import can be repeated.

    Returns:
        The number of records that were added.

    Raises:
        ConflictError: The log has other commits.
        StoreError: The log cannot be written; what was added stays.
    """
    present = log.read(0)
    if present != list(records[: len(present)]):
        raise ConflictError(
            f"Registry {log} already has {len(present)} commits, which differ from the "
            "backup. Import into an empty registry: nothing is ever overwritten."
        )
    for number, record in enumerate(records[len(present) :], len(present) + 1):
        commit = read_commit(record, after=number - 1)
        if not log.append(number, commit.commit_id, record):
            raise ConflictError(f"Registry {log}: another writer wrote commit {number}.")
    return len(records) - len(present)
