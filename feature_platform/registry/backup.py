"""Export of a registry to one file, and import from it."""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from feature_platform.errors import ConflictError, CorruptLogError
from feature_platform.project import Snapshot
from feature_platform.registry.commit import read_commit, replay
from feature_platform.registry.logs import CommitLog

_END = b"end "


def export_records(records: Sequence[bytes]) -> Iterator[bytes]:
    """Yield a backup: two lines per commit, as stored, and a last line with count and checksum."""
    total = sha256()
    for record in records:
        total.update(record)
        yield record + b"\n"
    yield _END + f"{len(records)} {total.hexdigest()}\n".encode()


def read_export(content: bytes) -> list[bytes]:
    """Return the records of a backup.

    Raises:
        CorruptLogError: The file is damaged, truncated, or not a backup.
    """
    lines = content.split(b"\n")
    if len(lines) < 2 or not lines[-2].startswith(_END) or lines[-1]:  # noqa: PLR2004
        raise CorruptLogError("The file is truncated or not a backup. Use another backup.")
    pairs = zip(lines[:-2:2], lines[1:-2:2], strict=False)
    records = [body + b"\n" + line for body, line in pairs]
    total = sha256(b"".join(records)).hexdigest()
    if len(lines[:-2]) % 2 or lines[-2] != _END + f"{len(records)} {total}".encode():
        raise CorruptLogError("The backup was altered: its checksum is wrong. Use another backup.")
    replay(Snapshot(), records)
    return records


def import_records(records: Sequence[bytes], log: CommitLog) -> int:
    """Write a backup's records to a log that is empty or contains the first of them.

    An interrupted import can be retried.

    Returns:
        Number of added records.

    Raises:
        ConflictError: The log contains other commits.
        StoreError: The log cannot be written; added records remain.
    """
    existing = log.read(0)
    if existing != list(records[: len(existing)]):
        raise ConflictError(
            f"Registry {log} contains {len(existing)} commits that are not the beginning of the "
            "backup. Import into an empty registry."
        )
    for number, record in enumerate(records[len(existing) :], len(existing) + 1):
        commit = read_commit(record, after=number - 1)
        if not log.append(number, commit.commit_id, record):
            raise ConflictError(
                f"Registry {log}: another writer wrote commit {number}. Import into an empty "
                "registry that has no writers."
            )
    return len(records) - len(existing)
