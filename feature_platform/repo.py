"""A repo folder: settings and definitions."""

import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache, cached_property
from pathlib import Path, PurePath
from threading import RLock
from types import ModuleType
from typing import Any

from feature_platform.config import RepoConfig
from feature_platform.definitions import Definition, FileSource, with_related
from feature_platform.errors import (
    AbsentNameError,
    ConfigError,
    StoreError,
    abbreviate,
    check_type,
    text_of,
)
from feature_platform.feast_names import absent_in
from feature_platform.offline.paths import check_path

IGNORE_FILE = ".featureignore"
_FEASTS_IGNORE_FILE = ".feastignore"
_PRIVATE = (".*", "_*")
# Scripts, tests and Dagster's entry points use definitions. What is only named like them may also
# declare some, as in Feast.
_SCRIPTS = (
    "apply.py", "workflow.py", "definitions.py", "setup.py", "conftest.py", "test.py", "test_*.py",
)  # fmt: skip
_OF_SCRIPTS = re.compile(r"\b(FeatureStore\(|dagster\b|pytest\b|setuptools\b|def test_|assert )")

_LOCK = RLock()  # what a name means to `import` belongs to the whole process
# The folder whose modules are being imported: what they mean by `FeatureStore(repo_path=".")`.
_loading: ContextVar[Path] = ContextVar("_loading", default=Path())


@dataclass(frozen=True)
class Repo:
    """One team's folder of definitions.

    Attributes:
        path: The folder.
        config: Its settings.
    """

    path: Path
    config: RepoConfig
    _modules: dict[str, ModuleType] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def load(cls, path: str | Path = ".", config: RepoConfig | None = None) -> "Repo":
        """Open a repo folder. Its modules are imported on first use.

        Args:
            path: The folder. In a module of a repo that is being loaded, `.` is that repo.
            config: Settings, instead of the folder's.

        Raises:
            ConfigError: The path is none, or its `feature_store.yaml` is missing or wrong.
        """
        try:
            folder = (_loading.get() / Path(path)).resolve()
            folder.exists()
        except (TypeError, ValueError, OSError):
            raise ConfigError(f"{abbreviate(path)} is not the path of a repo folder.") from None
        if config is not None:
            check_type(config, RepoConfig, "config")
        return cls(folder, config or RepoConfig.load(folder))

    @cached_property
    def definitions(self) -> tuple[Definition, ...]:
        """Everything the folder's modules define at their top level.

        Scripts (`apply.py`, `workflow.py`), Dagster entry points (`definitions.py`), tests, and
        what `.featureignore` lists are left alone, and so are objects that were imported from
        elsewhere, such as the platform's package: they are only referred to.

        Raises:
            ConfigError: A module failed to import, or a source is outside of the checkout. A
                half-loaded repo defines nothing: the rest would look deleted.
        """
        definitions: dict[int, Definition] = {}
        names = self._module_names()
        is_here = cache(lambda file: Path(file).resolve().is_relative_to(self.path))
        with self.importing():
            for item in (item for name in names for item in _items(vars(self._import(name)))):
                if isinstance(item, Definition) and (origin := item.place) and is_here(origin[0]):
                    definitions[id(item)] = item
        self._check_paths(definitions.values())
        return tuple(definitions.values())

    def _check_paths(self, definitions: Iterable[Definition]) -> None:
        """Refuse a path that no store may read, before it is registered."""
        root = self.path / self.config.offline_store.root
        for source in with_related(definitions):
            if isinstance(source, FileSource) and "://" not in source.path:
                try:
                    check_path(source.name, source.path, root)
                except StoreError as error:
                    raise ConfigError(str(error)) from None

    def import_module(self, name: str) -> ModuleType:
        """Import a module of this folder, even if another repo has the same name.

        Raises:
            ConfigError: It failed to import; the message has the line.
        """
        with self.importing():
            return self._import(name)

    def _import(self, name: str) -> ModuleType:
        try:
            return importlib.import_module(name)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except AbsentNameError as error:  # of all files, so that a repo is moved in one go
            files = (self.path / file for file in self._files())
            raise AbsentNameError(absent_in(files) or error.names) from None
        except BaseException as error:
            trace = traceback.extract_tb(error.__traceback__)
            frames = [f for f in trace if Path(f.filename).is_relative_to(self.path)] or trace
            line = f"{frames[-1].filename}:{frames[-1].lineno}"
            if isinstance(error, SyntaxError):
                line = f"{error.filename}:{error.lineno}"
            raise ConfigError(
                f"{self.path / name.replace('.', '/')}.py failed to import, so no "
                f"definitions were loaded: {type(error).__name__}: {text_of(error)} ({line})"
            ) from error

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Let `import entities` mean this folder's, though another repo has a module of that name.

        Several repos may be loaded by one process, each with an `entities.py`. What others put
        under this folder's names is set aside meanwhile.
        """
        with _LOCK:
            names = {file.parts[0].removesuffix(".py") for file in self._files()}
            names -= sys.stdlib_module_names | {"feature_platform"}
            yield from _set_aside(self.path, names, self._modules)

    def _files(self) -> list[PurePath]:
        """Return the Python files, relative to the folder."""
        files = []
        for folder, folders, names in os.walk(self.path):
            folders[:] = [n for n in folders if not n.startswith(".") and n != "__pycache__"]
            relative = PurePath(folder).relative_to(self.path)
            files += [relative / name for name in names if name.endswith(".py")]
        return sorted(files)

    def _module_names(self) -> list[str]:
        is_ignored = self._ignored()
        names = []
        for module in self._files():
            parts = module.parts
            if any(fnmatch(part, pattern) for part in parts for pattern in _PRIVATE):
                continue
            if is_ignored(module) or self._is_script(module):
                continue
            parts = module.with_suffix("").parts
            problem = ""
            if not all(part.isidentifier() for part in parts):
                problem = "this module name cannot be imported"
            elif parts[0] in sys.stdlib_module_names:
                problem = "Python has a module of this name, which other code imports"
            if problem:
                raise ConfigError(
                    f"{self.path / module}: {problem}. Rename it, or add it to {IGNORE_FILE}."
                )
            names.append(".".join(parts))
        return names

    def _is_script(self, module: PurePath) -> bool:
        if not any(fnmatch(module.name, pattern) for pattern in _SCRIPTS):
            return False
        return bool(_OF_SCRIPTS.search((self.path / module).read_text("utf-8", "replace")))

    def _ignored(self) -> Callable[[PurePath], bool]:
        """Return whether the ignore files list a file, with the patterns of a `.gitignore`."""
        files = [self.path / name for name in (IGNORE_FILE, _FEASTS_IGNORE_FILE)]
        texts = {f: f.read_text("utf-8-sig", "replace") for f in files if f.exists()}
        if not texts:
            return lambda _: False
        from pathspec import PathSpec  # not of the slim client

        patterns: PathSpec[Any] = PathSpec([])
        for file, text in texts.items():
            try:
                patterns += PathSpec.from_lines("gitignore", text.splitlines())
            except ValueError as error:
                raise ConfigError(f"{file}: {error}") from None
        return patterns.match_file


def _items(value: object) -> Iterator[Any]:
    """Yield the items of nested collections, in order; one may contain itself."""
    pending, seen = [value], set()
    while pending:
        item = pending.pop()
        if not isinstance(item, (list, tuple, dict)):
            yield item
        elif id(item) not in seen:
            seen.add(id(item))
            pending += reversed([*(item.values() if isinstance(item, dict) else item)])


def _set_aside(
    folder: Path, module_names: Collection[str], loaded: dict[str, ModuleType]
) -> Iterator[None]:
    """Yield once with the folder first on the path; its modules go to `loaded` afterwards."""
    named = {name: m for name, m in sys.modules.items() if name.partition(".")[0] in module_names}
    present = {name for name, module in named.items() if _is_below(module, folder)}
    aside = {name: sys.modules.pop(name) for name in named if name not in present}
    sys.modules.update({name: m for name, m in loaded.items() if name not in present})
    path, entries = sys.path, list(sys.path)
    sys.path = [str(folder), *entries]
    importlib.invalidate_caches()
    token = _loading.set(folder)
    # Cached byte code is matched by size and second: it could stand in for a file just edited.
    cached, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = cached
        _loading.reset(token)
        # What a module adds stays, behind the rest: its functions may import from there later.
        added = [entry for entry in sys.path if entry not in {str(folder), *entries}]
        sys.path = path
        sys.path[:] = [*entries, *added]
        named = {n: m for n, m in sys.modules.items() if n.partition(".")[0] in module_names}
        # All are looked at first: a folder without an __init__.py asks for the module above it.
        below = [n for n, m in named.items() if n not in present and _is_below(m, folder)]
        loaded |= {name: sys.modules.pop(name) for name in below}
        sys.modules.update(aside)


def _is_below(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    paths = [file] if file else list(getattr(module, "__path__", []))
    return bool(paths) and Path(paths[0]).resolve().is_relative_to(folder)
