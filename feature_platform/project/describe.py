"""Signatures: the inputs and outputs of requests for a view or service."""

from feature_platform.definitions import Definition, FeatureService, View
from feature_platform.errors import FeaturePlatformError, RequestError
from feature_platform.project.project_snapshot import ProjectSnapshot
from feature_platform.project.resolve import parse_features, resolve


def signature(project: ProjectSnapshot, definition: Definition) -> dict[str, str]:
    """Return the signature of a view or service as text; empty if it cannot be resolved."""
    if not isinstance(definition, (View, FeatureService)):
        return {}
    try:
        references = parse_features(project, definition.name)
        try:
            retrieval = resolve(project, references)
        except RequestError:  # two features share a name
            retrieval = resolve(project, references, full_feature_names=True)
    except (FeaturePlatformError, RecursionError):  # `plan` reports the problem
        return {}
    keys = {name: str(dtype or "any type") for name, dtype in retrieval.join_keys.items()}
    request = {name: str(dtype) for name, dtype in retrieval.request_fields.items()}
    lines = {
        label: ", ".join(f"{name} ({dtype})" for name, dtype in columns.items())
        for label, columns in (("join keys", keys), ("request values", request))
    }
    lines["outputs"] = ", ".join(retrieval.outputs)
    return {label: line for label, line in lines.items() if line}
