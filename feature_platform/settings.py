"""Base class and validation messages of the settings of all stores and brokers."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from feature_platform.errors import did_you_mean

_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_type": "a number",
}


class SettingWarning(UserWarning):
    """A setting of Feast that has no effect."""


class Settings(BaseModel):
    """Settings of one backend, with strict names and types; reprs and logs hide secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    def plain(self) -> dict[str, Any]:
        """Return the explicit settings, except `type`, with secrets revealed."""
        values = self.model_dump(exclude_unset=True, exclude={"type"})
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in values.items()
        }


def named(value: Any) -> Any:
    """Convert the name of a backend to settings with only a `type`."""
    return {"type": value} if isinstance(value, str) else value


def without_feasts(label: str, settings: Any, feasts: Mapping[str, Sequence[str]]) -> Any:
    """Leave out settings that only Feast's stores have, with a warning.

    Args:
        label: Name of the section.
        settings: The section.
        feasts: Type of the store → these settings.
    """
    if not isinstance(settings, dict):
        return settings
    dropped = [name for name in feasts.get(str(settings.get("type")), ()) if name in settings]
    if dropped:
        verb = "has" if len(dropped) == 1 else "have"
        message = f"{label}: {', '.join(dropped)} {verb} no effect here and can be removed."
        warnings.warn(message, SettingWarning, stacklevel=2)
    return {name: value for name, value in settings.items() if name not in dropped}


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return a message about invalid settings of a class, without quoting secrets."""
    return " ".join(_reason(item, model) for item in error.errors(include_url=False))


def _reason(item: Any, model: type[BaseModel]) -> str:
    path = [str(part) for part in item["loc"]]
    depth = 2 if path and _is_mapping(model, path[0]) else 1
    section = _section(model, path[0]) if len(path) > depth else None
    if section is not None:
        return f"{'.'.join(path[:depth])}: {_reason({**item, 'loc': path[depth:]}, section)}"
    backends = _backends(model, path[0]) if path else {}
    settings = backends.get(path[1]) if len(path) > 1 else None
    if settings is not None:
        return f"{path[0]}: {_setting_reason(item, settings, path[1])}"
    name = path[-1] if path else ""
    if item["type"] == "extra_forbidden":
        names = list(model.model_fields)
        hint = did_you_mean(name, names)
        return f"{name!r} is not a setting.{hint} Valid settings: {', '.join(names)}."
    if item["type"] == "missing":
        return f"{name!r} is missing."
    if backends and item["type"] != "value_error":
        return f"{name}: {_unknown_type(item, backends)} Valid types: {', '.join(backends)}."
    reason = _other_reason(item)
    separator = " " if reason.startswith("must ") else ": "
    return f"{'.'.join(path)}{separator}{reason}" if path else reason


def _setting_reason(item: Any, settings: type[Settings], backend: str) -> str:
    name = str(item["loc"][-1])
    if item["type"] == "extra_forbidden":
        return (
            f"{name!r} is not a setting of {backend!r}.{did_you_mean(name, settings.model_fields)} "
            f"Its settings are {', '.join(n for n in settings.model_fields if n != 'type')}."
        )
    if item["type"] in _TYPES:
        field = settings.model_fields.get(name)
        is_public = field is not None and "Secret" not in str(field.annotation)
        value = f", not {item['input']!r}" if is_public else ""
        return f"{name} must be {_TYPES[item['type']]}{value}."
    return f"{name}: {_other_reason(item)}"


def _unknown_type(item: Any, backends: Iterable[str]) -> str:
    if item["type"] != "union_tag_invalid":
        return "'type' is missing."
    tag = str(item["ctx"]["tag"])
    label = f"type {tag!r}" if tag.isidentifier() else "the type"  # a URL may contain a password
    return f"{label} is not supported.{did_you_mean(tag, backends)}"


def _other_reason(item: Any) -> str:
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    if item["type"] in {"model_type", "model_attributes_type", "dict_type"}:
        return "must be a mapping of settings."
    return f"{item['msg'].replace('Input should', 'must')}."


def _backends(model: type[BaseModel], field: str) -> dict[str, type[Settings]]:
    """Return the settings classes that a field accepts, by type."""
    classes = _settings_classes(model, field)
    return {str(c.model_fields["type"].default): c for c in classes if "type" in c.model_fields}


def _is_mapping(model: type[BaseModel], field: str) -> bool:
    info = model.model_fields.get(field)
    return info is not None and get_origin(info.annotation) is dict


def _section(model: type[BaseModel], field: str) -> type[Settings] | None:
    """Return the settings class of a field that has no choice of types."""
    classes = [c for c in _settings_classes(model, field) if "type" not in c.model_fields]
    return classes[0] if classes else None


def _settings_classes(model: type[BaseModel], field: str) -> list[type[Settings]]:
    info = model.model_fields.get(field)
    return _settings_in(info.annotation) if info else []


def _settings_in(annotation: Any) -> list[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [c for part in get_args(annotation) for c in _settings_in(part)]
