"""What every online store does, tested against each of them."""

import math
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests_support import raises

from feature_platform.errors import RequestError, StoreError
from feature_platform.online import OnlineStore, Window, encode_keys
from feature_platform.table import Table
from feature_platform.types.arrow import TIMESTAMP
from feature_platform.types.times import microseconds

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FEATURES = pa.schema(
    [
        ("big", pa.int64()),
        ("small", pa.float32()),
        ("text", pa.string()),
        ("raw", pa.binary()),
        ("flag", pa.bool_()),
        ("when", TIMESTAMP),
        ("many", pa.list_(pa.int64())),
        ("price", pa.decimal128(38, 2)),
        ("prices", pa.list_(pa.decimal128(9, 8))),
    ]
)
STATS = Table(project="shop", name="stats", keys={"id": pa.int64()}, features=FEATURES)
ONE = Table(
    project="shop", name="readings", keys={"id": None}, features=pa.schema([("value", pa.int64())])
)


def batch(table: Table, *rows: dict[str, Any]) -> pa.RecordBatch:
    schema = pa.schema(
        [
            ("id", pa.int64()),
            ("event_timestamp", TIMESTAMP),
            ("created_timestamp", TIMESTAMP),
            *((f.name, f.type) for f in table.features),
        ]
    )
    return pa.RecordBatch.from_pylist(list(rows), schema=schema)


def observed(id_: int, at: datetime, value: int | None, created: datetime | None = None) -> Any:
    return {"id": id_, "event_timestamp": at, "created_timestamp": created, "value": value}


def values(store: OnlineStore, *ids: object, table: Table = ONE) -> list[Any]:
    [found] = store.read([(table, encode_keys([ids], len(ids)))])
    return [row and row[0] for row in found.values]


def test_answers_come_in_the_order_of_the_keys(store: OnlineStore) -> None:
    store.write(ONE, [batch(ONE, observed(1, NOON, 10), observed(2, NOON, 20))])

    assert values(store, 2, 404, 1, 2) == [20, None, 10, 20]


def test_more_keys_than_one_query_holds(store: OnlineStore, online_settings: Any) -> None:
    many = 350 if online_settings["type"] == "dynamodb" else 2500  # it holds 100
    store.write(ONE, [batch(ONE, *(observed(n, NOON, n) for n in range(many)))])

    assert values(store, *range(many)) == list(range(many))


def test_every_type_comes_back_as_it_was(store: OnlineStore) -> None:
    row = {
        "id": 1, "event_timestamp": NOON, "big": 2**53 + 1, "small": 0.1, "text": "naïve\0",
        "raw": b"\x00\xff", "flag": True, "when": NOON, "many": [2**63 - 1, None],
        "price": Decimal("9" * 36 + ".90"), "prices": [Decimal("1E-8"), None],
    }  # fmt: skip
    nulls = {"id": 2, "event_timestamp": NOON}
    store.write(STATS, [batch(STATS, row, nulls)])

    [rows] = store.read([(STATS, encode_keys([[1, 2]], 2))])
    found, empty = rows.values
    assert list(found) == [
        2**53 + 1, pa.scalar(0.1, pa.float32()).as_py(), "naïve\0", b"\x00\xff", True,
        1767268800000000, [2**63 - 1, None], "9" * 36 + ".90", ["1E-8", None],
    ]  # fmt: skip
    assert list(empty) == [None] * 9
    assert list(rows.events) == [1767268800000000] * 2


def test_keys_of_different_types_never_meet(store: OnlineStore) -> None:
    store.write(ONE, [batch(ONE, observed(1, NOON, 10))])

    assert values(store, "1") == [None]
    assert values(store, True) == [None]
    assert values(store, 1) == [10]


def test_projects_and_views_keep_apart(store: OnlineStore) -> None:
    other = Table(project="dev", name="readings", keys=ONE.keys, features=ONE.features)
    store.write(ONE, [batch(ONE, observed(1, NOON, 10))])
    store.write(other, [batch(ONE, observed(1, NOON, 99))])
    store.drop(other)

    assert values(store, 1) == [10]
    assert values(store, 1, table=other) == [None]


def test_tables_whose_names_look_alike_keep_apart(store: OnlineStore) -> None:
    names = [("a", 0), ("a", 5), ("a-5", 0), ("a 5", 0), ("7 d-y", 0), ("7-d y", 0)]
    tables = [
        Table("shop", name, ONE.keys, ONE.features, generation=generation)
        for name, generation in names
    ]
    for number, table in enumerate(tables):
        store.write(table, [batch(table, observed(1, NOON, number))])
    assert [values(store, 1, table=table) for table in tables] == [[n] for n in range(6)]
    store.drop(tables[0])
    store.drop(tables[2])
    assert [values(store, 1, table=table)[0] for table in tables] == [None, 1, None, 3, 4, 5]
    for table in tables:
        store.drop(table)


def test_one_read_answers_for_several_tables(store: OnlineStore) -> None:
    store.write(ONE, [batch(ONE, observed(1, NOON, 10))])
    keys = encode_keys([[1]], 1)

    first, second, nothing = store.read([(ONE, keys), (STATS, keys), (ONE, [])])
    assert (list(first.values), list(second.values)) == ([[10]], [None])
    assert list(second.events) == [None]
    assert (list(nothing.events), list(nothing.values)) == ([], [])


def test_features_that_were_added_or_retyped_read_as_null(store: OnlineStore) -> None:
    store.write(ONE, [batch(ONE, observed(1, NOON, 10))])
    grown = Table(
        project="shop",
        name="readings",
        keys=ONE.keys,
        features=pa.schema([("new", pa.string()), ("value", pa.int64())]),
    )
    retyped = Table(
        project="shop", name="readings", keys=ONE.keys, features=pa.schema([("value", pa.string())])
    )
    keys = encode_keys([[1]], 1)

    after, changed = store.read([(grown, keys), (retyped, keys)])
    assert [list(row) for row in after.values] == [[None, 10]]
    assert [list(row) for row in changed.values] == [[None]]


def test_decimals_that_were_widened_read_as_what_they_are(store: OnlineStore) -> None:
    def table(precision: int, scale: int) -> Table:
        decimal = pa.decimal128(precision, scale)
        features = pa.schema([("one", decimal), ("many", pa.list_(decimal))])
        return Table(project="shop", name="readings", keys={"id": None}, features=features)

    price = Decimal("12.50")
    row = {"id": 1, "event_timestamp": NOON, "one": price, "many": [price, None]}
    store.write(table(4, 2), [batch(table(4, 2), row)])
    keys = encode_keys([[1]], 1)
    wider, as_wide, narrower, coarser = (table(6, 3), table(6, 2), table(4, 3), table(6, 1))

    found = store.read([(t, keys) for t in (wider, as_wide, narrower, coarser)])
    assert [list(rows.values[0]) for rows in found] == [
        ["12.500", ["12.500", None]], ["12.50", ["12.50", None]], [None, None], [None, None],
    ]  # fmt: skip


def test_rows_whose_layout_was_lost_are_an_error_that_says_so(
    store: OnlineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(store), "_save_layout", lambda *_: None)
    if hasattr(store, "_address"):  # Redis gets it with every batch
        monkeypatch.setattr("feature_platform.online.redis._LAYOUTS", "fp:elsewhere")
    store.write(ONE, [batch(ONE, observed(1, NOON, 10))])
    monkeypatch.setattr("feature_platform.online.redis._LAYOUTS", "fp:layouts")
    store._layouts.clear()
    grown = Table(
        project="shop", name="readings", keys=ONE.keys,
        features=pa.schema([("new", pa.string()), ("value", pa.int64())]),
    )  # fmt: skip
    if hasattr(store, "_make"):  # DynamoDB keeps them in a table of their own
        store._make("shop.feature_platform")
    with raises(StoreError, "readings"):
        store.read([(grown, encode_keys([[1]], 1))])
    assert values(store, 1) == [10]  # the row is well, and readable where its layout is known


def test_a_write_that_fails_can_be_repeated(store: OnlineStore) -> None:
    failure = StoreError("the source went away")

    def broken() -> Any:
        yield batch(ONE, observed(1, NOON, 10))
        raise failure

    with pytest.raises(StoreError) as caught:
        store.write(ONE, broken())
    assert caught.value is failure
    assert values(store, 1) in ([None], [10])
    store.write(ONE, [batch(ONE, observed(1, NOON, 10), observed(2, NOON, 20))])
    assert values(store, 1, 2) == [10, 20]


def test_a_damaged_row_is_an_error_that_names_the_view(
    store: OnlineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("feature_platform.online.codec.encode_row", lambda _: b"\xc1")
        store.write(ONE, [batch(ONE, observed(1, NOON, 10))])
    with raises(StoreError, "readings") as caught:
        values(store, 1)
    assert isinstance(caught.value.__cause__, msgspec.MsgspecError)


def test_progress_is_reported_after_each_batch(store: OnlineStore) -> None:
    told: list[int] = []
    batches = [batch(ONE, observed(n, NOON, n), observed(n + 10, NOON, n)) for n in range(3)]

    assert store.write(ONE, batches, told.append) == 6
    assert told == [2, 4, 6]


moments = st.integers(0, 3).map(lambda n: NOON + n * HOUR)
writes = st.lists(
    st.tuples(st.integers(1, 2), moments, st.none() | moments, st.none() | st.integers(0, 99)),
    max_size=12,
)
SHARE = 1 if os.environ.get("CONTRACT") else 10


def test_the_newest_row_wins_in_any_order_batching_repetition_and_crash(
    store: OnlineStore, random_runs: int
) -> None:
    """A row whose value is null stands for a deletion.

    Rows that tie on both times carry one value: which of two corrections won is undefined.
    """

    @settings(max_examples=random_runs // SHARE)
    @given(writes, st.integers(1, 4), st.integers(0, 12), st.randoms(use_true_random=False))
    def run(rows: Any, size: int, crash: int, random: Any) -> None:
        by_time = {(key, at, created): value for key, at, created, value in rows}
        distinct = [(*place, value) for place, value in by_time.items()]
        written = distinct + distinct[: len(distinct) // 2]
        random.shuffle(written)
        store.drop(ONE)
        with suppress(KeyboardInterrupt):
            apply(store, written[:crash], size, KeyboardInterrupt)
        apply(store, written, size)

        for key in (1, 2):
            own = [r for r in distinct if r[0] == key]
            newest = max(own, key=lambda r: (r[1], r[2] is not None, r[2] or NOON), default=None)
            assert values(store, key) == [newest and newest[3]]

    run()


def apply(store: OnlineStore, written: Any, size: int, end: Any = None) -> None:
    """Write and delete in chunks; the last batch of each may end in a crash."""
    for start in range(0, len(written), size):
        chunk = [observed(k, at, v, c) for k, at, c, v in written[start : start + size]]
        kept = [r for r in chunk if r["value"] is not None]
        gone = [r for r in chunk if r["value"] is None]
        store.write(ONE, interrupted(kept, end))
        store.delete(ONE, [batch(ONE, *gone)])


def interrupted(rows: Any, end: Any) -> Any:
    yield batch(ONE, *rows)
    if end:
        raise end


def test_of_two_rows_that_tie_the_correction_wins(store: OnlineStore) -> None:
    store.write(ONE, [batch(ONE, observed(1, NOON, 10))])
    store.write(ONE, [batch(ONE, observed(1, NOON, 11))])

    assert values(store, 1) == [11]


def test_the_ledger_is_the_union_of_the_windows(store: OnlineStore) -> None:
    @settings(max_examples=20)
    @given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), max_size=8))
    def run(windows: Any) -> None:
        store.drop(ONE)
        covered: set[int] = set()
        for start, length in windows:
            store.record(ONE, Window(NOON + start * HOUR, NOON + (start + length) * HOUR))
            covered |= set(range(start, start + length))

        found = store.windows(ONE)
        hours = {n for w in found for n in range((w.start - NOON) // HOUR, (w.end - NOON) // HOUR)}
        assert hours == covered
        assert all(a.end < b.start for a, b in pairwise(found))

    run()


def test_a_window_counts_for_the_features_it_was_loaded_with(store: OnlineStore) -> None:
    def table(**types: pa.DataType) -> Table:
        return Table(
            project="shop", name="readings", keys=ONE.keys, features=pa.schema(types.items())
        )

    def hours(*numbers: int) -> list[Window]:
        return [Window(NOON + n * HOUR, NOON + (n + 1) * HOUR) for n in numbers]

    first = table(value=pa.int32(), more=pa.string())
    widened, fewer = table(value=pa.int64(), more=pa.string()), table(value=pa.int32())
    retyped = table(value=pa.string(), more=pa.string())
    grown = table(value=pa.int32(), more=pa.string(), new=pa.bool_())
    store.write(first, [])
    store.record(first, *hours(0))
    for unaffected in (first, widened, fewer):
        assert store.windows(unaffected) == hours(0)
    for lacking in (retyped, grown):
        assert store.windows(lacking) == []

    store.write(grown, [])
    store.record(grown, *hours(2))
    store.record(first, *hours(3))
    assert store.windows(grown) == hours(2)
    assert store.windows(first) == [*hours(0), Window(NOON + 2 * HOUR, NOON + 4 * HOUR)]
    store.write(retyped, [])
    store.record(retyped, *hours(2))  # what the others had loaded is gone
    assert store.windows(grown) == []
    assert store.windows(first) == [*hours(0), *hours(3)]
    store.write(grown, [])
    store.record(grown, *hours(2))
    store._layouts.clear()  # as a new process has it
    assert store.windows(fewer) == store.windows(first)


def test_windows_of_another_state_of_the_source_do_not_count_as_read(store: OnlineStore) -> None:
    first, second, third = (Window(NOON + n * HOUR, NOON + (n + 1) * HOUR) for n in range(3))
    store.record(ONE, first, "a1")
    store.record(ONE, second, "a1")
    assert store.windows(ONE, "a1") == [Window(first.start, second.end)]

    store.record(ONE, third, "b2")
    assert store.windows(ONE, "a1") == []
    assert store.windows(ONE, "b2") == [third]
    assert store.windows(ONE) == [Window(first.start, third.end)]
    store.record(ONE, second)
    assert store.windows(ONE, "b2") == []
    assert store.windows(ONE) == [Window(first.start, third.end)]


def test_windows_recorded_at_once_are_all_kept(store: OnlineStore) -> None:
    with ThreadPoolExecutor(4) as pool:
        hours = [Window(NOON + 2 * n * HOUR, NOON + (2 * n + 1) * HOUR) for n in range(8)]
        list(pool.map(lambda window: store.record(ONE, window), hours))

    assert store.windows(ONE) == hours


def test_writers_at_once_leave_the_newest_rows(store: OnlineStore) -> None:
    def write(n: int) -> None:
        rows = [observed(key, NOON + n * HOUR, n) for key in range(20)]
        store.write(ONE, [batch(ONE, *(rows if n % 2 else rows[::-1]))])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, [3, 1, 4, 0, 7, 2, 6, 5]))

    assert values(store, *range(20)) == [7] * 20


def test_a_deleted_key_comes_back_with_a_later_row_only(store: OnlineStore) -> None:
    store.write(ONE, [batch(ONE, observed(1, NOON, 10), observed(2, NOON, 20))])
    assert store.delete(ONE, [batch(ONE, observed(1, NOON + HOUR, None))]) == 1
    assert values(store, 1, 2) == [None, 20]

    store.write(ONE, [batch(ONE, observed(1, NOON, 10))])  # the same load again
    assert values(store, 1) == [None]
    store.write(ONE, [batch(ONE, observed(1, NOON + 2 * HOUR, 11))])
    assert values(store, 1) == [11]


def test_expired_rows_and_deletions_are_removed(store: OnlineStore) -> None:
    later, before = NOON + HOUR, microseconds(NOON + HOUR)
    assert store.expire(ONE, before) == 0
    store.write(ONE, [batch(ONE, observed(1, NOON, 10), observed(2, later, 20))])
    store.delete(ONE, [batch(ONE, observed(3, NOON, None))])

    assert store.expire(ONE, before) == 2
    assert store.expire(ONE, before) == 0
    assert values(store, 1, 2, 3) == [None, 20, None]


def test_times_before_1970_and_at_the_ends_of_the_calendar(store: OnlineStore) -> None:
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    store.write(ONE, [batch(ONE, observed(1, last, 3), observed(2, first, 1))])
    store.write(ONE, [batch(ONE, observed(1, first, 1), observed(2, NOON, 2))])

    assert values(store, 1, 2) == [3, 2]


def test_a_view_without_entities_has_one_row(store: OnlineStore) -> None:
    table = Table(project="shop", name="readings", keys={}, features=ONE.features)
    store.write(table, [batch(ONE, observed(1, NOON, 10)).drop_columns(["id"])])

    [found] = store.read([(table, [b""])])
    assert list(found.values) == [[10]]


def test_a_closed_store_opens_again(store: OnlineStore) -> None:
    store.write(ONE, [batch(ONE, observed(1, NOON, 10))])
    store.close()

    assert values(store, 1) == [10]


def test_special_floats_and_wide_integers_come_back_bit_for_bit(store: OnlineStore) -> None:
    features = pa.schema([("float", pa.float64()), ("int", pa.int64()), ("raw", pa.binary())])
    table = Table(project="shop", name="readings", keys={"id": None}, features=features)
    floats = [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308]
    rows = [
        {"id": n, "event_timestamp": NOON, "float": f, "int": -(2**63), "raw": bytes(range(256))}
        for n, f in enumerate(floats)
    ]
    store.write(table, [batch(table, *rows)])

    [found] = store.read([(table, encode_keys([range(len(floats))], len(floats)))])
    assert [struct.pack(">d", row[0]) for row in found.values] == [
        struct.pack(">d", f) for f in floats
    ]
    assert {tuple(row[1:]) for row in found.values} == {(-(2**63), bytes(range(256)))}


key_parts = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1)).map(  # noqa: DTZ001
        lambda t: t.replace(tzinfo=UTC)
    ),
)


@given(st.lists(st.tuples(key_parts, key_parts), min_size=2, max_size=6))
def test_no_two_keys_share_their_bytes(keys) -> None:
    encoded = encode_keys(list(zip(*keys, strict=True)), len(keys))
    typed = {tuple((type(part), part) for part in key) for key in keys}

    assert len(set(encoded)) == len(typed)


@pytest.mark.parametrize("part", [1.0, 2**63, [1], object()])
def test_what_cannot_be_a_key_is_said(part: object) -> None:
    with raises(RequestError, repr(part)):
        encode_keys([[part]], 1)
