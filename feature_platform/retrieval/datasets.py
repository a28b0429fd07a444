"""Saved datasets: training sets as files, with a manifest of how they were made."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from feature_platform.definitions import feast_arguments
from feature_platform.display import html_table
from feature_platform.errors import NotFoundError, RequestError, StoreError, check_type, needing
from feature_platform.offline import check_unique, describe_parquet
from feature_platform.offline.files import Location
from feature_platform.retrieval.convert import to_arrow, to_pandas
from feature_platform.table import EVENT_TIMESTAMP
from feature_platform.types.arrow import TIMESTAMP
from feature_platform.types.times import microseconds, utc_time
from feature_platform.types.values import exact_cast

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl

Numbers: TypeAlias = Any
"""A numpy array of integers."""
MANIFEST = "_dataset.json"
_FORMAT = 1


@dataclass(frozen=True)
class SavedDatasetFileStorage:
    """A folder of Parquet files, local or on S3, that does not exist yet.

    Source: Feast's class of this name.
    """

    path: str | Path


@dataclass(frozen=True)
class RandomSplit:
    """Assign rows to splits at random; the same seed and rows give the same splits.

    Attributes:
        parts: Name of a split → its share. The shares sum to 1.
        seed: Seed of the random generator.

    Example:
        >>> RandomSplit({"train": 0.8, "test": 0.2}, seed=7).seed
        7
    """

    parts: Mapping[str, float]
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.parts, Mapping) or not all(
            isinstance(share, (int, float)) for share in self.parts.values()
        ):
            raise RequestError(f"RandomSplit needs a dict of name to share, not {self.parts!r}.")
        shares = list(self.parts.values())
        if not shares or min(shares) <= 0 or not math.isclose(sum(shares), 1):
            raise RequestError(
                f"RandomSplit: shares must be positive and sum to 1, not {dict(self.parts)}."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the splits."""
        return tuple(self.parts)

    def assign(self, rows: pa.RecordBatch, chance: "np.random.Generator") -> Numbers:
        """Return the index of each row's split."""
        import numpy as np

        ends = np.cumsum(list(self.parts.values()))[:-1]
        return np.searchsorted(ends, chance.random(rows.num_rows), side="right")


@dataclass(frozen=True)
class TimeSplit:
    """Assign each row to the first split that ends after the row's time.

    Attributes:
        until: Name of a split → its exclusive end, ascending. `None` makes the last one open.
        column: The timestamp column.

    Example:
        >>> split = TimeSplit({"train": datetime(2026, 1, 1), "test": None})
        >>> list(split.until)
        ['train', 'test']
    """

    until: Mapping[str, datetime | None]
    column: str = EVENT_TIMESTAMP

    def __post_init__(self) -> None:
        check_type(self.until, Mapping, "TimeSplit: until")
        ends = [end and utc_time(end, "until") for end in self.until.values()]
        ordered = [end for end in ends if end]
        if not ends or None in ends[:-1] or ordered != sorted(set(ordered)):
            raise RequestError("TimeSplit: ends must ascend, and only the last can be None.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the splits."""
        return tuple(self.until)

    def assign(self, rows: pa.RecordBatch, _: "np.random.Generator") -> Numbers:
        """Return the index of each row's split.

        Raises:
            RequestError: A row has no timestamp, or one after the end of the last split.
        """
        import numpy as np

        if self.column not in rows.schema.names:
            raise RequestError(f"TimeSplit: the result has no column {self.column!r}.")
        try:
            times = exact_cast(rows[self.column], TIMESTAMP).cast(pa.int64())
        except ValueError as error:
            raise RequestError(f"TimeSplit: column {self.column!r}: {error}.") from error
        ends = [end and utc_time(end, "until") for end in self.until.values()]
        limits = [microseconds(end) for end in ends if end]
        numbers = np.searchsorted(limits, times.fill_null(2**63 - 1).to_numpy(), side="right")
        if times.null_count or numbers.max(initial=0) >= len(ends):
            raise RequestError(
                f"TimeSplit: a row's {self.column!r} is null, or not before the end of the last "
                "split."
            )
        return numbers


Split: TypeAlias = RandomSplit | TimeSplit


@dataclass(frozen=True)
class SavedDataset:
    """A saved training set.

    Attributes:
        name: Its name.
        path: Its folder: a `Path`, or an address on S3.
        manifest: How it was made: `registry_version`, `features`, `entity_rows`, `created`,
            `rows`, `splits` (name → rows) and `statistics` by column.

    Source: Feast's `SavedDataset`, which records the features and not the rows.
    """

    name: str
    path: Path | str
    manifest: Mapping[str, Any] = field(repr=False)

    @classmethod
    def load(cls, path: str | Path) -> "SavedDataset":
        """Open a folder that `persist` wrote.

        Raises:
            NotFoundError: The folder has no dataset, or its format is newer.
        """
        folder = Location.parse(path, "SavedDataset")
        try:
            with (folder / MANIFEST).reading() as stream:
                manifest = json.loads(stream.read())
            if manifest["format"] != _FORMAT:
                raise NotFoundError(
                    f"The saved dataset in {folder} has a newer format. Upgrade feature-platform."
                )
            return cls(manifest["name"], folder.result(), manifest)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NotFoundError(
                f"There is no saved dataset in {folder}. Open one that was saved into a folder of "
                "its own with SavedDataset.load(folder)."
            ) from error

    @property
    def registry_version(self) -> int:
        """Registry version that the request was resolved from."""
        return int(self.manifest["registry_version"])

    @property
    def tags(self) -> Mapping[str, str]:
        """Labels given when it was saved."""
        return dict(self.manifest.get("tags") or {})

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits; empty if the dataset has none."""
        return tuple(self.manifest["splits"])

    def _repr_html_(self) -> str:
        manifest = self.manifest
        parts = (manifest["splits"] or {"data": manifest["rows"]}).items()
        heading = escape(f"{self!r}, of registry version {self.registry_version}")
        types = [(name, dtype) for name, dtype in manifest.get("schema", {}).items()]
        return (
            f"<p>{heading}</p>{html_table(['split', 'rows'], list(parts))}"
            f"{html_table(['column', 'type'], types, most=len(types))}"
        )

    def to_batches(self, split: str | None = None) -> pa.RecordBatchReader:
        """Stream the rows of the dataset or of one split.

        Raises:
            NotFoundError: The dataset has no such split.
        """
        if split is not None and split not in self.splits:
            splits = f"Its splits are {list(self.splits)}." if self.splits else "It was not split."
            raise NotFoundError(f"Dataset {self.name!r} has no split {split!r}. {splits}")
        from pyarrow import dataset

        names = [split] if split else self.splits or ["data"]
        folder = Location.parse(self.path, "SavedDataset")
        files = [(folder / f"{name}.parquet").path for name in names]
        try:
            return dataset.dataset(files, filesystem=folder.client).scanner().to_reader()
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"Dataset {self.name!r} is damaged: {error}") from error

    def to_arrow(self, split: str | None = None) -> pa.Table:
        """Return the rows of the dataset or of one split as Arrow."""
        return self.to_batches(split).read_all()

    def to_df(self, split: str | None = None) -> "pd.DataFrame":
        """Return the rows of the dataset or of one split as pandas."""
        return to_pandas(self.to_arrow(split))

    def to_polars(self, split: str | None = None) -> "pl.DataFrame":
        """Return the rows of the dataset or of one split as polars."""
        with needing("polars", "to_polars"):
            import polars as pl

        return pl.DataFrame(self.to_arrow(split))


feast_arguments.explain_attributes(SavedDataset)


def save(
    reader: pa.RecordBatchReader,
    folder: Location,
    manifest: dict[str, Any],
    split: Split | None,
) -> SavedDataset:
    """Write rows and manifest into a new folder; without the manifest, it is no dataset.

    Raises:
        RequestError: The folder exists, or a row fits no split.
        StoreError: S3 cannot be written.
    """
    check_new(folder)
    check_unique(reader.schema.names)
    with _appearing(folder) as unfinished:
        counts = _write(reader, unfinished, split)
        types = reader.schema
        described = describe_parquet(sorted(unfinished.glob("*.parquet")), types)
        manifest |= {
            "format": _FORMAT,
            "created": datetime.now(UTC).isoformat(),
            "schema": {f.name: str(f.type) for f in types},
            "rows": sum(counts.values()),
            "splits": counts if split else {},
            "statistics": {name: statistics.to_dict() for name, statistics in described.items()},
        }
        text = json.dumps(manifest, indent=1, default=str)
        (unfinished / MANIFEST).write_text(text, "utf-8")
    return SavedDataset.load(folder.result())


def save_rows(
    rows: object, folder: Location, manifest: dict[str, Any], split: Split | None = None
) -> SavedDataset:
    """Save a pandas, polars or Arrow frame, as `RetrievalJob.persist` saves a result.

    Args:
        rows: The frame.
        folder: A folder that does not exist.
        manifest: At least `name` and `registry_version`.
        split: How to split the rows.

    Raises:
        RequestError: The folder exists, `rows` is no frame, or a row fits no split.
    """
    return save(to_arrow(rows, "rows").to_reader(), folder, manifest, split)


def check_new(folder: Location) -> None:
    """Refuse a folder that exists.

    Raises:
        RequestError: It does.
    """
    if folder.exists():
        raise RequestError(
            f"{folder} exists. Saved datasets cannot be overwritten; choose another folder."
        )


@contextmanager
def _appearing(folder: Location) -> Iterator[Path]:
    """Yield a local folder that appears at its location afterwards."""
    writing = False
    try:
        with folder.replacing() as unfinished:
            unfinished.mkdir()
            writing = True
            yield unfinished
            writing = False
    except OSError as error:
        if writing:
            raise
        raise RequestError(f"{folder} cannot be made: {error}") from error


def _write(reader: pa.RecordBatchReader, folder: Path, split: Split | None) -> dict[str, int]:
    import numpy as np
    from pyarrow import parquet

    names = _names(split)
    counts = dict.fromkeys(names, 0)
    chance = np.random.default_rng(getattr(split, "seed", 0))
    writers = {n: parquet.ParquetWriter(folder / f"{n}.parquet", reader.schema) for n in names}
    try:
        for batch in reader:
            for name, part in _parts(batch, split, names, chance):
                writers[name].write_batch(part)
                counts[name] += part.num_rows
    finally:
        for writer in writers.values():
            writer.close()
    return counts


def _names(split: Split | None) -> list[str]:
    if split is None:
        return ["data"]
    if wrong := [name for name in split.names if not str(name).isidentifier()]:
        raise RequestError(f"{wrong[0]!r} is not a valid split name; use letters and digits.")
    return list(split.names)


def _parts(
    batch: pa.RecordBatch, split: Split | None, names: list[str], chance: "np.random.Generator"
) -> Iterator[tuple[str, pa.RecordBatch]]:
    if split is None:
        yield names[0], batch
        return
    assigned = split.assign(batch, chance)
    for number, name in enumerate(names):
        yield name, batch.filter(pa.array(assigned == number))
