"""`feature_store.yaml`: which project, which stores, and as whom."""

import os
import re
import warnings
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from feature_platform.definitions import is_name
from feature_platform.errors import ConfigError, did_you_mean
from feature_platform.registry import PLATFORM

FILE_NAME = "feature_store.yaml"
_LEGACY = ("flags", "entity_key_serialization_version", "feature_server", "batch_engine", "auth")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
# Feast's `file` and `dask` read files, as DuckDB does here.
_OFFLINE = {
    "duckdb": "duckdb",
    "file": "duckdb",
    "dask": "duckdb",
    "snowflake": "snowflake",
    "snowflake.offline": "snowflake",
    "spark": "spark",
}
_ONLINE = ("sqlite", "redis", "dynamodb", "postgres")
_BROKERS = ("redis", "kafka")
_SETTINGS: dict[str, dict[str, type]] = {
    "sqlite": {"path": str},
    "redis": {"connection_string": str},
    "dynamodb": {"region": str, "endpoint_url": str, "consistent_reads": bool},
    "postgres": {
        **dict.fromkeys(("host", "database", "db_schema", "user", "password", "sslmode"), str),
        "port": int,
    },
    "duckdb": {"root": str, "memory_limit": str, "threads": int, "temp_directory": str},
}
_SECRET = ("password", "connection_string")
_LARGEST_BYTES = 1 << 20


class RepoConfig(BaseModel):
    """The settings of one repo.

    Attributes:
        project: Namespace of everything this repo registers.
        team: Whose repo this is; the platform team's if left out.
        registry: Path of a SQLite file, or a URL such as `s3://bucket/prefix`.
        registry_cache_seconds: How soon online requests see commits of others.
        provider: Accepted for Feast's sake; stores are chosen by their own settings.
        repos: Owner → folder of that owner's repo, to serve on-demand views of theirs from here.
        online_store: `type` and the store's settings; `None` for none.
        broker: `type`, `redis` or `kafka`, and the settings of the broker that delivers
            the rows of stream sources: `connection_string`, or librdkafka's.
        offline_store: `type` and the store's settings. `root` is what relative paths of file
            sources are resolved against.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str
    team: str = PLATFORM
    registry: str = Field(default="data/registry.db", repr=False)
    registry_cache_seconds: float = Field(default=1.0, ge=0)
    provider: str = "local"
    repos: dict[str, str] = {}
    online_store: dict[str, Any] | None = Field(default={"type": "sqlite"}, repr=False)
    broker: dict[str, Any] | None = Field(default=None, repr=False)
    offline_store: dict[str, Any] = Field(default={"type": "duckdb"}, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _legacy_keys_are_ignored(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            raise ValueError("it must be a mapping of settings.")
        legacy = [key for key in _LEGACY if key in data]
        if legacy:
            warnings.warn(
                f"{FILE_NAME}: {', '.join(legacy)} has no effect here and can be removed.",
                UserWarning,
                stacklevel=2,
            )
        return {key: value for key, value in data.items() if key not in legacy}

    @field_validator("project", "team")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not is_name(value):
            raise ValueError(f"{value!r} is not a name of letters, digits and underscores.")
        return value

    @field_validator("registry", mode="before")
    @classmethod
    def _registry_is_a_url(cls, value: Any) -> Any:
        return value.get("path", value) if isinstance(value, dict) else value

    @field_validator("online_store", mode="before")
    @classmethod
    def _online_type_is_known(cls, value: Any) -> Any:
        return None if value is None else _typed(value, {name: name for name in _ONLINE})

    @field_validator("broker", mode="before")
    @classmethod
    def _broker_type_is_known(cls, value: Any) -> Any:
        return None if value is None else _typed(value, {name: name for name in _BROKERS})

    @field_validator("offline_store", mode="before")
    @classmethod
    def _offline_type_is_known(cls, value: Any) -> Any:
        return _typed({"type": "duckdb"} if value is None else value, _OFFLINE)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a repo folder's `feature_store.yaml`, or the file itself.

        `${NAME}` and `$NAME` stand for environment variables.

        Raises:
            ConfigError: The file is missing, or something in it is wrong; all of it is listed.
        """
        file = path / FILE_NAME if path.is_dir() else path
        try:
            if file.stat().st_size > _LARGEST_BYTES:
                raise ConfigError(f"{file}: larger than a megabyte; is it the right file?")
            content = _StrictLoader(file.read_text("utf-8")).get_single_data()
        except FileNotFoundError:
            raise ConfigError(
                f"No {FILE_NAME} in {path.resolve()}. Go to the repo's folder or pass repo_path; "
                "`feature-platform init` makes a new one."
            ) from None
        except yaml.MarkedYAMLError as error:  # its text shows the line, which may be a secret
            line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise ConfigError(f"{file}{line}: {error.problem}.") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            raise ConfigError(f"{file}: {' '.join(str(error).split())}") from error
        return cls.parse(_expand(content, file), str(file))

    @classmethod
    def parse(cls, content: Any, where: str) -> Self:
        """Check settings.

        Raises:
            ConfigError: Something in them is wrong; all of it is listed.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ConfigError(f"{where}: {' '.join(map(_reason, error.errors()))}") from None


class _StrictLoader(yaml.SafeLoader):
    """Plain data only: no tags, no aliases, no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002
        keys = [key.value for key, _ in node.value]
        if twice := sorted({str(key) for key in keys if keys.count(key) > 1}):
            raise yaml.YAMLError(f"{twice[0]!r} is set twice")
        return super().construct_mapping(node, deep=deep)


def _typed(value: Any, known: dict[str, str]) -> Any:
    settings = {"type": value} if isinstance(value, str) else value
    if not isinstance(settings, dict) or not isinstance(settings.get("type"), str):
        raise ValueError(f"names no type. Known are {', '.join(known)}.")
    name = settings["type"]
    if name not in known:
        hint = did_you_mean(name, known)
        shown = repr(name) if name.isidentifier() else "that is given"  # a URL has a password
        raise ValueError(f"the type {shown} is not known.{hint} Known are {', '.join(known)}.")
    return _checked({**settings, "type": known[name]})


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    """Check the settings of a store; those of Snowflake and Spark are theirs to check."""
    allowed = _SETTINGS.get(settings["type"])
    for key, value in settings.items():
        if allowed is None or key == "type":
            continue
        if key not in allowed:
            hint = did_you_mean(key, allowed)
            raise ValueError(f"{key!r} is not a setting of {settings['type']!r}.{hint}")
        if type(value) is not allowed[key]:
            kind = {str: "text", int: "a whole number", bool: "true or false"}[allowed[key]]
            found = "" if key in _SECRET else f", not {value!r}"
            raise ValueError(f"{key} must be {kind}{found}.")
    return settings


def _expand(value: Any, file: Path) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, file) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, file) for item in value]
    if not isinstance(value, str):
        return value

    def look_up(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in os.environ:
            raise ConfigError(f"{file}: the environment variable {name} is not set.")
        return os.environ[name]

    return _VARIABLE.sub(look_up, value)


def _reason(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = RepoConfig.model_fields
        return f"{where!r} is not a setting.{did_you_mean(where, known)} Known: {', '.join(known)}."
    if item["type"] == "missing":
        return f"{where!r} is missing."
    reason = str(item["ctx"]["error"]) if item["type"] == "value_error" else f"{item['msg']}."
    return f"{where}: {reason}" if where else reason
