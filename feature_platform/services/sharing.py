"""Share a project's views with other projects, and accept what they share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from feature_platform.definitions import Acceptance, Share, View, ViewReference
from feature_platform.definitions.sharing import AccessRight
from feature_platform.errors import NotFoundError, check_type
from feature_platform.governance import Plan
from feature_platform.project import Grant, Registered, ShareState, grant, grants
from feature_platform.registry import Commit, Registry
from feature_platform.services import applying
from feature_platform.services.stores import Call


@dataclass(frozen=True)
class SharedStore:
    """What one project shares with another one.

    Attributes:
        owner: The project that shares.
        reader: The project that it shares with.
        state: Only an accepted share gives access.
        access: `read` or `write`; empty if nothing is offered.
        views: `view` or `view:feature,...`; empty for the whole store.
        until: The last day; `None` for no end.
        shared_by: Who offered it, and `shared_at` when.
        answered_by: Who accepted or rejected it, and `answered_at` when.
    """

    owner: str
    reader: str
    state: ShareState
    access: str = ""
    views: tuple[str, ...] = ()
    until: date | None = None
    shared_by: str = ""
    shared_at: datetime | None = None
    answered_by: str = ""
    answered_at: datetime | None = None


class Sharing:
    """The shares of one project: `FeatureStore.sharing`.

    Each change is a commit like any other, with the same rules. A repo that is applied as a full
    sync has to define its shares, or removes them.

    Args:
        call: Begins a call of the store.
    """

    def __init__(self, call: Callable[[], Call]) -> None:
        self._call = call

    def share(
        self,
        to: str,
        views: Sequence[str | View | ViewReference] = (),
        *,
        access: AccessRight = "read",
        until: date | None = None,
        client: str = "python",
    ) -> Commit | None:
        """Offer views to another project, or change what is offered.

        Args:
            to: The other project.
            views: `view`, `view:feature`, or views; the whole store if left out.
            access: `read`, or `write` to write rows as well.
            until: The last day (UTC).
            client: Program that commits, for the history.

        Returns:
            The commit; `None` if nothing changes.

        Raises:
            RefusedError: This repo may not share, or a view is not registered.

        Example:
            >>> store.sharing.share("development", ["weather:temp"])  # doctest: +SKIP
        """
        call = self._call()
        share = Share(to=to, views=views, access=access, until=until)
        return applying.commit(call, applying.plan(call, [share]), f"share with {to}", client)

    def plan_share(
        self,
        to: str,
        views: Sequence[str | View | ViewReference] = (),
        *,
        access: AccessRight = "read",
        until: date | None = None,
    ) -> Plan:
        """Return the plan that `share` commits; `FeatureStore.review` says who loses what."""
        return applying.plan(self._call(), [Share(to=to, views=views, access=access, until=until)])

    def plan_revoke(self, to: str) -> Plan:
        """Return the plan that `revoke` commits; `FeatureStore.review` says who loses what."""
        return _plan_revoke(self._call(), to)

    def revoke(self, to: str, *, client: str = "python") -> Commit | None:
        """End a share at once.

        Raises:
            NotFoundError: There is none.
            RefusedError: This repo may not end it.
        """
        call = self._call()
        return applying.commit(call, _plan_revoke(call, to), f"revoke {to}", client)

    def accept(self, of: str, *, client: str = "python") -> Commit | None:
        """Accept what another project shares, so that this project can read it.

        Raises:
            NotFoundError: It shares nothing.
            RefusedError: This repo may not accept it.
        """
        return self._answer(of, client, accepted=True)

    def reject(self, of: str, *, client: str = "python") -> Commit | None:
        """Reject what another project shares, also after it was accepted, or end a request for it.

        Raises:
            NotFoundError: It shares nothing, and nothing was asked for.
            RefusedError: This repo may not reject it, or objects of this project read it.
        """
        return self._answer(of, client, accepted=False)

    def request(self, of: str, *, client: str = "python") -> Commit | None:
        """Ask another project for a share, which is then accepted as soon as it is offered.

        Raises:
            RefusedError: This repo may not accept shares.
        """
        call = self._call()
        return applying.commit(
            call, applying.plan(call, [Acceptance(of=of)]), f"request {of}", client
        )

    def list(self) -> "list[SharedStore]":
        """Return what this project shares, and what is shared with it or was asked for."""
        call = self._call()
        registry = call.stores.registry
        listed = grants(call.project.snapshot, call.project.name, call.now)
        return [_described(registry, each) for each in listed]

    def _answer(self, of: str, client: str, *, accepted: bool) -> Commit | None:
        check_type(of, str, "of")
        call = self._call()
        offered = grant(call.project.snapshot, of, call.project.name, call.now)
        request = call.project.look_up(Acceptance, of)
        if offered.share is None and request and not accepted:
            return applying.commit(call, applying.plan(call, [], [request]), f"reject {of}", client)
        if offered.share is None:
            raise NotFoundError(
                f"Project {of!r} shares nothing with {call.project.name!r}. Request a share: "
                f"feature-platform request {of}."
            )
        verb = "accept" if accepted else "reject"
        plan = applying.plan(call, [Acceptance(of=of, accepted=accepted)])
        return applying.commit(call, plan, f"{verb} {of}", client)


def _plan_revoke(call: Call, to: str) -> Plan:
    return applying.plan(call, [], [_offered(call, to)])


def _offered(call: Call, to: str) -> Share:
    share = call.project.look_up(Share, to)
    if share is None:
        names = [name.to for name, _ in call.project.of(Share)]
        raise NotFoundError(call.project.not_found(Share.kind, to, names))
    return share


def _described(registry: Registry, granted: Grant) -> SharedStore:
    share = granted.share
    offered, answered = (_commit_of(registry, entry) for entry in (granted.offer, granted.answer))
    return SharedStore(
        owner=granted.owner,
        reader=granted.reader,
        state=granted.state,
        access=share.access if share else "",
        views=tuple(map(str, share.views)) if share else (),
        until=share.until if share else None,
        shared_by=offered.principal if offered else "",
        shared_at=offered.at if offered else None,
        answered_by=answered.principal if answered else "",
        answered_at=answered.at if answered else None,
    )


def _commit_of(registry: Registry, entry: Registered | None) -> Commit | None:
    return registry.show(entry.version) if entry and entry.version else None
