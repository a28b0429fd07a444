"""What only the engine for files does."""

import random
import shutil
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from oracle import newest_known
from pyarrow import parquet
from tests_support import NOON, open_offline_store, raises

from feature_platform.errors import ConfigError, RequestError, SchemaError, SourceError, StoreError
from feature_platform.offline import Span
from feature_platform.offline.duckdb.errors import translated
from feature_platform.offline.duckdb.join import DuckDBJoin
from feature_platform.offline.duckdb.session import DuckDBSession
from feature_platform.table import SourceTable, Table, ViewRead
from feature_platform.types.arrow import TIMESTAMP
from feature_platform.types.times import utc_now
from offline.engines import Files
from offline.test_contract import HISTORY, SPINE, ask, read, row

MINUTE = timedelta(minutes=1)


def test_nanoseconds_do_not_move_rows_into_the_future_or_the_past(tmp_path: Path) -> None:
    nanoseconds = pa.timestamp("ns", tz="UTC")
    base = int(NOON.timestamp()) * 10**9
    history = {
        "a": [1],
        "event_timestamp": pa.array([base + 999], nanoseconds),
        "created": pa.array([None], TIMESTAMP),
        "value": [7],
    }
    engine = Files(tmp_path)
    location = engine.table("v", pa.table(history))
    spine = pa.table({"a": [1, 1], "event_timestamp": pa.array([base, base - 1], nanoseconds)})
    query = engine.store.point_in_time(spine, [read("v", location, ["a"])])

    assert query.reader().read_all()["v:value"].to_pylist() == [7, None]


@pytest.mark.parametrize("known_only", [False, True])
@pytest.mark.parametrize(
    ("asked", "keys", "limit"),
    [(20, 50, ""), (20, 2, ""), (2000, 50, ""), (2000, 50, "40MB")],
    ids=["few pairs", "many pairs", "many rows", "in parts"],
)
def test_every_way_to_join_gives_one_answer(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: int,
    keys: int,
    limit: str,
    known_only: bool,
) -> None:
    """The plan follows the numbers of rows; what it is must not show."""
    chance = random.Random(asked + keys)
    ways: list[str] = []

    def noted(name: str) -> None:
        real: Callable[..., Any] = getattr(DuckDBJoin, name)

        def run(self: DuckDBJoin, *arguments: Any, **options: Any) -> Any:
            ways.append(name)
            return real(self, *arguments, **options)

        monkeypatch.setattr(DuckDBJoin, name, run)

    for name in ("_few", "_many", "_nearest_of_pairs", "nearest"):
        noted(name)
    monkeypatch.setattr("feature_platform.offline.duckdb.join._BYTES_PER_VALUE", 10_000)
    if not limit:
        monkeypatch.setattr(DuckDBSession, "memory_limit", lambda _: 1 << 40)

    def moment() -> Any:
        return NOON + chance.randrange(0, 300) * MINUTE

    history = [
        row(
            chance.randrange(keys),
            moment(),
            chance.randrange(9),
            created=chance.choice([None, moment()]),
        )
        for _ in range(3000)
    ]
    spine = [
        {"row": n, "a": chance.randrange(keys + 1), "b": "x", "event_timestamp": moment()}
        for n in range(asked)
    ]
    ttl = chance.choice([None, 20 * MINUTE])
    parquet.write_table(pa.Table.from_pylist(history, schema=HISTORY), tmp_path / "v.parquet")
    settings = {"type": "duckdb", "threads": 2, **({"memory_limit": limit} if limit else {})}
    location = {"path": "v.parquet", "format": "parquet", "endpoint": ""}
    query = open_offline_store(settings, tmp_path).point_in_time(
        pa.Table.from_pylist(spine, schema=SPINE),
        [read("v", location, ["a"], ttl)],
        known_only=known_only,
    )
    told: list[str] = []
    answer = query.reader(told.append).read_all()

    expected = [newest_known(one, history, ["a"], ttl, known_only=known_only) for one in spine]
    assert answer["v:value"].to_pylist() == [found and found["value"] for found in expected]
    assert answer["row"].to_pylist() == list(range(asked))
    assert ways[0] == ("_few" if asked == 20 else "_many")
    assert ("_nearest_of_pairs" in ways) == (keys == 50 and asked == 20)
    parts = ways.count("nearest")
    assert (parts > 1) == bool(limit)
    assert len(told) >= parts  # each is told


def test_the_state_of_a_source_changes_with_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "history"
    folder.mkdir()
    store = Files(tmp_path).store
    table = read("v", {"path": "history", "format": "parquet", "endpoint": ""}, ["a"]).table
    later = utc_now() + timedelta(minutes=2)
    assert store.source_state(table, later) == ""  # nothing is there: reading says so

    parquet.write_table(pa.table({"a": [1]}), folder / "a.parquet")
    assert store.source_state(table, utc_now()) == ""  # it may change again, unnoticed
    state = store.source_state(table, later)
    assert state
    assert state == store.source_state(table, later)
    parquet.write_table(pa.table({"a": [1]}), folder / "b.parquet")
    assert store.source_state(table, later) not in {"", state}
    (folder / "b.parquet").unlink()
    assert store.source_state(table, later) == state


def test_the_state_of_a_delta_table_is_its_version(tmp_path: Path) -> None:
    deltalake = pytest.importorskip("deltalake")
    rows = pa.table({"a": [1]})
    deltalake.write_deltalake(str(tmp_path / "history"), rows)
    store = Files(tmp_path).store
    table = read("v", {"path": "history", "format": "delta", "endpoint": ""}, ["a"]).table
    state = store.source_state(table, NOON)
    assert state
    assert state == store.source_state(table, NOON)
    shutil.copytree(tmp_path / "history", tmp_path / "backup")
    deltalake.write_deltalake(str(tmp_path / "history"), rows, mode="append")
    appended = store.source_state(table, NOON)
    assert appended not in {"", state}

    shutil.rmtree(tmp_path / "history")
    shutil.copytree(tmp_path / "backup", tmp_path / "history")
    assert store.source_state(table, NOON) == state
    deltalake.write_deltalake(str(tmp_path / "history"), rows, mode="append")  # the same version
    assert store.source_state(table, NOON) not in {"", state, appended}


def test_windows_read_by_another_day_column_do_not_count() -> None:
    location = {"path": "history", "format": "parquet", "endpoint": ""}
    table = read("v", location, ["a"]).table
    assert table.source is not None
    by_day = [
        replace(table, source=replace(table.source, day_column=column)).content
        for column in ("published", "day")
    ]
    assert len({table.content, *by_day}) == 3


def test_s3_gives_the_same_and_only_what_is_needed_is_read(
    tmp_path: Path, s3: Any, s3_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 row groups in the order of time, and wide columns that nobody asks for."""
    count = 100_000
    table = pa.table(
        {
            "a": pa.array(range(count)),
            "event_timestamp": pa.array([NOON + n * MINUTE for n in range(count)], TIMESTAMP),
            "created": pa.array([NOON] * count, TIMESTAMP),
            "value": pa.array(range(count)),
            "wide": pa.array([f"{n:0200d}" for n in range(count)]),
        }
    )
    engine = Files(tmp_path)
    parquet.write_table(table, tmp_path / "v.parquet", row_group_size=1000, compression="none")
    size = (tmp_path / "v.parquet").stat().st_size
    s3.upload_file(str(tmp_path / "v.parquet"), bucket, "lake/v.parquet")
    sessions: list[DuckDBSession] = []
    real = DuckDBSession.close
    monkeypatch.setattr(DuckDBSession, "close", lambda self: (sessions.append(self), real(self)))
    places = [
        {"path": "v.parquet", "format": "parquet", "endpoint": ""},
        {"path": f"s3://{bucket}/lake/v.parquet", "format": "parquet", "endpoint": s3_endpoint},
        {"path": f"s3://{bucket}/lake", "format": "parquet", "endpoint": s3_endpoint},
        {"path": f"s3://{bucket}/l*/*.parquet", "format": "parquet", "endpoint": s3_endpoint},
    ]
    spine = pa.table(
        {"a": [50_000, 50_001, 7], "event_timestamp": pa.array([NOON + 50_001 * MINUTE] * 3)}
    )
    answers = [
        engine.store.point_in_time(spine, [read("v", place, ["a"], 10 * MINUTE)])
        .reader()
        .read_all()
        for place in places
    ]

    assert answers[0]["v:value"].to_pylist() == [50_000, 50_001, None]
    assert all(answer.equals(answers[0]) for answer in answers)
    assert len(sessions) == len(places)
    footer = parquet.read_metadata(tmp_path / "v.parquet").serialized_size
    for session in sessions[1:]:
        assert footer < session.bytes_read < size / 20 + 2 * footer


def test_a_file_that_is_replaced_meanwhile_is_noticed(tmp_path: Path) -> None:
    engine = Files(tmp_path)
    rows = pa.Table.from_pylist([row(1, NOON, 7)], schema=HISTORY)
    location = engine.table("v", rows)
    spine = pa.Table.from_pylist(ask(NOON), schema=SPINE)
    reader = engine.store.point_in_time(spine, [read("v", location, ["a"])]).reader()
    engine.table("w", rows)
    (tmp_path / "w.parquet").replace(tmp_path / "v.parquet")

    with raises(StoreError, "v_source"):
        reader.read_all()
    again = engine.store.point_in_time(spine, [read("v", location, ["a"])]).reader()
    assert again.read_all()["v:value"].to_pylist() == [7]  # nothing else is wrong with it


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("../v.parquet", "'../v.parquet'"),
        ("a/../../v.parquet", "'a/../../v.parquet'"),
        ("v\0.parquet", r"v\x00.parquet"),
        ("gone.parquet", "/root/gone.parquet"),
        ("empty", "/root/empty"),
        ("garbage.parquet", "garbage.parquet"),
        ("cut.parquet", "cut.parquet"),
    ],
)
def test_sources_that_cannot_be_read_are_explained(tmp_path: Path, path: str, shown: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    engine = Files(root)
    engine.table("v", pa.Table.from_pylist([row(1, NOON, 7)], schema=HISTORY))
    (tmp_path / "v.parquet").write_bytes((root / "v.parquet").read_bytes())
    (root / "garbage.parquet").write_bytes(b"garbage" * 99)
    (root / "cut.parquet").write_bytes((root / "v.parquet").read_bytes()[:-20])
    (root / "empty").mkdir()
    (root / "a").mkdir()  # so that a/../../v.parquet would lead to a file
    location = {"path": path, "format": "parquet", "endpoint": ""}
    query = engine.store.point_in_time(
        pa.Table.from_pylist(ask(NOON), schema=SPINE), [read("v", location, ["a"])]
    )

    with raises(StoreError, "v_source", shown):
        query.reader().read_all()


def test_a_root_may_be_a_link_into_its_checkout(tmp_path: Path) -> None:
    root = tmp_path / "checkout" / "repo"
    root.mkdir(parents=True)
    (tmp_path / "checkout" / ".git").mkdir()
    (tmp_path / "link").symlink_to(root)
    Files(root).table("v", pa.Table.from_pylist([row(1, NOON, 7)], schema=HISTORY))
    (root / "v.parquet").rename(root.parent / "v.parquet")
    location = {"path": "../v.parquet", "format": "parquet", "endpoint": ""}
    spine = pa.Table.from_pylist(ask(NOON), schema=SPINE)
    query = Files(tmp_path / "link").store.point_in_time(spine, [read("v", location, ["a"])])

    assert query.reader().read_all()["v:value"].to_pylist() == [7]


def test_unfinished_files_of_others_are_not_read(tmp_path: Path) -> None:
    engine = Files(tmp_path)
    (tmp_path / "lake").mkdir()
    good = engine.table("v", pa.Table.from_pylist([row(1, NOON, 7)], schema=HISTORY))
    (tmp_path / good["path"]).rename(tmp_path / "lake" / "part.parquet")
    for name in ("_SUCCESS", ".part.parquet", "_tmp.parquet", "notes.txt"):
        (tmp_path / "lake" / name).write_text("not parquet")
    location = {"path": "lake", "format": "parquet", "endpoint": ""}
    spine = pa.Table.from_pylist(ask(NOON), schema=SPINE)
    query = engine.store.point_in_time(spine, [read("v", location, ["a"])])

    assert query.reader().read_all()["v:value"].to_pylist() == [7]


def test_entity_rows_with_ten_thousand_columns(tmp_path: Path) -> None:
    engine = Files(tmp_path)
    location = engine.table("v", pa.Table.from_pylist([row(1, NOON, 7)], schema=HISTORY))
    wide = {f"c{n}": [n] for n in range(10_000)}
    spine = pa.table({"a": [1], "event_timestamp": pa.array([NOON], TIMESTAMP), **wide})
    answer = engine.store.point_in_time(spine, [read("v", location, ["a"])]).reader().read_all()

    assert answer.num_columns == 10_003
    assert (answer["c9999"][0].as_py(), answer["v:value"][0].as_py()) == (9999, 7)


@pytest.mark.parametrize("twins", ["1 as a, 2 as a", "1 as a, 2 as A", "t.*, 3 as a"])
def test_twin_columns_of_sql_entity_rows_are_refused(tmp_path: Path, twins: str) -> None:
    engine = Files(tmp_path)
    location = engine.table("v", pa.Table.from_pylist([row(1, NOON, 7)], schema=HISTORY))
    sql = f"select {twins}, now() as event_timestamp from (select 1 as a) t limit 1"
    asked = [read("v", location, ["a"])]
    query = engine.store.point_in_time(sql, asked)

    with raises(RequestError, "'a'"):
        query.reader()
    alone = engine.store.point_in_time(sql.replace(twins, "a"), asked)
    assert alone.reader().read_all()["v:value"].to_pylist() == [7]


@pytest.mark.parametrize(
    "sql",
    [
        "select 1; drop table spine",
        "copy (select 1) to 'x.csv'",
        "attach 'x.db'",
        "install httpfs",
        "pragma database_list",
        "select 1) r; drop table spine; --",
        "insert into spine select 1",
        "set memory_limit = '1TB'",
        "",
    ],
)
def test_sql_that_is_not_one_select_is_refused(tmp_path: Path, sql: str) -> None:
    engine = Files(tmp_path)
    location = engine.table("v", pa.Table.from_pylist([row(1, NOON, 7)], schema=HISTORY))
    query = engine.store.point_in_time(sql, [read("v", location, ["a"])])

    with pytest.raises(RequestError):
        query.reader()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v.parquet"]


def test_nothing_is_left_behind_by_readers_that_nobody_reads(tmp_path: Path) -> None:
    spills = tmp_path / "spills"
    spills.mkdir()
    store = open_offline_store({"type": "duckdb", "temp_directory": str(spills)}, tmp_path)
    location = Files(tmp_path).table("v", pa.Table.from_pylist([row(1, NOON, 7)], schema=HISTORY))
    query = store.point_in_time(
        pa.Table.from_pylist(ask(NOON), schema=SPINE), [read("v", location, ["a"])]
    )
    reader = query.reader()
    assert len(list(spills.iterdir())) == 1
    del reader, query
    assert list(spills.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"memory_limit": "much"}, ["memory_limit", "much"]),
        ({"memory_limt": "1GB"}, ["memory_limt", "memory_limit"]),
        ({"threads": "two"}, ["threads", "two"]),
    ],
)
def test_wrong_settings_are_explained(
    tmp_path: Path, settings: dict[str, Any], names: list[str]
) -> None:
    with raises(ConfigError, "offline_store", *names):
        open_offline_store({"type": "duckdb", **settings}, tmp_path).append(
            read("v", {"path": "x", "format": "parquet", "endpoint": ""}, ["a"]).table,
            HISTORY.empty_table(),
        )


def test_a_source_whose_type_drifted_is_explained(tmp_path: Path) -> None:
    engine = Files(tmp_path)
    rows = pa.Table.from_pylist([row(1, NOON, 7)], schema=HISTORY)
    location = engine.table("v", rows.set_column(5, "value", pa.array(["seven"])))
    query = engine.store.point_in_time(
        pa.Table.from_pylist(ask(NOON), schema=SPINE), [read("v", location, ["a"])]
    )

    with raises(SchemaError, "v_source", "'value'", "string", "int64"):
        query.reader()


def answers(engine: Files, location: dict[str, str], keys: list[Any], **columns: Any) -> list[Any]:
    """Ask for the value of some keys at noon."""
    types = pa.schema([("a", pa.array(keys).type)])
    count = len(keys)
    spine = pa.table({"a": keys, "event_timestamp": pa.array([NOON] * count), **columns})
    query = engine.store.point_in_time(spine, [read("v", location, ["a"], types=types)])
    answer = query.reader().read_all()
    assert answer.num_rows == count
    return list(answer["v:value"].to_pylist())


def rows_of(*pairs: tuple[Any, Any], **more: Any) -> pa.Table:
    count = len(pairs)
    return pa.table(
        {
            "a": [key for key, _ in pairs],
            "event_timestamp": pa.array([NOON] * count, TIMESTAMP),
            "created": pa.array([None] * count, TIMESTAMP),
            "value": pa.array([value for _, value in pairs]),
            **more,
        }
    )


def folder(root: Path, files: dict[str, pa.Table]) -> dict[str, str]:
    for name, rows in files.items():
        (root / "lake" / name).parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(rows, root / "lake" / name)
    return {"path": "lake", "format": "parquet", "endpoint": ""}


@pytest.mark.parametrize("name", ["File_Row_Number", "FILE_INDEX", "file_row_number"])
def test_columns_named_like_row_ids_are_only_columns(tmp_path: Path, name: str) -> None:
    rows = rows_of((1, 1), (2, 2), (3, 3), **{name: pa.array([0, 0, 0])})

    assert answers(Files(tmp_path), folder(tmp_path, {"a.parquet": rows}), [3, 1, 2]) == [3, 1, 2]


def test_a_csv_column_named_rowid_is_only_a_column(tmp_path: Path) -> None:
    text = "rowid,a,event_timestamp,created,value\n5,1,2026-01-01,,1\n5,2,2026-01-01,,2\n"
    (tmp_path / "v.csv").write_text(text)
    location = {"path": "v.csv", "format": "csv", "endpoint": ""}

    assert answers(Files(tmp_path), location, [2, 1, 2]) == [2, 1, 2]


def test_decimals_in_csv_are_read_from_their_digits(tmp_path: Path) -> None:
    lines = ("a,event_timestamp,price", "1,2026-01-01,9007199254740993.07", "2,2026-01-01,",
             "3,2026-01-01,5")  # fmt: skip
    (tmp_path / "v.csv").write_text("\n".join(lines))
    features = pa.schema([("price", pa.decimal128(18, 2))])
    location = {"path": "v.csv", "format": "csv", "endpoint": ""}
    history = SourceTable("s", location, "event_timestamp")
    table = Table("p", "v", {"a": pa.int64()}, features, None, history)
    query = Files(tmp_path).store.latest(table, NOON - timedelta(days=1), NOON)
    latest = query.reader().read_all()

    assert dict(zip(latest["a"].to_pylist(), latest["price"].to_pylist(), strict=True)) == {
        1: Decimal("9007199254740993.07"), 2: None, 3: Decimal(5),
    }  # fmt: skip


def test_names_of_files_are_no_patterns(tmp_path: Path) -> None:
    root = tmp_path / "x[1]"
    files = {"a1.parquet": rows_of((1, 1)), "a[1].parquet": rows_of((2, 2))}
    location = folder(root, {**files, "b*.parquet": rows_of((3, 3))})
    assert answers(Files(root), location, [1, 2, 3]) == [1, 2, 3]
    assert answers(Files(root), {**location, "path": "lake/*.parquet"}, [1, 2, 3]) == [1, 2, 3]

    for number, name in enumerate(("e1.parquet", "e[1].parquet")):
        spine = pa.table({"a": [number + 1], "event_timestamp": pa.array([NOON])})
        parquet.write_table(spine, root / name)
    types = pa.schema([("a", pa.int64())])
    asked = [read("v", location, ["a"], types=types)]
    query = Files(root).store.point_in_time(root / "e[1].parquet", asked)
    assert query.reader().read_all()["v:value"].to_pylist() == [2]


def test_folders_above_a_source_say_nothing(tmp_path: Path) -> None:
    root = tmp_path / "a=5"
    location = folder(root, {"p.parquet": rows_of((1, 1))})
    assert answers(Files(root), location, [1, 5]) == [1, None]

    spine = pa.table({"a": [1], "event_timestamp": pa.array([NOON])})
    parquet.write_table(spine, root / "e.parquet")
    types = pa.schema([("a", pa.int64())])
    query = Files(root).store.point_in_time(
        root / "e.parquet", [read("v", location, ["a"], types=types)]
    )
    assert query.reader().read_all()["a"].to_pylist() == [1]
    days = folder(root, {"day=2026-01-01/p.parquet": rows_of((1, 1))})
    (root / "lake" / "p.parquet").unlink()
    with raises(StoreError, "v_source", root / "lake"):
        answers(Files(root), days, [1])
    plain = tmp_path / "plain"
    days = folder(plain, {"day=2026-01-01/p.parquet": rows_of((1, 1))})
    assert answers(Files(plain), days, [1]) == [1]


def test_folders_that_some_files_lack_are_explained_and_never_made(tmp_path: Path) -> None:
    engine = Files(tmp_path)
    location = folder(
        tmp_path, {f"a={k}/p.parquet": rows_of((k, k)).drop_columns("a") for k in (1, 2)}
    )
    assert answers(engine, location, [2, 1]) == [2, 1]
    types = pa.schema([("a", pa.int64())])
    with raises(RequestError, "v_source", "date_partition_column"):
        engine.store.append(read("v", location, ["a"], types=types).table, rows_of((3, 3)))
    assert answers(engine, location, [2, 1]) == [2, 1]

    folder(tmp_path, {"stray.parquet": rows_of((3, 3))})
    with raises(StoreError, "v_source", tmp_path / "lake"):
        answers(engine, location, [1])


def test_what_writers_have_not_committed_is_not_read(tmp_path: Path) -> None:
    files = {"p.parquet": rows_of((1, 1)), "_temporary/0/p.parquet": rows_of((1, 99))}

    assert answers(Files(tmp_path), folder(tmp_path, files), [1]) == [1]


@pytest.mark.parametrize("big", [2**53 + 1, -(2**53) - 1])
def test_integers_that_a_float_may_have_rounded_are_refused(tmp_path: Path, big: int) -> None:
    """Files of one source disagree: pandas writes floats where a value is missing."""
    engine = Files(tmp_path)
    floats = rows_of((2, None)).set_column(3, "value", pa.array([None], pa.float64()))
    location = folder(tmp_path, {"a.parquet": rows_of((1, big)), "b.parquet": floats})

    with raises(SourceError, "v_source", "'value'", "a.parquet", "b.parquet"):
        answers(engine, location, [1])
    folder(tmp_path, {"a.parquet": rows_of((1, 2**53 - 1))})
    assert answers(engine, location, [1, 2]) == [2**53 - 1, None]


@pytest.mark.parametrize("name", ["__FP_ROW", "__fp_time"])
def test_reserved_names_ignore_case(tmp_path: Path, name: str) -> None:
    location = folder(tmp_path, {"p.parquet": rows_of((1, 1))})

    with raises(RequestError, name):
        answers(Files(tmp_path), location, [1], **{name: [7]})


def test_a_span_asks_each_observation_once(tmp_path: Path) -> None:
    location = folder(tmp_path, {"p.parquet": rows_of((1, 1), (1, 2), (1, 2))})
    types = pa.schema([("a", pa.int64())])
    asked = [read("v", location, ["a"], types=types)]
    answer = Files(tmp_path).store.point_in_time(Span(NOON, NOON), asked).reader().read_all()

    assert answer["v:value"].to_pylist() == [2]


def test_a_key_may_be_called_n(tmp_path: Path) -> None:
    engine = Files(tmp_path)
    keys = [str(n) for n in range(50)]
    rows = rows_of(*((key, int(key)) for key in keys)).rename_columns(
        ["n", "event_timestamp", "created", "value"]
    )
    location = folder(tmp_path, {"p.parquet": rows})
    spine = pa.table({"n": ["7"], "event_timestamp": pa.array([NOON])})
    types = pa.schema([("n", pa.string())])
    query = engine.store.point_in_time(spine, [read("v", location, ["n"], types=types)])

    assert query.reader().read_all()["v:value"].to_pylist() == [7]


def test_uuids_are_text_in_lower_case(tmp_path: Path) -> None:
    """Parquet's UUID type is compared as text, as online keys are."""
    known = uuid.UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
    history = pa.table({
        "a": pa.array([known.bytes], pa.uuid()),
        "event_timestamp": pa.array([NOON]),
        "value": [7],
    })  # fmt: skip
    parquet.write_table(history, tmp_path / "v.parquet")
    location = {"path": "v.parquet", "format": "parquet", "endpoint": ""}
    source = SourceTable("s", location, "event_timestamp")
    asked = [str(known), "unknown", str(known).upper()]
    for key_type in (pa.string(), None):
        table = Table("p", "v", {"a": key_type}, pa.schema([("value", pa.int64())]), None, source)
        lookup = ViewRead(label="v", table=table, features=("value",), keys={"a": "a"})
        frame = pa.table({"a": asked, "event_timestamp": pa.array([NOON] * 3)})
        query = Files(tmp_path).store.point_in_time(frame, [lookup])
        assert query.reader().read_all()["v:value"].to_pylist() == [7, None, None]
        as_sql = f"select uuid '{known}' as a, timestamptz '{NOON}' as event_timestamp"
        query = Files(tmp_path).store.point_in_time(as_sql, [lookup])
        assert query.reader().read_all()["v:value"].to_pylist() == [7]


@pytest.mark.parametrize("kind", ["feature", "key"])
def test_a_folder_of_text_and_numbers_is_refused_as_each_file_would_be(
    tmp_path: Path, kind: str
) -> None:
    def rows(values: list[Any], keys: list[Any]) -> pa.Table:
        times = pa.array([NOON] * len(keys))
        return pa.table({"a": keys, "event_timestamp": times, "value": values})

    numbers = rows([float("nan")], ["x"]) if kind == "feature" else rows(["t"], [1001.0])
    files = {"1.parquet": numbers, "2.parquet": rows(["t"], ["y"])}
    location = folder(tmp_path, files)
    source = SourceTable("s", location, "event_timestamp")
    features = pa.schema([("value", pa.string())])
    table = Table("p", "v", {"a": pa.string()}, features, None, source)

    column = "value" if kind == "feature" else "a"
    with raises(SchemaError, "'s'", repr(column), "1.parquet"):
        Files(tmp_path).store.latest(table, NOON - timedelta(days=1), NOON).reader().read_all()


NO_VALUES = {
    "nulls": pa.nulls(2),
    "empty lists": pa.array([[], []], pa.list_(pa.null())),
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        *(("nulls", t) for t in (pa.int64(), pa.float32(), pa.string(), pa.bool_(), TIMESTAMP)),
        *(("nulls", t) for t in (pa.binary(), pa.decimal128(9, 2), pa.list_(pa.string()))),
        *(("empty lists", pa.list_(t)) for t in (pa.int64(), pa.string(), pa.decimal128(9, 2))),
    ],
    ids=str,
)
def test_a_column_without_values_is_of_every_type(tmp_path: Path, values: str, dtype: Any) -> None:
    """feast-dev/feast#3189: pandas writes such columns with Arrow's type null."""
    column = NO_VALUES[values]
    history = {"a": [1, 2], "event_timestamp": pa.array([NOON] * 2), "created": pa.nulls(2)}
    parquet.write_table(pa.table({**history, "value": column}), tmp_path / "v.parquet")
    location = {"path": "v.parquet", "format": "parquet", "endpoint": ""}
    source = SourceTable("s", location, "event_timestamp", "created")
    features = pa.schema([("value", dtype)])
    table = Table("p", "v", {"a": pa.int64()}, features, None, source)

    latest = Files(tmp_path).store.latest(table, NOON - timedelta(days=1), NOON).reader().read_all()
    assert latest["value"].to_pylist() == column.to_pylist()
    assert latest.schema.field("value").type == dtype


@pytest.mark.parametrize(
    "text", ["epoch", "infinity", "2026/03/01", "2026-03-01 12:00 America/New_York", "12:00", ""]
)
def test_times_in_text_are_iso_8601(tmp_path: Path, text: str) -> None:
    rows = rows_of((1, 5)).set_column(1, "event_timestamp", pa.array([text]))
    with raises(SchemaError, text or "time"):
        answers(Files(tmp_path), folder(tmp_path, {"p.parquet": rows}), [1])
    with raises(SchemaError, text or "time"):
        spine = {"a": [1], "event_timestamp": [text]}
        types = pa.schema([("a", pa.int64())])
        located = folder(tmp_path / "b", {"p.parquet": rows_of((1, 5))})
        store = Files(tmp_path / "b").store
        store.point_in_time(
            pa.table(spine), [read("v", located, ["a"], types=types)]
        ).reader().read_all()


@pytest.mark.parametrize(
    "sql",
    ["error('late')", "CAST('x' || range AS BIGINT)", "CAST(9000000000 + range AS INTEGER)"],
)
@pytest.mark.parametrize("rows", [1, 3_000_000])
def test_errors_are_the_same_whenever_they_come(sql: str, rows: int) -> None:
    """Those that come while rows are read are errors of Arrow, with the text of DuckDB's."""
    failing = f"SELECT CASE WHEN range = {rows - 1} THEN {sql} ELSE 1 END FROM range({rows})"
    with duckdb.connect() as db, pytest.raises(SourceError), translated():
        for _ in db.sql(failing).to_arrow_reader(1000):
            pass


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Invalid Input Error: late", SourceError), ("Conversion Error: x", SourceError),
        ("Out of Range Error: x", SourceError), ("Out of Memory Error: x", StoreError),
        ("INTERRUPT Error: Interrupted!", StoreError), ("No such file", StoreError),
    ],
)  # fmt: skip
def test_errors_that_come_through_arrow_are_translated(text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind), translated():
        raise OSError(text)
