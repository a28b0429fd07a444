"""The feature store as a Dagster resource."""

import dagster as dg

from feature_platform.store import FeatureStore


class FeatureStoreResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the feature store of a repo folder inside assets, jobs and sensors.

    Attributes:
        repo_path: Folder with the `feature_store.yaml`.

    Example:
        >>> import dagster as dg
        >>> @dg.asset
        ... def training_set(feature_store: FeatureStoreResource) -> None:
        ...     store = feature_store.open()
    """

    repo_path: str

    def open(self) -> FeatureStore:
        """Return the feature store. Nothing is contacted before it is used."""
        return FeatureStore(self.repo_path)
