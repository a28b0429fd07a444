"""Feature views in Hopsworks' sense: a feature service with labels, for training and serving."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from feature_platform.definitions import FeatureService
from feature_platform.errors import NotFoundError, RequestError
from feature_platform.handles.condition import Condition
from feature_platform.handles.query import Join, Query
from feature_platform.offline.files import Location
from feature_platform.retrieval import (
    RandomSplit,
    SavedDataset,
    Split,
    TimeSplit,
    save_rows,
    to_pandas,
)

if TYPE_CHECKING:
    from feature_platform.handles.project_store import ProjectStore

ROOT: Final = "feature_platform/root"
"""Tag of a feature service: the view whose rows its training data has."""
LABELS: Final = "feature_platform/labels"
"""Tag of a feature service: columns of these rows that are to be predicted."""

Frames = tuple[Any, ...]


class TrainingView:
    """A version of a feature view: features for training, for serving, and for batches.

    Attributes:
        service: The registered feature service.
        name: Its name.
        version: Its version.
        labels: Columns that are to be predicted.

    Source: the feature views of Hopsworks.
    """

    def __init__(
        self, store: "ProjectStore", service: FeatureService, name: str, version: int
    ) -> None:
        self._handle = store
        self._store = store.store
        self.service = service
        self.name = name
        self.version = version
        self.labels = tuple(filter(None, service.tags.get(LABELS, "").split(",")))

    def __repr__(self) -> str:
        return f"feature view {self._path!r}"

    @property
    def path(self) -> str:
        """Project and name of the service."""
        return f"{self._handle.name}/{self.service.name}"

    @property
    def _path(self) -> str:
        if self._handle.is_own:
            return self.service.name
        return self.path

    @property
    def query(self) -> Query:
        """The query of the training data: features and labels.

        Raises:
            RequestError: The service was not made from a query, so it has no rows of its own.
        """
        root = self.service.tags.get(ROOT)
        if root is None:
            raise RequestError(
                f"{self!r} was not made from a query, so nothing says which rows its training "
                "data has. Use get_historical_features with entity rows."
            )
        group = self._handle.open_group(root)
        names = list(self.labels)
        joins = []
        for ref in self.service.features:
            home = ref.project or self._handle.name
            if f"{home}/{ref.view}" == root and ref.alias is None and not ref.join_key_map:
                names = [*(ref.features or group.feature_names), *names]
                continue
            other = self._handle.open_group(f"{home}/{ref.view}")
            keys = {key: ref.join_key_map.get(key, key) for key in other.primary_key}
            prefix = ref.alias or ""
            joins.append(Join(other, ref.features or other.feature_names, keys, prefix))
        return Query(group, tuple(names), tuple(joins))

    def training_data(
        self,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        extra_filter: Condition | None = None,
    ) -> Frames:
        """Return features and labels as pandas.

        Args:
            start_time: Rows observed from here, inclusive; all if left out,
            end_time: to here, inclusive.
            extra_filter: A condition on the rows.
        """
        rows, _ = self._rows(start_time, end_time, extra_filter)
        return self._features_and_labels([rows])

    def train_test_split(
        self,
        test_size: float | None = None,
        *,
        train_end: datetime | None = None,
        test_end: datetime | None = None,
        start_time: datetime | None = None,
        extra_filter: Condition | None = None,
        seed: int = 0,
    ) -> Frames:
        """Return X_train, X_test, y_train and y_test.

        Args:
            test_size: Share of random rows in the test set; or
            train_end: where the training set ends in time, and the test set begins,
            test_end: where the test set ends; now if left out.
            start_time: Rows observed from here.
            extra_filter: A condition on the rows.
            seed: Random seed.
        """
        split = _split(("train", "test"), (test_size,), (train_end, test_end), seed)
        return self._in_parts(split, start_time, test_end, extra_filter)

    def train_validation_test_split(
        self,
        validation_size: float | None = None,
        test_size: float | None = None,
        *,
        train_end: datetime | None = None,
        validation_end: datetime | None = None,
        test_end: datetime | None = None,
        start_time: datetime | None = None,
        extra_filter: Condition | None = None,
        seed: int = 0,
    ) -> Frames:
        """Return X_train, X_validation, X_test, y_train, y_validation and y_test."""
        names = ("train", "validation", "test")
        ends = (train_end, validation_end, test_end)
        split = _split(names, (validation_size, test_size), ends, seed)
        return self._in_parts(split, start_time, test_end, extra_filter)

    def create_training_data(
        self,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        extra_filter: Condition | None = None,
    ) -> tuple[int, SavedDataset]:
        """Save training data, and return its version and the dataset; it never changes."""
        return self._save(None, start_time, end_time, extra_filter)

    def create_train_test_split(
        self,
        test_size: float | None = None,
        *,
        train_end: datetime | None = None,
        test_end: datetime | None = None,
        start_time: datetime | None = None,
        extra_filter: Condition | None = None,
        seed: int = 0,
    ) -> tuple[int, SavedDataset]:
        """Save a train and a test set; see `train_test_split`."""
        split = _split(("train", "test"), (test_size,), (train_end, test_end), seed)
        return self._save(split, start_time, test_end, extra_filter)

    def get_training_data(self, training_dataset_version: int) -> Frames:
        """Return saved features and labels; with the parts of a split, as they were saved.

        Raises:
            NotFoundError: The version does not exist.
        """
        dataset = self.dataset(training_dataset_version)
        parts = dataset.splits or (None,)
        return self._features_and_labels([dataset.to_arrow(part) for part in parts])

    def dataset(self, training_dataset_version: int) -> SavedDataset:
        """Return saved training data, with its registry version and statistics.

        Raises:
            NotFoundError: The version does not exist.
        """
        return SavedDataset.load(self._folder(training_dataset_version).result())

    get_train_test_split = get_train_validation_test_split = get_training_data

    def get_batch_data(
        self, start_time: datetime | None = None, end_time: datetime | None = None
    ) -> Any:
        """Return features without labels, as pandas, for the rows of a period."""
        rows, _ = self._rows(start_time, end_time, None)
        return self._features_and_labels([rows])[0]

    def get_feature_vector(self, entry: Mapping[str, Any]) -> list[Any]:
        """Return the newest features of one entity, in the order of the view.

        Args:
            entry: Its join keys, and values that on-demand views need.
        """
        return self.get_feature_vectors([entry])[0]

    def get_feature_vectors(self, entry: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
        """Return the newest features of several entities."""
        rows = [dict(each) for each in entry]
        answer = self._store.get_online_features(self._path, rows, full_feature_names=True)
        columns = answer.to_dict()
        names = [
            f"{ref.label}__{feature}"
            for ref in self.service.features
            for feature in self._names_of(ref)
        ]
        return [list(values) for values in zip(*(columns[name] for name in names), strict=True)]

    def _names_of(self, ref: Any) -> Sequence[str]:
        if ref.features is not None:
            return tuple(ref.features)
        home = ref.project or self._handle.name
        return self._handle.open_group(f"{home}/{ref.view}").feature_names

    def _rows(
        self, start: datetime | None, end: datetime | None, condition: Condition | None
    ) -> tuple[pa.Table, str]:
        """Return the rows with features and labels, and the name of their time."""
        query = self.query
        time = query.group.event_time
        if time not in query.names:
            query = replace(query, names=(*query.names, time))
        if condition is not None:
            query = query.filter(condition)
        return query.to_arrow(start, end), time

    def _in_parts(
        self, split: Split, start: datetime | None, end: datetime | None, condition: Any
    ) -> Frames:
        import numpy as np

        rows, time = self._rows(start, end, condition)
        split = _by_column(split, time)
        batch = rows.combine_chunks().to_batches()
        chance = np.random.default_rng(getattr(split, "seed", 0))
        numbers = split.assign(batch[0], chance) if batch else np.zeros(0)
        return self._features_and_labels(
            [rows.filter(pa.array(numbers == number)) for number in range(len(split.names))]
        )

    def _features_and_labels(self, parts: Sequence[pa.Table]) -> Frames:
        selected = self.query.columns()
        features = [name for name in selected if name not in self.labels]
        xs = tuple(to_pandas(rows.select(features)) for rows in parts)
        ys = tuple(to_pandas(rows.select(list(self.labels))) for rows in parts)
        return (*xs, *ys)

    def _save(
        self, split: Split | None, start: datetime | None, end: datetime | None, condition: Any
    ) -> tuple[int, SavedDataset]:
        rows, time = self._rows(start, end, condition)
        version = 1
        while self._folder(version).exists():
            version += 1
        manifest = {
            "name": self._dataset_name(version),
            "registry_version": self._store.snapshot().version,
            "features": self.query.columns(),
            "entity_rows": {"start": start, "end": end},
            "tags": {"service": self._path},
            "split": repr(split) if split else None,
        }
        dataset = save_rows(
            rows, self._folder(version), manifest, _by_column(split, time) if split else None
        )
        return version, dataset

    def _dataset_name(self, version: int) -> str:
        """Return the name of a dataset; a name of another project's view has a dot."""
        home = "" if self._handle.is_own else f"{self._handle.name}."
        return f"{home}{self.service.name}_{version}"

    def _folder(self, version: int) -> Location:
        if not isinstance(version, int) or version < 1:
            raise NotFoundError(f"{self!r} has no training data of version {version!r}.")
        settings, repo = self._store.config.offline_store, self._store.repo
        folder = repo.path / settings.root / "datasets" / self._dataset_name(version)
        return Location.parse(folder, "training data")


def _split(
    names: Sequence[str],
    sizes: Sequence[float | None],
    ends: Sequence[datetime | None],
    seed: int,
) -> Split:
    """Return a split by sizes or by times."""
    if any(size is not None for size in sizes):
        if any(end is not None for end in ends):
            raise RequestError("Pass sizes, or ends in time, not both.")
        if missing := [n for n, s in zip(names[1:], sizes, strict=True) if not s]:
            raise RequestError(f"Pass {missing[0]}_size, a share between 0 and 1.")
        shares = [float(size) for size in sizes if size]
        return RandomSplit(dict(zip(names, [1 - sum(shares), *shares], strict=True)), seed=seed)
    if missing := [n for n, end in zip(names[:-1], ends, strict=False) if end is None]:
        raise RequestError(f"Pass {names[-1]}_size, or {missing[0]}_end.")
    return TimeSplit(dict(zip(names, (*ends[:-1], None), strict=True)))


def _by_column(split: Split, column: str) -> Split:
    return replace(split, column=column) if isinstance(split, TimeSplit) else split
