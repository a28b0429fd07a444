"""Commands that share a project's views with other projects."""

from datetime import datetime
from pathlib import Path

import click
from rich.markup import escape

from feature_platform.cli.base import CLIENT, command, json_option
from feature_platform.cli.printing import (
    commit_json,
    console,
    print_json,
    print_plan,
    print_report,
    print_table,
)
from feature_platform.errors import RefusedError
from feature_platform.governance import Plan
from feature_platform.registry import Commit
from feature_platform.services.sharing import SharedStore
from feature_platform.store import FeatureStore

_project = click.argument("project")
_yes = click.option(
    "--yes", is_flag=True, help="Do not ask for confirmation if others lose access."
)


@command()
@_project
@click.argument("views", nargs=-1)
@click.option("--write", is_flag=True, help="Also allow PROJECT to write rows.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The last day (UTC).")
@_yes
@json_option
def share(
    repo: Path,
    *,
    project: str,
    views: tuple[str, ...],
    write: bool,
    until: datetime | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Offer PROJECT the VIEWS, or the whole store.

    VIEWS are `view` or `view:feature`. A share that exists is replaced. PROJECT reads them once it
    has accepted.
    """
    store = FeatureStore(repo)
    planned = store.sharing.plan_share(
        project,
        views,
        access="write" if write else "read",
        until=until.date() if until else None,
    )
    hint = f"A full sync removes it, unless the repo defines Share(to={project!r})."
    if not any(key.project == project for key in store.snapshot().entries):
        hint = f"Project {project!r} has registered nothing yet: check its name. {hint}"
    _commit(store, planned, f"share with {project}", hint, yes=yes, as_json=as_json)


@command()
@_project
@json_option
def accept(repo: Path, *, project: str, as_json: bool) -> None:
    """Accept what PROJECT shares, so that this project can read it."""
    commit = FeatureStore(repo).sharing.accept(project, client=CLIENT)
    _print(commit, f"Its views are read as {project}/view.", as_json=as_json)


@command()
@_project
@json_option
def reject(repo: Path, *, project: str, as_json: bool) -> None:
    """Reject what PROJECT shares, also after accepting it, or end a request."""
    _print(FeatureStore(repo).sharing.reject(project, client=CLIENT), "", as_json=as_json)


@command()
@_project
@json_option
def request(repo: Path, *, project: str, as_json: bool) -> None:
    """Ask PROJECT for a share; what it then offers is accepted at once."""
    commit = FeatureStore(repo).sharing.request(project, client=CLIENT)
    _print(commit, f"{project} sees the request in its `shares`.", as_json=as_json)


@command()
@_project
@_yes
@json_option
def revoke(repo: Path, *, project: str, yes: bool, as_json: bool) -> None:
    """End the share with PROJECT at once, after listing who loses what."""
    store = FeatureStore(repo)
    planned = store.sharing.plan_revoke(project)
    _commit(store, planned, f"revoke {project}", "", yes=yes, as_json=as_json)


@command()
@json_option
def shares(repo: Path, *, as_json: bool) -> None:
    """List what the project shares, and what is shared with it."""
    store = FeatureStore(repo)
    listed = store.sharing.list()
    if as_json:
        print_json([vars(each) for each in listed])
        return
    rows = [_row(each, store.project) for each in listed]
    headers = ["direction", "project", "state", "access", "views", "until", "shared", "answered"]
    print_table(headers, rows, f"No shares from or with project {store.project!r}.")


def _row(shared: SharedStore, project: str) -> tuple[str, ...]:
    is_ours = shared.owner == project
    return (
        "shared with" if is_ours else "shared by",
        shared.reader if is_ours else shared.owner,
        shared.state.value,
        shared.access,
        ", ".join(shared.views) or ("whole store" if shared.access else ""),
        str(shared.until or ""),
        _signed(shared.shared_by, shared.shared_at),
        _signed(shared.answered_by, shared.answered_at),
    )


def _signed(name: str, at: datetime | None) -> str:
    return f"{name} {at:%Y-%m-%d %H:%M}" if at else ""


def _commit(
    store: FeatureStore, planned: Plan, message: str, hint: str, *, yes: bool, as_json: bool
) -> None:
    """Say who loses what, ask, and commit."""
    report = store.review(planned, costs=False)
    if report.problems:
        raise RefusedError(planned.owner, planned.project, report.problems)
    if any(effect.breaks for effect in report.effects) and not yes:
        if not as_json:
            print_report(report, store.snapshot())
        click.confirm("Readers lose access. Go on?", abort=True, err=True)
    commit = store.commit(planned, message=message, client=CLIENT)
    _print(commit, hint, as_json=as_json)


def _print(commit: Commit | None, hint: str, *, as_json: bool) -> None:
    if as_json:
        print_json(commit_json(commit) if commit else None)
    elif commit is None:
        console().print("No changes: the registry already matches.")
    else:
        print_plan(commit.plan)
        console().print(escape(f"Applied as version {commit.version}. {hint}".rstrip()))
