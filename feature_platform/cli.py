"""The `feature-platform` command: translates arguments and prints, decides nothing."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click
import yaml
from rich.markup import escape
from rich.table import Table

from feature_platform.config import FILE_NAME
from feature_platform.definitions import KINDS
from feature_platform.errors import FeaturePlatformError, NotFoundError, RefusedError
from feature_platform.printing import (
    commit_json,
    console,
    entry_json,
    print_counts,
    print_json,
    print_plan,
    print_table,
)
from feature_platform.registry import check, not_found
from feature_platform.store import FeatureStore

_CLIENT = "feature-platform"


class Instant(click.ParamType[datetime]):
    """An ISO 8601 time; a naive one is UTC."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        """Read a time."""
        try:
            time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time such as 2013-12-31 or 2013-12-31T18:00", param, ctx)
        return time if time.tzinfo else time.replace(tzinfo=UTC)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-C",
    "--repo",
    default=".",
    show_default="this folder",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Folder with the {FILE_NAME}.",
)
@click.version_option(package_name="feature-platform")
@click.pass_context
def main(context: click.Context, repo: Path) -> None:
    """Share one feature store among a platform team and many product teams.

    Exit codes: 0 done, 1 an error or a refused plan, 2 wrong usage; `plan` also exits with 3 if
    there is something to apply and --detailed-exitcode is given.
    """
    context.obj = repo


def _command(**settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command whose errors are one clear message, and whose output may be JSON."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        @wraps(function)
        def run(**arguments: Any) -> None:
            with _reported(as_json=arguments.get("as_json", False)):
                function(click.get_current_context().obj, **arguments)

        return main.command(**settings)(run)

    return decorate


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_views = click.option(
    "-v", "--view", "views", multiple=True, help="View to load; all if left out. Repeatable."
)
_full = click.option(
    "--full",
    is_flag=True,
    help="Full sync: also delete own objects that the folder no longer defines.",
)


@_command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--project", default="my_project", show_default=True, help="Name of the project.")
@click.option("--team", help="Make a team's repo, on views that the platform team owns.")
def init(_repo: Path, folder: Path, project: str, team: str | None) -> None:
    """Make a repo folder with an example."""
    from feature_platform.templates import write_repo

    written = write_repo(folder, project=project, team=team)
    out = console()
    out.print(f"Made {escape(str(folder))}:")
    for path in written:
        out.print(f"  {escape(str(path.relative_to(folder)))}")
    command = f"feature-platform -C {escape(str(folder))}"
    out.print(f"Next: {command} plan, and then {command} apply.")
    if team is None:
        out.print(
            "Loading features asks for data/driver_stats.parquet with the columns driver_id,\n"
            "event_timestamp, created, trips_today and conv_rate; then materialize START END."
        )


@_command()
@_full
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 3 if there are changes.")
@_json
def plan(repo: Path, *, full: bool, detailed_exitcode: bool, as_json: bool) -> None:
    """Show what apply would change, and if it may."""
    store = FeatureStore(repo)
    planned = store.plan(partial=not full)
    problems = check(planned, store.snapshot())
    if as_json:
        shown = [
            {
                "action": c.action,
                "kind": c.kind,
                "name": c.name,
                "before": c.before and json.loads(c.before),
                "after": c.after and json.loads(c.after),
            }
            for c in planned.changes
        ]
        found = [{"rule": p.rule, "subject": p.subject, "message": p.message} for p in problems]
        print_json({"version": planned.version, "changes": shown, "problems": found})
    else:
        print_plan(planned)
        if not full:
            _print_undefined(store)
    if problems:
        raise RefusedError(planned.owner, planned.project, problems)
    if detailed_exitcode and planned:
        sys.exit(3)


@_command()
@_full
@click.option("-m", "--message", default="", help="Why, for the history.")
@_json
def apply(repo: Path, *, full: bool, message: str, as_json: bool) -> None:
    """Register what the folder defines, all or nothing."""
    store = FeatureStore(repo)
    planned = store.plan(partial=not full)
    commit = store.commit(planned, message=message, client=_CLIENT)
    if as_json:
        print_json(commit_json(commit) if commit else None)
        return
    print_plan(planned)
    if commit:
        console().print(f"Applied as version {commit.version}.")


@_command()
@click.option(
    "-n",
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many of the newest.",
)
@_json
def history(repo: Path, *, limit: int, as_json: bool) -> None:
    """List commits, newest first."""
    store = FeatureStore(repo)
    commits = store.registry.history(project=store.project)[-limit:][::-1]
    if as_json:
        print_json([commit_json(commit) for commit in commits])
        return
    rows = [
        (
            str(c.version),
            f"{c.at:%Y-%m-%d %H:%M:%S}Z",
            c.principal,
            c.client,
            c.summary(),
            c.message,
        )
        for c in commits
    ]
    print_table(["version", "time", "by", "with", "changes", "message"], rows, _nothing(store))


@_command()
@click.argument("version", type=click.IntRange(1, 2**62))
@_json
def show(repo: Path, *, version: int, as_json: bool) -> None:
    """Show what one commit changed."""
    commit = FeatureStore(repo).registry.show(version)
    if as_json:
        print_json({**commit_json(commit), "plan": commit.plan.model_dump()})
        return
    console().print(f"Version {commit.version} by {commit.principal} at {commit.at:%F %T}Z")
    print_plan(commit.plan)


@_command(name="list")
@click.argument("kind", type=click.Choice(KINDS), required=False, metavar="[KIND]")
@_json
def list_(repo: Path, *, kind: str | None, as_json: bool) -> None:
    """List what is registered, by kind and owner.

    KIND is entity, source, feature_view, on_demand_view, feature_service or policy.
    """
    store = FeatureStore(repo)
    entries = [
        (key, entry)
        for key, entry in sorted(store.snapshot().entries.items())
        if key.project == store.project and kind in (None, key.kind)
    ]
    if as_json:
        print_json([entry_json(entry.definition, entry) for _, entry in entries])
        return
    rows = [
        (k.kind, k.name, e.owner, str(e.version), e.definition.description.partition("\n")[0])
        for k, e in entries
    ]
    print_table(["kind", "name", "owner", "version", "description"], rows, _nothing(store))


@_command()
@click.argument("name")
@_json
def describe(repo: Path, *, name: str, as_json: bool) -> None:
    """Show all about the objects of one name."""
    store = FeatureStore(repo)
    snapshot = store.snapshot()
    found = [
        entry
        for key, entry in sorted(snapshot.entries.items())
        if key.project == store.project and key.name == name
    ]
    if not found:
        known = snapshot.names(store.project, *KINDS)
        raise NotFoundError(not_found("object", name, store.project, known))
    if as_json:
        print_json([entry_json(entry.definition, entry) for entry in found])
        return
    for entry in found:
        content = {"owner": entry.owner, "version": entry.version, **json.loads(entry.body)}
        kind = entry.definition.kind.replace("_", " ")
        table = Table(title=f"{kind} {name}", title_justify="left", show_header=False)
        for key, value in content.items():
            nested = isinstance(value, (dict, list))
            shown = yaml.safe_dump(value, sort_keys=False).rstrip() if nested else str(value)
            table.add_row(key, escape(shown))
        console().print(table)


@_command()
@click.argument("start", type=Instant())
@click.argument("end", type=Instant())
@_views
@_json
def materialize(
    repo: Path, *, start: datetime, end: datetime, views: tuple[str, ...], as_json: bool
) -> None:
    """Load rows from START to END into the online store."""
    print_counts(FeatureStore(repo).materialize(start, end, views or None), as_json=as_json)


@_command(name="materialize-incremental")
@click.argument("end", type=Instant(), required=False)
@_views
@_json
def materialize_incremental(
    repo: Path, *, end: datetime | None, views: tuple[str, ...], as_json: bool
) -> None:
    """Load what is new since the last load.

    Up to END, or now. The day before the last load's end is read again, for rows that came late.
    """
    print_counts(FeatureStore(repo).materialize_incremental(end, views or None), as_json=as_json)


@_command(name="get-online-features")
@click.option("-s", "--service", help="Feature service to read.")
@click.option("-f", "--feature", "features", multiple=True, help="view:feature. Repeatable.")
@click.option(
    "-e",
    "--entity",
    "entities",
    multiple=True,
    required=True,
    help="One entity as JSON: '{\"driver_id\": 1}'. Repeatable.",
)
@click.option("--as-of", type=Instant(), help="Answer as if it were this time, for replays.")
@_json
def get_online_features(
    repo: Path,
    *,
    service: str | None,
    features: tuple[str, ...],
    entities: tuple[str, ...],
    as_of: datetime | None,
    as_json: bool,
) -> None:
    """Look up the newest features of entities."""
    if bool(service) == bool(features):
        raise click.UsageError("Give either --service or --feature.")
    rows = [_json_object(text) for text in entities]
    store = FeatureStore(repo, clock=(lambda: as_of) if as_of else lambda: datetime.now(UTC))
    answer = store.get_online_features(service or list(features), rows)
    values, statuses = answer.to_dict(), answer.statuses()
    if as_json:
        named = {name: [s.value for s in column] for name, column in statuses.items()}
        print_json({"features": values, "statuses": named})
        return
    for number in range(len(rows)):
        shown = [(n, str(values[n][number]), statuses[n][number].value) for n in values]
        print_table(["feature", "value", "status"], shown)


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"{text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise click.BadParameter(f"{text!r} is not a JSON object.")
    return value


@contextmanager
def _reported(*, as_json: bool) -> Iterator[None]:
    """Print an expected error as a message, not as a traceback."""
    try:
        yield
    except FeaturePlatformError as error:
        if as_json:
            click.echo(json.dumps({"error": type(error).__name__, "message": str(error)}), err=True)
        else:
            console(stderr=True).print(f"[red]{type(error).__name__}[/]: {escape(str(error))}")
        sys.exit(1)


def _nothing(store: FeatureStore) -> str:
    return f"Nothing is registered for project {store.project!r} in {store.config.registry}."


def _print_undefined(store: FeatureStore) -> None:
    """Say what a full sync would remove besides."""
    wanted = store.plan(partial=False) if store.repo.definitions else None
    gone = [c for c in wanted.changes if c.after is None] if wanted else []
    if gone:
        names = ", ".join(f"{c.kind.replace('_', ' ')} {c.name}" for c in gone)
        console().print(f"Registered and not defined here: {escape(names)}. --full deletes it.")
