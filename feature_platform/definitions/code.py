"""Functions by import path and fingerprint: the registry never contains code."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Self

from feature_platform.definitions.base import Value
from feature_platform.errors import DefinitionError

_DECORATORS = {"OnDemandFeatureView", "on_demand_feature_view"}
_PLAIN = (str, bytes, int, float, bool, type(None))
_STAR = "from … import *"


class Code(Value):
    """The import path of a function, and a fingerprint of what it does.

    Attributes:
        module: Module, as its repo imports it.
        qualname: Name within the module.
        sha256: Fingerprint of the function and of all code of its repo that it uses.
    """

    module: str
    qualname: str
    sha256: str

    @classmethod
    def of(cls, function: FunctionType) -> Self:
        """Describe a function."""
        return cls(
            module=module_name(function),
            qualname=function.__qualname__,
            sha256=fingerprint(function),
        )


def fingerprint(function: Callable[..., Any]) -> str:
    """Hash a function and the code that it uses.

    The hash covers the statements of the repo that define what the function uses, directly or not.
    It is computed from files, so the order of imports does not matter. Comments, layout and
    docstrings are ignored. Installed packages count by name only.
    """
    plain = inspect.unwrap(function)
    code = plain.__code__
    file = Path(code.co_filename)
    if not file.is_file():  # typed at a prompt
        return hashlib.sha256(_byte_code(code).encode()).hexdigest()
    file = file.resolve()
    root = file.parents[module_name(plain).count(".") + (file.stem == "__init__")]
    top = plain.__qualname__.partition(".")[0]
    _check_unique(file, top)
    parts = {*_slice(file, root, {top, f"line {code.co_firstlineno}"})}
    if "<" in plain.__qualname__:  # no other process can import it, and none compares its hash
        parts.add(_byte_code(code))
        parts |= {f"{name} = {value}" for name, value in _surroundings(plain)}
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def module_name(function: Callable[..., Any]) -> str:
    """Return the module that a function can be imported from; for a script, its file name."""
    if function.__module__ != "__main__":
        return function.__module__
    file = getattr(sys.modules["__main__"], "__file__", None)
    return Path(file).stem if file else "__main__"


def _check_unique(file: Path, name: str) -> None:
    """Refuse a name with two functions in a module: an import returns the last."""
    found = [s for s in _statements(file).get(name, ()) if s.is_function]
    if len(found) > 1:
        raise DefinitionError(f"{file}: {name!r} is defined {len(found)} times; rename one.")


def _slice(file: Path, root: Path, names: set[str]) -> Iterator[str]:
    """Yield the statements that define names of a module, and those that they use."""
    seen: set[tuple[Path, str]] = set()
    todo = [(file, name) for name in sorted(names)]
    while todo:
        place = todo.pop()
        if place in seen:
            continue
        seen.add(place)
        path, name = place
        bound = _statements(path)
        for statement in bound.get(name) or bound.get(_STAR) or []:
            yield f"{path.relative_to(root)}: {statement.text}"
            todo += [(path, used) for used in statement.uses]
            todo += [
                (other, wanted)
                for module, wanted in statement.imports
                if (other := _file_of(module, path, root)) is not None
            ]


class _Statement:
    """One statement at the top of a module."""

    def __init__(self, node: ast.stmt) -> None:
        self.is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        node = _essential(node)
        self.imports = tuple(_imports(node))
        self.uses = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        self.text = ast.unparse(node)


@lru_cache(maxsize=256)
def _parsed(path: Path, _stamp: tuple[int, int]) -> dict[str, list[_Statement]]:
    """Return name → statements that bind or modify it; `*` for all."""
    bound: dict[str, list[_Statement]] = {}
    for node in ast.parse(path.read_bytes()).body:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        lines = {f"line {n}" for n in range(first, (node.end_lineno or first) + 1)}
        names = {*_binds(node), *lines, "*"}
        statement = _Statement(node)
        for name in names:
            bound.setdefault(name, []).append(statement)
    return bound


def _statements(path: Path) -> dict[str, list[_Statement]]:
    stat = path.stat()
    return _parsed(path, (stat.st_mtime_ns, stat.st_size))


def _binds(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds or modifies."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
        inside = (inner for inner in ast.walk(node) if isinstance(inner, ast.Global))
        yield from (name for inner in inside for name in inner.names)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        for alias in node.names:
            yield _STAR if alias.name == "*" else alias.asname or alias.name.partition(".")[0]
    else:
        for inner in ast.walk(node):
            if inner is not node and isinstance(inner, ast.stmt):
                yield from _binds(inner)
            yield from _changes(inner)


def _changes(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
        yield node.name
    elif isinstance(node, ast.Expr):  # `TABLE.update(...)` changes what TABLE is bound to
        parts = (p for p in ast.walk(node) if isinstance(p, (ast.Subscript, ast.Attribute)))
        yield from filter(None, map(_owner, parts))
    elif isinstance(node, (ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
        yield from filter(None, [_owner(node)])


def _owner(node: ast.expr) -> str | None:
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _imports(node: ast.stmt) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for what a statement imports; name `*` for a whole module."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            yield from ((alias.name, "*") for alias in inner.names)
        elif isinstance(inner, ast.ImportFrom):
            module = "." * inner.level + (inner.module or "")
            for alias in inner.names:
                yield module, alias.name
                yield f"{module}{'' if module.endswith('.') else '.'}{alias.name}", "*"


def _file_of(module: str, importer: Path, root: Path) -> Path | None:
    """Return the file of a module of the same repo."""
    level = len(module) - len(module.lstrip("."))
    base = importer.parents[level - 1] if level else root
    path = base.joinpath(*filter(None, module.lstrip(".").split(".")))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file() and file.is_relative_to(root):
            return file
    return None


def _essential(node: ast.stmt) -> ast.stmt:
    """Drop docstrings and the decorators that define views, whose arguments are registered."""
    for inner in ast.walk(node):
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if ast.get_docstring(inner) is not None and len(inner.body) > 1:
                inner.body = inner.body[1:]
            inner.decorator_list = [d for d in inner.decorator_list if not _makes_view(d)]
    return node


def _makes_view(decorator: ast.expr) -> bool:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
    return name in _DECORATORS


def _captured(value: object) -> str:
    if isinstance(value, _PLAIN):
        return repr(value)
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _surroundings(function: FunctionType) -> Iterator[tuple[str, str]]:
    """Yield the defaults of a function, and the variables that it captures."""
    for name, parameter in inspect.signature(function).parameters.items():
        yield name, _captured(parameter.default)
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        with suppress(ValueError):  # a recursive function is bound later
            yield name, _captured(cell.cell_contents)


def _byte_code(code: CodeType) -> str:
    inner = (_byte_code(c) if isinstance(c, CodeType) else _captured(c) for c in code.co_consts)
    return f"{code.co_code.hex()} {code.co_names} {' '.join(inner)}"
