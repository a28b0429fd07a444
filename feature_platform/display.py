"""Small tables, for notebooks and prompts."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

_MOST_ROWS: Final = 10
_MOST_CHARACTERS: Final = 40


def text_table(
    heads: Sequence[str], rows: Sequence[Sequence[object]], *, most: int = _MOST_ROWS
) -> str:
    """Return a table of the first rows, in columns of one width."""
    cells = [list(heads), *(list(map(_short, row)) for row in rows[:most])]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join([*lines, *_rest(len(rows) - most)])


def html_table(
    heads: Sequence[str], rows: Sequence[Sequence[object]], *, most: int = _MOST_ROWS
) -> str:
    """Return a table of the first rows as HTML."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(_short(value))}</td>' for value in row)}</tr>"
        for row in rows[:most]
    )
    note = "".join(f"<p>{escape(line)}</p>" for line in _rest(len(rows) - most))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def _rest(count: int) -> Iterable[str]:
    return [f"... {count:,} more rows"] if count > 0 else []


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."
