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

_DECIMAL_DIGITS = 38  # of DuckDB's widest decimal
_DOUBLE, _FLOAT = 2**53, 2**24  # up to which floats of 64 and of 32 bits hold every integer
_DOUBLE_DIGITS = 15  # that a float of 64 bits returns as they were
_INTEGER_DIGITS = {"INT32": 10, "INT64": 20}


class _Node(NamedTuple):
    """An element of a Parquet schema: of a column, or of what is inside of one."""

    name: str
    physical: str | None
    logical: str
    children: int
    digits: Sequence[int | None]


class _Leaf(NamedTuple):
    """A column of one file without further columns, or a value inside of a nested one.

    Attributes:
        family: The family of its type.
        physical: The type that Parquet stores.
        digits: Of an integer or decimal: how many it has, and
        scale: how many of them after the point.
        column: Its name in the statistics of the file.
        file: The file.
    """

    family: str
    physical: str
    digits: int
    scale: int
    column: str
    file: str

    def __str__(self) -> str:
        exact = f"({self.digits}, {self.scale})" if self.family == "decimal" else ""
        return f"{self.family}{exact} in {self.file}"


class Mixed(NamedTuple):
    """A column that has integers in some files and floats in others.

    Attributes:
        column: Its name in the statistics of the files.
        most: The largest integer that the floats hold.
        message: What to say of larger ones.
    """

    column: str
    most: int
    message: str


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
) -> tuple[bool, list[Mixed]]:
    """Check that Parquet files have the columns that they need, once, in types that go together.

    Args:
        layouts: What `layouts_sql` gives.
        label: Name of the source, for messages.
        required: Columns that each file must have.

    Returns:
        Whether all files have the same columns in the same order, with the same types; and the
        columns whose types go together unless they have large integers.

    Raises:
        SourceError: A file has not.
    """
    seen: dict[tuple[str, ...], list[_Leaf]] = {}
    for layout in layouts:
        file = Path(layout["file"]).name
        columns = _columns(layout["layout"])
        if twice := [name for name, count in Counter(columns).items() if count > 1]:
            raise SourceError(f"Source {label!r}: column {twice[0]!r} occurs twice in {file}.")
        check_required(label, file, columns, required)
        for path, leaf in _leaves(layout["layout"], file):
            if leaf.family != "null":  # it is of every type
                seen.setdefault(path, []).append(leaf)
    mixed = [_together(label, path, leaves) for path, leaves in seen.items() if len(leaves) > 1]
    return len(layouts) == 1, [each for each in mixed if each is not None]


def _together(label: str, path: tuple[str, ...], leaves: Sequence[_Leaf]) -> Mixed | None:
    """Check the types that one column, or one value inside of it, has in all layouts."""
    families = {leaf.family for leaf in leaves}
    floats = {leaf.physical for leaf in leaves if leaf.family == "number"}
    decimals = [leaf for leaf in leaves if leaf.family == "decimal"]
    exact = [leaf for leaf in leaves if leaf.family in ("decimal", "integer")]
    if len(families) > 1 and not any(families <= group for group in _TOGETHER):
        agree = False
    elif floats:
        agree = not decimals or (
            floats == {"DOUBLE"} and max(leaf.digits for leaf in decimals) <= _DOUBLE_DIGITS
        )
    else:
        whole = max((leaf.digits - leaf.scale for leaf in exact), default=0)
        scale = max((leaf.scale for leaf in exact), default=0)
        agree = not decimals or whole + scale <= _DECIMAL_DIGITS
    first = leaves[0]
    other = next((leaf for leaf in leaves if leaf[:4] != first[:4]), first)
    message = f"Source {label!r}: column {'.'.join(path)!r} is {other} and {first}"
    if not agree:
        raise SourceError(f"{message}. Write all files with one type.")
    if not floats or "integer" not in families:
        return None
    most = _DOUBLE if "DOUBLE" in floats else _FLOAT
    message += (
        f", and has integers beyond {most:,}, which floats round. Write all files with one type."
    )
    return Mixed(exact[0].column, most, message)


def large_integers_sql(listing: str, column: str, most: int) -> str:
    """Return the query whether a column may have integers beyond a limit, by its statistics."""
    quoted = column.replace("'", "''")
    return (
        "SELECT count(*) FROM parquet_metadata(["
        f"{listing}]) WHERE path_in_schema = '{quoted}' AND type IN ('INT32', 'INT64') "
        "AND stats_null_count IS DISTINCT FROM num_values AND NOT coalesce("
        f"TRY_CAST(stats_min_value AS HUGEINT) >= -{most} "
        f"AND TRY_CAST(stats_max_value AS HUGEINT) <= {most}, false)"
    )


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


def _leaves(
    layout: Sequence[Mapping[str, Any]], file: str
) -> Iterator[tuple[tuple[str, ...], _Leaf]]:
    """Yield path → type of each value in a schema, which lists an outside before its inside."""
    nodes = iter([_Node(**node) for node in layout])
    root = next(nodes)
    for _ in range(root.children):
        node = next(nodes)
        yield from _inside(node, nodes, (node.name,), (node.name,), file)


def _inside(
    node: _Node, nodes: Iterator[_Node], path: tuple[str, ...], names: tuple[str, ...], file: str
) -> Iterator[tuple[tuple[str, ...], _Leaf]]:
    """Yield the values in a node; writers name what is inside of lists and maps as they like."""
    if not node.children:
        yield path, _leaf(node, ", ".join(names), file)
        return
    is_struct = not node.logical.startswith(("List", "LIST", "Map", "MAP"))
    for number in range(node.children):
        child = next(nodes)
        inside = (*names, child.name)
        if is_struct:
            yield from _inside(child, nodes, (*path, child.name), inside, file)
        elif not child.children:
            yield (*path, str(number)), _leaf(child, ", ".join(inside), file)
        for position in range(0 if is_struct else child.children):
            item = next(nodes)
            item_path = (*path, f"{number}{position}")
            yield from _inside(item, nodes, item_path, (*inside, item.name), file)


def _leaf(node: _Node, column: str, file: str) -> _Leaf:
    family, physical = _family(node), node.physical or ""
    digits, scale = _INTEGER_DIGITS.get(physical, 0), 0
    if family == "decimal":
        digits, scale = node.digits[0] or 0, node.digits[1] or 0
    return _Leaf(family, physical, digits, scale, column, file)


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
