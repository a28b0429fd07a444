"""Measure the structure of the package: `python tools/structure.py [--json] [CHECKOUT]`.

Counts what a reviewer would: files, lines, the largest classes, tests for kinds of definitions
outside of `definitions/`, signatures that take a project's name, imports between packages, what
`import feature_platform` loads, and how often each public call reads the registry.
"""

import argparse
import ast
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "feature_platform"
HEAVY = ("dagster", "pandas", "boto3", "duckdb", "sqlglot", "click", "rich", "fsspec")

Trees = dict[Path, ast.Module]


def parse(package: Path) -> Trees:
    return {path: ast.parse(path.read_text("utf-8")) for path in sorted(package.rglob("*.py"))}


def classes(trees: Trees) -> dict[str, ast.ClassDef]:
    nodes = (node for tree in trees.values() for node in ast.walk(tree))
    return {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}


def public_methods(name: str, known: dict[str, ast.ClassDef]) -> set[str]:
    """Return the public methods of a class, inherited ones of this package included."""
    node = known.get(name)
    if node is None:
        return set()
    functions = (n for n in node.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)))
    methods = {f.name for f in functions if not f.name.startswith("_")}
    for base in node.bases:
        methods |= public_methods(base.id, known) if isinstance(base, ast.Name) else set()
    return methods


def kind_names(package: Path) -> set[str]:
    """Return the classes of definitions that the registry stores, and their bases."""
    known = classes(parse(package / "definitions"))

    def is_kind(name: str) -> bool:
        node = known.get(name)
        bases = [b.id for b in node.bases if isinstance(b, ast.Name)] if node else []
        return name == "Definition" or any(map(is_kind, bases))

    return {name for name in known if is_kind(name)} - {"Definition"}


def isinstance_tests(trees: Trees, package: Path) -> Counter[str]:
    """Count `isinstance(x, Kind)` outside of definitions, a tuple of kinds once each."""
    kinds = kind_names(package)
    counts: Counter[str] = Counter()
    for path, tree in trees.items():
        relative = path.relative_to(package)
        if relative.parts[0] == "definitions":
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "isinstance":
                continue
            named = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
            counts[relative.as_posix()] += bool(named & kinds)
    return +counts


def project_signatures(trees: Trees) -> int:
    """Count functions with a parameter `project: str`."""
    count = 0
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                count += any(
                    a.arg == "project" and ast.unparse(a.annotation or ast.Constant("")) == "str"
                    for a in arguments
                )
    return count


def long_functions(trees: Trees) -> tuple[int, int]:
    """Return how many functions there are, and how many have over 40 lines below docstrings."""
    lengths = []
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lengths.append((node.end_lineno or 0) - body[0].lineno + 1 if body else 0)
    return len(lengths), sum(length > 40 for length in lengths)


def arrows(trees: Trees, package: Path) -> set[tuple[str, str]]:
    """Return which of the package's rooms (folders, or files at the top) import which."""

    def room(parts: tuple[str, ...]) -> str:
        return parts[0].removesuffix(".py") if parts else ""

    rooms = {room(path.relative_to(package).parts) for path in trees}
    pairs = set()
    for path, tree in trees.items():
        here = room(path.relative_to(package).parts)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
                there = room(tuple((node.module or "").split(".")[1:2]))
                if there in rooms and here not in {there, "__init__"}:
                    pairs.add((here, there))
    return pairs


def imported(checkout: Path) -> dict[str, object]:
    """Measure `import feature_platform` in a new process, the best of five."""
    code = (
        "import sys, time, json; start = time.process_time(); before = set(sys.modules); "
        f"import {PACKAGE}; "
        "print(json.dumps([time.process_time() - start, sorted(set(sys.modules) - before)]))"
    )
    runs = [json.loads(_python(checkout, code)) for _ in range(5)]
    modules = runs[0][1]
    loaded = sorted({name.partition(".")[0] for name in modules} & set(HEAVY))
    return {
        "cpu_seconds": round(min(seconds for seconds, _ in runs), 3),
        "modules": len(modules),
        "heavy": loaded,
    }


def _python(checkout: Path, code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def measure(checkout: Path) -> dict[str, object]:
    package = checkout / PACKAGE
    trees = parse(package)
    known = classes(trees)
    sizes = sorted(((len(public_methods(n, known)), n) for n in known), reverse=True)
    functions, long = long_functions(trees)
    tests = isinstance_tests(trees, package)
    reads = Path(__file__).with_name("registry_reads.py").read_text("utf-8")
    return {
        "files": len(trees),
        "lines": sum(len(path.read_text("utf-8").splitlines()) for path in trees),
        "largest_classes": {name: size for size, name in sizes[:4]},
        "isinstance_on_kinds": {"all": sum(tests.values()), **tests},
        "signatures_with_project_name": project_signatures(trees),
        "functions": functions,
        "functions_over_40_lines": long,
        "arrows_between_rooms": len(arrows(trees, package)),
        "import": imported(checkout),
        "registry_reads": json.loads(_python(checkout, reads)),
    }


def lines_of(values: dict[str, object], indent: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from lines_of(value, indent + "  ")
        else:
            yield f"{indent}{name}: {value}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", nargs="?", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured = measure(options.checkout.resolve())
    print(json.dumps(measured, indent=1) if options.json else "\n".join(lines_of(measured)))


if __name__ == "__main__":
    main()
