"""The point-in-time contract, checked against plain Python."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import newest_known
from pyarrow import parquet
from tests_support import NOON

from feature_platform.offline.base import Span
from feature_platform.offline import OfflineStore, open_offline_store
from feature_platform.table import TIMESTAMP, History, Table, ViewRead


def duckdb_store(folder: Path) -> OfflineStore:
    return open_offline_store({"type": "duckdb"}, folder)


US = timedelta(microseconds=1)
BIG = 2**53 + 1

HISTORY = pa.schema(
    [
        ("a", pa.int64()),
        ("b", pa.string()),
        ("event_timestamp", TIMESTAMP),
        ("created", TIMESTAMP),
        ("value", pa.int64()),
    ]
)
SPINE = pa.schema(
    [
        ("row", pa.int64()),
        ("a", pa.int64()),
        ("b", pa.string()),
        ("event_timestamp", TIMESTAMP),
    ]
)


def table(name: str, path: Path, keys: list[str], ttl: timedelta | None) -> Table:
    return Table(
        project="p",
        name=name,
        keys={key: HISTORY.field(key).type for key in keys},
        features=pa.schema([("value", pa.int64())]),
        ttl=ttl,
        history=History(
            source=f"{name}_source",
            location={"path": str(path), "format": "parquet", "endpoint": ""},
            event_timestamp="event_timestamp",
            created_timestamp="created",
        ),
    )


def read(name: str, path: Path, keys: list[str], ttl: timedelta | None) -> ViewRead:
    return ViewRead(
        label=name,
        table=table(name, path, keys, ttl),
        features=("value",),
        keys={key: key for key in keys},
    )


def join(
    folder: Path,
    spine: list[dict[str, Any]],
    history: list[dict[str, Any]],
    keys: list[str],
    ttl: timedelta | None,
    *,
    known_only: bool = False,
) -> list[int | None]:
    path = folder / "history.parquet"
    parquet.write_table(pa.Table.from_pylist(history, schema=HISTORY), path)
    query = duckdb_store(folder).point_in_time(
        pa.Table.from_pylist(spine, schema=SPINE),
        [read("v", path, keys, ttl)],
        known_only=known_only,
    )
    answer = query.reader().read_all()
    assert answer["row"].to_pylist() == [row["row"] for row in spine]
    assert answer["v:value"].type == pa.int64()
    return answer["v:value"].to_pylist()


def row(a: int | None, at: datetime | None, value: int | None, **more: Any) -> dict[str, Any]:
    return {"a": a, "b": "x", "event_timestamp": at, "created": None, "value": value, **more}


def ask(*times: datetime | None, a: int | None = 1, b: str = "x") -> list[dict[str, Any]]:
    return [
        {"row": number, "a": a, "b": b, "event_timestamp": time}
        for number, time in enumerate(times)
    ]


def test_the_future_is_not_seen_and_the_present_is(tmp_path: Path) -> None:
    history = [row(1, NOON, 7)]

    assert join(tmp_path, ask(NOON - US, NOON, NOON + US), history, ["a"], None) == [None, 7, 7]


def test_a_row_answers_up_to_its_ttl_to_the_microsecond(tmp_path: Path) -> None:
    ttl = timedelta(hours=1)
    times = (NOON + ttl - US, NOON + ttl, NOON + ttl + US)

    assert join(tmp_path, ask(*times), [row(1, NOON, 7)], ["a"], ttl) == [7, 7, None]


def test_a_ttl_below_a_second_counts(tmp_path: Path) -> None:
    ttl = timedelta(milliseconds=500)

    assert join(tmp_path, ask(NOON + ttl, NOON + ttl + US), [row(1, NOON, 7)], ["a"], ttl) == [
        7,
        None,
    ]


def test_without_ttl_a_row_answers_for_ever(tmp_path: Path) -> None:
    late = NOON + timedelta(days=4000)

    assert join(tmp_path, ask(late), [row(1, NOON, 7)], ["a"], None) == [7]


def test_of_equal_times_the_row_created_last_wins_and_null_loses(tmp_path: Path) -> None:
    """Many keys: a tie that is decided by luck is decided wrongly for some."""
    history = []
    for key in range(1000):
        history += [
            row(key, NOON, 1, created=NOON + timedelta(hours=1)),
            row(key, NOON, 2, created=NOON + timedelta(hours=2)),
            row(key, NOON, 3, created=None),
        ]
    spine = [
        {"row": key, "a": key, "b": "x", "event_timestamp": NOON} for key in reversed(range(1000))
    ]

    assert join(tmp_path, spine, history, ["a"], None) == [2] * 1000


def test_full_ties_do_not_depend_on_the_order_of_the_source(tmp_path: Path) -> None:
    history = [row(1, NOON, value) for value in (5, 9, None, 7)]

    for turn in range(4):
        turned = history[turn:] + history[:turn]
        assert join(tmp_path, ask(NOON), turned, ["a"], None) == [9]


def test_integers_stay_exact_beside_nulls(tmp_path: Path) -> None:
    history = [row(1, NOON, BIG), row(1, NOON + US, None)]

    assert join(tmp_path, ask(NOON - US, NOON, NOON + US), history, ["a"], None) == [
        None,
        BIG,
        None,
    ]


def test_keys_that_look_alike_when_joined_as_text_stay_apart(tmp_path: Path) -> None:
    history = [row(1, NOON, 111, b="1x"), row(11, NOON, 222, b="x")]
    spine = [
        {"row": 0, "a": 1, "b": "1x", "event_timestamp": NOON},
        {"row": 1, "a": 11, "b": "x", "event_timestamp": NOON},
        {"row": 2, "a": 1, "b": "x", "event_timestamp": NOON},
    ]

    assert join(tmp_path, spine, history, ["a", "b"], None) == [111, 222, None]


def test_nulls_match_nothing_and_lose_no_row(tmp_path: Path) -> None:
    history = [row(None, NOON, 1), row(1, None, 2), row(1, NOON, 3)]
    spine = [*ask(None, NOON), {"row": 2, "a": None, "b": "x", "event_timestamp": NOON}]

    assert join(tmp_path, spine, history, ["a"], None) == [None, 3, None]


def test_every_row_comes_back_once_and_in_order(tmp_path: Path) -> None:
    spine = ask(NOON + US, NOON, NOON, NOON - US, NOON + US)

    assert join(tmp_path, spine, [row(1, NOON, 7)], ["a"], None) == [7, 7, 7, None, 7]


def test_what_was_not_yet_known_is_left_out_on_request(tmp_path: Path) -> None:
    history = [
        row(1, NOON, 1, created=NOON),
        row(1, NOON + US, 2, created=NOON + timedelta(days=1)),
        row(1, NOON + 2 * US, 3, created=None),
    ]
    spine = ask(NOON + 3 * US)

    assert join(tmp_path, spine, history, ["a"], None) == [3]
    assert join(tmp_path, spine, history, ["a"], None, known_only=True) == [1]


def test_nanoseconds_do_not_move_rows_into_the_future_or_the_past(tmp_path: Path) -> None:
    nanoseconds = pa.timestamp("ns", tz="UTC")
    base = int(NOON.timestamp()) * 10**9
    path = tmp_path / "history.parquet"
    history = {
        "a": [1],
        "event_timestamp": pa.array([base + 999], nanoseconds),
        "created": pa.array([None], TIMESTAMP),
        "value": [7],
    }
    parquet.write_table(pa.table(history), path)
    spine = pa.table({"a": [1, 1], "event_timestamp": pa.array([base, base - 1], nanoseconds)})
    query = duckdb_store(tmp_path).point_in_time(spine, [read("v", path, ["a"], None)])

    assert query.reader().read_all()["v:value"].to_pylist() == [7, None]


def test_a_view_without_keys_answers_every_row(tmp_path: Path) -> None:
    history = [row(None, NOON, 7), row(5, NOON + US, 8)]

    assert join(tmp_path, ask(NOON - US, NOON, NOON + US), history, [], None) == [None, 7, 8]


minutes = st.integers(0, 6).map(lambda n: NOON + timedelta(minutes=n))
histories = st.lists(
    st.fixed_dictionaries(
        {
            "a": st.sampled_from([None, 1, 11]),
            "b": st.sampled_from([None, "1", "11"]),
            "event_timestamp": st.none() | minutes,
            "created": st.none() | minutes,
            "value": st.sampled_from([None, -1, 0, 1, BIG, BIG + 1]),
        }
    ),
    max_size=14,
)
spines = st.lists(
    st.fixed_dictionaries(
        {
            "a": st.sampled_from([None, 1, 11, 2]),
            "b": st.sampled_from([None, "1", "11"]),
            "event_timestamp": st.none() | minutes,
        }
    ),
    max_size=8,
)
ttls = st.sampled_from([None, timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=9)])


@settings(max_examples=250)
@given(histories, spines, ttls, st.sampled_from([["a"], ["a", "b"], ["b"], []]), st.booleans())
def test_the_join_is_what_plain_python_says(
    tmp_path: Path, history, spine, ttl, keys, known_only
) -> None:
    spine = [{"row": number, **asked} for number, asked in enumerate(spine)]
    expected = [newest_known(asked, history, keys, ttl, known_only=known_only) for asked in spine]

    answer = join(tmp_path, spine, history, keys, ttl, known_only=known_only)

    assert answer == [found and found["value"] for found in expected]


@settings(max_examples=60)
@given(histories, histories, spines, ttls, ttls)
def test_several_views_are_joined_independently(
    tmp_path: Path, first, second, spine, ttl, other_ttl
) -> None:
    paths = [tmp_path / "first.parquet", tmp_path / "second.parquet"]
    for path, history in zip(paths, (first, second), strict=True):
        parquet.write_table(pa.Table.from_pylist(history, schema=HISTORY), path)
    spine = [{"row": number, **asked} for number, asked in enumerate(spine)]
    reads = [read("v", paths[0], ["a"], ttl), read("w", paths[1], ["a", "b"], other_ttl)]
    query = duckdb_store(tmp_path).point_in_time(
        pa.Table.from_pylist(spine, schema=SPINE), reads
    )
    answer = query.reader().read_all()

    for label, history, keys, limit in (
        ("v", first, ["a"], ttl),
        ("w", second, ["a", "b"], other_ttl),
    ):
        found = [newest_known(asked, history, keys, limit) for asked in spine]
        assert answer[f"{label}:value"].to_pylist() == [f and f["value"] for f in found]


@settings(max_examples=60)
@given(histories, histories)
def test_the_future_never_changes_an_answer(tmp_path: Path, history, poison) -> None:
    later = [{**p, "event_timestamp": NOON + timedelta(days=1), "created": NOON} for p in poison]
    spine = ask(NOON + timedelta(minutes=3), NOON + timedelta(minutes=6))

    clean = join(tmp_path, spine, history, ["a"], None)
    assert join(tmp_path, spine, later + history, ["a"], None) == clean


@settings(max_examples=60)
@given(histories, st.randoms(use_true_random=False))
def test_order_and_repetition_of_the_source_change_nothing(tmp_path: Path, history, random) -> None:
    spine = ask(*(NOON + timedelta(minutes=n) for n in range(7)))
    shuffled = history + history[: len(history) // 2]
    random.shuffle(shuffled)

    clean = join(tmp_path, spine, history, ["a"], timedelta(minutes=2))
    assert join(tmp_path, spine, shuffled, ["a"], timedelta(minutes=2)) == clean


@settings(max_examples=100)
@given(histories, minutes, minutes)
def test_latest_is_the_newest_row_of_each_key_in_the_closed_window(
    tmp_path: Path, history, start, end
) -> None:
    path = tmp_path / "history.parquet"
    parquet.write_table(pa.Table.from_pylist(history, schema=HISTORY), path)
    start, end = min(start, end), max(start, end)
    query = duckdb_store(tmp_path).latest(table("v", path, ["a"], None), start, end)
    found = {r["a"]: r for r in query.reader().read_all().to_pylist()}

    window = [r for r in history if r["event_timestamp"] and start <= r["event_timestamp"] <= end]
    for key in {r["a"] for r in window} - {None}:
        asked = {"a": key, "event_timestamp": end}
        expected = newest_known(asked, window, ["a"], None)
        kept = ("event_timestamp", "value")
        assert [found[key][name] for name in kept] == [expected[name] for name in kept]
    assert found.keys() == {r["a"] for r in window} - {None}


def test_a_span_asks_every_observation_as_of_its_own_time(tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    rows = [row(1, NOON, 1), row(1, NOON + US, 2), row(2, NOON, 3), row(2, NOON - US, 4)]
    parquet.write_table(pa.Table.from_pylist(rows, schema=HISTORY), path)
    query = duckdb_store(tmp_path).point_in_time(
        Span(NOON, NOON + US), [read("v", path, ["a"], None)]
    )

    assert query.reader().read_all().to_pylist() == [
        {"a": 1, "event_timestamp": NOON, "v:value": 1},
        {"a": 2, "event_timestamp": NOON, "v:value": 3},
        {"a": 1, "event_timestamp": NOON + US, "v:value": 2},
    ]


def test_explain_and_sql_read_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    parquet.write_table(pa.Table.from_pylist([row(1, NOON, 1)], schema=HISTORY), path)
    query = duckdb_store(tmp_path).point_in_time(
        pa.Table.from_pylist(ask(NOON), schema=SPINE), [read("v", path, ["a"], None)]
    )

    assert "ASOF JOIN" in query.sql
    assert query.explain()


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu"])
def test_the_machines_time_zone_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    import time

    history, spine = [row(1, NOON, 7)], ask(NOON - US, NOON)
    path = tmp_path / "naive.parquet"
    naive = pa.table(
        {
            "a": [1],
            "event_timestamp": pa.array([NOON.replace(tzinfo=None)], pa.timestamp("us")),
            "created": pa.array([None], TIMESTAMP),
            "value": [7],
        }
    )
    parquet.write_table(naive, path)
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        aware = join(tmp_path, spine, history, ["a"], None)
        query = duckdb_store(tmp_path).point_in_time(
            pa.table({"a": [1], "event_timestamp": pa.array([NOON.replace(tzinfo=None)])}),
            [read("v", path, ["a"], None)],
        )
        answer = query.reader().read_all()
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()

    assert aware == [None, 7]
    assert answer.to_pylist() == [{"a": 1, "event_timestamp": NOON, "v:value": 7}]
