"""What the settings of all stores and brokers share: one base class, and errors in our words."""

from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from feature_platform.errors import did_you_mean

_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_type": "a number",
}


class Settings(BaseModel):
    """Settings of one backend, checked once: unknown names and other types are errors.

    Secrets are hidden in reprs and logs; `plain` reveals them to the backend's own client.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    def plain(self) -> dict[str, Any]:
        """Return the settings that were made, with secrets revealed, without the type."""
        values = self.model_dump(exclude_unset=True, exclude={"type"})
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in values.items()
        }


def named(value: Any) -> Any:
    """Accept the name of a backend in place of settings that only have a `type`."""
    return {"type": value} if isinstance(value, str) else value


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return what is wrong with settings, in our words and without quoting a secret.

    Args:
        error: What pydantic found.
        model: The class of the settings.
    """
    return " ".join(_reason(item, model) for item in error.errors(include_url=False))


def _reason(item: Any, model: type[BaseModel]) -> str:
    path = [str(part) for part in item["loc"]]
    backends = _backends(model, path[0]) if path else {}
    settings = backends.get(path[1]) if len(path) > 1 else None
    if settings is not None:
        return f"{path[0]}: {_setting_reason(item, settings, path[1])}"
    name = path[-1] if path else ""
    if item["type"] == "extra_forbidden":
        known = list(model.model_fields)
        hint = did_you_mean(name, known)
        return f"{name!r} is not a setting.{hint} Known settings: {', '.join(known)}."
    if item["type"] == "missing":
        return f"{name!r} is missing."
    if backends:
        return f"{name}: {_unknown_type(item, backends)} Known types: {', '.join(backends)}."
    return f"{'.'.join(path)}: {_other_reason(item)}" if path else _other_reason(item)


def _setting_reason(item: Any, settings: type[Settings], backend: str) -> str:
    name = str(item["loc"][-1])
    if item["type"] == "extra_forbidden":
        hint = did_you_mean(name, settings.model_fields)
        return f"{name!r} is not a setting of {backend!r}.{hint}"
    if item["type"] in _TYPES:
        field = settings.model_fields.get(name)
        is_public = field is not None and "Secret" not in str(field.annotation)
        value = f", not {item['input']!r}" if is_public else ""
        return f"{name} must be {_TYPES[item['type']]}{value}."
    return f"{name}: {_other_reason(item)}"


def _unknown_type(item: Any, backends: Iterable[str]) -> str:
    if item["type"] != "union_tag_invalid":
        return "it has no type."
    tag = str(item["ctx"]["tag"])
    shown = repr(tag) if tag.isidentifier() else "that is set"  # a URL may hold a password
    return f"the type {shown} is unknown.{did_you_mean(tag, backends)}"


def _other_reason(item: Any) -> str:
    return str(item["ctx"]["error"]) if item["type"] == "value_error" else f"{item['msg']}."


def _backends(model: type[BaseModel], field: str) -> dict[str, type[Settings]]:
    """Return type → class of the settings that a field accepts."""
    info = model.model_fields.get(field)
    classes = _settings_classes(info.annotation) if info else []
    return {str(c.model_fields["type"].default): c for c in classes}


def _settings_classes(annotation: Any) -> list[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [c for part in get_args(annotation) for c in _settings_classes(part)]
