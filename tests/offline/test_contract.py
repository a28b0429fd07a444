"""The contract of offline stores, on every engine, checked against plain Python."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import newest_known
from tests_support import NOON, raises

from feature_platform.errors import SchemaError
from feature_platform.offline import Span
from feature_platform.table import SourceTable, Table, ViewRead
from feature_platform.types.arrow import TIMESTAMP
from offline.engines import Engine, Snowflake

FULL = "CONTRACT" in os.environ  # as `make contract` sets it
ANSWERED: Counter[str] = Counter()
US = timedelta(microseconds=1)
BIG = 2**53 + 1
LATER = NOON + timedelta(days=1)
Rows = list[dict[str, Any]]

HISTORY = pa.schema(
    [
        ("case", pa.int64()),
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
        ("case", pa.int64()),
        ("a", pa.int64()),
        ("b", pa.string()),
        ("event_timestamp", TIMESTAMP),
    ]
)


def read(
    name: str,
    location: dict[str, str],
    keys: Sequence[str],
    ttl: timedelta | None = None,
    types: pa.Schema = HISTORY,
) -> ViewRead:
    table = Table(
        project="p",
        name=name,
        keys={key: types.field(key).type for key in keys},
        features=pa.schema([("value", pa.int64())]),
        ttl=ttl,
        source=SourceTable(
            name=f"{name}_source",
            location=location,
            event_timestamp="event_timestamp",
            created_timestamp="created",
        ),
    )
    return ViewRead(label=name, table=table, features=("value",), keys={key: key for key in keys})


def join(
    engine: Engine,
    spine: Rows,
    history: Rows,
    keys: Sequence[str],
    ttl: timedelta | None = None,
    *,
    known_only: bool = False,
    as_of: datetime | None = None,
) -> list[int | None]:
    location = engine.table("v", pa.Table.from_pylist(history, schema=HISTORY))
    query = engine.store.point_in_time(
        pa.Table.from_pylist(spine, schema=SPINE),
        [replace(read("v", location, keys, ttl), as_of=as_of)],
        known_only=known_only,
    )
    answer = engine.answer(query)
    assert answer["row"].to_pylist() == [row.get("row") for row in spine]
    assert answer.schema.field("event_timestamp").type == TIMESTAMP
    assert answer["v:value"].type == pa.int64()
    return list(answer["v:value"].to_pylist())


def row(a: int | None, at: datetime | None, value: int | None, **more: Any) -> dict[str, Any]:
    return {"a": a, "b": "x", "event_timestamp": at, "created": None, "value": value, **more}


def ask(*times: datetime | None, a: int | None = 1, b: str = "x") -> Rows:
    return [{"row": n, "a": a, "b": b, "event_timestamp": at} for n, at in enumerate(times)]


def test_the_future_is_not_seen_and_the_present_is(engine: Engine) -> None:
    history = [row(1, NOON, 7)]

    assert join(engine, ask(NOON - US, NOON, NOON + US), history, ["a"]) == [None, 7, 7]


@pytest.mark.parametrize("ttl", [timedelta(hours=1), timedelta(milliseconds=500)])
def test_a_row_answers_up_to_its_ttl_to_the_microsecond(engine: Engine, ttl: timedelta) -> None:
    times = (NOON + ttl - US, NOON + ttl, NOON + ttl + US)

    assert join(engine, ask(*times), [row(1, NOON, 7)], ["a"], ttl) == [7, 7, None]


def test_without_ttl_a_row_answers_for_ever(engine: Engine) -> None:
    late = NOON + timedelta(days=4000)

    assert join(engine, ask(late), [row(1, NOON, 7)], ["a"]) == [7]


def test_of_equal_times_the_row_created_last_wins_and_null_loses(engine: Engine) -> None:
    """Many keys: a tie that is decided by luck is decided wrongly for some."""
    history = []
    count = 50 if isinstance(engine, Snowflake) else 1000
    for key in range(count):
        history += [
            row(key, NOON, 1, created=NOON + timedelta(hours=1)),
            row(key, NOON, 2, created=NOON + timedelta(hours=2)),
            row(key, NOON, 3, created=None),
        ]
    spine = [
        {"row": key, "a": key, "b": "x", "event_timestamp": NOON} for key in reversed(range(count))
    ]

    assert join(engine, spine, history, ["a"]) == [2] * count


def test_full_ties_do_not_depend_on_the_order_of_the_source(engine: Engine) -> None:
    history = [row(1, NOON, value) for value in (5, 9, None, 7)]

    for turn in range(4):
        assert join(engine, ask(NOON), history[turn:] + history[:turn], ["a"]) == [9]


def test_integers_stay_exact_beside_nulls(engine: Engine) -> None:
    history = [row(1, NOON, BIG), row(1, NOON + US, None)]

    found = join(engine, ask(NOON - US, NOON, NOON + US), history, ["a"])
    assert found == [None, BIG, None]


def test_keys_that_look_alike_when_joined_as_text_stay_apart(engine: Engine) -> None:
    history = [row(1, NOON, 111, b="1x"), row(11, NOON, 222, b="x")]
    spine = [
        {"row": 0, "a": 1, "b": "1x", "event_timestamp": NOON},
        {"row": 1, "a": 11, "b": "x", "event_timestamp": NOON},
        {"row": 2, "a": 1, "b": "x", "event_timestamp": NOON},
    ]

    assert join(engine, spine, history, ["a", "b"]) == [111, 222, None]


def test_nulls_match_nothing_and_lose_no_row(engine: Engine) -> None:
    history = [row(None, NOON, 1), row(1, None, 2), row(1, NOON, 3)]
    spine = [*ask(None, NOON), {"row": 2, "a": None, "b": "x", "event_timestamp": NOON}]

    assert join(engine, spine, history, ["a"]) == [None, 3, None]


def test_every_row_comes_back_once_and_in_order(engine: Engine) -> None:
    spine = ask(NOON + US, NOON, NOON, NOON - US, NOON + US)

    assert join(engine, spine, [row(1, NOON, 7)], ["a"]) == [7, 7, 7, None, 7]


@pytest.mark.parametrize("spine", [[], ask(None)])
@pytest.mark.parametrize("history", [[], [row(1, NOON, 7)]])
def test_empty_inputs_are_answered(engine: Engine, spine: Rows, history: Rows) -> None:
    assert join(engine, spine, history, ["a"]) == [None] * len(spine)


def test_what_was_not_yet_known_is_left_out_on_request(engine: Engine) -> None:
    history = [
        row(1, NOON, 1, created=NOON),
        row(1, NOON + US, 2, created=NOON + timedelta(days=1)),
        row(1, NOON + 2 * US, 3, created=None),
    ]
    spine = ask(NOON + 3 * US)

    assert join(engine, spine, history, ["a"]) == [3]
    assert join(engine, spine, history, ["a"], known_only=True) == [1]


def test_a_view_without_keys_answers_every_row(engine: Engine) -> None:
    history = [row(None, NOON, 7), row(5, NOON + US, 8)]

    assert join(engine, ask(NOON - US, NOON, NOON + US), history, []) == [None, 7, 8]


def test_views_of_one_source_are_searched_once_and_answer_apart(engine: Engine) -> None:
    """They differ in ttl and in features of one name; the source has full ties, or has none."""
    for ties in (False, True):
        rows = [
            {"a": 1, "event_timestamp": NOON, "created": NOON, "x": 1, "y": 9},
            {"a": 1, "event_timestamp": NOON, "created": NOON if ties else None, "x": 2, "y": 0},
        ]
        times = [("event_timestamp", TIMESTAMP), ("created", TIMESTAMP)]
        schema = pa.schema([("a", pa.int64()), *times, ("x", pa.int64()), ("y", pa.int64())])
        location = engine.table("shared", pa.Table.from_pylist(rows, schema=schema))
        reads = []
        for label, column, ttl in (("v", "x", None), ("w", "y", timedelta(hours=1))):
            one = read(label, location, ["a"], ttl)
            history = SourceTable(
                "s", location, "event_timestamp", "created", renamed={"value": column}
            )
            table = Table("p", label, one.table.keys, one.table.features, ttl, history)
            reads.append(ViewRead(label, table, ("value",), {"a": "a"}))
        spine = pa.Table.from_pylist(ask(NOON, NOON + timedelta(hours=2)), schema=SPINE)
        answer = engine.answer(engine.store.point_in_time(spine, reads))

        assert answer.column_names[-2:] == ["v:value", "w:value"]
        assert answer["v:value"].to_pylist() == ([2, 2] if ties else [1, 1])
        assert answer["w:value"].to_pylist() == [9, None]


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
key_lists = st.sampled_from([["a"], ["a", "b"], ["b"]])


def test_the_join_is_what_plain_python_says(engine: Engine) -> None:
    """One query answers many cases that share nothing: the case is part of the key."""
    cases = engine.enough if FULL else engine.some

    @settings(max_examples=-(-cases // engine.cases))
    @given(
        data=st.data(),
        ttl=ttls,
        keys=key_lists,
        known_only=st.booleans(),
        as_of=st.none() | minutes,
    )
    def check(
        data: Any, ttl: timedelta | None, keys: list[str], known_only: bool, as_of: datetime | None
    ) -> None:
        history: Rows = []
        spine: Rows = []
        expected: list[Any] = []
        for case in range(engine.cases):
            past, questions = data.draw(histories), data.draw(spines)
            history += [{"case": case, **r} for r in past]
            for question in questions:
                spine.append({"row": len(spine), "case": case, **question})
                rows = [r for r in past if as_of is None or (r["created"] or LATER) <= as_of]
                answer = newest_known(question, rows, keys, ttl, known_only=known_only)
                expected.append(answer and answer["value"])
        by = ["case", *keys]
        options: dict[str, Any] = {"known_only": known_only, "as_of": as_of}
        assert join(engine, spine, history, by, ttl, **options) == expected
        ANSWERED[type(engine).__name__] += engine.cases

    check()


@settings(max_examples=5)
@given(first=histories, second=histories, spine=spines, ttl=ttls, other_ttl=ttls)
def test_several_views_are_joined_independently(
    engine: Engine, first: Rows, second: Rows, spine: Rows, ttl: Any, other_ttl: Any
) -> None:
    locations = [
        engine.table(name, pa.Table.from_pylist(history, schema=HISTORY))
        for name, history in (("first", first), ("second", second))
    ]
    spine = [{"row": number, **question} for number, question in enumerate(spine)]
    reads = [
        read("v", locations[0], ["a"], ttl),
        read("w", locations[1], ["a", "b"], other_ttl),
        read("x", locations[0], ["a"], other_ttl),
    ]
    answer = engine.answer(
        engine.store.point_in_time(pa.Table.from_pylist(spine, schema=SPINE), reads)
    )

    assert answer.column_names[-3:] == ["v:value", "w:value", "x:value"]
    for label, history, keys, limit in (
        ("v", first, ["a"], ttl),
        ("w", second, ["a", "b"], other_ttl),
        ("x", first, ["a"], other_ttl),
    ):
        found = [newest_known(question, history, keys, limit) for question in spine]
        assert answer[f"{label}:value"].to_pylist() == [f and f["value"] for f in found]


@settings(max_examples=5)
@given(history=histories, poison=histories)
def test_the_future_never_changes_an_answer(engine: Engine, history: Rows, poison: Rows) -> None:
    later = [{**p, "event_timestamp": NOON + timedelta(days=1), "created": NOON} for p in poison]
    spine = ask(NOON + timedelta(minutes=3), NOON + timedelta(minutes=6))

    clean = join(engine, spine, history, ["a"])
    assert join(engine, spine, later + history, ["a"]) == clean


@settings(max_examples=5)
@given(history=histories, random=st.randoms(use_true_random=False))
def test_order_and_repetition_of_the_source_change_nothing(
    engine: Engine, history: Rows, random: Any
) -> None:
    spine = ask(*(NOON + timedelta(minutes=n) for n in range(7)))
    shuffled = history + history[: len(history) // 2]
    random.shuffle(shuffled)

    clean = join(engine, spine, history, ["a"], timedelta(minutes=2))
    assert join(engine, spine, shuffled, ["a"], timedelta(minutes=2)) == clean


@settings(max_examples=8)
@given(history=histories, one=minutes, other=minutes, keys=key_lists)
def test_latest_is_the_newest_row_of_each_key_in_the_closed_window(
    engine: Engine, history: Rows, one: datetime, other: datetime, keys: list[str]
) -> None:
    location = engine.table("v", pa.Table.from_pylist(history, schema=HISTORY))
    start, end = min(one, other), max(one, other)
    table = read("v", location, keys).table
    answer = engine.answer(engine.store.latest(table, start, end))
    assert answer.schema.names == [*keys, "event_timestamp", "created_timestamp", "value"]
    found = {tuple(r[k] for k in keys): r for r in answer.to_pylist()}
    assert len(found) == answer.num_rows

    window = [r for r in history if r["event_timestamp"] and start <= r["event_timestamp"] <= end]
    present = {tuple(r[k] for k in keys) for r in window if None not in [r[k] for k in keys]}
    assert found.keys() == present
    assert engine.store.count(table, start, end) == len(
        [r for r in window if None not in [r[k] for k in keys]]
    )
    for key in present:
        question = {**dict(zip(keys, key, strict=True)), "event_timestamp": end}
        best = newest_known(question, window, keys, None)
        kept = {"event_timestamp": "event_timestamp", "created_timestamp": "created"}
        for name, column in {**kept, "value": "value"}.items():
            assert found[key][name] == best[column]


def test_a_span_asks_every_observation_as_of_its_own_time(engine: Engine) -> None:
    rows = [row(1, NOON, 1), row(1, NOON + US, 2), row(2, NOON, 3), row(2, NOON - US, 4)]
    location = engine.table("v", pa.Table.from_pylist(rows, schema=HISTORY))
    query = engine.store.point_in_time(Span(NOON, NOON + US), [read("v", location, ["a"])])

    assert sorted(
        engine.answer(query).to_pylist(), key=lambda r: (r["event_timestamp"], r["a"])
    ) == [
        {"a": 1, "event_timestamp": NOON, "v:value": 1},
        {"a": 2, "event_timestamp": NOON, "v:value": 3},
        {"a": 1, "event_timestamp": NOON + US, "v:value": 2},
    ]


def test_names_are_only_names(engine: Engine) -> None:
    nasty = "x\"'`; drop table spine; -- \\"
    rows = pa.table(
        {
            nasty: pa.array([1]),
            "event_timestamp": pa.array([NOON], TIMESTAMP),
            "value": pa.array([7]),
        }
    )
    location = engine.table("nasty", rows)
    history = SourceTable("s", location, "event_timestamp", renamed={"k": nasty})
    table = Table("p", "v", {"k": pa.int64()}, pa.schema([("value", pa.int64())]), None, history)
    spine = pa.table({nasty: [1], "event_timestamp": pa.array([NOON], TIMESTAMP)})
    query = engine.store.point_in_time(spine, [ViewRead("v", table, ("value",), {"k": nasty})])

    assert engine.answer(query).to_pylist() == [{nasty: 1, "event_timestamp": NOON, "v:value": 7}]


def test_explain_and_sql_say_how(engine: Engine, request: pytest.FixtureRequest) -> None:
    if isinstance(engine, Snowflake):
        request.applymarker(pytest.mark.xfail(reason="fakesnow explains nothing over HTTP"))
    location = engine.table("v", pa.Table.from_pylist([row(1, NOON, 1)], schema=HISTORY))
    query = engine.store.point_in_time(
        pa.Table.from_pylist(ask(NOON), schema=SPINE), [read("v", location, ["a"])]
    )

    assert query.statement().startswith("WITH")
    assert query.explain()


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu", "UTC"])
def test_the_machines_time_zone_does_not_matter(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    naive = NOON.replace(tzinfo=None)
    rows = pa.table(
        {
            "a": [1],
            "event_timestamp": pa.array([naive], pa.timestamp("us")),
            "created": pa.array([None], TIMESTAMP),
            "value": [7],
        }
    )
    location = engine.table("naive", rows)
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        spine = pa.table({"a": [1, 1], "event_timestamp": pa.array([naive, naive - US])})
        query = engine.store.point_in_time(spine, [read("v", location, ["a"])])
        answer = engine.answer(query)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()

    assert answer.to_pylist() == [
        {"a": 1, "event_timestamp": NOON, "v:value": 7},
        {"a": 1, "event_timestamp": NOON - US, "v:value": None},
    ]


def test_rows_are_added_and_history_stays(engine: Engine) -> None:
    table = read("v", engine.growing("grow", HISTORY), ["a"]).table
    first, second = (
        pa.Table.from_pylist([{**row(1, at, value), "case": 0}], schema=HISTORY)
        for at, value in ((NOON, BIG), (NOON + US, 2))
    )
    engine.store.append(table, first)
    before = engine.answer(engine.store.latest(table, NOON, NOON)).to_pylist()
    engine.store.append(table, second.select(["value", "event_timestamp", "a"]))

    assert engine.answer(engine.store.latest(table, NOON, NOON)).to_pylist() == before
    assert before[0]["value"] == BIG
    assert engine.store.count(table, NOON, NOON + US) == 2


MOST = Decimal("9" * 36 + ".99")
LEAST = MOST.copy_negate()  # a minus would round it


def test_decimals_keep_every_digit(engine: Engine) -> None:
    """In history, entity rows, text, statistics and what is added; 38 digits fit in no float."""
    money, wide = pa.decimal128(38, 2), pa.decimal128(9, 4)
    rows = pa.table(
        {
            "a": [1, 1, 2],
            "event_timestamp": pa.array([NOON, NOON, NOON], TIMESTAMP),
            "price": pa.array([MOST, None, LEAST], money),
            "rate": pa.array([Decimal("0.1"), Decimal("0.3"), None], pa.decimal128(5, 2)),
            "count": pa.array([2**53 + 1, 7, None], pa.int64()),
        }
    )
    features = pa.schema([("price", money), ("rate", wide), ("count", pa.decimal128(20, 1))])
    location = engine.table("money", rows)
    table = Table(
        "p", "v", {"a": pa.int64()}, features, None, SourceTable("s", location, "event_timestamp")
    )
    spine = pa.table(
        {"a": [2, 1], "event_timestamp": pa.array([NOON] * 2, TIMESTAMP),
         "paid": pa.array([MOST, Decimal("0.07")], money)}
    )  # fmt: skip
    query = engine.store.point_in_time(
        spine, [ViewRead("v", table, tuple(features.names), {"a": "a"})]
    )
    answer = engine.answer(query)

    assert [answer.schema.field(f"v:{f.name}").type for f in features] == features.types
    assert answer.drop_columns(["event_timestamp"]).to_pylist() == [
        {"a": 2, "paid": MOST, "v:price": LEAST, "v:rate": None, "v:count": None},
        {"a": 1, "paid": Decimal("0.07"), "v:price": MOST, "v:rate": Decimal("0.1"),
         "v:count": Decimal(2**53 + 1)},
    ]  # fmt: skip
    latest = engine.answer(engine.store.latest(table, NOON, NOON))
    assert set(latest["price"].to_pylist()) == {MOST, LEAST}
    assert latest.schema.field("rate").type == wide
    found = engine.store.statistics(table, NOON, NOON)["price"]
    assert found.mean == pytest.approx(0, abs=1)
    assert (found.min, found.max, found.count, found.nulls) == (LEAST, MOST, 3, 1)


@pytest.mark.parametrize("found", [pa.float64(), pa.decimal128(10, 3), pa.decimal128(12, 2)])
def test_a_source_that_could_lose_digits_is_refused(engine: Engine, found: pa.DataType) -> None:
    rows = pa.table(
        {"a": [1], "event_timestamp": pa.array([NOON], TIMESTAMP),
         "price": pa.array([Decimal(1)]).cast(found)}
    )  # fmt: skip
    history = SourceTable("s", engine.table("money", rows), "event_timestamp")
    features = pa.schema([("price", pa.decimal128(10, 2))])
    table = Table("p", "v", {"a": pa.int64()}, features, None, history)

    with raises(SchemaError, "price", "decimal128(10, 2)"):
        engine.answer(engine.store.latest(table, NOON, NOON))


def test_decimals_in_text_are_read_to_the_last_digit(engine: Engine) -> None:
    def latest(text: str) -> list[Any]:
        rows = pa.table({"a": [1], "event_timestamp": pa.array([NOON], TIMESTAMP), "price": [text]})
        history = SourceTable("s", engine.table("money", rows), "event_timestamp")
        features = pa.schema([("price", pa.decimal128(10, 2))])
        table = Table("p", "v", {"a": pa.int64()}, features, None, history)
        return list(engine.answer(engine.store.latest(table, NOON, NOON))["price"].to_pylist())

    if isinstance(engine, Snowflake):  # it cannot fail with a message
        with raises(SchemaError, "price", "string"):
            latest("-12.30")
        return
    assert latest("-12.3000") == [Decimal("-12.30")]
    with raises(SchemaError, "price", "decimal128(10, 2)", "1.005"):
        latest("1.005")


def test_statistics_describe_a_window_in_one_pass(engine: Engine) -> None:
    rows = [row(1, NOON + n * US, n % 10 if n else None) for n in range(101)]
    location = engine.table("v", pa.Table.from_pylist(rows, schema=HISTORY))
    table = read("v", location, ["a"]).table
    [found] = engine.store.statistics(table, NOON, NOON + 90 * US).values()

    assert (found.count, found.nulls, found.distinct) == (91, 1, 10)
    assert (found.min, found.max, found.mean) == (0, 9, 4.5)
    assert found.stddev == pytest.approx(2.888, abs=0.001)
    assert found.quantiles is not None
    assert found.quantiles[0.5] == pytest.approx(4.5, abs=1)
    assert found.top == [(n, 9) for n in range(10)]


@pytest.mark.parametrize("big", [2**53, 2**53 + 1])
def test_integers_inside_of_arrays_become_floats_exactly(engine: Engine, big: int) -> None:
    if isinstance(engine, Snowflake):  # it has no typed arrays
        plain = pa.table({"a": [1], "event_timestamp": pa.array([NOON], TIMESTAMP), "sizes": [big]})
        location = engine.table("sizes", plain)
        history = SourceTable("s", location, "event_timestamp")
        arrays = pa.schema([("sizes", pa.list_(pa.float64()))])
        table = Table("p", "v", {"a": pa.int64()}, arrays, None, history)
        with raises(SchemaError, "sizes", "list"):
            engine.answer(engine.store.latest(table, NOON, NOON))
        return
    rows = pa.table(
        {
            "a": [1, 2],
            "event_timestamp": pa.array([NOON, NOON], TIMESTAMP),
            "sizes": pa.array([[1, None, -big], None], pa.list_(pa.int64())),
        }
    )
    location = engine.table("sizes", rows)
    features = pa.schema([("sizes", pa.list_(pa.float64()))])
    table = Table(
        "p", "v", {"a": pa.int64()}, features, None, SourceTable("s", location, "event_timestamp")
    )
    query = engine.store.latest(table, NOON, NOON)
    if big > 2**53:
        with raises(SchemaError, "sizes", big):
            engine.answer(query)
        return
    answer = {row["a"]: row["sizes"] for row in engine.answer(query).to_pylist()}
    assert answer == {1: [1.0, None, -float(big)], 2: None}
