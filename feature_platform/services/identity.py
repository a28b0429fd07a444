"""What the settings of a repo entitle its plans to do."""

from collections.abc import Iterator

from feature_platform.config import FILE_NAME, RepoConfig
from feature_platform.definitions import Acceptance, Policy, Share, Transfer
from feature_platform.errors import Problem, RequestError
from feature_platform.governance import Plan
from feature_platform.project import PLATFORM
from feature_platform.services.stores import Call

_OF_NAMED_TEAMS = {Policy.kind, Transfer.kind, Share.kind, Acceptance.kind}


def identity_problems(settings: RepoConfig, plan: Plan) -> Iterator[Problem]:
    """Yield what a repo may not do, because its settings do not name the team that may.

    A folder without `team:` acts for the platform team. A stray definition in a consumer's folder
    must not delete the platform's objects, so whatever takes away needs the team to be written.
    """
    if settings.is_reader and plan:
        message = f"{FILE_NAME} has `team: none`, which may only read. Apply from a team's repo."
        yield Problem("identity", "the plan", message)
    if settings.is_team_named:
        return
    remedy = f"Write `team: {settings.team}` into {FILE_NAME} if this is the platform team's repo."
    if plan.override:
        yield Problem("identity", "the plan", f"it overrides contracts. {remedy}")
    deleted = [change.subject for change in plan.changes if change.after is None]
    if deleted:
        more = len(deleted) - 1
        others = f", and {more} other object{'s' if more > 1 else ''}" if more else ""
        yield Problem("identity", deleted[0], f"it would be deleted{others}. {remedy}")
    for change in plan.changes:
        if change.after is not None and change.kind in _OF_NAMED_TEAMS:
            message = f"only a repo that names its team may register this. {remedy}"
            yield Problem("identity", change.subject, message)


def check_may_import(settings: RepoConfig) -> None:
    """Refuse imports of a registry, which contain commits of all owners, by all but the platform.

    Raises:
        RequestError: The settings do not state that this is the platform team's repo.
    """
    if not settings.is_team_named or settings.team != PLATFORM:
        raise RequestError(
            "An import writes commits of all owners. Run it from a repo with `team: platform` in "
            f"its {FILE_NAME}."
        )


def may_write(call: Call) -> Call:
    """Return a call that may write rows.

    Raises:
        RequestError: The settings, or a chosen registry version, allow only reading.
    """
    call.check_not_pinned()
    if call.stores.settings.is_reader:
        raise RequestError(
            f"{FILE_NAME} has `team: none`, which may only read. Write from a team's repo."
        )
    return call
