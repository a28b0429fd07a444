"""Connections: the embedded store of a folder, or a server."""

import os
import re
from pathlib import Path
from typing import Final, Self

from pydantic import SecretStr

from feature_platform.config import RepoConfig
from feature_platform.errors import AccessError, ConfigError, RequestError
from feature_platform.handles.model_registry import ModelRegistry
from feature_platform.handles.project_store import ProjectStore
from feature_platform.handles.secrets import STORES, api_key
from feature_platform.project import ShareState, grant
from feature_platform.server_client import ConnectionSettings, ServerClient
from feature_platform.store import FeatureStore

_SUFFIX: Final = "_featurestore"
_PREFIX: Final = "FEATURE_PLATFORM_"
_PORT: Final = 443
_ENGINES: Final = (None, "python", "spark", "hive", "training")


class Connection:
    """A connection to the feature stores of one project and of those that share with it.

    Arguments that are left out come from environment variables: `FEATURE_PLATFORM_HOST`, `_PORT`,
    `_PROJECT`, `_API_KEY`, `_API_KEY_FILE`, and `_REPO` for the folder of an embedded store, which
    is the current folder otherwise.

    Args:
        host: Host of a feature server, or its URL, such as `http://localhost:6566` for one without
            TLS on this machine; without one, the store is embedded: that of the folder's
            `feature_store.yaml`.
        port: Its port, if `host` names none.
        project: The project; that of the key or of the folder if left out.
        engine: `python`, `spark`, `hive` or `training`, for code that was written for Hopsworks.
            What computes training sets is the offline store's setting.
        region_name: AWS region of the secrets store; `default` for boto3's.
        secrets_store: Where the API key is, if none is passed: `secretsmanager`,
            `parameterstore` or `local`.
        hostname_verification: Whether to verify the certificate's host name.
        trust_store_path: PEM file of the certificates to trust; the system's if left out.
        cert_folder: Kept for code that was written for Hopsworks; nothing is written there.
        api_key_file: File with the API key in its first line.
        api_key_value: The API key.

    Raises:
        ConfigError: There is no `feature_store.yaml`, or an argument is wrong.

    Example:
        >>> with Connection(project="development") as conn:  # doctest: +SKIP
        ...     production = conn.get_feature_store("production")

    Source: the connections of Hopsworks' `hsfs` and `hsml`.
    """

    def __init__(  # noqa: PLR0917 - the order of the arguments is that of Hopsworks
        self,
        host: str | None = None,
        port: int = _PORT,
        project: str | None = None,
        engine: str | None = None,
        region_name: str = "default",
        secrets_store: str = "parameterstore",
        hostname_verification: bool = True,  # noqa: FBT001, FBT002
        trust_store_path: str | None = None,
        cert_folder: str = "hops",
        api_key_file: str | None = None,
        api_key_value: str | None = None,
    ) -> None:
        self.host = host or os.environ.get(f"{_PREFIX}HOST")
        self.port = _port() if port == _PORT else port
        self.project = project or os.environ.get(f"{_PREFIX}PROJECT")
        if engine not in _ENGINES:
            raise ConfigError(f"engine={engine!r} is not one of {_ENGINES[1:]}.")
        if secrets_store not in STORES:
            raise ConfigError(f"secrets_store={secrets_store!r} is not one of {', '.join(STORES)}.")
        self._secrets = secrets_store, region_name
        is_passed = bool(api_key_value or api_key_file)
        environment = {} if is_passed else os.environ
        self._key_value = api_key_value or environment.get(f"{_PREFIX}API_KEY", "")
        self._key_file = api_key_file or environment.get(f"{_PREFIX}API_KEY_FILE", "")
        self._trust = {
            "trust_store_path": str(Path(trust_store_path).resolve()) if trust_store_path else "",
            "hostname_verification": hostname_verification,
        }
        self._store: FeatureStore | None = None
        self.connect()

    def __repr__(self) -> str:
        return f"connection to {self.host or 'an embedded store'}, project {self.project!r}"

    def connect(self) -> None:
        """Open the connection again after `close`. A new connection is open."""
        if self._store is None:
            self._store = self._served() if self.host else self._embedded()
            self.project = self._store.project

    def _served(self) -> FeatureStore:
        """Open the store of a server, as the owner that its key acts for."""
        key = self._key_value or self._key_of_file() or api_key(*self._secrets)
        address = _address(str(self.host), self.port)
        settings = ConnectionSettings(api_key=SecretStr(key), **self._trust)  # type: ignore[arg-type]
        client = ServerClient(f"{address}/{self.project or ''}", settings, Path())
        try:
            caller = client.json("GET", "/v1/caller")
        finally:
            client.close()
        project = self.project or caller["project"]
        config = RepoConfig(
            project=project,
            team=caller["owner"],
            registry=f"{address}/{project}",
            connection=settings,
            online_store={"type": "remote"},
            offline_store={"type": "remote"},
        )
        return FeatureStore(Path(), config=config)

    def _key_of_file(self) -> str:
        return ConnectionSettings(api_key_file=self._key_file).key(Path()) if self._key_file else ""

    def _embedded(self) -> FeatureStore:
        """Open the store of a folder."""
        folder = Path(os.environ.get(f"{_PREFIX}REPO", "."))
        store = FeatureStore(folder)
        if self.project not in {None, store.project}:
            raise ConfigError(
                f"{folder.resolve()} is a repo of project {store.project!r}, not of "
                f"{self.project!r}."
            )
        return store

    def close(self) -> None:
        """Close the connection."""
        if self._store is not None:
            self._store.close()
        self._store = None

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def store(self) -> FeatureStore:
        """The `FeatureStore` of the project.

        Raises:
            RequestError: The connection is closed.
        """
        return self._open()

    def get_feature_store(self, name: str | None = None) -> ProjectStore:
        """Return the feature store of the project, or of another one that shares with it.

        Args:
            name: The other project. Hopsworks' name of its store, `project_featurestore`, is
                understood.

        Raises:
            AccessError: The project shares nothing, or it was not accepted.
            RequestError: The connection is closed.
        """
        store = self._open()
        if name is None:
            return ProjectStore(store, store.project)
        project = store.load_project()
        for candidate in dict.fromkeys([name, name.removesuffix(_SUFFIX)]):
            if candidate == project.name:
                return ProjectStore(store, candidate)
            shared = grant(project.snapshot, candidate, project.name, project.now)
            if shared.state is ShareState.ACCEPTED:
                return ProjectStore(store, candidate)
        reason = {
            ShareState.PENDING: f"it waits for `feature-platform accept {name}`",
            ShareState.REJECTED: f"project {project.name!r} rejected it",
        }.get(shared.state, shared.state.value)
        raise AccessError(f"The feature store of {name!r} cannot be opened: {reason}.")

    def get_model_registry(self, project: str | None = None) -> ModelRegistry:
        """Return the models of the project, or of another one that shares its whole store.

        Raises:
            AccessError: It does not.
            RequestError: The connection is closed.
        """
        return ModelRegistry.open(self._open(), project)

    def _open(self) -> FeatureStore:
        if self._store is None:
            raise RequestError("The connection is closed. Call connect().")
        return self._store


def _port() -> int:
    """Return the port of the environment, or that of HTTPS."""
    text = os.environ.get(f"{_PREFIX}PORT", str(_PORT))
    if not text.isdecimal():
        raise ConfigError(f"{_PREFIX}PORT={text!r} is not a port.")
    return int(text)


connection = Connection
"""Open a connection: Hopsworks' factory."""


def _address(host: str, port: int) -> str:
    """Return the address of a server: its URL as it is, or a host and a port with TLS."""
    scheme, _, rest = host.rstrip("/").rpartition("://")
    if scheme and re.search(r":[0-9]+$", rest):
        return f"{scheme}://{rest}"
    rest = f"[{rest}]" if rest.count(":") > 1 and not rest.startswith("[") else rest
    return f"{scheme or 'https'}://{rest}:{port}"
