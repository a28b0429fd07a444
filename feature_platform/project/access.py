"""Access between projects: whether a project may read or write an object of another one."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final, Literal, NamedTuple, TypeAlias

from feature_platform.definitions import (
    Acceptance,
    Entity,
    FeatureService,
    FeatureView,
    OnDemandFeatureView,
    PushSource,
    Share,
    Source,
    View,
    kinds_in,
)
from feature_platform.project.snapshot import PLATFORM, Key, Registered, Removed, Snapshot

Action: TypeAlias = Literal["read", "write"]
READER: Final = "none"
"""The owner that may only read."""


class ShareState(StrEnum):
    """How far a share between two projects is."""

    NONE = "not shared"
    REQUESTED = "requested"
    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class Grant:
    """What a project shares with another one.

    Attributes:
        owner: The project that shares.
        reader: The project that it shares with.
        state: Only an accepted share gives access.
        offer: The registered share, if there is one.
        answer: The registered acceptance or rejection, if there is one.
        revoked: The deletion of the share, if that is why there is none.
    """

    owner: str
    reader: str
    state: ShareState
    offer: Registered | None = None
    answer: Registered | None = None
    revoked: Removed | None = None

    @property
    def share(self) -> Share | None:
        definition = self.offer.definition if self.offer else None
        return definition if isinstance(definition, Share) else None

    @property
    def is_whole(self) -> bool:
        """Whether the whole store is shared."""
        return self.share is not None and not self.share.views


class Caller(NamedTuple):
    """Who wants to read or write.

    Attributes:
        project: The project of its repo.
        role: The owner that it acts for in that project; `none` may only read.
    """

    project: str
    role: str


class Decision(NamedTuple):
    """Whether an action is allowed.

    Attributes:
        allowed: Whether it is.
        reason: Why not, as the end of a sentence with the remedy.
        features: The features of a view that may be read; `None` for all.
        until: The last day on which it is allowed; `None` for no end.
    """

    allowed: bool
    reason: str = ""
    features: tuple[str, ...] | None = None
    until: date | None = None


_ALLOWED = Decision(allowed=True)


def grant(snapshot: Snapshot, owner: str, reader: str, now: datetime | None) -> Grant:
    """Return what a project shares with another one.

    Args:
        snapshot: The registry.
        owner: The project that shares.
        reader: The other project.
        now: The time of the request. Without it, a share with an end counts as expired.
    """
    offer_key = Key(owner, Share.kind, reader)
    offer = _of_platform(snapshot, offer_key)
    answer = _of_platform(snapshot, Key(reader, Acceptance.kind, owner))
    accepted = answer.definition if answer else None
    share = offer.definition if offer else None
    removed = snapshot.removed.get(offer_key)
    if not isinstance(share, Share):  # an unreadable one gives nothing
        requested = isinstance(accepted, Acceptance) and accepted.accepted
        state = ShareState.REQUESTED if requested else ShareState.NONE
        return Grant(
            owner, reader, ShareState.REVOKED if removed else state, offer, answer, removed
        )
    if share.until is not None and (now is None or now.date() > share.until):
        state = ShareState.EXPIRED
    elif not isinstance(accepted, Acceptance):
        state = ShareState.PENDING
    else:
        state = ShareState.ACCEPTED if accepted.accepted else ShareState.REJECTED
    return Grant(owner, reader, state, offer, answer)


def _of_platform(snapshot: Snapshot, key: Key) -> Registered | None:
    """Return an object if the platform has it: another owner's could only be a forged commit's."""
    entry = snapshot.entries.get(key)
    return entry if entry is not None and entry.owner == PLATFORM else None


def grants(snapshot: Snapshot, project: str, now: datetime | None) -> Iterator[Grant]:
    """Yield what a project shares and what is shared with it, including requests."""
    pairs = set()
    for key in snapshot.entries:
        if key.kind == Share.kind:
            pairs.add((key.project, key.name))
        elif key.kind == Acceptance.kind:
            pairs.add((key.name, key.project))
    for owner, reader in sorted(pairs):
        if project in {owner, reader}:
            yield grant(snapshot, owner, reader, now)


def decide(
    snapshot: Snapshot, action: Action, key: Key, caller: Caller, now: datetime | None
) -> Decision:
    """Decide whether a project may read or write an object.

    Whoever writes rows into a view, or pushes into a push source, writes that object. Definitions
    of other projects are never writable: plans cannot name them.

    Args:
        snapshot: The registry.
        action: `read` or `write`.
        key: The object. Whether it exists is not told to those who may not read it.
        caller: Who asks.
        now: The time of the request.
    """
    reader = caller.project
    if action == "write" and caller.role == READER:
        return Decision(allowed=False, reason="a repo with `team: none` may only read")
    if key.project == reader:
        return _ALLOWED
    granted = grant(snapshot, key.project, reader, now)
    share = granted.share
    if share is None or granted.state is not ShareState.ACCEPTED:
        return Decision(allowed=False, reason=_why_not(granted))
    if action == "write" and share.access != "write":
        reason = f"project {key.project!r} shares with {reader!r} for reading only"
        return Decision(allowed=False, reason=reason)
    decision = _within(snapshot, action, key, share)
    if not decision.allowed:
        reason = f"project {key.project!r} does not share {key.subject} with {reader!r}"
        return decision._replace(reason=reason)
    return decision._replace(until=share.until)


def _why_not(granted: Grant) -> str:
    owner, reader = granted.owner, granted.reader
    pair = f"project {owner!r} shares with {reader!r}"
    again = f"request a share: `feature-platform request {owner}`"
    if granted.state is ShareState.PENDING:
        return f"{pair}, which has not accepted yet: `feature-platform accept {owner}`"
    if granted.state is ShareState.REJECTED:
        return f"{pair}, which rejected it: `feature-platform accept {owner}`"
    if granted.state is ShareState.EXPIRED and granted.share:
        return f"project {owner!r} shared with {reader!r} until {granted.share.until}; {again}"
    if granted.revoked:
        ended = granted.revoked.at
        return f"project {owner!r} ended its share with {reader!r} on {ended:%F}; {again}"
    return f"project {owner!r} shares nothing with {reader!r}; {again}"


def _within(snapshot: Snapshot, action: Action, key: Key, share: Share) -> Decision:
    """Decide whether a share covers an object, and which of its features."""
    if key.kind == OnDemandFeatureView.kind and action == "write":
        return Decision(allowed=False)  # it has no rows of its own
    if key.namespace == View.namespace:
        return _view(action, key, share)
    if action == "write":
        fed = list(_fed_by(snapshot, key))
        return Decision(bool(fed) and all(_view(action, view, share).allowed for view in fed))
    if key.kind == FeatureService.kind:
        return Decision(_reads_only_shared(snapshot, key, share))
    if key.kind == Entity.kind:
        return Decision(not share.views or _is_key_of_shared(snapshot, key, share))
    return Decision(key.kind == Source.kind and not share.views)


def _view(action: Action, key: Key, share: Share) -> Decision:
    if not share.views:
        return _ALLOWED
    for reference in share.views:
        if reference.view == key.name:
            # Rows are written as a whole.
            allowed = action == "read" or reference.features is None
            return Decision(allowed, features=reference.features)
    return Decision(allowed=False)


def _fed_by(snapshot: Snapshot, key: Key) -> Iterator[Key]:
    """Yield the views that a push source feeds."""
    entry = snapshot.entries.get(key)
    if entry is None or not isinstance(entry.definition, PushSource):
        return
    for view_key in snapshot.by_kind.get((key.project, FeatureView.kind), ()):
        view = snapshot.entries[view_key].definition
        if isinstance(view, FeatureView) and view.source == key.name:
            yield view_key


def _reads_only_shared(snapshot: Snapshot, key: Key, share: Share) -> bool:
    entry = snapshot.entries.get(key)
    if entry is None:
        return not share.views
    for reference in entry.definition.references:
        if reference.project not in {None, key.project}:
            continue  # resolving the service asks whether the reader may read that project
        decision = _view("read", Key(key.project, View.namespace, reference.view), share)
        if not decision.allowed:
            return False
        if decision.features is not None and not (
            reference.features and set(reference.features) <= set(decision.features)
        ):
            return False
    return True


def _is_key_of_shared(snapshot: Snapshot, key: Key, share: Share) -> bool:
    names = {reference.view for reference in share.views}
    for kind in kinds_in(View.namespace):
        for view_key in snapshot.by_kind.get((key.project, kind), ()):
            view = snapshot.entries[view_key].definition
            if view_key.name in names and isinstance(view, View) and key.name in view.entity_names:
                return True
    return False
