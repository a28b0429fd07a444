"""Functions by import path and fingerprint: the registry never holds code."""

import ast
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Self

from feature_platform.definitions.base import Value


class Code(Value):
    """Where a function is imported from, and a fingerprint of what it does.

    Attributes:
        module: Module, as the repo that owns it imports it.
        qualname: Name within the module.
        sha256: Fingerprint of the function, of the helpers it calls in its own module, and of the
            constants it reads there. Comments and layout do not count.
    """

    module: str
    qualname: str
    sha256: str

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Self:
        """Describe a function."""
        return cls(
            module=_module_name(function),
            qualname=function.__qualname__,
            sha256=fingerprint(function),
        )


def fingerprint(function: Callable[..., Any]) -> str:
    """Hash what a function does, so that a change is noticed wherever it was made."""
    parts = sorted(set(_parts(inspect.unwrap(function), set())))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _parts(value: object, seen: set[int]) -> Iterator[str]:
    if not isinstance(value, FunctionType) or id(value) in seen:
        return
    seen.add(id(value))
    yield f"{value.__qualname__} = {_source(value)} {value.__defaults__} {value.__kwdefaults__}"
    names = set(_global_names(value.__code__))
    cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    reads = {name: value.__globals__[name] for name in names & value.__globals__.keys()}
    reads |= {name: cell.cell_contents for name, cell in cells}
    for name, read in reads.items():
        if isinstance(read, FunctionType) and read.__module__ == value.__module__:
            yield from _parts(read, seen)
        else:
            yield f"{name} = {_content(read)}"


def _content(value: object) -> str:
    if isinstance(value, ModuleType):
        return f"module {value.__name__}"
    if isinstance(value, type) or callable(value):
        named = getattr(value, "__qualname__", type(value).__qualname__)
        return f"{getattr(value, '__module__', '')}.{named}"
    if isinstance(value, (set, frozenset)):
        return repr(sorted(map(repr, value)))
    text = repr(value)
    return type(value).__qualname__ if " at 0x" in text else text


def _global_names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _global_names(constant)


def _source(function: FunctionType) -> str:
    """Return the source without comments, layout, decorators or docstring."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, SyntaxError):  # typed at a prompt, or a lambda inside an expression
        return _byte_code(function.__code__)
    if isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef)):
        tree.decorator_list = []
        if ast.get_docstring(tree) is not None and len(tree.body) > 1:
            tree.body = tree.body[1:]
    return ast.unparse(tree)


def _byte_code(code: CodeType) -> str:
    inner = (_byte_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts)
    return f"{code.co_code.hex()} {code.co_names} {' '.join(inner)}"


def _module_name(function: Callable[..., Any]) -> str:
    if function.__module__ != "__main__":
        return function.__module__
    file = getattr(sys.modules["__main__"], "__file__", None)
    return Path(file).stem if file else "__main__"
