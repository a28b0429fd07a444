"""What a plan changes, in lines."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from feature_platform.definitions import ViewReference, label_of

if TYPE_CHECKING:
    from feature_platform.governance.plan import Plan

_SIGNS: Final = {"create": "+", "update": "~", "delete": "-"}


def plan_text(plan: "Plan") -> str:
    """Return a line for each change, followed by its differences."""
    if not plan.changes:
        return f"No changes at version {plan.version}."
    lines = []
    for change in plan.changes:
        lines.append(f"  {_SIGNS[change.action]} {label_of(change.kind)} {change.name}")
        if change.action == "update":
            for difference in change.differences():
                lines += [f"      {line}" for line in _difference(*difference)]
    return "\n".join(lines)


def _difference(name: str, before: object, after: object) -> Iterator[str]:
    """Yield the changes of an attribute, one line per field."""
    if name == "code" and isinstance(before, dict) and isinstance(after, dict):
        yield f"code: {before['sha256'][:8]} → {after['sha256'][:8]} ({after['qualname']})"
        return
    old, new = _by_name(before), _by_name(after)
    if old is None or new is None:
        yield f"{name}: {_value(before)} → {_value(after)}"
        return
    for field in dict.fromkeys([*old, *new]):
        if field not in old:
            yield f"{name}: + {field} {_type_of(new[field])}"
        elif field not in new:
            yield f"{name}: - {field} {_type_of(old[field])}"
        elif old[field] != new[field]:
            yield f"{name}: ~ {field} {_changed(old[field], new[field])}"
    if list(old) != list(new) and old.keys() == new.keys():
        yield f"{name}: order {', '.join(old)} → {', '.join(new)}"


def _by_name(value: object) -> dict[str, dict[str, object]] | None:
    """Return declared fields by name; `None` for anything else."""
    if not isinstance(value, list) or not all(isinstance(v, dict) and "name" in v for v in value):
        return None
    return {v["name"]: {key: item for key, item in v.items() if key != "name"} for v in value}


def _type_of(field: dict[str, object]) -> str:
    return _value(field.get("dtype", field))


def _changed(old: dict[str, object], new: dict[str, object]) -> str:
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    parts = [
        ("" if name == "dtype" else f"{name}: ")
        + f"{_value(old.get(name))} → {_value(new.get(name))}"
        for name in names
    ]
    return ", ".join(parts)


def _value(value: object) -> str:
    parts = value if isinstance(value, list) else []
    if parts and all(isinstance(part, dict) and "view" in part for part in parts):
        return ", ".join(map(_reference, parts))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _reference(value: dict[str, Any]) -> str:
    ref = ViewReference(**value)
    keys = [f"{key}={column}" for key, column in ref.join_key_map.items()]
    joined = f" by {', '.join(keys)}" if keys else ""
    return f"{ref}{f' as {ref.alias}' if ref.alias else ''}{joined}"
