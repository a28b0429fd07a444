"""How the command line prints: plans, tables and JSON."""

import json
from collections.abc import Sequence
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from feature_platform.definitions import Definition
from feature_platform.registry import Commit, Plan, Registered

_SIGNS = {"create": "[green]+[/]", "update": "[yellow]~[/]", "delete": "[red]-[/]"}
_FREE_TEXT = ("description", "message", "value", "changes")


def print_plan(planned: Plan) -> None:
    out = console()
    if not planned:
        out.print(f"No changes: version {planned.version} is what {planned.owner!r} defines.")
        return
    for change in planned.changes:
        kind = change.kind.replace("_", " ")
        out.print(f"  {_SIGNS[change.action]} {kind} {escape(change.name)}")
        if change.action == "update":
            for name, before, after in change.differences():
                old, new = (escape(json.dumps(v, ensure_ascii=False)) for v in (before, after))
                out.print(f"      {name}: {old} → {new}")


def print_counts(counts: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json(counts)
    else:
        print_table(["view", "rows"], [(view, f"{n:,}") for view, n in counts.items()])


def print_table(
    headers: list[str], rows: Sequence[tuple[str, ...]], nothing: str = "Nothing."
) -> None:
    table = Table(box=None, pad_edge=False)
    for header in headers:
        free = header in _FREE_TEXT
        table.add_column(header, overflow="ellipsis" if free else "fold", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    console().print(table if rows else escape(nothing))


def console(*, stderr: bool = False) -> Console:
    """Return a console that leaves lines whole: they are copied, and piped into other programs."""
    screen = Console(stderr=stderr, highlight=False, soft_wrap=True)
    return screen if screen.is_terminal else Console(stderr=stderr, highlight=False, width=10_000)


def print_json(value: object) -> None:
    # NaN is not JSON; msgspec writes null, and times as ISO 8601.
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2)
    click.echo(text.decode())


def commit_json(commit: Commit) -> dict[str, Any]:
    return {**commit.model_dump(mode="json", exclude={"plan"}), "changes": commit.summary()}


def entry_json(definition: Definition, entry: Registered) -> dict[str, Any]:
    body = json.loads(entry.body)
    return {"kind": definition.kind, "name": definition.name, "owner": entry.owner,
            "version": entry.version, "definition": body}  # fmt: skip
