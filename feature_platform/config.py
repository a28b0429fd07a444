"""Settings in `feature_store.yaml`: project, team and stores."""

import os
import re
import warnings
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from feature_platform.definitions import is_identifier
from feature_platform.errors import ConfigError
from feature_platform.offline import AnyOfflineSettings, DuckDBSettings
from feature_platform.online import AnyOnlineSettings, SqliteSettings
from feature_platform.project import PLATFORM, READER
from feature_platform.server_client import ConnectionSettings, is_server_url, project_of
from feature_platform.settings import Settings, SettingWarning, explain
from feature_platform.streams import AnyBrokerSettings

FILE_NAME = "feature_store.yaml"


_LEGACY = (
    "auth", "batch_engine", "coerce_tz_aware", "entity_key_serialization_version",
    "feature_server", "flags", "go_feature_serving", "materialization",
    "materialization_engine", "mlflow", "openlineage", "project_description", "stream_engine",
)  # fmt: skip
_WARNED: dict[Any, Any] = {}  # what was said once
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")
# What stands before and after a variable in the user and password of a URL.
_USERINFO = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^@/]*$")
_TO_HOST = re.compile(r"^[^/]*@")
_MAX_BYTES = 1 << 20


class OidcSettings(Settings):
    """An identity provider whose tokens a feature server accepts, beside API keys.

    Attributes:
        issuer: URL of the provider, as in the `iss` claim; its keys are read from
            `/.well-known/openid-configuration`.
        audience: The `aud` claim that tokens must have.
        owner_claim: Claim with the owner that the token acts for.
        projects_claim: Claim with the list of projects.
        scopes_claim: Claim with the scopes, as a list or separated by spaces.
    """

    issuer: str
    audience: str
    owner_claim: str = "team"
    projects_claim: str = "projects"
    scopes_claim: str = "scope"


class ServerSettings(Settings):
    """Settings of `feature-platform serve`.

    Attributes:
        keys: SQLite file of the API keys, relative to the repo folder. Without it, and without
            `oidc`, the server listens on this machine only and lets everybody in.
        oidc: Identity provider.
        requests_per_second: Most requests of one key per second and worker; 0 for no limit.
        max_body_mb: Largest body of a request, in MiB.
        max_seconds: Longest time until the body of a request has come, in seconds.
        max_concurrent: Most requests at work in a worker; more are answered with 503.
        threads: Threads of a worker.
        traces: URL of an OpenTelemetry collector that takes traces as OTLP over HTTP, such as
            `http://localhost:4318/v1/traces`; none by default.
    """

    keys: str = ""
    oidc: OidcSettings | None = None
    requests_per_second: float = Field(default=0.0, ge=0)
    max_body_mb: int = Field(default=64, ge=1, le=4096)
    max_seconds: float = Field(default=30.0, gt=0)
    max_concurrent: int = Field(default=256, ge=1)
    threads: int = Field(default=16, ge=1, le=1024)
    traces: str = ""

    @field_validator("traces")
    @classmethod
    def _is_collector(cls, url: str) -> str:
        if url and not re.fullmatch(r"https?://[^@\s]+", url):
            raise ValueError("not an http:// or https:// URL without user and password.")
        return url


class ProjectStores(Settings):
    """Where another project of the registry keeps the rows that it shares.

    Attributes:
        path: Folder that relative paths start at; the repo folder by default.
        online_store: As for the repo; by default, the repo's own.
        offline_store: As for the repo; by default, the repo's own.
        repos: As for the repo: code of the other project's on-demand views.
    """

    path: str = "."
    online_store: AnyOnlineSettings | None = None
    offline_store: AnyOfflineSettings | None = Field(default=None, repr=False)
    repos: dict[str, str] = {}


class RepoConfig(BaseModel):
    """The settings of one repo.

    Attributes:
        project: Namespace of everything that this repo registers.
        team: Owner of the repo. `none` may only read. If left out, the repo may create and update
            objects of the platform team, but not delete, override, transfer or set the policy.
        registry: Path of a SQLite file, or a URL such as `s3://bucket/prefix`, or the
            `https://host/project` of a feature server.
        connection: API key and certificates for a feature server.
        server: What `feature-platform serve` needs: keys, identity provider, limits.
        registry_cache_seconds: Seconds until online requests see other processes' commits.
        provider: Accepted for compatibility with Feast; stores have settings of their own.
        repos: Owner → folder of that owner's repo, or `package:` and the name of the installed
            distribution that contains it, to compute its on-demand views here.
        model_registry: Tracking URI of the MLflow server with the models; without it, that of the
            environment variable `MLFLOW_TRACKING_URI`, or a SQLite file in `data/models`.
        projects: Other project → where it keeps the rows that it shares with this one.
        online_store: `type` and the store's settings; `None` for none.
        broker: `type` (`redis` or `kafka`) and the settings of the broker that delivers the rows of
            stream sources: `connection_string`, or librdkafka's.
        offline_store: `type` and the store's settings. Relative paths of file sources start at
            `root`.

    Raises:
        ConfigError: A setting is wrong; all of them are listed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    project: str
    team: str = PLATFORM
    registry: str = Field(default="data/registry.db", repr=False)
    registry_cache_seconds: float = Field(default=1.0, ge=0)
    connection: ConnectionSettings = ConnectionSettings()
    server: ServerSettings = ServerSettings()
    provider: str = "local"
    repos: dict[str, str] = {}
    model_registry: str = Field(default="", repr=False)
    projects: dict[str, ProjectStores] = {}
    online_store: AnyOnlineSettings | None = SqliteSettings()
    broker: AnyBrokerSettings | None = Field(default=None, repr=False)
    offline_store: AnyOfflineSettings = Field(default=DuckDBSettings(), repr=False)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise ConfigError(explain(error, type(self))) from None

    @property
    def is_team_named(self) -> bool:
        """Whether the settings state the team, so that it may take away what it owns."""
        return "team" in self.model_fields_set

    @property
    def is_reader(self) -> bool:
        """Whether the repo may only read."""
        return self.team == READER

    @model_validator(mode="before")
    @classmethod
    def _ignore_legacy_keys(cls, data: Any) -> Any:
        if unreadable := [name for name, value in data.items() if isinstance(value, bytes)]:
            raise ConfigError(f"{unreadable[0]}: bytes are not text.")
        auth = data.get("auth")
        if auth and (not isinstance(auth, dict) or auth.get("type") != "no_auth"):
            raise ConfigError(
                "auth: users are checked by a feature server, with API keys or OpenID Connect: "
                "set `server:` where it runs and `connection:` where it is used, see "
                "docs/server.md. Without a server, what a process may do follows from its access "
                "to the registry and the stores. Remove the setting."
            )
        server = data.get("feature_server")
        logging = server.get("feature_logging") if isinstance(server, dict) else None
        if logging and not (isinstance(logging, dict) and not logging.get("enabled")):
            raise ConfigError(
                "feature_server: feature_logging: served features are not logged. "
                "`feature-platform serve` logs each request with its key, see docs/server.md. "
                "Remove the setting."
            )
        legacy = [key for key in _LEGACY if key in data]
        if legacy:
            verb = "has" if len(legacy) == 1 else "have"
            message = f"{', '.join(legacy)} {verb} no effect here and can be removed."
            warnings.warn_explicit(message, SettingWarning, FILE_NAME, 0, registry=_WARNED)
        return {key: value for key, value in data.items() if key not in legacy}

    @field_validator("project", "team")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not is_identifier(value):
            form = "letters, digits and underscores, and start with a letter"
            raise ValueError(f"{value!r} is invalid; use {form}.")
        return value

    @model_validator(mode="after")
    def _check_server(self) -> Self:
        stores = (self.online_store, self.offline_store)
        if is_server_url(self.registry):
            if (named := project_of(self.registry)) != self.project:
                raise ConfigError(
                    f"registry: its URL names project {named!r}, but project is {self.project!r}."
                )
        elif any(store is not None and store.type == "remote" for store in stores):
            raise ConfigError(
                "A remote store needs the registry of its server: `registry: https://host/project`."
            )
        return self

    @field_validator("projects")
    @classmethod
    def _check_projects(cls, value: dict[str, ProjectStores]) -> dict[str, ProjectStores]:
        for name in value:
            cls._check_name(name)
        return value

    def for_project(self, name: str, team: str = READER) -> "RepoConfig":
        """Return the settings with which an owner, or a reader, uses a project's stores."""
        other = self.projects.get(name, ProjectStores())
        changes = {
            "project": name,
            "team": team,
            "repos": self.repos if name == self.project else other.repos,
            "projects": {},
            "online_store": other.online_store or self.online_store,
            "offline_store": other.offline_store or self.offline_store,
        }
        return self.model_copy(update=changes)

    @field_validator("registry", mode="before")
    @classmethod
    def _accept_path(cls, value: Any) -> Any:
        path = value.get("path", value) if isinstance(value, dict) else value
        if isinstance(path, str) and (not path.strip() or "\0" in path):
            raise ValueError("it is not a path or a URL.")
        return path

    @field_validator("online_store", mode="before")
    @classmethod
    def _accept_no_online_store(cls, value: Any) -> Any:
        return None if value == "null" else value

    @field_validator("offline_store", mode="before")
    @classmethod
    def _accept_no_offline_store(cls, value: Any) -> Any:
        return DuckDBSettings() if value is None else value

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a repo folder's `feature_store.yaml`, or the file itself.

        `${NAME}` and `$NAME` stand for environment variables, `$$` for a dollar sign. Values of
        variables in the user or password of a URL are percent-encoded.

        Raises:
            ConfigError: The file is missing or settings are wrong; all of them are listed.
        """
        file = path / FILE_NAME if path.is_dir() else path
        try:
            if file.stat().st_size > _MAX_BYTES:
                raise ConfigError(f"{file}: larger than 1 MiB. Check that it is the right file.")
            content = _StrictLoader(file.read_text("utf-8")).get_single_data()
        except FileNotFoundError:
            raise ConfigError(
                f"No {FILE_NAME} in {path.resolve()}. Run in the repo's folder, or pass it "
                "(repo_path, or -C on the command line); `feature-platform init` creates one."
            ) from None
        except yaml.MarkedYAMLError as error:  # its text quotes the line, which may hold a secret
            line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise ConfigError(f"{file}{line}: {error.problem}.") from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            raise ConfigError(f"{file}: {' '.join(str(error).split())}") from error
        return cls.parse(_expand(content, file), str(file))

    @classmethod
    def parse(cls, content: Any, label: str) -> Self:
        """Check settings.

        Args:
            content: The settings.
            label: Name of their source, for messages.

        Raises:
            ConfigError: Settings are wrong; all of them are listed.
        """
        if not isinstance(content, dict):
            raise ConfigError(f"{label}: it must be a mapping of settings.")
        try:
            return cls(**content)
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"{label}: {error}") from None


class _StrictLoader(yaml.SafeLoader):
    """Plain data only: no tags, no aliases, no duplicate keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002
        keys = [key.value for key, _ in node.value]
        if duplicates := sorted({str(key) for key in keys if keys.count(key) > 1}):
            raise yaml.YAMLError(f"{duplicates[0]!r} is set twice")
        return super().construct_mapping(node, deep=deep)


def _expand(value: Any, file: Path, setting: str = "") -> Any:
    """Substitute environment variables in all text of the settings."""
    if isinstance(value, dict):
        return {k: _expand(item, file, f"{setting}.{k}".lstrip(".")) for k, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, file, setting) for item in value]
    if not isinstance(value, str):
        return value

    def look_up(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        content = os.environ.get(match[2] or match[3])
        if content is None and match[2]:
            message = f"{file}: {setting}: the environment variable {match[2]} is not set."
            raise ConfigError(message)
        if content is None:  # what follows may be a part of a password
            raise ConfigError(
                f"{file}: {setting}: $ is followed by a name that is not an environment variable. "
                "Write $$ for a dollar sign."
            )
        is_secret = _USERINFO.match(value[: match.start()]) and _TO_HOST.match(value[match.end() :])
        return quote(content, safe="") if is_secret else content

    return _VARIABLE.sub(look_up, value)
