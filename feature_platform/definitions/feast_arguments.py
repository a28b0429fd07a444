"""Arguments and attributes that Feast has and this package has not.

Of arguments, which values need nothing here; of all others, and of attributes, what to use instead.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final, NamedTuple

from feature_platform.errors import RequestError
from feature_platform.feast_names import TRANSFORM

ANY: Final = object()


class FeastArgument(NamedTuple):
    """An argument of Feast that this package does not have.

    Attributes:
        accepts: Values that ask for what happens here anyway; `ANY` for all.
        remedy: What to use instead, for the message about any other value.
        warns: Accept any other value, too, and only warn.
    """

    accepts: Any = ()
    remedy: str = ""
    warns: bool = False


_TRANSFORM: Final = FeastArgument(remedy=TRANSFORM)
_IGNORED: Final = FeastArgument(ANY)
_ORG: Final = FeastArgument(("",), "Use tags or owner.")
_VERSION: Final = FeastArgument(
    ("", "latest"), "The registry keeps every version; give a second view that is served a name."
)
_VECTOR: Final = FeastArgument(
    (False,), "There is no search by vectors; the values are stored as an array.", warns=True
)
_AGGREGATIONS: Final = FeastArgument(
    ((), []), "Compute aggregations in a Dagster asset, and let a source read what it writes."
)

FIELD: Final = {
    "vector_index": _VECTOR,
    "vector_length": _IGNORED,
    "vector_search_metric": _IGNORED,
}
VIEW: Final = {
    "enable_validation": _IGNORED,  # rows are checked always
    "offline": _IGNORED,
    "enabled": FeastArgument((True,), "Remove the view, or set online=False."),
    "org": _ORG,
    "version": _VERSION,
    "mode": _IGNORED,  # of a transformation
    "udf": _TRANSFORM,
    "udf_string": FeastArgument(("",), TRANSFORM),
    "feature_transformation": _TRANSFORM,
    "sink_source": _TRANSFORM,
    "aggregations": _AGGREGATIONS,
    "batch_source": FeastArgument((), "Pass it as source."),
    "stream_source": FeastArgument((), "Pass it as source."),
    "features": FeastArgument((), "Pass Fields as schema."),
    "input": FeastArgument((), "Pass it as source."),
}
STREAM_VIEW: Final = {
    **VIEW,
    "timestamp_field": _IGNORED,  # that of the source counts
    "stream_engine": FeastArgument(({},), "`feature-platform ingest` reads streams."),
    "enable_tiling": FeastArgument((False,), _AGGREGATIONS.remedy),
    "tiling_hop_size": FeastArgument((), _AGGREGATIONS.remedy),
}
ON_DEMAND_VIEW: Final = {
    "entities": _IGNORED,  # those of what it reads
    "enabled": VIEW["enabled"],
    "org": _ORG,
    "version": _VERSION,
    "track_metrics": FeastArgument((False,), "The server measures its requests."),
    "udf_string": _IGNORED,  # the text of the function
    "aggregations": _AGGREGATIONS,
    "input_schema": FeastArgument((), "List a RequestSource among the sources."),
    "feature_transformation": FeastArgument((), "Pass the function as udf."),
    "explode": FeastArgument((False,), "A function returns one row for each of its input."),
}
SERVICE: Final = {
    "logging_config": FeastArgument(
        (), "Served features are not logged; the server logs requests.", warns=True
    ),
    "precompute_online": FeastArgument(
        (False,), "Set write_to_online_store=True on the on-demand views.", warns=True
    ),
}
SOURCE: Final = {
    "timestamp_field_type": FeastArgument(("TIMESTAMP", ""), "Cast it in the source."),
    "event_timestamp_column": FeastArgument(("",), "Pass timestamp_field."),  # an older spelling
    "date_partition_column_format": FeastArgument(("%Y-%m-%d", ""), "Name folders YYYY-MM-DD."),
}

_CACHED: Final = {"allow_cache": _IGNORED, "allow_registry_cache": _IGNORED}  # a setting says it
_LOADS: Final = {
    "disable_event_timestamp": FeastArgument((False,), "Pass the first and the last time."),
    "full_feature_names": _IGNORED,
    "version": _VERSION,
}
_READS: Final = (
    "get_data_source", "get_entity", "get_feature_service", "get_feature_view",
    "get_on_demand_feature_view", "get_stream_feature_view", "list_all_feature_views",
    "list_batch_feature_views", "list_data_sources", "list_entities", "list_feature_services",
    "list_feature_views", "list_on_demand_feature_views", "list_projects",
    "list_stream_feature_views",
)  # fmt: skip
CATALOG: Final = {name: {**_CACHED, "hide_dummy_entity": _IGNORED} for name in _READS}
STORE: Final = {
    "apply": {
        "skip_feature_view_validation": _IGNORED,
        "no_promote": _IGNORED,  # of versions of a view
    },
    "create_saved_dataset": {
        "allow_overwrite": FeastArgument((False,), "Choose another name."),
        "feature_service": _IGNORED,  # the dataset keeps its request
    },
    "materialize": _LOADS,
    "materialize_incremental": _LOADS,
    "push": {**_CACHED, "transform_on_write": FeastArgument((True,), "Stored answers follow.")},
    "write_to_offline_store": {**_CACHED, "reorder_columns": _IGNORED},
    "write_to_online_store": {
        **_CACHED,
        "inputs": FeastArgument((), "Pass the rows as df."),
        "transform_on_write": FeastArgument((True,), "Stored answers follow."),
    },
}
"""Method → the arguments that Feast's has."""

JOB: Final = {
    "to_df": {"timeout": _IGNORED, "validation_reference": FeastArgument((), "Declare checks.")},
    "to_arrow": {"timeout": _IGNORED, "validation_reference": FeastArgument((), "Declare checks.")},
    "persist": {
        "allow_overwrite": FeastArgument((False,), "Choose another folder."), "timeout": _IGNORED,
    },
}  # fmt: skip


_HISTORY: Final = "`feature-platform history` and registry.history() have versions, times, authors."
_SERVED: Final = "Run `feature-platform serve`."
_LOGGED: Final = "Served features are not logged; the server logs requests."
_NO_VECTORS: Final = _VECTOR.remedy
_CHECKS: Final = "Declare checks in fields and views; `feature-platform check` runs them."
_OWNERS: Final = "Owners come from `team:` in feature_store.yaml and from API keys of the server."
_SOURCE: Final = "`source` is its name; get_data_source() returns it."
_JSON: Final = "Definitions are JSON: to_json()."
_ANSWER: Final = "Use to_dict(), to_df() or to_arrow()."

ATTRIBUTES: Final[Mapping[str, Mapping[str, str]]] = {
    "Value": {
        "created_timestamp": _HISTORY,
        "last_updated_timestamp": _HISTORY,
        "features": "Use `fields`.",
        "batch_source": _SOURCE,
        "data_source": _SOURCE,
        "stream_source": _SOURCE,
        "join_keys": "`entities` are names; get_entity() returns one, with its join_keys.",
        "entity_columns": "`entities` are names; get_entity() returns one, with its join_keys.",
        "projection": 'Use `view[["feature"]]`, with_name() and with_join_key_map().',
        "feature_view_projections": "Use `references`.",
        "source_feature_view_projections": "Use `references`.",
        "source_request_sources": "Use `references`.",
        "feature_transformation": "`code` says where the function is.",
        "get_ttl_duration": "Use `ttl`.",
        "materialization_intervals": "Use store.online_windows().",
        "most_recent_end_time": "Use store.online_windows().",
        "version": _VERSION.remedy,
        "to_proto": _JSON,
        "is_valid": "It is valid: definitions are checked when they are made.",
        "ensure_valid": "It is valid: definitions are checked when they are made.",
        "infer_features": "Schemas are declared; `feature-platform schema` prints a source's.",
        "get_table_query_string": "An offline store reads the source, not the source itself.",
        "get_table_column_names_and_types": "Use store.get_source_schema().",
    },
    "FeatureStore": {
        "create_dataset_from_retrieval": "Use create_saved_dataset().",
        "retrieve_dataset_data": "Use get_saved_dataset(), and its to_df().",
        "delete_project": "Use teardown().",
        "set_current_project": "Open a FeatureStore for each project.",
        "reset_current_project": "Open a FeatureStore for each project.",
        "enable_feature_view": "Set online=True in the view.",
        "disable_feature_view": "Set online=False in the view.",
        "set_feature_view_state": "Set online in the view.",
        "list_feature_view_versions": _HISTORY,
        "get_feature_server_endpoint": "The client's settings name the server.",
        "get_label_view": "Use get_feature_view().",
        "list_label_views": "Use list_feature_views().",
        "get_permission": _OWNERS,
        "list_permissions": _OWNERS,
        "get_validation_reference": _CHECKS,
        "list_validation_references": _CHECKS,
        "validate_logged_features": _LOGGED,
        "write_logged_features": _LOGGED,
        "retrieve_online_documents": _NO_VECTORS,
        "retrieve_online_documents_v2": _NO_VECTORS,
        "openai_search": _NO_VECTORS,
        "embedding_provider": _NO_VECTORS,
        "initialize": "Stores are opened on first use.",
        "precompute_feature_service": "Set write_to_online_store=True in on-demand views.",
        "provider": "There are no providers; `stores` has the stores.",
        "repo_path": "Use repo.path.",
        "version": "Use feature_platform.__version__.",
        "serve": _SERVED,
        "serve_offline": _SERVED,
        "serve_registry": _SERVED,
        "serve_transformations": _SERVED,
        "serve_ui": "Run `dagster dev`; the registry's objects are assets there.",
        "write_to_online_store_async": "Use push_async(), or a thread.",
        "update_online_store": "Online tables follow apply().",
    },
    "RetrievalJob": {
        "to_tensor": "Use to_arrow(), and make tensors of its columns.",
        "to_ray_dataset": "Use to_batches().",
        "to_remote_storage": "Use persist().",
        "supports_remote_storage_export": "Use persist().",
        "full_feature_names": "Use `request`.",
        "on_demand_feature_views": "Use explain().",
        "metadata": "Use `request`.",
    },
    "Registry": {
        name: f"Use store.{name}()."
        for name in (*_READS, "list_feature_views", "delete_feature_view")
    },
    "SavedDataset": {
        "as_reference": _CHECKS,
        "min_event_timestamp": "Read `manifest`: `statistics` has the range of every column.",
        "max_event_timestamp": "Read `manifest`: `statistics` has the range of every column.",
        "get_profile": _CHECKS,
    },
    "OnlineResponse": {"proto": _ANSWER, "to_tensor": _ANSWER},
}
"""Class → the attributes and methods that only Feast's has, and what to use instead."""


def explain_attribute(item: object, kind: str, name: str) -> AttributeError:
    """Return the error of an attribute that a class has not, with what to use instead."""
    label = f"{type(item).__name__!r} object has no attribute {name!r}"
    remedy = ATTRIBUTES[kind].get(name)
    return AttributeError(f"{label}, as Feast's has. {remedy}" if remedy else label)


def explain_attributes(kind: type) -> None:
    """Let a class say what to use instead of an attribute that only Feast's class has."""

    def attribute(self: object, name: str) -> Any:
        raise explain_attribute(self, kind.__name__, name)

    kind.__getattr__ = attribute  # type: ignore[attr-defined]


def accept(kind: type, methods: Mapping[str, Mapping[str, FeastArgument]]) -> None:
    """Let methods of a class take the arguments that those of Feast have.

    Values that ask for what happens here anyway are left out; others raise `RequestError`.
    """
    for name, arguments in methods.items():
        setattr(kind, name, _accepting(getattr(kind, name), arguments))


def _accepting(
    method: Callable[..., Any], arguments: Mapping[str, FeastArgument]
) -> Callable[..., Any]:
    @wraps(method)
    def call(*values: Any, **options: Any) -> Any:
        if feasts := {name: options.pop(name) for name in arguments.keys() & options.keys()}:
            try:
                without(f"{method.__name__}()", feasts, arguments)
            except ValueError as error:
                raise RequestError(str(error)) from None
        return method(*values, **options)

    return call


def without(
    label: str, data: Mapping[str, Any], arguments: Mapping[str, FeastArgument]
) -> dict[str, Any]:
    """Return the arguments of a definition without `None` and without those that only Feast has.

    Raises:
        ValueError: One of those asks for what there is not.
    """
    kept = {}
    for name, value in data.items():
        if value is None:
            continue
        argument = arguments.get(name)
        if argument is None:
            kept[name] = value
        elif argument.accepts is not ANY and value not in argument.accepts:
            message = f"{label}: {name} is an argument of Feast. {argument.remedy}"
            if not argument.warns:
                raise ValueError(message)
            warnings.warn(message, UserWarning, stacklevel=4)
    return kept
