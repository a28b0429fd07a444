"""Budgets that keep every part small enough to read, and imports light and safe."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import feature_platform

SOURCE = Path(feature_platform.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
MAX_FILE, MAX_FUNCTION = 400, 50
UNSAFE_MODULES = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
# docs/glossary.md: variables are nouns of the domain.
VAGUE_NAMES = {"found", "wanted", "known", "held", "what", "place", "own", "given", "told"}


def nodes(path: Path, *types: type[ast.AST]) -> Iterator[ast.AST]:
    yield from (n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, types))


def docstring_lines(path: Path) -> int:
    """Count the lines of docstrings: reference for users makes no file harder to read."""
    documented = nodes(path, ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = (n.body[0] for n in documented if ast.get_docstring(n, clean=False) is not None)
    return sum(text.end_lineno - text.lineno + 1 for text in texts)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_every_file_can_be_read_in_one_sitting(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines()) - docstring_lines(path)
    assert lines <= MAX_FILE
    for node in nodes(path, ast.FunctionDef):
        body = node.body[1:] if ast.get_docstring(node) else node.body
        lines = node.end_lineno - body[0].lineno + 1 if body else 0
        assert lines <= MAX_FUNCTION, node.name


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_nothing_can_turn_data_into_code(path: Path) -> None:
    imported = {alias.name for node in nodes(path, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in nodes(path, ast.ImportFrom)}
    called = {n.func.id for n in nodes(path, ast.Call) if isinstance(n.func, ast.Name)}

    assert not {name.partition(".")[0] for name in imported} & UNSAFE_MODULES
    assert not called & UNSAFE_CALLS


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_variables_are_named_for_what_they_are(path: Path) -> None:
    bound = {n.id for n in nodes(path, ast.Name) if isinstance(n.ctx, ast.Store)}
    bound |= {n.arg for n in nodes(path, ast.arg)}
    assert not bound & VAGUE_NAMES


def test_dagsters_context_annotation_is_not_deferred() -> None:
    for path in (SOURCE / "dagster").glob("*.py"):
        assert "from __future__" not in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("feature_platform", {"pyarrow", "pydantic", "feature_platform.store"}),
        ("feature_platform.store", {"dagster", "pandas", "duckdb", "boto3", "polars"}),
        ("feature_platform.store", {"pyarrow.compute", "sqlglot", "rich", "fsspec"}),
        ("feature_platform.cli", {"pyarrow", "pydantic", "feature_platform.store", "rich"}),
    ],
)
def test_imports_stay_light(module: str, heavy: set[str]) -> None:
    program = f"import sys, {module}; print(*sorted({heavy!r} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )

    assert result.stdout.split() == []


def test_every_public_name_can_be_imported() -> None:
    import feature_platform

    assert "FeatureStore" in feature_platform.__all__
    for name in feature_platform.__all__:
        assert getattr(feature_platform, name) is not None


def test_docstring_examples_are_true() -> None:
    import doctest
    import importlib

    tried = 0
    for path in FILES:
        name = ".".join(("feature_platform", *path.relative_to(SOURCE).with_suffix("").parts))
        module = importlib.import_module(name.removesuffix(".__init__"))
        result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
        tried += result.attempted
        assert result.failed == 0, name
    assert tried > 15
