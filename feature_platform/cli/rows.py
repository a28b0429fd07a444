"""Commands that read rows from files and write rows to files."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from feature_platform.cli.base import Instant, command, features_option, json_option, service_option
from feature_platform.cli.printing import print_counts, print_json, print_table
from feature_platform.cli.row_files import read_rows, write_rows
from feature_platform.definitions import FileSource, Source, with_related
from feature_platform.progress_bars import progress
from feature_platform.services import training, writing
from feature_platform.services.writing import PushMode
from feature_platform.store import FeatureStore
from feature_platform.types import FeatureType
from feature_platform.types.arrow import to_python

_MOST_SHOWN = 20

_PRESENT: click.Path = click.Path(exists=True, dir_okay=False, path_type=Path)
_file = click.argument("file", type=_PRESENT)


def _to(*targets: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--to", type=click.Choice(targets), default="online", show_default=True,
        help="Where the rows go.",
    )  # fmt: skip


_ignore_unknown = click.option(
    "--ignore-unknown", is_flag=True, help="Drop columns that the view does not have."
)


@command(name="get-historical-features")
@click.argument(
    "rows", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--sql", help="Read the entity rows from this SELECT instead of a file.")
@service_option
@features_option
@click.option("--full-names", is_flag=True, help="Prefix features with their view.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path),
    help="Parquet or CSV file to write.  [default: show the first rows]",
)  # fmt: skip
@json_option
def get_historical_features(
    repo: Path,
    *,
    rows: Path | None,
    sql: str | None,
    service: str | None,
    features: tuple[str, ...],
    full_names: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Join features to the entities and times in ROWS, a Parquet, CSV or JSON lines file.

    Each row gets the newest values that were known at its event_timestamp.
    """
    if bool(service) == bool(features):
        raise click.UsageError("Give either --service or --feature.")
    if (rows is None) == (sql is None):
        raise click.UsageError("Give either ROWS or --sql.")
    if output is not None and output.suffix not in {".csv", ".parquet"}:
        raise click.UsageError(f"--output {output}: name it .parquet or .csv.")
    store, requested = FeatureStore(repo), service or list(features)
    asked: Any = sql
    if rows is not None:
        asked = read_rows(rows, training.column_types(store.call(), requested))
    job = store.get_historical_features(asked, requested, full_feature_names=full_names)
    with progress() as tell:
        job.on_progress(tell)
        result = job.to_arrow() if output is None else write_rows(job, output)
    if isinstance(result, pa.Table):
        _show(result, as_json=as_json)
    else:
        print_counts({str(output): result}, as_json=as_json, of="file")


@command()
@click.argument("source")
@_file
@_to(*(mode.name.lower() for mode in PushMode))
@_ignore_unknown
@json_option
def push(
    repo: Path, *, source: str, file: Path, to: str, ignore_unknown: bool, as_json: bool
) -> None:
    """Send the rows of FILE to the views of the push source SOURCE."""
    store, mode = FeatureStore(repo), PushMode[to.upper()]
    rows = read_rows(file, writing.column_types(store.call(), source=source))
    count = store.push(source, rows, mode, ignore_unknown=ignore_unknown)
    print_counts({source: count}, as_json=as_json, of="push source")


@command()
@click.argument("view")
@_file
@_to("online", "offline")
@_ignore_unknown
@json_option
def write(
    repo: Path, *, view: str, file: Path, to: str, ignore_unknown: bool, as_json: bool
) -> None:
    """Write the rows of FILE to a view's online table, or append them to its source."""
    store = FeatureStore(repo)
    rows = read_rows(file, writing.column_types(store.call(), view=view))
    if to == "online":
        store.write_to_online_store(view, rows, ignore_unknown=ignore_unknown)
    else:
        store.write_to_offline_store(view, rows, ignore_unknown=ignore_unknown)
    print_counts({view: rows.num_rows}, as_json=as_json)


@command(name="delete-online")
@click.argument("view")
@_file
@json_option
def delete_online(repo: Path, *, view: str, file: Path, as_json: bool) -> None:
    """Delete the keys in FILE from a view's online table.

    They are deleted as of their event_timestamp, or as of now.
    """
    store = FeatureStore(repo)
    rows = read_rows(file, writing.column_types(store.call(), view=view))
    store.delete_from_online_store(view, rows)
    print_counts({view: rows.num_rows}, as_json=as_json)


@command()
@click.argument("view")
@click.option("--start", type=Instant(), help="Rows observed from here.  [default: all]")
@click.option("--end", type=Instant(), help="Rows observed up to here.  [default: all]")
@json_option
def statistics(
    repo: Path, *, view: str, start: datetime | None, end: datetime | None, as_json: bool
) -> None:
    """Describe the features of a view's history: counts, nulls, ranges, means."""
    described = FeatureStore(repo).get_statistics(view, start, end)
    if as_json:
        print_json({name: asdict(each) for name, each in described.items()})
        return
    print_table(list(described.HEADS), described.cells())


@command()
@click.argument("source")
@json_option
def schema(repo: Path, *, source: str, as_json: bool) -> None:
    """Print the declaration of a source's columns, for the schema of a view.

    SOURCE is registered, or defined in the folder, or the path of files, as in a FileSource.
    """
    store = FeatureStore(repo)
    if (store.repo.path / store.config.offline_store.root / source).exists():
        columns = store.get_source_schema(FileSource(name="files", path=source))
    else:
        defined = {d.name: d for d in with_related(store.repo.definitions) if isinstance(d, Source)}
        columns = store.get_source_schema(defined.get(source, source))
    if as_json:
        print_json({**{f.name: str(f.dtype) for f in columns.fields}, **columns.others})
        return
    click.echo("schema=[")
    for field in columns.fields:
        click.echo(f"    Field(name={json.dumps(field.name)}, dtype={_spelled(field.dtype)}),")
    for name, dtype in columns.others.items():
        click.echo(f"    # {name} is {dtype}, which no feature type carries")
    click.echo("]")


def _spelled(dtype: FeatureType) -> str:
    """Return a type as Python code."""
    if dtype.fields:
        fields = ", ".join(f"{json.dumps(n)}: {_spelled(t)}" for n, t in dtype.fields)
        return f"Struct({{{fields}}})"
    return f"Array({_spelled(dtype.item)})" if dtype.item else str(dtype)


def _show(table: pa.Table, *, as_json: bool) -> None:
    if as_json:
        columns = {name: to_python(table[name]) for name in table.column_names}
        print_json([dict(zip(columns, row, strict=True)) for row in _rows(columns.values())])
        return
    first = table.slice(0, _MOST_SHOWN)
    rows = _rows(to_python(column) for column in first.columns)
    print_table(table.column_names, [tuple(map(str, row)) for row in rows])
    if table.num_rows > _MOST_SHOWN:
        click.echo(f"The first {_MOST_SHOWN} of {table.num_rows:,} rows; -o FILE writes all.")


def _rows(columns: Iterable[list[Any]]) -> list[tuple[Any, ...]]:
    return list(zip(*columns, strict=True))
