"""How the command line prints: plans, tables and JSON."""

import json
from collections.abc import Iterator, Sequence
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
        out.print(f"No changes: version {planned.version} has all that is defined here.")
        return
    for change in planned.changes:
        kind = change.kind.replace("_", " ")
        out.print(f"  {_SIGNS[change.action]} {kind} {escape(change.name)}")
        if change.action == "update":
            for name, before, after in change.differences():
                for line in _difference(name, before, after):
                    out.print(f"      {escape(line)}")


def _difference(name: str, before: object, after: object) -> Iterator[str]:
    """Yield lines that say how an attribute changes: fields one by one, the rest as values."""
    if name == "code" and isinstance(before, dict) and isinstance(after, dict):
        yield f"code: {before['sha256'][:8]} → {after['sha256'][:8]} ({after['qualname']})"
        return
    old, new = _by_name(before), _by_name(after)
    if old is None or new is None:
        yield f"{name}: {_value(before)} → {_value(after)}"
        return
    for field in dict.fromkeys([*old, *new]):
        if field not in old:
            yield f"{name}: + {field} {_value(new[field])}"
        elif field not in new:
            yield f"{name}: - {field} {_value(old[field])}"
        elif old[field] != new[field]:
            yield f"{name}: ~ {field} {_value(old[field])} → {_value(new[field])}"
    if list(old) != list(new) and old.keys() == new.keys():
        yield f"{name}: order {', '.join(old)} → {', '.join(new)}"


def _by_name(value: object) -> dict[str, object] | None:
    """Return declared fields by name; `None` for anything else."""
    if not isinstance(value, list) or not all(isinstance(v, dict) and "name" in v for v in value):
        return None
    rest = {v["name"]: {key: item for key, item in v.items() if key != "name"} for v in value}
    return {name: v["dtype"] if set(v) == {"dtype"} else v for name, v in rest.items()}


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


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
