"""Training sets and scores between assets: stored as datasets, read as the annotation says."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import dagster as dg
import pyarrow as pa

from feature_platform.errors import NotFoundError, RequestError, did_you_mean
from feature_platform.offline.files import Location
from feature_platform.retrieval import (
    RetrievalJob,
    SavedDataset,
    SavedDatasetFileStorage,
    Split,
    save_rows,
    to_arrow,
)

_CURRENT = "current.txt"


@dataclass(frozen=True)
class Dataset:
    """What an asset hands to `DatasetIOManager`.

    Attributes:
        rows: A job, or a frame: pandas, polars or Arrow.
        split: How to split the rows.
        registry_version: Registry version behind the rows.
        label: Column that has to be there.
    """

    rows: object
    split: Split | None = None
    registry_version: int = 0
    label: str = ""

    def to_arrow(self) -> pa.Table:
        """Compute the rows.

        Raises:
            RequestError: They lack the label.
        """
        job = self.rows if isinstance(self.rows, RetrievalJob) else None
        table = job.to_arrow() if job else to_arrow(self.rows, "rows")
        self.check_label(table.column_names)
        return table

    def check_label(self, columns: Collection[str]) -> None:
        """Refuse rows without the label.

        Raises:
            RequestError: There is none.
        """
        if self.label and self.label not in columns:
            hint = did_you_mean(self.label, columns)
            raise RequestError(f"The spine has no column {self.label!r}, the label.{hint}")


class DatasetIOManager(dg.ConfigurableIOManager):
    """Stores each run's rows as a saved dataset, and gives the newest one to downstream assets.

    A downstream asset gets what its argument is annotated with: a pandas or polars `DataFrame`, an
    Arrow `Table` or `RecordBatchReader`, or the `SavedDataset` with its splits and manifest.

    Attributes:
        root: Folder of the datasets, local or `s3://bucket/prefix`. Each run gets a folder of its
            own below it: earlier ones stay, for models that were trained on them.

    Example:
        >>> @dg.asset  # doctest: +SKIP
        ... def model(training_set: pd.DataFrame): ...
    """

    root: str

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        if not isinstance(obj, Dataset):
            obj = Dataset(obj)
        folder = self._folder(context)
        name = f"{context.run_id}-{uuid.uuid4().hex[:6]}"  # a step may be tried again
        dataset = folder / name
        if isinstance(obj.rows, RetrievalJob):
            storage = SavedDatasetFileStorage(dataset.result())
            saved = obj.rows.persist(storage, name=folder.name, split=obj.split)
        else:
            manifest = {"name": folder.name, "registry_version": obj.registry_version}
            saved = save_rows(obj.rows, dataset, manifest, obj.split)
        obj.check_label(saved.manifest["schema"])
        with (folder / _CURRENT).replacing() as file:
            file.write_text(name, "utf-8")
        label = {"label": obj.label} if obj.label else {}
        context.add_output_metadata(_described(saved) | label)

    def load_input(self, context: dg.InputContext) -> Any:
        folder = self._folder(context)
        try:
            with (folder / _CURRENT).reading() as file:
                run = file.read().decode()
        except OSError as error:
            label = context.asset_key.to_user_string()
            raise NotFoundError(f"Asset {label} has no dataset yet. Materialize it.") from error
        saved = SavedDataset.load((folder / run).result())
        return _converted(saved, context.dagster_type.typing_type)

    def _folder(self, context: dg.InputContext | dg.OutputContext) -> Location:
        folder = Location.parse(self.root, "root")
        for part in context.asset_key.path:
            folder /= part
        if context.has_asset_partitions:
            keys = list(context.asset_partition_keys)
            if len(keys) != 1:
                raise RequestError(
                    "A dataset holds one partition. Materialize or read one partition at a time."
                )
            folder /= f"partition={quote(keys[0], safe='')}"
        return folder


def _described(saved: SavedDataset) -> dict[str, Any]:
    manifest = saved.manifest
    columns = [dg.TableColumn(name, dtype) for name, dtype in manifest["schema"].items()]
    metadata: dict[str, Any] = {
        "dagster/row_count": manifest["rows"],
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "dataset": str(saved.path),
        "registry_version": saved.registry_version,
    }
    if saved.splits:
        metadata["splits"] = dg.MetadataValue.json(manifest["splits"])
    return metadata


def _converted(saved: SavedDataset, annotation: Any) -> Any:
    """Return a dataset as the type that an argument is annotated with; pandas without one."""
    if annotation is SavedDataset:
        return saved
    if annotation is pa.Table:
        return saved.to_arrow()
    if annotation is pa.RecordBatchReader:
        return saved.to_batches()
    if getattr(annotation, "__module__", "").partition(".")[0] == "polars":
        return saved.to_polars()
    return saved.to_df()
