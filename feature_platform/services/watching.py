"""Watch the registry: the commits since a cursor that concern somebody."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from feature_platform.definitions import FeatureService, kinds
from feature_platform.errors import LogReplacedError, RequestError, check_type, did_you_mean
from feature_platform.governance import Change
from feature_platform.project import Cursor, Key, ProjectSnapshot, Snapshot, upstream
from feature_platform.project.snapshot import State
from feature_platform.registry import Commit
from feature_platform.services.stores import Call


@dataclass(frozen=True)
class Interest:
    """Which changes somebody wants to know of; empty conditions hold for all.

    Attributes:
        kinds: Kinds of objects, such as `feature_view`.
        names: Names of objects.
        owners: Owners of the commits.
        reads: A feature service: what it reads at the time of a commit, directly or not and from
            other projects, too, and the service itself.

    Raises:
        RequestError: There is no such kind.
    """

    kinds: Collection[str] = ()
    names: Collection[str] = ()
    owners: Collection[str] = ()
    reads: str = ""

    def __post_init__(self) -> None:
        for name in ("kinds", "names", "owners"):
            if isinstance(value := getattr(self, name), str):  # of which each letter would be one
                object.__setattr__(self, name, (value,))
        for kind in self.kinds:
            if kind not in kinds():
                hint = did_you_mean(kind, kinds())
                raise RequestError(f"kinds: {kind!r} is not a kind of object.{hint}")


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
    check_type(since, Cursor, "since")
    project, cursor = call.project, call.project.snapshot.cursor
    if since == cursor:
        return Watched((), cursor)
    registry = call.stores.registry
    if since.version and _was_replaced(call, since):
        # An empty one may be away for a moment; what comes after the cursor is still news then.
        return Watched((), cursor if cursor.version else since, is_replaced=True)
    # What is newer than the cursor is news of the next watch. A service may read other projects.
    history = registry.history(
        project=None if interest.reads else project.name, after=since.version
    )
    commits = [commit for commit in history if commit.version <= cursor.version]
    if interest.reads:
        news = _read_by(interest.reads, project, registry.snapshot(since.version), commits)
    else:
        news = ((commit, list(commit.plan.changes)) for commit in commits)
    concerned = ((c, tuple(_of_interest(c, changes, interest))) for c, changes in news)
    return Watched(tuple((c, changes) for c, changes in concerned if changes), cursor)


def _was_replaced(call: Call, since: Cursor) -> bool:
    cursor = call.project.snapshot.cursor
    if cursor.log_id != since.log_id or cursor.version < since.version:
        return True
    try:
        return call.stores.registry.snapshot(since.version).cursor != since
    except LogReplacedError:
        return True


def _read_by(
    service: str, project: ProjectSnapshot, before: Snapshot, commits: Iterable[Commit]
) -> Iterator[tuple[Commit, list[Change]]]:
    """Yield commits with their changes of a service, and of what it read before or after them.

    Each commit is judged by the registry at its time: whether it concerns the service does not
    depend on how many commits a watch sees at once.
    """
    state = State(before)
    read = _reads(service, replace(project, snapshot=before, memo={}))
    for commit in commits:
        state.change(commit.plan.entries(commit.version), commit.at)
        touched = {commit.plan.key(change) for change in commit.plan.changes}
        if not touched & read:
            continue
        after = replace(before, entries=state.entries)
        now_read = _reads(service, replace(project, snapshot=after, memo={}))
        concerned = read | now_read
        yield commit, [c for c in commit.plan.changes if commit.plan.key(c) in concerned]
        read = now_read


def _reads(service: str, project: ProjectSnapshot) -> set[Key]:
    """Return a service and what it reads, directly or not."""
    definition = project.look_up(FeatureService, service)
    keys = set() if definition is None else {*upstream(project, definition)}
    return keys | {Key(project.name, FeatureService.kind, service)}


def _of_interest(commit: Commit, changes: Iterable[Change], interest: Interest) -> Iterator[Change]:
    if interest.owners and commit.plan.owner not in interest.owners:
        return
    for change in changes:
        is_of_kind = not interest.kinds or change.kind in interest.kinds
        if is_of_kind and (not interest.names or change.name in interest.names):
            yield change
