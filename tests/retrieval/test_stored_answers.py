"""On-demand views with `write_to_online_store`: looked up while they hold, computed otherwise."""

from datetime import timedelta
from typing import Any

import pandas as pd
import pytest
from tests_support import HOUR, NOON, raises

from feature_platform import (
    FeatureStore,
    Field,
    FieldStatus,
    OnDemandFeatureView,
    RequestSource,
)
from feature_platform.errors import DefinitionError, RefusedError, TransformationError
from feature_platform.types import Float64, Int64, UnixTimestamp

CALLS: list[dict] = []
FAIL: list[bool] = []
FAIL_FOR: list[int] = []


def twice(inputs):
    CALLS.append(inputs)
    if FAIL or inputs["trips"] in FAIL_FOR:
        raise ValueError("broken")
    known = inputs["trips"] is not None
    return {"double": 2 * inputs["trips"] if known else None, "when": NOON if known else None}


SCHEMA = [Field(name="double", dtype=Int64), Field(name="when", dtype=UnixTimestamp)]
VIEW = OnDemandFeatureView(
    name="twice", sources=["driver_stats:trips"], schema=SCHEMA, udf=twice,
    write_to_online_store=True,
)  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    CALLS.clear()
    FAIL.clear()
    FAIL_FOR.clear()


def rows(*pairs: tuple[int, int], at=NOON) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "driver_id": [driver for driver, _ in pairs],
            "event_timestamp": at,
            "trips": [trips for _, trips in pairs],
            "rate": 0.5,
        }
    )


def ask(store: FeatureStore, *drivers: int) -> list[int | None]:
    answer = store.get_online_features(["twice"], [{"driver_id": n} for n in drivers])
    assert answer.to_dict()["when"] == [
        None if value is None else NOON for value in answer.to_dict()["double"]
    ]
    return answer.to_dict()["double"]


def test_what_was_computed_at_the_write_is_looked_up(platform: FeatureStore) -> None:
    platform.apply([VIEW], try_functions=False)
    platform.materialize(NOON - 3 * HOUR, NOON)
    assert [call["trips"] for call in CALLS] == [11, 20]
    CALLS.clear()

    assert ask(platform, 2, 1) == [40, 22]
    assert CALLS == []


def test_a_push_computes_too_and_missing_entities_are_computed(platform: FeatureStore) -> None:
    platform.apply([VIEW])
    platform.write_to_online_store("driver_stats", rows((7, 5)))
    CALLS.clear()

    assert ask(platform, 7, 404) == [10, None]
    assert CALLS == [{"trips": None}]


def test_an_answer_of_older_inputs_is_computed_again(platform: FeatureStore, open_store) -> None:
    """Somebody without the code writes, even at the same time: the stored answer is not used."""
    platform.apply([VIEW])
    platform.materialize(NOON - 3 * HOUR, NOON)
    FAIL.append(True)  # stands for a process that cannot run the code
    platform.write_to_online_store("driver_stats", rows((1, 99), at=NOON - HOUR))
    FAIL.clear()
    CALLS.clear()

    assert ask(platform, 1, 2) == [198, 40]
    assert CALLS == [{"trips": 99}]


def test_broken_code_never_stops_the_rows(platform: FeatureStore, caplog) -> None:
    platform.apply([VIEW])
    FAIL.append(True)

    assert platform.write_to_online_store("driver_stats", rows((1, 5))) == 1
    [record] = caplog.records
    assert (record.name, record.levelname) == ("feature_platform.online", "WARNING")
    assert all(name in record.getMessage() for name in ("'twice'", "ValueError: broken"))
    with raises(TransformationError, "'twice'", "ValueError: broken"):
        ask(platform, 1)


def test_an_error_names_the_row_as_the_request_counts(platform: FeatureStore) -> None:
    platform.apply([VIEW])
    platform.write_to_online_store("driver_stats", rows((1, 5)))
    FAIL.append(True)
    platform.write_to_online_store("driver_stats", rows((2, 6)))

    assert ask(platform, 1) == [10]
    FAIL.clear()
    FAIL_FOR.append(6)
    with raises(TransformationError, "'twice'", "row 1", "driver_id=2", "ValueError: broken"):
        ask(platform, 1, 2)


def test_other_code_does_not_use_the_answers(platform: FeatureStore) -> None:
    platform.apply([VIEW])
    platform.materialize(NOON - 3 * HOUR, NOON)

    def twice(inputs):
        return {"double": -1, "when": NOON}

    changed = OnDemandFeatureView(
        name="twice", sources=["driver_stats:trips"], schema=SCHEMA, udf=twice,
        write_to_online_store=True,
    )  # fmt: skip
    platform.apply([changed])
    assert ask(platform, 1) == [-1]


def test_the_owner_loads_the_answers_alone(platform: FeatureStore, open_store) -> None:
    platform.materialize(NOON - 3 * HOUR, NOON)
    team = open_store("risk")
    team.apply([VIEW])

    assert team.materialize(NOON - 3 * HOUR, NOON, ["twice"]) == {"twice": 2}
    assert team.materialize_incremental(NOON, ["twice"]) == {"twice": 2}  # the look-back
    CALLS.clear()
    assert ask(team, 1, 2) == [22, 40]
    assert CALLS == []
    # Whoever lacks the code reads the answers, too.
    assert ask(open_store("growth"), 1) == [22]


def test_answers_expire_and_go_with_their_rows(platform: FeatureStore, open_store) -> None:
    platform.apply([VIEW])
    platform.materialize(NOON - 3 * HOUR, NOON)
    platform.delete_from_online_store(
        "driver_stats", pd.DataFrame({"driver_id": [2], "event_timestamp": [NOON]})
    )
    assert ask(platform, 1, 2) == [22, None]

    later = open_store(clock=lambda: NOON + timedelta(days=2))
    later.apply([VIEW])  # changes nothing; the function is in this file, not in the repo
    answer = later.get_online_features(["twice", "driver_stats:trips"], [{"driver_id": 1}])
    assert answer.to_dict()["double"] == [None]
    assert answer.statuses()["trips"] == [FieldStatus.OUTSIDE_MAX_AGE]
    assert later.expire_online_store() == {"driver_stats": 2, "twice": 2}


def test_training_computes_the_same(platform: FeatureStore) -> None:
    platform.apply([VIEW])
    platform.materialize(NOON - 3 * HOUR, NOON)
    asked = pd.DataFrame({"driver_id": [1, 2], "event_timestamp": NOON})

    offline = platform.get_historical_features(asked, ["twice"]).to_arrow()
    assert offline["double"].to_pylist() == ask(platform, 1, 2)


def test_what_cannot_be_stored_is_refused(platform: FeatureStore, driver_view) -> None:
    request = RequestSource(schema=[Field(name="extra", dtype=Int64)])
    with raises(DefinitionError, "OnDemandFeatureView 'x'", "write_to_online_store"):
        OnDemandFeatureView(
            name="x", sources=["driver_stats:trips", request], schema=SCHEMA, udf=twice,
            write_to_online_store=True,
        )  # fmt: skip
    other = driver_view.model_copy(update={"name": "other"})
    several = OnDemandFeatureView(
        name="x", sources=["driver_stats:trips", "other:rate"], schema=SCHEMA, udf=twice,
        write_to_online_store=True,
    )  # fmt: skip
    with raises(RefusedError, "write_to_online_store", "driver_stats, other") as error:
        platform.apply([other, several])
    assert {(p.rule, p.subject) for p in error.value.problems} == {
        ("reference", "on-demand view 'x'")
    }


def test_one_view_joined_in_two_ways_cannot_be_stored(platform: FeatureStore, driver_view) -> None:
    both = OnDemandFeatureView(
        name="x",
        sources=[
            driver_view[["trips"]].with_name("a").with_join_key_map({"driver_id": "a_id"}),
            driver_view[["trips"]].with_name("b").with_join_key_map({"driver_id": "b_id"}),
        ],
        schema=SCHEMA,
        udf=twice,
        write_to_online_store=True,
    )
    with raises(RefusedError, "write_to_online_store") as error:
        platform.apply([both])
    assert {(p.rule, p.subject) for p in error.value.problems} == {
        ("reference", "on-demand view 'x'")
    }


def test_answers_of_another_schema_are_computed_again(platform: FeatureStore) -> None:
    def both(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"a": inputs["trips"], "b": inputs["trips"]}

    def view(*fields: Field) -> OnDemandFeatureView:
        return OnDemandFeatureView(
            name="od", sources=["driver_stats:trips"], schema=fields, udf=both,
            write_to_online_store=True,
        )  # fmt: skip

    platform.apply([view(Field(name="a", dtype=Int64))])
    platform.materialize(NOON - 3 * HOUR, NOON)
    for fields in (
        [Field(name="a", dtype=Int64), Field(name="b", dtype=Int64)],
        [Field(name="a", dtype=Float64)],
    ):
        platform.apply([view(*fields)], partial=True)
        answer = platform.get_online_features(["od"], [{"driver_id": 1}]).to_dict()
        assert [answer[f.name] for f in fields] == [[11]] * len(fields)


def test_a_deleted_view_leaves_no_answers(platform: FeatureStore) -> None:
    view = OnDemandFeatureView(
        name="od", sources=["driver_stats:trips"], schema=[Field(name="y", dtype=Int64)],
        udf=lambda i: {"y": i["trips"]}, write_to_online_store=True,
    )  # fmt: skip
    platform.apply([view])
    platform.materialize(NOON - 3 * HOUR, NOON)

    def rows() -> int:
        import sqlite3

        with sqlite3.connect(platform.repo.path / "online.db") as db:
            [[count]] = db.execute("select count(*) from online_rows where view like 'shop.od.%'")
        db.close()
        return count

    assert rows() == 2
    platform.apply([], objects_to_delete=[view])
    assert rows() == 0
