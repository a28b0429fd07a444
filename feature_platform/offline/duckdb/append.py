"""Appending to file sources: always new files, never changes of existing ones."""

import uuid
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import compute, fs, parquet

from feature_platform.errors import FeaturePlatformError, RequestError, StoreError, first_line
from feature_platform.offline.paths import check_path
from feature_platform.offline.s3 import s3_client
from feature_platform.table import SourceTable
from feature_platform.types.values import exact_cast


def append_files(source: SourceTable, rows: pa.Table, root: Path) -> str:
    """Write rows as a new Parquet file, or one per day; a file appears once it is complete.

    Raises:
        RequestError: The source is a single file, a glob, or in another format.
        StoreError: It cannot be written.
    """
    location, label = source.location, source.name
    path = location["path"].removeprefix("file://")
    check_path(label, path, root)
    if location["format"] == "delta":
        return _append_delta(source, path if "://" in path else str(root / path), rows)
    if location["format"] != "parquet" or PurePosixPath(path).suffix or "*" in path:
        raise RequestError(
            f"Source {label!r} is not appendable: {location['path']!r} is not a directory of "
            "Parquet files. Use a directory; existing files are never rewritten."
        )
    on_s3 = path.startswith("s3://")
    client = s3_client(location["endpoint"]) if on_s3 else fs.LocalFileSystem()
    base = path.removeprefix("s3://").rstrip("/") if on_s3 else str(root / path)
    _check_folders(source, client, base)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    name, written = f"{stamp}-{uuid.uuid4().hex}.parquet", list[str]()
    try:
        for folder, part in _by_day(source, rows):
            target = f"{base}/{folder}".rstrip("/")
            _write(client, target, name, part, rename=not on_s3)
            written.append(f"{target}/{name}")
    except (OSError, pa.ArrowException) as error:
        for file in written:  # a part of the rows must not stay
            client.delete_file(file)
        raise StoreError(f"Source {label!r} cannot be written: {first_line(error)}.") from error
    return ", ".join(f"s3://{path}" if on_s3 else path for path in written)


def _check_folders(source: SourceTable, client: fs.FileSystem, base: str) -> None:
    """Refuse partition folders of columns that the rows do not have."""
    listed = client.get_file_info(fs.FileSelector(base, recursive=True, allow_not_found=True))
    parts = {part for info in listed for part in PurePosixPath(info.path[len(base) :]).parts}
    names = {part.partition("=")[0] for part in parts if "=" in part}
    if others := names - {source.day_column}:
        raise RequestError(
            f"Source {source.name!r} is not appendable: it is partitioned by "
            f"{', '.join(sorted(others))}. Only date_partition_column is supported."
        )


def _by_day(source: SourceTable, rows: pa.Table) -> list[tuple[str, pa.Table]]:
    if not source.day_column:
        return [("", rows)] if rows.num_rows else []
    days = compute.strftime(rows[source.event_timestamp], format="%Y-%m-%d")
    return [
        (f"{source.day_column}={day}", rows.filter(compute.equal(days, day)))
        for day in days.unique().to_pylist()
    ]


def _write(client: fs.FileSystem, folder: str, name: str, rows: pa.Table, *, rename: bool) -> None:
    """Write a file that appears once it is complete: by a rename, or as S3 does anyway."""
    target = f"{folder}/{name}"
    unfinished = f"{folder}/.{name}" if rename else target
    if rename:
        client.create_dir(folder, recursive=True)
    with client.open_output_stream(unfinished) as out:
        parquet.write_table(rows, out)
    if rename:
        client.move(unfinished, target)


def _append_delta(source: SourceTable, path: str, rows: pa.Table) -> str:
    from deltalake import DeltaTable, write_deltalake

    label, day = source.name, source.day_column
    if day and day not in rows.column_names:
        days = compute.strftime(rows[source.event_timestamp], format="%Y-%m-%d")
        rows = rows.append_column(day, days)
    try:
        if DeltaTable.is_deltatable(path):
            rows = _as_stored(label, pa.schema(DeltaTable(path).schema().to_arrow()), rows)
        write_deltalake(
            path, rows, mode="append", schema_mode="merge", partition_by=[day] if day else None
        )
    except FeaturePlatformError:
        raise
    except Exception as error:  # the library's errors have no common base
        raise StoreError(f"Source {label!r} cannot be written: {first_line(error)}.") from error
    return path


def _as_stored(label: str, stored: pa.Schema, rows: pa.Table) -> pa.Table:
    """Convert rows to the types of a table, which the library would cut and round them to.

    Raises:
        RequestError: A value would change.
    """
    for position, field in enumerate(rows.schema):
        index = stored.get_field_index(field.name)
        if index < 0 or stored.field(index).type == field.type:
            continue
        target = stored.field(index).type
        try:
            made = _exactly(rows[field.name], target)
        except ValueError as error:
            problem = f"its column {field.name!r} is {target}: {error}"
            raise RequestError(f"Source {label!r} is not appendable: {problem}.") from error
        rows = rows.set_column(position, field.name, made)
    return rows


def _exactly(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_date(target) and pa.types.is_string(column.type):  # the day
        return column.cast(target)
    made = exact_cast(column, target)
    if pa.types.is_floating(target) and made.cast(column.type) != column:
        raise ValueError("values would be rounded")
    return made
