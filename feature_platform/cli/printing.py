"""Print plans, tables and JSON."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from shlex import quote
from typing import Any

import click
import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from feature_platform.definitions import attributes, label_of
from feature_platform.governance import Effect, Plan
from feature_platform.governance.plan_text import plan_text
from feature_platform.project import Registered, Snapshot
from feature_platform.registry import Commit
from feature_platform.services.plan_report import Backfill, PlanReport

_COLOURS = {"+": "green", "~": "yellow", "-": "red"}
_CONTROLS = {n: f"\\x{n:02x}" for n in (*range(32), *range(127, 160)) if chr(n) not in "\n\t"}
_FREE_TEXT = ("description", "message", "value", "changes")


def print_report(report: PlanReport, snapshot: Snapshot) -> None:
    """Print a plan: changes, affected readers and costs."""
    out = console()
    planned = report.plan
    if planned:
        base = f"project {planned.project!r} at version {planned.version}"
        out.print(f"Plan of {planned.owner!r} for {escape(base)}\n")
    print_plan(planned)
    _print_effects(report.effects)
    if report.models:
        out.print("\nModels trained on what is lost")
        for model in report.models:
            out.print(f"  {escape(str(model))}, on {escape(model.service)}")
    _print_backfills(report.backfills)
    if report.advisories:
        out.print("\nAdvisories")
        for advisory in report.advisories:
            out.print(f"  {escape(str(advisory))}")
    if planned:
        out.print(f"\n{_summary(report, snapshot)}")


def _print_effects(effects: Sequence[Effect]) -> None:
    if not effects:
        return
    out = console()
    out.print("\nReaders, by owner")
    ordered = sorted(effects, key=lambda e: (e.reader_owner, e.reader))
    for owner, by_owner in groupby(ordered, _owner):
        out.print(f"  {escape(owner)}")
        for reader, by_reader in groupby(by_owner, lambda e: e.reader):
            name = f"{label_of(reader.kind)} {reader.name}"
            losses = dict.fromkeys(
                e.message + (f" ({e.excuse})" if e.excuse else "") for e in by_reader if e.breaks
            )
            sign = "[red]![/]" if losses else "[green]=[/]"
            verdict = "; ".join(losses) or "compatible"
            out.print(f"    {sign} {escape(name)}: {escape(verdict)}")


def _owner(effect: Effect) -> str:
    return effect.reader_owner


def _print_backfills(backfills: Sequence[Backfill]) -> None:
    if not backfills:
        return
    out = console()
    program = program_for(click.get_current_context().obj)
    out.print("\nOnline tables to reload (now, or with the next materialize-incremental)")
    for backfill in backfills:
        rows = "an unknown number of rows" if backfill.rows is None else f"{backfill.rows:,} rows"
        out.print(f"  {escape(backfill.view)}: {rows}, because {escape(backfill.reason)}")
        for window in backfill.windows:
            times = " ".join(at.isoformat()[:19] for at in (window.start, window.end))
            out.print(f"      {escape(f'{program} materialize {times} -v {backfill.view}')}")


def program_for(repo: Path) -> str:
    """Return the command for a repo, to copy."""
    return "feature-platform" if repo == Path() else f"feature-platform -C {quote(str(repo))}"


def _summary(report: PlanReport, snapshot: Snapshot) -> str:
    counts = Counter[str](change.action for change in report.plan.changes)
    verbs = {"create": "to add", "update": "to change", "delete": "to delete"}
    parts = [f"{counts[action]} {verb}" for action, verb in verbs.items() if counts[action]]
    broken = {(e.reader, e.reader_owner) for e in report.effects if e.breaks}
    owners = sorted({owner for _, owner in broken})
    if broken:
        objects = f"{len(broken)} object{'s' if len(broken) > 1 else ''}"
        parts.append(f"breaks {objects} of {', '.join(owners)}")
    taken = [
        change.name
        for change in report.plan.changes
        if (current := snapshot.entries.get(report.plan.key(change)))
        and current.owner != report.plan.owner
        and not report.problems
    ]
    if taken:
        parts.append(f"takes over {', '.join(taken)}")
    return f"{', '.join(parts)}."


def print_plan(planned: Plan) -> None:
    """Print what a plan changes."""
    out = console()
    for line in plan_text(planned).splitlines():
        sign = line[2:3] if line[3:4] == " " else ""  # not of a line with a difference
        colour = _COLOURS.get(sign)
        out.print(f"  [{colour}]{sign}[/]{escape(line[3:])}" if colour else escape(line))


def print_counts(counts: dict[str, int], *, as_json: bool, of: str = "view") -> None:
    """Print rows by view, or by whatever else they are counted by."""
    if as_json:
        print_json(counts)
    else:
        print_table([of, "rows"], [(name, f"{n:,}") for name, n in counts.items()])


def print_table(
    headers: list[str], rows: Sequence[tuple[str, ...]], nothing: str = "Nothing."
) -> None:
    table = Table(box=None, pad_edge=False)
    for number, header in enumerate(headers):
        if header in _FREE_TEXT:
            table.add_column(header, overflow="ellipsis", no_wrap=True)
        else:  # names and numbers are never cut, however narrow the terminal is
            width = max(map(cell_len, (header, *(row[number] for row in rows))))
            table.add_column(header, min_width=width, no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    console().print(table if rows else escape(nothing))


class _Screen(Console):
    """A console that shows control characters: texts of others must not command a terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return text with its markup, and with control characters as escapes."""
        return super().render_str(text.translate(_CONTROLS), **options)


def console(*, stderr: bool = False) -> Console:
    """Return a console without line wrapping, so that output can be copied and piped."""
    screen = _Screen(stderr=stderr, highlight=False, soft_wrap=True)
    return screen if screen.is_terminal else _Screen(stderr=stderr, highlight=False, width=10_000)


def print_json(value: object) -> None:
    # NaN is not JSON; msgspec writes null, and times as ISO 8601.
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2)
    click.echo(text.decode())


def plan_json(planned: Plan) -> dict[str, Any]:
    shown = [
        {
            "action": change.action,
            "kind": change.kind,
            "name": change.name,
            "before": change.before and attributes(change.before),
            "after": change.after and attributes(change.after),
        }
        for change in planned.changes
    ]
    return {"version": planned.version, "changes": shown}


def report_json(report: PlanReport) -> dict[str, Any]:
    """Return a plan report as `plan --json` prints it."""
    problems = [
        {"rule": p.rule, "subject": p.subject, "message": p.message} for p in report.problems
    ]
    effects = [
        {
            "change": e.change.subject,
            "kind": e.reader.kind,
            "project": e.reader.project,
            "name": e.reader.name,
            "owner": e.owner,
            "breaks": e.kind if e.breaks else None,
            "message": e.message,
            "excuse": e.excuse,
        }
        for e in report.effects
    ]
    backfills = [
        {
            "view": b.view,
            "reason": b.reason,
            "rows": b.rows,
            "windows": [[w.start, w.end] for w in b.windows],
        }
        for b in report.backfills
    ]
    return {
        **plan_json(report.plan),
        "problems": problems,
        "effects": effects,
        "advisories": [str(advisory) for advisory in report.advisories],
        "backfills": backfills,
        "models": [str(model) for model in report.models],
    }


def commit_json(commit: Commit) -> dict[str, Any]:
    return {**commit.model_dump(mode="json", exclude={"plan"}), "changes": commit.summary()}


def entry_json(entry: Registered) -> dict[str, Any]:
    return {"kind": entry.key.kind, "name": entry.key.name, "owner": entry.owner,
            "version": entry.version, "definition": attributes(entry.body)}  # fmt: skip
