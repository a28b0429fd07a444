"""The files of a folder are of one layout: what one file alone is refused for is refused there.

DuckDB unites the columns of all files. A file without the key would lose its rows in silence, and a
column that is text in one file makes text of the others.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from feature_platform.errors import SourceError

_TOGETHER = ({"integer", "number", "decimal"}, {"date", "time"}, {"text", "UUID"})
"""Families of types whose values are compared, and converted only where none of them changes."""


class _Node(NamedTuple):
    """An element of a Parquet schema: of a column, or of what is inside of one."""

    name: str
    physical: str | None
    logical: str
    children: int
    digits: Sequence[int | None]


def layouts_sql(listing: str) -> str:
    """Return the query of the layouts that Parquet files have, each with one of its files."""
    return (
        "SELECT min(file_name) AS file, layout FROM (SELECT file_name, list({'name': name, "
        "'physical': type, 'logical': coalesce(logical_type, converted_type, ''), "
        "'children': coalesce(num_children, 0), 'digits': [precision, scale, "
        "CAST(coalesce(type_length, '0') AS BIGINT)]} ORDER BY column_id) AS layout "
        f"FROM parquet_schema([{listing}]) GROUP BY file_name) GROUP BY layout ORDER BY file"
    )


def check_layouts(
    layouts: Sequence[Mapping[str, Any]], label: str, required: Iterable[str]
) -> bool:
    """Check that Parquet files have the columns that they need, once, in types that go together.

    Args:
        layouts: What `layouts_sql` gives.
        label: Name of the source, for messages.
        required: Columns that each file must have.

    Returns:
        Whether all files have the same columns in the same order, with the same types.

    Raises:
        SourceError: A file has not.
    """
    seen: dict[tuple[str, ...], tuple[str, str]] = {}
    for layout in layouts:
        file = Path(layout["file"]).name
        columns = _columns(layout["layout"])
        if twice := [name for name, count in Counter(columns).items() if count > 1]:
            raise SourceError(f"Source {label!r}: column {twice[0]!r} occurs twice in {file}.")
        leaves = dict(_leaves(layout["layout"]))
        check_required(label, file, columns, required)
        for path, family in leaves.items():
            if family == "null":  # it is of every type
                continue
            other, another = seen.setdefault(path, (family, file))
            kinds = {family, other}
            if len(kinds) > 1 and not any(kinds <= group for group in _TOGETHER):
                raise SourceError(
                    f"Source {label!r}: column {'.'.join(path)!r} is {other} in {another} and "
                    f"{family} in {file}. Write all files with one type."
                )
    return len(layouts) == 1


def check_required(label: str, file: str, columns: Iterable[str], required: Iterable[str]) -> None:
    """Check that a file of a folder has the columns without which its rows would be lost.

    Raises:
        SourceError: It has not.
    """
    listed = list(dict.fromkeys(columns))
    names = {name.casefold() for name in listed}
    for name in required:
        if name.casefold() not in names:
            raise SourceError(
                f"Source {label!r}: {file} has no column {name!r}, as other files of its folder "
                f"have. Its columns are {', '.join(listed)}."
            )


def _columns(layout: Sequence[Mapping[str, Any]]) -> list[str]:
    names, inside = [], 0
    for node in layout[1:]:
        if not inside:
            names.append(node["name"])
        inside += node["children"] - (1 if inside else 0)
    return names


def _leaves(layout: Sequence[Mapping[str, Any]]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield path → family of each value in a schema, which lists an outside before its inside."""
    nodes = iter([_Node(**node) for node in layout])
    root = next(nodes)
    for _ in range(root.children):
        yield from _inside(next(nodes), nodes, ())


def _inside(
    node: _Node, nodes: Iterator[_Node], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    here = (*path, node.name)
    if not node.children:
        yield here, _family(node)
        return
    is_struct = not node.logical.startswith(("List", "LIST", "Map", "MAP"))
    for number in range(node.children):
        child = next(nodes)
        if is_struct:
            yield from _inside(child, nodes, here)
            continue
        # Writers name what is inside of lists and maps as they like.
        for position in range(child.children):
            yield from _inside(next(nodes)._replace(name=f"{number}{position}"), nodes, here)
        if not child.children:
            yield (*here, str(number)), _family(child)


def _family(node: _Node) -> str:
    logical = node.logical.upper()
    for start, family in _LOGICAL.items():
        if logical.startswith(start):
            return family
    return _PHYSICAL[node.physical or ""]


_LOGICAL = {
    "NULL": "null", "DECIMAL": "decimal", "DATE": "date", "TIMESTAMP": "time", "UUID": "UUID",
    "STRING": "text", "UTF8": "text", "ENUM": "text", "JSON": "text", "FLOAT16": "number",
    "INT": "integer", "UINT": "integer",
}  # fmt: skip
_PHYSICAL = {
    "BOOLEAN": "boolean", "INT32": "integer", "INT64": "integer", "INT96": "time",
    "FLOAT": "number", "DOUBLE": "number", "BYTE_ARRAY": "bytes", "FIXED_LEN_BYTE_ARRAY": "bytes",
    "": "a group",
}  # fmt: skip
