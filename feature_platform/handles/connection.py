"""Connections: the embedded store of a folder, or a server."""

import os
from pathlib import Path
from typing import Final, Self

from feature_platform.errors import AccessError, ConfigError, RequestError
from feature_platform.handles.project_store import ProjectStore
from feature_platform.project import ShareState, grant
from feature_platform.store import FeatureStore

_SUFFIX: Final = "_featurestore"
_PREFIX: Final = "FEATURE_PLATFORM_"
_ENGINES: Final = (None, "python", "spark", "hive", "training")


class Connection:
    """A connection to the feature stores of one project and of those that share with it.

    Arguments that are left out come from environment variables: `FEATURE_PLATFORM_HOST`, `_PORT`,
    `_PROJECT`, `_API_KEY`, `_API_KEY_FILE`, and `_REPO` for the folder of an embedded store, which
    is the current folder otherwise.

    Args:
        host: Host of a feature server; without one, the store is embedded: that of the folder's
            `feature_store.yaml`.
        port: Its port.
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
        port: int = 443,
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
        self.project = project or os.environ.get(f"{_PREFIX}PROJECT")
        if engine not in _ENGINES:
            raise ConfigError(f"engine={engine!r} is not one of {_ENGINES[1:]}.")
        self._store: FeatureStore | None = None
        self.connect()

    def connect(self) -> None:
        """Open the connection again after `close`. A new connection is open."""
        if self._store is not None:
            return
        folder = Path(os.environ.get(f"{_PREFIX}REPO", "."))
        store = FeatureStore(folder)
        if self.project not in {None, store.project}:
            raise ConfigError(
                f"{folder.resolve()} is a repo of project {store.project!r}, not of "
                f"{self.project!r}."
            )
        self.project = store.project
        self._store = store

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

    def _open(self) -> FeatureStore:
        if self._store is None:
            raise RequestError("The connection is closed. Call connect().")
        return self._store


connection = Connection
"""Open a connection: Hopsworks' factory."""
