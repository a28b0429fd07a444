"""The feature store as a Dagster resource."""

from pathlib import Path
from typing import Any

import dagster as dg

from feature_platform.config import RepoConfig
from feature_platform.repo import Repo
from feature_platform.services.stores import Stores
from feature_platform.store import FeatureStore
from feature_platform.types.times import utc_now


class FeatureStoreResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the feature store of a repo folder inside assets, jobs and sensors.

    Attributes:
        repo_path: Folder with the `feature_store.yaml`.
        s3: A `dagster_aws.s3.S3Resource` for a registry on S3: its endpoint, region and
            credentials. Without it, boto3 finds them as usual. The number of attempts it is set
            to is ignored: a commit is never sent again by the SDK.
        snowflake: A `dagster_snowflake.SnowflakeResource` for history in Snowflake: its account,
            credentials, database and schema. Without it, `feature_store.yaml` says them.

    Example:
        >>> import dagster as dg
        >>> @dg.asset
        ... def training_set(feature_store: FeatureStoreResource) -> None:
        ...     store = feature_store.open()
    """

    repo_path: str
    s3: dg.ResourceDependency[Any] = None  # type: ignore[assignment]
    snowflake: dg.ResourceDependency[Any] = None  # type: ignore[assignment]

    def open(self) -> FeatureStore:
        """Return the feature store. Nothing is contacted before it is used."""
        if self.s3 is None and self.snowflake is None:
            return FeatureStore(self.repo_path)
        path = Path(self.repo_path)
        config = RepoConfig.load(path)
        s3, offline = None, None
        if self.s3 is not None:
            s3 = self.s3.model_copy(update={"max_attempts": 0}).get_client()
        if self.snowflake is not None:
            offline = config.offline_store.open(path, self._connect)
        stores = Stores(Repo(path.resolve(), config), s3=s3, offline=offline, now=utc_now)
        return FeatureStore(path, config=config, stores=stores)

    def _connect(self) -> Any:
        opened = self.snowflake.get_connection(raw_conn=True)
        connection = opened.__enter__()
        connection.opened_by = opened  # which would close it on being forgotten
        return connection
