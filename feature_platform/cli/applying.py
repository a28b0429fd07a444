"""Commands that plan and apply."""

import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Any

import click
from rich.markup import escape

from feature_platform.cli.base import CLIENT, Point, command, json_option, writing
from feature_platform.cli.printing import (
    commit_json,
    console,
    print_json,
    print_plan,
    print_report,
    program_for,
    report_json,
)
from feature_platform.definitions import label_of, with_related
from feature_platform.errors import RefusedError, RequestError, SourceError
from feature_platform.governance import Plan
from feature_platform.registry import SavedPlan
from feature_platform.services.source_schema import source_problems
from feature_platform.store import FeatureStore


def _reason(_context: click.Context, parameter: click.Parameter, value: str) -> str:
    source = _context.get_parameter_source(parameter.name or "")
    if not value.strip() and source is click.core.ParameterSource.COMMANDLINE:
        raise click.BadParameter("give a reason: it is kept in the history.")
    return value


_full = click.option(
    "--full",
    is_flag=True,
    help="Full sync: also delete your objects that the folder no longer defines.",
)
_mass_delete = click.option(
    "--allow-mass-delete",
    "mass_delete",
    is_flag=True,
    help="Allow a large deletion (over 20 objects, or over 30 % of yours).",
)
_override = click.option(
    "--override",
    default="",
    metavar="REASON",
    callback=_reason,
    help="Break what other owners rely on. Only the platform can; the reason is recorded.",
)
_skip_trials = click.option(
    "--skip-trials", is_flag=True, help="Do not try on-demand functions on sample values."
)


def _feasts(function: Callable[..., Any]) -> Callable[..., Any]:
    """Take options of Feast: `validate` checks sources, and no progress is shown."""
    for name in ("--skip-source-validation", "--no-progress"):
        function = click.option(name, is_flag=True, hidden=True, expose_value=False)(function)
    return function


_message = click.option(
    "-m", "--message", default="", help="Reason for the change, for the history."
)


@command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--project",
    help="Name of the project.  [default: after the folder; for a team, the platform's]",
)
@click.option(
    "--team", help="Make the repo of this team, which builds on the platform team's views."
)
@click.option(
    "--platform",
    type=click.Path(path_type=Path),
    help="The platform team's repo, for a team's repo.  [default: the folder `platform` beside it]",
)
def init(
    _repo: Path, folder: Path, project: str | None, team: str | None, platform: Path | None
) -> None:
    """Make a repo folder with an example."""
    from feature_platform.scaffolding import project_of, write_platform_repo, write_team_repo

    if team is None:
        written = write_platform_repo(folder, project=project or project_of(folder))
        steps = [
            "plan", "apply", "materialize-incremental",
            "get-online-features -f driver_stats -e '{\"driver_id\": 1}'",
        ]  # fmt: skip
    else:
        platform = platform or folder.parent / "platform"
        written = write_team_repo(folder, team=team, platform=platform, project=project)
        example = '{"driver_id": 1, "trips_planned": 8}'
        steps = ["plan", "apply", f"get-online-features -s {team}_model_v1 -e '{example}'"]
    out = console()
    out.print(f"Made {escape(str(folder))}:")
    for path in written:
        out.print(f"  {escape(str(path.relative_to(folder)))}")
    out.print("Next:" if team is None else "Next, once the platform team has applied its repo:")
    for step in steps:
        out.print(f"  {escape(program_for(folder))} {escape(step)}", soft_wrap=True)
    out.print(f"  python {escape(quote(str(folder / 'workflow.py')))}")


@command()
@_full
@_mass_delete
@_override
@_skip_trials
@_feasts
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Save the plan, for `apply SAVED`.",
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 3 if there are changes.")
@json_option
def plan(
    repo: Path,
    *,
    full: bool,
    mass_delete: bool,
    override: str,
    skip_trials: bool,
    out: Path | None,
    detailed_exitcode: bool,
    as_json: bool,
) -> None:
    """Show what apply would change, who is affected, and whether it is allowed."""
    store = FeatureStore(repo)
    snapshot = store.snapshot()
    planned = store.plan(
        partial=not full, mass_delete=mass_delete, override=override, try_functions=not skip_trials
    )
    report = store.review(planned)
    if as_json:
        print_json(report_json(report))
    else:
        print_report(report, snapshot)
        if not full:
            _print_undefined(store)
    if report.problems:
        raise RefusedError(planned.owner, planned.project, report.problems)
    if out is not None:
        with writing(out) as file:
            saved = SavedPlan.of(planned, snapshot)
            file.write(saved.to_bytes() + b"\n")
        if not as_json:
            path = escape(str(out))
            command = f"{escape(program_for(repo))} apply {path} --digest {saved.digest()}"
            console().print(f"Saved to {path}. To apply exactly this plan, run `{command}`.")
    if detailed_exitcode and planned:
        sys.exit(3)


@command()
@click.argument("saved", required=False, type=click.Path(dir_okay=False, path_type=Path))
@_full
@_mass_delete
@_override
@_skip_trials
@_feasts
@click.option("--digest", help="Apply SAVED only if it has this digest, which `plan` printed.")
@_message
@json_option
def apply(
    repo: Path,
    *,
    saved: Path | None,
    full: bool,
    mass_delete: bool,
    override: str,
    skip_trials: bool,
    digest: str | None,
    message: str,
    as_json: bool,
) -> None:
    """Register what the folder defines, all or nothing; or apply only the plan file SAVED."""
    store = FeatureStore(repo)
    if saved is None and digest:
        raise click.UsageError("--digest goes with a saved plan.")
    if saved is None:
        planned = store.plan(
            partial=not full,
            mass_delete=mass_delete,
            override=override,
            try_functions=not skip_trials,
        )
        _commit(store, planned, message=message, as_json=as_json)
    elif full or mass_delete or override:
        raise click.UsageError("A saved plan is applied as it is: give these options to `plan`.")
    else:
        try:
            content = saved.read_bytes()
        except OSError as error:
            raise RequestError(f"{saved}: {error.strerror}.") from error
        stored = SavedPlan.read(content, str(saved))
        if digest and stored.digest() != digest:
            raise RequestError(
                f"{saved} has the digest {stored.digest()}, not {digest}: it is not the plan that "
                "was reviewed. Nothing was written."
            )
        _commit(store, stored, message=message, as_json=as_json)


@command()
@click.argument("at", type=Point())
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@_mass_delete
@_message
@json_option
def restore(
    repo: Path,
    *,
    at: int | datetime,
    dry_run: bool,
    mass_delete: bool,
    message: str,
    as_json: bool,
) -> None:
    """Restore your own objects to their state AT a version or time, in a new commit."""
    store = FeatureStore(repo)
    planned = store.plan_restore(at, mass_delete=mass_delete)
    if not dry_run:
        _commit(store, planned, message=message or f"restore {at}", as_json=as_json)
    elif as_json:
        print_json(report_json(store.review(planned)))
    else:
        print_report(store.review(planned), store.snapshot())


def _commit(store: FeatureStore, planned: Plan | SavedPlan, *, message: str, as_json: bool) -> None:
    commit = store.commit(planned, message=message, client=CLIENT)
    if as_json:
        print_json(commit_json(commit) if commit else None)
        return
    if commit:
        print_plan(commit.plan)
        console().print(f"Applied as version {commit.version}.")
    else:
        console().print("No changes: the registry already matches.")


def _print_undefined(store: FeatureStore) -> None:
    """Print what a full sync would delete."""
    full = store.plan(partial=False, try_functions=False) if store.repo.definitions else None
    removed = [change for change in full.changes if change.after is None] if full else []
    if removed:
        names = ", ".join(f"{label_of(c.kind)} {c.name}" for c in removed)
        console().print(f"Registered but not defined here: {escape(names)}. --full deletes them.")


@command()
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@_override
@json_option
def teardown(repo: Path, *, yes: bool, override: str, as_json: bool) -> None:
    """Delete all of your own objects, and their online tables."""
    store = FeatureStore(repo)
    planned = store.plan([], partial=False, mass_delete=True, override=override)
    if problems := store.review(planned, costs=False).problems:
        raise RefusedError(planned.owner, planned.project, problems)
    count = len(planned.changes)
    if count and not yes:
        objects = f"all {count} objects of {planned.owner!r} in {planned.project!r}"
        click.confirm(f"Delete {objects}?", abort=True, err=True)
    commit = store.commit(planned, message="teardown", client=CLIENT)
    if as_json:
        print_json(commit_json(commit) if commit else None)
    else:
        click.echo(f"Deleted {count} objects." if commit else "There is nothing to delete.")


@command()
@json_option
def validate(repo: Path, *, as_json: bool) -> None:
    """Check definitions and their sources, without the registry.

    The folder's modules must load, and the sources of its views must have the declared columns.
    """
    store = FeatureStore(repo)
    definitions = with_related(store.repo.definitions)
    if problems := list(source_problems(store.offline, definitions)):
        raise SourceError("\n".join(problems))
    counts = Counter(label_of(definition.kind) for definition in definitions)
    if as_json:
        print_json(counts)
    else:
        listed = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items())
        click.echo(f"Valid: {listed or 'nothing is defined'}.")
