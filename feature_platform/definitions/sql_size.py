"""Bounds of what a SQL expression can produce.

Everybody's `plan` checks expressions, and readers evaluate those of other teams. A short text can
ask for gigabytes, such as `replace` nested ten times, so what could grow too large is refused.
"""

from typing import Any

MAX_NODES = 1_000
MAX_DEPTH = 60
MAX_BYTES = 16_000_000
"""Largest possible text for inputs of `_INPUT_BYTES`."""
MAX_WILDCARDS = 10
_INPUT_BYTES = 1_000
_SCALAR_BYTES = 100


def check_size(tree: Any) -> None:
    """Refuse expressions that are too large, too deep, or whose results could be.

    Raises:
        ValueError: They are.
    """
    count, depth = 0, 0
    for node in tree.walk():
        count, depth = count + 1, max(depth, node.depth)
    if count > MAX_NODES:
        raise ValueError(f"{count:,} parts; the maximum is {MAX_NODES:,}.")
    if depth - tree.depth > MAX_DEPTH:
        raise ValueError(f"nested {depth - tree.depth} levels deep; the maximum is {MAX_DEPTH}.")
    if (size := _largest(tree)) > MAX_BYTES:
        raise ValueError(
            f"its text could grow to {size:,} bytes for inputs of {_INPUT_BYTES:,}; the maximum is "
            f"{MAX_BYTES:,}. Compute it in a function."
        )


def _largest(node: Any) -> int:
    """Return an upper bound of the size of a value, in bytes."""
    from sqlglot import exp

    sizes = [_largest(child) for child in node.iter_expressions()]
    if isinstance(node, exp.Literal):
        return max(len(node.this.encode()), _SCALAR_BYTES if not node.is_string else 0)
    if isinstance(node, exp.Column):
        return _INPUT_BYTES
    name = type(node).__name__.lower()
    if name == "anonymous":
        name = node.name.lower()
    if name == "replace":  # every character may become the whole replacement
        replacement = _largest(node.args["replacement"]) if node.args.get("replacement") else 0
        return _largest(node.this) * max(1, replacement)
    if name in {"lpad", "rpad", "pad"}:
        return max(_padded(node), *sizes)
    if name in {"concat", "dpipe", "tuple"}:
        return sum(sizes)
    if isinstance(node, (exp.Like, exp.ILike)):
        _check_pattern(node.expression)
    return max(sizes, default=_SCALAR_BYTES)


def _padded(node: Any) -> int:
    """Return the width of a padded text; one that is not a number could be anything."""
    from sqlglot import exp

    widths = [n for n in node.iter_expressions() if isinstance(n, exp.Literal) and not n.is_string]
    return int(float(widths[0].this)) if widths else MAX_BYTES + 1


def _check_pattern(pattern: Any) -> None:
    """Refuse patterns that are matched by trying all ways to place their wildcards."""
    from sqlglot import exp

    if isinstance(pattern, exp.Literal) and pattern.this.count("%") > MAX_WILDCARDS:
        raise ValueError(f"a pattern has more than {MAX_WILDCARDS} wildcards.")
