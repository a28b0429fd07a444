"""A connection to an embedded DuckDB, with the sources of one query."""

import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pyarrow as pa
from pyarrow import fs, parquet

from feature_platform.errors import ConfigError, RequestError, SourceError, StoreError, first_line
from feature_platform.offline.base import EntityRows, Progress
from feature_platform.offline.columns import check_times_of
from feature_platform.offline.duckdb.append import append_files
from feature_platform.offline.duckdb.csv import CSV_OPTIONS, column_types, only_integers, parse
from feature_platform.offline.duckdb.dialect import DuckDBDialect
from feature_platform.offline.duckdb.errors import reason_of, translated
from feature_platform.offline.duckdb.files import Files, list_files, literal_path
from feature_platform.offline.duckdb.join import DuckDBJoin
from feature_platform.offline.duckdb.layouts import (
    check_layouts,
    check_required,
    large_integers_sql,
    layouts_sql,
)
from feature_platform.offline.duckdb.partitions import partition_options
from feature_platform.offline.duckdb.source_state import source_state
from feature_platform.offline.entity_rows import check_unique
from feature_platform.offline.paths import check_path
from feature_platform.offline.point_in_time import ROW, TIME, EntityRowsSql, Search
from feature_platform.offline.session import Engine, Session
from feature_platform.offline.source_sql import Relation, SourceSql, source_of
from feature_platform.offline.store import SqlOfflineStore
from feature_platform.table import SourceTable, Table

_LAKES = ("delta", "iceberg")
_FILE = "__fp_file"
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_WIDE = 500
_MOST_THREADS = 1024
_BATCH_ROWS = 100_000


def duckdb_store(
    root: Path, *, memory_limit: str = "", threads: int = 0, temp_directory: str = ""
) -> SqlOfflineStore:
    """Return the store over files; `DuckDBSettings` documents the arguments."""

    def open_session(progress: Progress | None) -> Session:
        return DuckDBSession(
            root,
            progress,
            memory_limit=memory_limit,
            threads=threads,
            temp_directory=temp_directory,
        )

    return SqlOfflineStore(Engine(DuckDBSession, open_session, partial(source_state, root)))


class DuckDBSession(Session):
    """A separate connection with a temporary folder; it has to be closed."""

    label = "DuckDB"

    stores_rows: ClassVar[bool] = False

    def __init__(
        self,
        root: Path,
        progress: Progress | None = None,
        *,
        memory_limit: str = "",
        threads: int = 0,
        temp_directory: str = "",
    ) -> None:
        super().__init__(progress)
        self.sql = DuckDBDialect()
        self.bytes_read = 0
        self._root = root
        parent = root / temp_directory if temp_directory else None
        if not 0 <= threads <= _MOST_THREADS:
            raise ConfigError(f"offline_store: threads cannot be {threads}.")
        try:
            self._folder = tempfile.mkdtemp(prefix="feature_platform-", dir=parent)
        except OSError as error:
            raise ConfigError(f"offline_store, temp_directory: {error}") from error
        # Also if a reader is not exhausted, or the program ends.
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        config: dict[str, Any] = {
            # DuckDB's wheel contains all it needs: nothing is downloaded.
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",  # SQL cannot read Python variables
            "temp_directory": self._folder,
        }
        if memory_limit:
            config["memory_limit"] = memory_limit
        if threads:
            config["threads"] = str(threads)
        try:
            self.db = duckdb.connect(config=config)
            self.db.execute("SET TimeZone = 'UTC'")
            self.db.execute("SET enable_progress_bar = false")  # it would be printed to the output
            self.db.execute("SET parquet_metadata_cache = true")  # several statements read a file
        except duckdb.Error as error:
            self.close()
            options = f"memory_limit {memory_limit!r}, threads {threads}"
            raise ConfigError(f"offline_store, {options}: {first_line(error)}.") from error
        self._listed: list[tuple[str, Files, list[tuple[str, int, int]]]] = []

    def close(self) -> None:
        """Close the connection and remove temporary files."""
        if hasattr(self, "db"):
            self.db.close()
        self._remove()

    def memory_limit(self) -> int:
        """Return the number of bytes that DuckDB uses before it spills."""
        [text] = self.row("SELECT current_setting('memory_limit')")
        number, unit = str(text).split()
        return int(float(number) * 1024 ** _UNITS.index(unit))

    def run(self, sql: str) -> None:
        """Run a statement."""
        with translated():
            self.db.execute(sql)

    def row(self, sql: str) -> tuple[Any, ...]:
        """Return the only row of a query."""
        with translated():
            return tuple(self.db.execute(sql).fetchall()[0])

    def _describe(
        self, relation: str, unreadable: Callable[[str], Exception]
    ) -> dict[str, pa.DataType]:
        try:
            described = self.db.sql(f"SELECT * FROM {relation} LIMIT 0")
            types = dict(zip(described.columns, map(str, described.types), strict=True))
            schema = described.to_arrow_table().schema
        except (duckdb.Error, OSError) as error:
            raise unreadable(reason_of(error)) from error
        # Arrow gets UUIDs as text, but DuckDB compares them as numbers.
        return {f.name: pa.uuid() if types[f.name] == "UUID" else f.type for f in schema}

    def entity_rows(self, rows: EntityRows) -> tuple[str, Mapping[str, pa.DataType]]:
        if isinstance(rows, pa.Table):
            check_unique(rows.column_names)
            with translated():
                self.db.register("entity_rows", rows)
            relation = "entity_rows"
        elif isinstance(rows, Path):
            check_unique(_parquet_names(rows))
            file = self.sql.literal(literal_path(str(rows)))
            relation = f"read_parquet({file}, hive_partitioning = false)"
        else:
            if str(rows).strip().lower().endswith((".csv", ".json", ".arrow")):
                raise RequestError(
                    f"Entity rows {rows!r}: a string is SQL or the path of a .parquet file. For "
                    "other files use SQL, such as SELECT * FROM read_csv('rows.csv')."
                )
            statement = self._one_select(str(rows))
            with suppress(duckdb.Error):  # reported below
                # As a subquery, DuckDB would rename duplicate columns.
                described = self.db.execute(f"DESCRIBE {statement}").fetchall()
                check_unique([name for name, *_ in described])
            relation = f"({statement}\n)"
        problem = "SQL cannot run" if isinstance(rows, str) else "cannot be read"
        owner = "The entity rows' " if isinstance(rows, str) else "The entity rows "
        types = self._describe(relation, lambda why: RequestError(f"{owner}{problem}: {why}"))
        if uuids := [name for name, dtype in types.items() if isinstance(dtype, pa.UuidType)]:
            read = ", ".join(f"{self.sql.uuid(q)} AS {q}" for q in map(self.sql.quote, uuids))
            relation = f"(SELECT * REPLACE ({read}) FROM {relation})"
            types |= dict.fromkeys(uuids, pa.string())
        if len(types) > _WIDE:  # its cost is quadratic in the number of sorted columns
            self.run("SET disabled_optimizers = 'compressed_materialization'")
        return relation, types

    def _one_select(self, text: str) -> str:
        with translated():
            statements = self.db.extract_statements(text)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise RequestError("Entity rows as SQL must be exactly one SELECT statement.")
        return str(statements[0].query.strip().rstrip(";"))

    def reads_as(self, table: Table) -> tuple[str, ...]:
        """CSV columns are read as each table declares them."""
        is_csv = source_of(table).location["format"] == "csv"
        return (table.identity, str(table.features)) if is_csv else ()

    def number(self, relation: str, time: str, *, store: bool) -> str:
        numbered = f"SELECT row_number() OVER () AS {ROW}, {time} AS {TIME}, * FROM {relation}"
        if not store:
            return f"({numbered})"
        self.run(f"CREATE TEMP TABLE entities AS {numbered}")
        return "entities"

    def reader(self, sql: str, schema: pa.Schema) -> pa.RecordBatchReader:
        with translated():
            reader = self.db.sql(sql).to_arrow_reader(_BATCH_ROWS)
        return pa.RecordBatchReader.from_batches(reader.schema, self._stream(reader))

    def _stream(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        try:
            with translated():
                yield from reader
            self.check_unchanged()
        finally:
            self.close()

    def rows(self, sql: str) -> list[dict[str, Any]]:
        with translated():
            table = self.db.sql(sql).to_arrow_table()
        for batch in table.to_batches():
            check_times_of(batch, "A source")
        return list(table.to_pylist())

    def append(self, source: SourceTable, rows: pa.Table) -> str:
        return append_files(source, rows, self._root)

    def explain(self, sql: str) -> str:
        with translated():
            return str(self.db.execute(f"EXPLAIN {sql}").fetchall()[0][1])

    def cancel(self) -> None:
        with suppress(duckdb.Error):  # it may have finished
            self.db.interrupt()

    def join(self, entities: EntityRowsSql, searches: Sequence[Search], schema: pa.Schema) -> str:
        join = DuckDBJoin(self, entities)
        for number, search in enumerate(searches):
            join.find(number, search)
        return join.select()

    def latest(
        self,
        source: SourceSql,
        columns: Mapping[str, str],
        span: tuple[int, int],
        schema: pa.Schema,
    ) -> str:
        if not source.row_id:
            return super().latest(source, columns, span, schema)
        join = DuckDBJoin(self, EntityRowsSql("", {}, span, 0))
        return join.latest(source, columns)

    def check_unchanged(self) -> None:
        """Check that no file has changed since it was listed.

        Raises:
            StoreError: A file was replaced or removed.
        """
        for label, files, before in self._listed:
            if files.state() != before:
                raise StoreError(
                    f"Source {label!r}: a file was replaced or removed while it was read. "
                    "Retry; writers should add files, never replace them."
                )

    def open(self, table: Table, source: SourceTable) -> Relation:
        location, label = source.location, source.name
        file_format = location["format"]
        if file_format in _LAKES:
            return self._lake(label, location)
        if file_format not in {"parquet", "csv"}:
            raise StoreError(
                f"Source {label!r} is in {file_format}, but this offline store reads Parquet, "
                "CSV, Delta and Iceberg. Set offline_store in feature_store.yaml to an engine "
                "that reads it."
            )
        names, files = self._list(label, location)
        if file_format == "csv":
            return self._csv(table, source, names)
        required = [n for n in _required(table, source) if f"/{n}=" not in names[0]]
        options = partition_options(self.sql, table, source, names, files.partitions)
        if len(names) > 1 and not self._are_alike(label, names, required):
            options.append("union_by_name = true")  # each query would open all files to bind
        relation = f"read_parquet([{self._listing(names)}], {', '.join(options)})"
        columns = self._describe(relation, _unreadable(label))
        if len(names) == 1 and any(f"{name}_1" in columns for name in columns):
            self._are_alike(label, names, [])  # DuckDB renames the second of two columns
        # Pruned files are not counted, so the index of a file is not stable.
        row_id = ("filename" if files.partitions else "file_index", "file_row_number")
        return Relation(relation, columns, _free(row_id, columns))

    def _are_alike(self, label: str, names: list[str], required: Sequence[str]) -> bool:
        try:
            listing = self._listing(names)
            layouts = self.db.sql(layouts_sql(listing)).to_arrow_table().to_pylist()
            alike, mixed = check_layouts(layouts, label, required)
            for column, most, message in mixed:
                if self.db.sql(large_integers_sql(listing, column, most)).fetchall() != [(0,)]:
                    raise SourceError(message)
        except (duckdb.Error, OSError) as error:
            raise _unreadable(label)(reason_of(error)) from error
        return alike

    def _list(self, label: str, location: Mapping[str, str]) -> tuple[list[str], Files]:
        files = list_files(label, location, self._root)
        is_local = isinstance(files.client, fs.LocalFileSystem)
        names = list(files.paths) if is_local else self._mount(files, location)
        self._listed.append((label, files, files.state()))
        return names, files

    def _mount(self, files: Files, location: Mapping[str, str]) -> list[str]:
        if location["format"] == "csv":  # a CSV file is read once, as a whole
            folder = Path(self._folder) / f"csv{len(self._listed)}"
            folder.mkdir()
            names = [str(folder / f"{i}-{Path(p).name}") for i, p in enumerate(files.paths)]
            local = fs.LocalFileSystem()
            for path, name in zip(files.paths, names, strict=True):
                fs.copy_files(
                    path, name, source_filesystem=files.client, destination_filesystem=local
                )
            return names
        protocol = f"s3a{len(self._listed)}"
        from feature_platform.offline.duckdb.remote import ArrowFiles  # with fsspec and asyncio

        self.db.register_filesystem(ArrowFiles(protocol, files.client, self._count))
        return [f"{protocol}://{path}" for path in files.paths]

    def _count(self, read: int) -> None:
        self.bytes_read += read

    def _listing(self, names: list[str]) -> str:
        return ", ".join(self.sql.literal(literal_path(name)) for name in names)

    def _csv(self, table: Table, source: SourceTable, names: list[str]) -> Relation:
        """Read CSV files once: as text, which is then converted strictly to the declared types."""
        options = f"{CSV_OPTIONS}, header = true, hive_partitioning = false"
        if len(names) > 1:
            options += f", union_by_name = true, filename = '{_FILE}'"
        relation = f"read_csv([{self._listing(names)}], {options})"
        columns = self._describe(relation, _unreadable(source.name))
        types = column_types(table, source)
        if any(f"{name}_1" in columns for name in types):  # DuckDB renames the second one
            self._check_header(source.name, names)
        selected = []
        for column in columns:
            dtype, quoted = types.get(column), self.sql.quote(column)
            read = quoted if dtype is None else parse(self.sql, source.name, column, dtype)
            selected.append(f"{read} AS {quoted}")
        name = f"csv{len(self._relations)}"
        self.run(f"CREATE TEMP TABLE {name} AS SELECT {', '.join(selected)} FROM {relation}")
        if len(names) > 1:
            self._check_files(table, source, name, names)
        for key in (source.column(key) for key, dtype in table.keys.items() if dtype is None):
            if key in columns:
                self._read_integers(name, self.sql.quote(key))
        columns = self._describe(name, _unreadable(source.name))
        return Relation(name, columns, _free(("rowid",), columns))

    def _check_files(self, table: Table, source: SourceTable, name: str, names: list[str]) -> None:
        """Look at the files none of whose rows count: their header may be missing or broken."""
        required = _required(table, source)
        filled = " AND ".join(f"count({self.sql.quote(column)}) > 0" for column in required)
        sound = f"SELECT {_FILE} AS file FROM {name} GROUP BY {_FILE} HAVING {filled}"
        for path in sorted({*names} - {row["file"] for row in self.rows(sound)}):
            options = f"{CSV_OPTIONS}, header = true, hive_partitioning = false"
            relation = f"read_csv([{self._listing([path])}], {options})"
            columns = self._describe(relation, _unreadable(source.name))
            check_required(source.name, Path(path).name, columns, required)
        self.run(f"ALTER TABLE {name} DROP COLUMN {_FILE}")

    def _check_header(self, label: str, names: list[str]) -> None:
        for name in names:
            options = f"{CSV_OPTIONS}, header = false, hive_partitioning = false"
            header = self.row(
                f"SELECT * FROM read_csv([{self._listing([name])}], {options}) LIMIT 1"
            )
            if twice := [n for n, count in Counter(map(str, header)).items() if count > 1]:
                raise SourceError(
                    f"Source {label!r}: column {twice[0]!r} occurs twice in {Path(name).name}."
                )

    def _read_integers(self, table: str, column: str) -> None:
        """Make a key column without a declared type integers, if all of its values are."""
        [are_integers] = self.row(f"SELECT {only_integers(column)} FROM {table}")
        if are_integers:
            self.run(f"ALTER TABLE {table} ALTER {column} TYPE BIGINT")

    def _lake(self, label: str, location: Mapping[str, str]) -> Relation:
        from feature_platform.offline.duckdb.lakes import lake_dataset

        check_path(label, location["path"], self._root)
        name = f"lake{len(self._relations)}"
        dataset = lake_dataset(label, location, self._root)
        with translated():
            self.db.register(name, dataset)
        return Relation(name, self._describe(name, _unreadable(label)))


def _required(table: Table, source: SourceTable) -> list[str]:
    """Return the source columns without which there is no row."""
    return [source.event_timestamp, *map(source.column, table.keys)]


def _free(row_id: tuple[str, ...], columns: Mapping[str, object]) -> tuple[str, ...]:
    """Return the columns that identify a row, unless the source has columns of these names."""
    return () if {name.casefold() for name in columns} & set(row_id) else row_id


def _parquet_names(path: Path) -> list[str]:
    try:
        return list(parquet.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        raise RequestError(f"The entity rows cannot be read: {first_line(error)}.") from error


def _unreadable(label: str) -> Callable[[str], StoreError]:
    return lambda reason: StoreError(f"Source {label!r} cannot be read: {reason}.")
