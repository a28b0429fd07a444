"""Commands that look at the registry and its history."""

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import click
import yaml
from rich.markup import escape
from rich.table import Table

from feature_platform.cli.base import Instant, Point, command, json_option, writing
from feature_platform.cli.printing import (
    commit_json,
    console,
    entry_json,
    plan_json,
    print_json,
    print_plan,
    print_table,
)
from feature_platform.definitions import Definition, attributes, kinds, label_of
from feature_platform.errors import NotFoundError, RequestError
from feature_platform.governance import plans_between
from feature_platform.project import ProjectSnapshot, Registered, signature
from feature_platform.registry import (
    Registry,
    Report,
    compare,
    examine,
    export_records,
    import_records,
    open_log,
    read_export,
)
from feature_platform.registry import repair as repair_log
from feature_platform.services.identity import check_may_import
from feature_platform.store import FeatureStore

_ADVICE = """What comes after version {good} cannot be read. What can be done:
  1. Bring the damaged record back, from a backup of the storage or an older object version.
  2. `fsck --repair NEW_URL --backup EXPORT` writes a new registry that continues from an export.
  3. `fsck --repair NEW_URL` writes one with the verified commits; then the owners apply again.
Until then, FeatureStore(..., registry_version={good}) reads the intact part."""


@command()
@click.option(
    "-n",
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(min=1),
    help="Number of commits to list.",
)
@click.option("--owner", help="Only commits of this owner.")
@click.option("--name", help="Only commits that changed an object of this name.")
@click.option("--since", type=Instant(), help="Only commits at this time or later.")
@click.option("--until", type=Instant(), help="Only commits at this time or earlier.")
@json_option
def history(
    repo: Path,
    *,
    limit: int,
    owner: str | None,
    name: str | None,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
) -> None:
    """List commits, newest first."""
    store = FeatureStore(repo)
    commits = store.registry.history(
        project=store.project, owner=owner, name=name, since=since, until=until
    )[-limit:][::-1]
    if as_json:
        print_json([commit_json(commit) for commit in commits])
        return
    rows = [
        (
            str(c.version),
            f"{c.at:%Y-%m-%d %H:%M:%S}Z",
            c.principal,
            c.client,
            c.summary() + (f", overrides {len(c.waived)} contracts" if c.waived else ""),
            c.message,
        )
        for c in commits
    ]
    nothing = "No commits match." if (owner or name or since or until) else _nothing(store)
    print_table(["version", "time", "by", "with", "changes", "message"], rows, nothing)


@command()
@click.argument("version", type=click.IntRange(1, 2**62))
@json_option
def show(repo: Path, *, version: int, as_json: bool) -> None:
    """Show what one commit changed."""
    commit = FeatureStore(repo).registry.show(version)
    if as_json:
        print_json({**commit_json(commit), "plan": commit.plan.model_dump()})
        return
    out = console()
    out.print(f"Version {commit.version} by {commit.principal} at {commit.at:%F %T}Z")
    if commit.message:
        out.print(f"Message: {escape(commit.message)}")
    print_plan(commit.plan)
    if commit.plan.override:
        out.print(f"Overrides contracts, because: {escape(commit.plan.override)}")
        for contract in commit.waived:
            out.print(f"  ! {escape(contract)}")


@command()
@click.argument("before", type=Point())
@click.argument("after", type=Point(), required=False)
@json_option
def diff(
    repo: Path, *, before: int | datetime, after: int | datetime | None, as_json: bool
) -> None:
    """Show what changed from one version or time to another, by owner; to now if left out."""
    store = FeatureStore(repo)
    old, new = store.registry.snapshot(before), store.registry.snapshot(after)
    plans = plans_between(ProjectSnapshot(old, store.project), ProjectSnapshot(new, store.project))
    if as_json:
        changes = {plan.owner: plan_json(plan)["changes"] for plan in plans}
        print_json({"before": old.version, "after": new.version, "changes": changes})
        return
    if not plans:
        console().print(f"Nothing differs between versions {old.version} and {new.version}.")
    for plan in plans:
        console().print(f"{plan.owner}, from version {old.version} to {new.version}:")
        print_plan(plan)


class _Kind(click.Choice[str]):
    """A kind, also in the plural and with hyphens, as Feast's commands have them."""

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        name = str(value).replace("-", "_")
        singular = {"entities": "entity", "policies": "policy"}.get(name, name.removesuffix("s"))
        names = {
            "data_source": "source",
            "on_demand_feature_view": "on_demand_view",
            "service": "feature_service",
            "view": "feature_view",
        }
        return super().convert(names.get(singular, singular), param, ctx)


@command(name="list")
@click.argument("kind", type=_Kind(kinds()), required=False, metavar="[KIND]")
@click.option("--at", type=Point(), help="As of this version or time.")
@json_option
def list_(repo: Path, *, kind: str | None, at: int | datetime | None, as_json: bool) -> None:
    """List what is registered, by kind and owner.

    KIND is one kind, such as entity or feature_view.
    """
    store = FeatureStore(repo)
    project = ProjectSnapshot(store.registry.snapshot(at), store.project)
    entries = [entry for entry in project.entries() if kind in (None, entry.key.kind)]
    if as_json:
        print_json([entry_json(entry) for entry in entries])
        return
    rows = [
        (e.key.kind, e.key.name, e.owner, str(e.version), _about(e.definition)) for e in entries
    ]
    nothing = f"No {label_of(kind)} is registered." if kind else _nothing(store)
    if at is not None:
        nothing = f"Nothing was registered at {at}."
    print_table(["kind", "name", "owner", "version", "description"], rows, nothing)


@command()
@click.argument("name")
@json_option
def describe(repo: Path, *, name: str, as_json: bool) -> None:
    """Show every object with this name."""
    project = FeatureStore(repo).load_project()
    entries = [entry for entry in project.entries() if entry.key.name == name]
    if not entries:
        raise NotFoundError(project.not_found("object", name, project.names(*kinds())))
    if as_json:
        print_json([entry_json(entry) for entry in entries])
        return
    for entry in entries:
        content = {"owner": entry.owner, "version": entry.version, **_content(entry)}
        table = Table(
            title=f"{label_of(entry.key.kind)} {name}", title_justify="left", show_header=False
        )
        for key, value in content.items():
            nested = isinstance(value, (dict, list))
            shown = yaml.safe_dump(value, sort_keys=False).rstrip() if nested else str(value)
            table.add_row(key, escape(shown))
        for key, value in signature(project, entry.definition).items():
            table.add_row(key, escape(value))
        console().print(table)


@command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
def export(repo: Path, *, file: Path) -> None:
    """Write the registry, all projects and all history, to FILE (- for standard output)."""
    log = FeatureStore(repo).registry.log
    version = Registry(log).snapshot().version  # what does not verify is no backup
    lines = export_records(log.read(0, version))
    if str(file) == "-":
        for line in lines:
            click.echo(line, nl=False)
        return
    if file.resolve() == Path(str(log)).resolve():
        raise RequestError(f"{file} is the registry itself; export to another file.")
    with writing(file) as target:
        target.writelines(lines)
    commits = "commit" if version == 1 else "commits"
    console(stderr=True).print(f"Exported {version} {commits} of {escape(str(log))}.")


@command(name="import")
@click.argument("file", type=click.File("rb"))
def import_(repo: Path, *, file: BinaryIO) -> None:
    """Fill an empty registry from a FILE that `export` wrote."""
    store = FeatureStore(repo)
    check_may_import(store.config)
    log = store.registry.log
    records = read_export(file.read())
    added = import_records(records, log)
    console().print(f"{escape(str(log))} has {len(records)} commits now; {added} were added.")


@command()
@click.option(
    "--repair", metavar="URL", help="Write the verified commits to this new, empty registry."
)
@click.option(
    "--backup",
    type=click.File("rb"),
    help="Compare with this export; with --repair, continue from it after the last valid commit.",
)
@json_option
def fsck(repo: Path, *, repair: str | None, backup: BinaryIO | None, as_json: bool) -> None:
    """Check the whole registry and report what is recoverable."""
    store = FeatureStore(repo)
    log = store.registry.log
    records = read_export(backup.read()) if backup else []
    report = compare(examine(log), records, log)
    if as_json:
        findings = [
            {"version": f.version, "message": f.message, "damage": f.damage}
            for f in report.findings
        ]
        print_json({"good": len(report.good), "stored": report.stored, "findings": findings})
    else:
        _print_report(str(log), report, repair=repair)
    if repair is not None:
        target = open_log(repair, store.repo.path)
        kept, more = repair_log(log, target, records)
        console(stderr=True).print(
            f"Wrote {kept} commits that verify, and {more} from the backup, to "
            f"{escape(str(target))}. Set `registry:` to it in every "
            "feature_store.yaml, and keep the damaged one for a while."
        )
    elif report.is_damaged:
        sys.exit(1)


def _print_report(log: str, report: Report, *, repair: str | None) -> None:
    out = console()
    good = f"commits 1 to {len(report.good)} verify" if report.good else "no commit verifies"
    out.print(f"{escape(log)}: {good if report.stored else 'there are no commits'}.")
    for finding in report.findings:
        mark = "[red]damaged[/]" if finding.damage else "[yellow]note[/]"
        out.print(f"  {mark} at commit {finding.version}: {escape(finding.message)}")
    if report.is_damaged and repair is None:
        out.print(_ADVICE.format(good=len(report.good)))


def _about(definition: Definition) -> str:
    first = definition.fault or definition.description.partition("\n")[0]
    return f"{definition.deprecated}. {first}" if definition.deprecated else first


def _content(entry: Registered) -> dict[str, Any]:
    """Return the attributes of an object; its own `owner` is a contact, not who registered it."""
    content = {{"owner": "contact"}.get(n, n): v for n, v in attributes(entry.body).items()}
    if isinstance(ttl := getattr(entry.definition, "ttl", None), timedelta):
        content["ttl"] = str(ttl).removesuffix(", 0:00:00")
    fault = entry.definition.fault
    return {"problem": fault, **content} if fault else content


def _nothing(store: FeatureStore) -> str:
    return f"Nothing is registered for project {store.project!r} in {store.registry.log}."
