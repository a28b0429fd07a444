"""Functions of on-demand views, loaded from the files of their owners alone."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

from feature_platform.definitions import Code, OnDemandFeatureView, source_fingerprint
from feature_platform.errors import ConfigError, DefinitionError, TransformationError, text_of
from feature_platform.project import Transformation
from feature_platform.repo import Repo
from feature_platform.retrieval import Function

_PROMPT: Final = "__main__"
_PACKAGE: Final = "package:"


class _Source(NamedTuple):
    """The file that a function must be in.

    Attributes:
        file: The file.
        root: Folder from which its module is imported.
        files: All files of the distribution; `None` for a repo, which owns its whole folder.
    """

    file: Path
    root: Path
    files: frozenset[Path] | None = None


class FunctionLoader:
    """Loads functions that match the registry.

    The registry holds the name of a function, which anybody with access to it can write. So a
    function is imported only from a file in the folder or the installed distribution that `repos:`
    names for its owner (for this repo's team, the repo itself), and only if the file has the
    registered fingerprint. Nothing else is imported.

    Args:
        repo: The repo whose settings name the owners' folders.
    """

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._team = repo.config.team
        self._repos = {} if self._team in repo.config.repos else {self._team: repo}
        self._functions: dict[tuple[str, str, str], Function] = {}

    def remember(self, views: Iterable[OnDemandFeatureView]) -> None:
        """Keep the functions of on-demand views that were built in this process."""
        for view in views:
            if view.function is not None and view.code is not None:
                self._functions[self._team, view.name, view.code.sha256] = view.function

    def check(self, view: OnDemandFeatureView) -> None:
        """Check that the code of a view is a function of this repo.

        Raises:
            DefinitionError: It is not.
        """
        if view.code is None or view.function is not None:
            return
        source = self._source_of(self._team, view.code)
        if source is None or _fingerprint(source, view.code) != view.code.sha256:
            raise DefinitionError(
                f"{view}: {view.code.module}:{view.code.qualname} is not a function of the repo "
                f"{self._repo.path}, or has changed. Pass the function itself as udf."
            )

    def load(self, transformation: Transformation) -> Function:
        """Return the function of an on-demand view.

        Raises:
            TransformationError: It is not in its owner's files, cannot be imported, or is not
                what its owner registered.
        """
        code = transformation.location
        key = (transformation.owner, transformation.view, code.sha256)
        if key not in self._functions:
            self._functions[key] = self._import(transformation, code)
        return self._functions[key]

    def _import(self, transformation: Transformation, code: Code) -> Function:
        source = self._source_of(transformation.owner, code)
        if source is None:
            raise self._missing(transformation)
        if _fingerprint(source, code) != code.sha256:
            raise self._changed(transformation)
        value: Any = self._module(transformation, source)
        for part in code.qualname.split("."):
            value = getattr(value, part, None)
        function: Any = value.function if isinstance(value, OnDemandFeatureView) else value
        if not _is_defined_by(function, source, code):
            raise self._missing(transformation)
        return function  # type: ignore[no-any-return]

    def _source_of(self, owner: str, code: Code) -> _Source | None:
        """Return the file that an owner's function must be in, if there is one."""
        parts = code.module.split(".")
        if not all(part.isidentifier() for part in parts):
            return None
        names = [Path(*parts).with_suffix(".py"), Path(*parts, "__init__.py")]
        location = self._location_of(owner)
        if location.startswith(_PACKAGE):
            return _packaged(owner, location.removeprefix(_PACKAGE), names)
        if not location:
            return None
        folder = self._repo_of(owner).path.resolve()
        for name in names:
            file = (folder / name).resolve()
            try:
                if file.is_file() and file.is_relative_to(folder):
                    return _Source(file, folder)
            except OSError:  # the name is too long for a file
                return None
        return None

    def folder_of(self, owner: str) -> Path | None:
        """Return the folder with an owner's functions; `None` if it is not named, or a package."""
        location = self._location_of(owner)
        if not location or location.startswith(_PACKAGE):
            return None
        return (self._repo.path / location).resolve()

    def _location_of(self, owner: str) -> str:
        return self._repo.config.repos.get(owner, "." if owner == self._team else "")

    def _repo_of(self, owner: str) -> Repo:
        if owner not in self._repos:
            repo = Repo.load(self._repo.path / self._repo.config.repos[owner])
            if repo.config.team != owner:
                raise ConfigError(
                    f"repos: {repo.path} is the repo of {repo.config.team!r}, not of {owner!r}."
                )
            self._repos[owner] = repo
        return self._repos[owner]

    def _module(self, transformation: Transformation, source: _Source) -> ModuleType:
        """Import the module of a function; a script that is running is not imported again."""
        name = transformation.location.module
        main = sys.modules[_PROMPT]
        if (file := getattr(main, "__file__", None)) and Path(file).resolve() == source.file:
            return main
        try:
            if source.files is not None:
                return _import(name, source)
            with self._repo_of(transformation.owner).importing():
                return _import(name, source)
        except ModuleNotFoundError as error:
            if error.name == name.partition(".")[0]:
                raise self._missing(transformation) from error
            raise self._failed(transformation, error) from error
        except BaseException as error:
            raise self._failed(transformation, error) from error

    def _failed(self, transformation: Transformation, error: BaseException) -> TransformationError:
        return TransformationError(
            f"On-demand view {transformation.view!r}: its module "
            f"{transformation.location.module!r} failed to import: {type(error).__name__}: "
            f"{text_of(error)}",
            f"On-demand view {transformation.view!r} failed to import",
        )

    def _missing(self, transformation: Transformation) -> TransformationError:
        code, owner = transformation.location, transformation.owner
        label = f"On-demand view {transformation.view!r}: {code.module}:{code.qualname}"
        if "<" in code.qualname or code.module == _PROMPT:
            remedy = (
                "was defined in a prompt or inside another function, so other processes cannot "
                "import it. Move it to the top level of a module and apply it again."
            )
        elif owner != self._team and owner not in self._repo.config.repos:
            remedy = (
                f"belongs to {owner!r}, whose code is not read here. Set the path of that repo in "
                f"feature_store.yaml, `repos: {{{owner}: ../{owner}}}`, or the distribution that "
                f"contains it, `repos: {{{owner}: {_PACKAGE}{owner}}}`."
            )
        else:
            remedy = f"is not in the files of {owner!r}. Check out the version that was applied."
        return TransformationError(f"{label} {remedy}")

    def _changed(self, transformation: Transformation) -> TransformationError:
        code, owner = transformation.location, transformation.owner
        return TransformationError(
            f"On-demand view {transformation.view!r}: {code.module}:{code.qualname} is not the "
            f"code that {owner!r} registered. Apply it, or check out the version that was applied."
        )


def _import(name: str, source: _Source) -> ModuleType:
    """Import a module after checking that `import` would not take another of its name.

    Raises:
        ModuleNotFoundError: It would: a package elsewhere on the path comes first.
    """
    top = name.partition(".")[0]
    spec = importlib.util.find_spec(top)
    paths = [spec.origin, *(spec.submodule_search_locations or [])] if spec else []
    first = next((path for path in paths if path), "")
    if not first or not Path(first).resolve().is_relative_to(source.root):
        raise ModuleNotFoundError(f"{top!r} is another module", name=top)
    return importlib.import_module(name)


def _packaged(owner: str, package: str, names: Sequence[Path]) -> _Source | None:
    """Find a module among the files of an installed distribution."""
    try:
        installed = distribution(package)
    except PackageNotFoundError:
        raise ConfigError(
            f"repos: the package {package!r} of {owner!r} is not installed. Install it, or set the "
            "path of the repo."
        ) from None
    files = {Path(name): Path(str(name.locate())).resolve() for name in installed.files or ()}
    for name in names:
        if name in files:
            root = Path(str(installed.locate_file(""))).resolve()
            return _Source(files[name], root, frozenset(files.values()))
    return None


def _fingerprint(source: _Source, code: Code) -> str | None:
    return source_fingerprint(source.file, source.root, code.qualname, source.files)


def _is_defined_by(function: object, source: _Source, code: Code) -> bool:
    """Return whether a function comes from the file that was checked, under its own name."""
    if not callable(function):
        return False
    try:
        plain = inspect.unwrap(function)
    except ValueError:  # it wraps itself
        return False
    if not inspect.isfunction(plain) or plain.__qualname__ != code.qualname:
        return False
    return Path(plain.__code__.co_filename).resolve() == source.file
