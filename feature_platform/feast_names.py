"""Feast's import paths and names, so that a Feast repo runs with only `feast` renamed.

`MODULES` are import paths of Feast without a module here; each gives every name of the package.
Names that this package spells otherwise are in `feast_objects`. `ABSENT` are names without a
counterpart: they can be imported, and using one raises an error that says what is used instead.
"""

import ast
import re
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_PACKAGE: Final = "feature_platform"


def _words(text: str) -> list[str]:
    return text.split()


MODULES: Final = frozenset(
    _words("""
    aggregation batch_feature_view data_format data_source entity feature feature_logging
    feature_service feature_store feature_view feature_view_projection feast_object field
    labeling labeling.conflict_policy labeling.label_view on_demand_feature_view permissions
    permissions.action permissions.permission permissions.policy repo_config
    saved_dataset stream_feature_view transformation value_type
    """)
)
_ENGINES: Final = "|".join(
    _words("""
    athena bigquery clickhouse couchbase dask duckdb dynamodb file mongodb mssql mssqlserver
    oracle postgres ray redis redshift remote snowflake spark sqlite trino
    """)
)
_STORES: Final = re.compile(
    rf"infra(\.(offline|online)_stores(\.contrib)?(\.({_ENGINES})_(offline|online)_store)?"
    rf"(\.({_ENGINES})(_source)?)?)?"
)
"""Paths of stores, such as `infra.offline_stores.file_source`."""
_FOLDERS: Final = re.compile(r"(infra|_stores|contrib)$")

_INTERNAL: Final = re.compile(
    r"(infra|transformation|protos|dqm|diff|repo_operations|repo_contents|utils"
    r"|wait|names|inference|driver_test_data|nlp_test_data|online_response|feature_server|demos"
    r"|table_format|rag_retriever|flags_helper|metrics|openlineage|monitoring)(\..+)?"
)
"""Paths of modules that only Feast itself, and some repos, use."""
_NOT_HERE: Final = "It is an internal of Feast, without a counterpart. Remove its use."

_WAREHOUSE: Final = "Read it with Spark or Snowflake, or export it to Parquet files."
_OWNERS: Final = "Owners come from `team:` in feature_store.yaml and from API keys of the server."
_VECTORS: Final = "There is no search by vectors; store embeddings as Array(Float32)."
TRANSFORM: Final = "Make the transformation a Dagster asset, and let a source read what it writes."
ABSENT: Final[dict[str, str]] = {
    **dict.fromkeys(
        _words("""AthenaSource BigQuerySource ClickhouseSource CouchbaseColumnarSource MongoDBSource
        MsSqlServerSource OracleSource PostgreSQLSource RaySource RedshiftSource
        TrinoSource BigQueryLoggingDestination RedshiftLoggingDestination
        AthenaLoggingDestination SavedDatasetBigQueryStorage SavedDatasetRedshiftStorage
        SavedDatasetPostgreSQLStorage SavedDatasetSnowflakeStorage SavedDatasetSparkStorage
        """),
        _WAREHOUSE,
    ),
    **dict.fromkeys(
        _words("""AuthzedAction CombinedGroupNamespacePolicy GroupBasedPolicy NamespaceBasedPolicy
        Permission RoleBasedPolicy ALL_ACTIONS READ CRUD WRITE ALL_RESOURCE_TYPES
        """),
        _OWNERS,
    ),
    **dict.fromkeys(
        _words("""BaseChunker ChunkingConfig DocEmbedder EmbeddingConfig FeastVectorStore
        MultiModalEmbedder SchemaTransformFn TextChunker get_embedding_provider
        """),
        _VECTORS,
    ),
    **dict.fromkeys(
        _words("""Aggregation Transformation TransformationMode batch_feature_view
        stream_feature_view transformation
        """),
        TRANSFORM,
    ),
    "DataSource": "Name the kind of source, such as FileSource.",
    "Feature": "Declare a Field with a type.",
    "FilterTranslator": "Filter the answer.",
    **dict.fromkeys(
        _words("GEProfiler ValidationReference ge_profiler"),
        "Declare checks in fields and views; `feature-platform check` runs them.",
    ),
    "load_repo_config": "Use RepoConfig.load(folder).",
    "KinesisSource": "Use a StreamSource with Kafka or Redis, or push the rows.",
}


class Absent:
    """A name of Feast without a counterpart; any use of it raises.

    Args:
        name: The name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def _refuse(self, *_: Any, **__: Any) -> Any:
        from feature_platform.errors import AbsentNameError

        raise AbsentNameError([f"{self._name}: {ABSENT.get(self._name, _NOT_HERE)}"])

    __call__ = __getattr__ = __getitem__ = __iter__ = __or__ = __ror__ = _refuse


def lookup(name: str) -> Any:
    """Return what a name of Feast means here.

    Raises:
        AttributeError: It means nothing.
    """
    return sys.modules[_PACKAGE].__getattr__(name)  # not the module of a decorator's name


class FeastModules:
    """Finds the modules at Feast's paths; `import` asks it after those that exist."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a module at a path of Feast; `None` for others."""
        del path, target
        package, _, module = fullname.partition(".")
        is_public = module in MODULES or _STORES.fullmatch(module)
        if package != _PACKAGE or not (is_public or _is_internal(module)):
            return None
        return ModuleSpec(fullname, _Loader(), is_package=True)


class _FeastModule(ModuleType):
    """A module at a path of Feast; one named like a decorator is that, too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return lookup(name)
        except AttributeError:
            if name.startswith("__") or not _is_internal(self.__name__):
                raise
            return Absent(name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return lookup(self.__name__.rpartition(".")[2])(*arguments, **options)


class _Loader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return a module that has all names."""
        return _FeastModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is no code to run."""


def install() -> None:
    """Let `import` find Feast's paths."""
    if FeastModules not in sys.meta_path:
        sys.meta_path.append(FeastModules)


def absent_in(files: Iterable[Path]) -> list[str]:
    """Return the absent names that modules import, with the place and what is used instead."""
    lines = []
    for file in files:
        try:
            tree = ast.parse(file.read_text("utf-8"))
        except (OSError, SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(_PACKAGE):
                continue
            remedies = {each.name: _remedy(str(node.module), each.name) for each in node.names}
            line = f"{file.name}:{node.lineno}"
            lines += [f"{name} ({line}): {remedy}" for name, remedy in remedies.items() if remedy]
    return lines


def _remedy(module: str, name: str) -> str:
    """Return what is used instead of an absent name of a module; nothing for one that is here."""
    if name in ABSENT or not _is_internal(module):
        return ABSENT.get(name, "")
    try:
        lookup(name)
    except AttributeError:
        return _NOT_HERE
    return ""


def _is_internal(module: str) -> bool:
    path = module.removeprefix(f"{_PACKAGE}.")
    parent = path.rpartition(".")[0]
    is_store = _STORES.fullmatch(path) or (
        _STORES.fullmatch(parent) and not _FOLDERS.search(parent)
    )
    return bool(_INTERNAL.fullmatch(path)) and not is_store
