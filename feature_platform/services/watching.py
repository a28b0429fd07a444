"""Watch the registry: the commits since a cursor that concern somebody."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from feature_platform.definitions import FeatureService
from feature_platform.errors import LogReplacedError
from feature_platform.governance import Change
from feature_platform.project import Cursor, Key, ProjectSnapshot, upstream
from feature_platform.registry import Commit
from feature_platform.services.stores import Call


@dataclass(frozen=True)
class Interest:
    """Which changes somebody wants to know of; empty conditions hold for all.

    Attributes:
        kinds: Kinds of objects, such as `feature_view`.
        names: Names of objects.
        owners: Owners of the commits.
        reads: A feature service: what it reads, directly or not, and the service itself.
    """

    kinds: Collection[str] = ()
    names: Collection[str] = ()
    owners: Collection[str] = ()
    reads: str = ""


@dataclass(frozen=True)
class Watched:
    """What happened since a cursor.

    Attributes:
        commits: Commits with changes of interest, oldest first, and these changes.
        cursor: The newest commit; the next watch starts there.
        is_replaced: Whether the log was replaced or restored: what happened in between is unknown.
    """

    commits: tuple[tuple[Commit, tuple[Change, ...]], ...]
    cursor: Cursor
    is_replaced: bool = False


def watch(call: Call, since: Cursor, interest: Interest) -> Watched:
    """Return the commits to the project since a cursor that concern somebody.

    Args:
        call: The call.
        since: Where the last watch ended.
        interest: Which changes count.
    """
    project, cursor = call.project, call.project.snapshot.cursor
    if since == cursor:
        return Watched((), cursor)
    registry = call.stores.registry
    if since.version and _was_replaced(call, since):
        return Watched((), cursor, is_replaced=True)
    before = ProjectSnapshot(registry.snapshot(since.version), project.name, call.now)
    read = _read_by(interest.reads, before, project) if interest.reads else None
    commits = registry.history(project=project.name, after=since.version)
    concerned = ((c, tuple(_changes(c, interest, read))) for c in commits)
    return Watched(tuple((c, changes) for c, changes in concerned if changes), cursor)


def _was_replaced(call: Call, since: Cursor) -> bool:
    cursor = call.project.snapshot.cursor
    if cursor.log_id != since.log_id or cursor.version < since.version:
        return True
    try:
        return call.stores.registry.snapshot(since.version).cursor != since
    except LogReplacedError:
        return True


def _read_by(service: str, before: ProjectSnapshot, after: ProjectSnapshot) -> set[Key]:
    """Return what a service reads, before or after the commits, and the service."""
    keys = set()
    for project in (before, after):
        definition = project.look_up(FeatureService, service)
        if definition is not None:
            keys |= {*upstream(project, definition)}
    return keys | {Key(after.name, FeatureService.kind, service)}


def _changes(commit: Commit, interest: Interest, read: set[Key] | None) -> Iterator[Change]:
    if interest.owners and commit.plan.owner not in interest.owners:
        return
    for change in commit.plan.changes:
        is_of_kind = not interest.kinds or change.kind in interest.kinds
        is_named = not interest.names or change.name in interest.names
        if is_of_kind and is_named and (read is None or commit.plan.key(change) in read):
            yield change
