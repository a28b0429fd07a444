"""Import paths and fingerprints of functions. The registry never stores code."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final, Literal, Self, TypeAlias

from feature_platform.definitions.base import Value
from feature_platform.errors import DefinitionError

_DECORATORS = {"OnDemandFeatureView", "on_demand_feature_view"}
_PLAIN = (str, bytes, int, float, bool, type(None))
_WHOLE_MODULE = "*"
_NAMED_BLOCKS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class _Sentinel(Enum):
    STAR_IMPORT = "from module import *"


_STAR_IMPORT: Final = _Sentinel.STAR_IMPORT
_StatementKey: TypeAlias = str | int | Literal[_Sentinel.STAR_IMPORT]
"""A bound name (or `_WHOLE_MODULE`), a line number, or any star import of a module."""


class Code(Value):
    """The import path of a function and a fingerprint of its code.

    Attributes:
        module: Module, as the owning repo imports it.
        qualname: Name within the module.
        sha256: Fingerprint of the function and everything in its repo that it uses.
    """

    module: str
    qualname: str
    sha256: str

    @classmethod
    def of(cls, function: FunctionType) -> Self:
        return cls(
            module=module_name(function),
            qualname=function.__qualname__,
            sha256=fingerprint(function),
        )


def fingerprint(function: Callable[..., Any]) -> str:
    """Return a hash of a function and everything in its repo that it uses.

    The hash covers the top-level statements of all modules of the repo that define direct or
    indirect dependencies of the function. It is computed from source files and does not depend on
    imports. It ignores comments, layout and docstrings, and covers installed packages by name.
    """
    plain = inspect.unwrap(function)
    code = plain.__code__
    file = Path(code.co_filename)
    if not file.is_file():  # entered at a prompt
        return hashlib.sha256(_byte_code(code).encode()).hexdigest()
    file = file.resolve()
    root = file.parents[module_name(plain).count(".") + (file.stem == "__init__")]
    top = plain.__qualname__.partition(".")[0]
    _check_unique(file, top)
    parts = {*_dependent_statements(file, root, {top, code.co_firstlineno})}
    if "<" in plain.__qualname__:  # a local function or lambda: no other process can import it
        parts.add(_byte_code(code))
        parts |= {f"{name} = {value}" for name, value in _captured_values(plain)}
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def source_fingerprint(
    file: Path, root: Path, name: str, files: Collection[Path] | None = None
) -> str | None:
    """Return what `fingerprint` returns for a function, from its file alone, without an import.

    Args:
        file: The file that defines the function.
        root: The folder that imports start from.
        name: Qualified name of the function.
        files: The files of the repo, if the folder contains others too, as `site-packages` does.

    Returns:
        The fingerprint; `None` if the file does not define the function.
    """
    top = name.partition(".")[0]
    try:
        if not any(top in statement.defines for statement in _statements(file).get(top, ())):
            return None
        parts = {*_dependent_statements(file, root, {top}, files)}
    except (OSError, SyntaxError, ValueError):  # the file changes, or is no Python
        return None
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def module_name(function: Callable[..., Any]) -> str:
    """Return the module to import a function from; for a script, the name of its file."""
    if function.__module__ != "__main__":
        return function.__module__
    file = getattr(sys.modules["__main__"], "__file__", None)
    return Path(file).stem if file else "__main__"


def _check_unique(file: Path, name: str) -> None:
    """Refuse two functions of the same name: an import returns the last one."""
    functions = [s for s in _statements(file).get(name, ()) if s.is_function]
    if len(functions) > 1:
        raise DefinitionError(f"{file}: {name!r} is defined {len(functions)} times. Rename one.")


def _dependent_statements(
    file: Path, root: Path, keys: set[_StatementKey], files: Collection[Path] | None = None
) -> Iterator[str]:
    """Yield the statements under some keys of a module, and all their dependencies."""
    seen: set[tuple[Path, _StatementKey]] = set()
    pending = [(file, key) for key in keys]
    while pending:
        path, key = pending.pop()
        if (path, key) in seen:
            continue
        seen.add((path, key))
        statements = _statements(path)
        for statement in statements.get(key) or statements.get(_STAR_IMPORT) or []:
            yield f"{path.relative_to(root)}: {statement.text}"
            pending += [(path, name) for name in statement.uses]
            pending += [
                (imported, name)
                for module, name in statement.imports
                if (imported := _file_of(module, path, root)) is not None
                and (files is None or imported in files)
            ]


class _Statement:
    def __init__(self, node: ast.stmt) -> None:
        self.is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        self.defines = {n.name for n in ast.walk(node) if isinstance(n, _NAMED_BLOCKS)}
        node = _strip_docstrings(node)
        self.imports = tuple(_imports(node))
        self.uses = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        self.text = ast.unparse(node)


@lru_cache(maxsize=4096)
def _parse_module(
    path: Path, _file_version: tuple[int, int]
) -> dict[_StatementKey, list[_Statement]]:
    """Return key → statements that bind or modify it; `_WHOLE_MODULE` → all statements."""
    statements: dict[_StatementKey, list[_Statement]] = {}
    for node in ast.parse(path.read_bytes()).body:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        lines = range(first, (node.end_lineno or first) + 1)
        statement = _Statement(node)
        for key in {*_bound_names(node), *lines, _WHOLE_MODULE}:
            statements.setdefault(key, []).append(statement)
    return statements


def _statements(path: Path) -> dict[_StatementKey, list[_Statement]]:
    stat = path.stat()
    return _parse_module(path, (stat.st_mtime_ns, stat.st_size))


def _bound_names(node: ast.stmt) -> Iterator[_StatementKey]:
    """Yield the names that a statement binds or modifies."""
    if isinstance(node, _NAMED_BLOCKS):
        yield node.name
        declarations = (inner for inner in ast.walk(node) if isinstance(inner, ast.Global))
        yield from (name for declaration in declarations for name in declaration.names)
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        for alias in node.names:
            if alias.name == "*":
                yield _STAR_IMPORT
            else:
                yield alias.asname or alias.name.partition(".")[0]
    else:
        for inner in ast.walk(node):
            if isinstance(inner, (*_NAMED_BLOCKS, ast.Import, ast.ImportFrom)):
                yield from _bound_names(inner)
            yield from _modified_names(inner)


def _modified_names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
        yield node.name
    elif isinstance(node, ast.Expr):  # `TABLE.update(...)` modifies TABLE
        parts = (p for p in ast.walk(node) if isinstance(p, (ast.Subscript, ast.Attribute)))
        yield from filter(None, map(_base_name, parts))
    elif isinstance(node, (ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
        yield from filter(None, [_base_name(node)])


def _base_name(node: ast.expr) -> str | None:
    while isinstance(node, (ast.Subscript, ast.Attribute)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _imports(node: ast.stmt) -> Iterator[tuple[str, str]]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            yield from ((alias.name, _WHOLE_MODULE) for alias in inner.names)
        elif isinstance(inner, ast.ImportFrom):
            module = "." * inner.level + (inner.module or "")
            for alias in inner.names:
                yield module, alias.name
                submodule = f"{module}{'' if module.endswith('.') else '.'}{alias.name}"
                yield submodule, _WHOLE_MODULE


def _file_of(module: str, importer: Path, root: Path) -> Path | None:
    """Return the file of a module of the repo; `None` for installed modules."""
    level = len(module) - len(module.lstrip("."))
    base = importer.parents[level - 1] if level else root
    path = base.joinpath(*filter(None, module.lstrip(".").split(".")))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file() and file.is_relative_to(root):
            return file
    return None


def _strip_docstrings(node: ast.stmt) -> ast.stmt:
    """Remove docstrings and view decorators, whose arguments the view's definition contains."""
    for inner in ast.walk(node):
        if isinstance(inner, _NAMED_BLOCKS):
            if ast.get_docstring(inner) is not None and len(inner.body) > 1:
                inner.body = inner.body[1:]
            inner.decorator_list = [d for d in inner.decorator_list if not _is_view_decorator(d)]
    return node


def _is_view_decorator(decorator: ast.expr) -> bool:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
    return name in _DECORATORS


def _describe_value(value: object) -> str:
    if isinstance(value, _PLAIN):
        return repr(value)
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _captured_values(function: FunctionType) -> Iterator[tuple[str, str]]:
    """Yield the defaults of a function and the closure variables that are bound."""
    for name, parameter in inspect.signature(function).parameters.items():
        yield name, _describe_value(parameter.default)
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        with suppress(ValueError):  # a recursive function is not bound yet
            yield name, _describe_value(cell.cell_contents)


def _byte_code(code: CodeType) -> str:
    constants = (
        _byte_code(c) if isinstance(c, CodeType) else _describe_value(c) for c in code.co_consts
    )
    return f"{code.co_code.hex()} {code.co_names} {' '.join(constants)}"
