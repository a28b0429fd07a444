"""Definitions are checked when they are built, never change, and survive JSON."""

from datetime import timedelta

import pytest
from tests_support import raises

from feature_platform import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    Policy,
    PushSource,
    RequestSource,
    SnowflakeSource,
    StreamFeatureView,
    ValueType,
    ViewReference,
    on_demand_feature_view,
)
from feature_platform.definitions import Definition, from_json
from feature_platform.errors import DefinitionError
from feature_platform.types import Array, Decimal, Float32, Float64, Int64, String, UnixTimestamp

DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
TRIPS = FileSource(
    name="trips",
    path="trips/*.parquet",
    timestamp_field="ts",
    created_timestamp_column="created",
    field_mapping={"drv": "driver_id"},
    s3_endpoint_override="http://localhost:9000",
    tags={"a": "b"},
)
STATS = FeatureView(
    name="stats",
    entities=[DRIVER],
    ttl=timedelta(hours=1, microseconds=1),
    schema=[Field(name="trips", dtype=Int64), Field(name="tags", dtype=Array(String))],
    source=TRIPS,
    owner="data@example.org",
)
PUSH = PushSource(name="trips_push", batch_source=TRIPS)


@OnDemandFeatureView(
    sources=["stats:trips", RequestSource(schema=[Field(name="now", dtype=UnixTimestamp)])],
    schema=[Field(name="double", dtype=Float64)],
)
def doubled(inputs: dict[str, int]) -> dict[str, float]:
    """Twice as many."""
    return {"double": 2.0 * inputs["trips"]}


ALL: list[Definition] = [
    DRIVER,
    Entity(name="pair", join_keys=["a", "b"]),
    TRIPS,
    SnowflakeSource(database="DB", schema="RAW", table="TRIPS", timestamp_field="ts"),
    PUSH,
    STATS,
    StreamFeatureView(
        name="live", entities=["driver"], schema=[Field(name="x", dtype=Int64)], source=PUSH
    ),
    doubled,
    FeatureService(
        name="model",
        features=[
            STATS[["trips"]].with_name("s").with_join_key_map({"driver_id": "d"}),
            "doubled",
            ViewReference(view="other", features=["a"]),
        ],
    ),
    Policy(prefixes={"risk": ["risk_"]}, teams_need_prefix=True),
]


@pytest.mark.parametrize("definition", ALL, ids=lambda d: f"{d.kind}-{d.name}")
def test_json_gives_back_the_same_definition(definition: Definition) -> None:
    text = definition.to_json()

    assert from_json(text).to_json() == text
    assert from_json(text).digest() == definition.digest()


def test_definitions_cannot_be_changed() -> None:
    with raises(DefinitionError, "FeatureView.name"):
        STATS.name = "other"
    with raises(DefinitionError, "FeatureView.schema"):
        STATS.schema = ()


def test_names_come_from_objects_and_from_strings() -> None:
    by_name = FeatureView(
        name="stats", entities="driver", schema=list(STATS.fields), source="trips",
        ttl=STATS.ttl, owner=STATS.owner,
    )  # fmt: skip

    assert by_name.to_json() == STATS.to_json()


def test_unnamed_sources_are_named_after_what_they_read() -> None:
    assert FileSource(path="s3://bucket/raw/Driver-Stats.parquet").name == "driver_stats"
    assert FileSource(path="trips/*.parquet").name == "trips"
    assert FileSource(path="2024/").name == "source_2024"
    assert SnowflakeSource(database="DB", schema="RAW", table="T").name == "db_raw_t"


def test_zero_ttl_means_for_ever() -> None:
    view = FeatureView(name="v", schema=list(STATS.fields), source="trips", ttl=timedelta(0))

    assert view.ttl is None


def test_both_spellings_of_the_decorator_agree() -> None:
    def plus(inputs: dict[str, int]) -> dict[str, int]:
        return {"y": inputs["x"] + 1}

    arguments = {"sources": ["v:x"], "schema": [Field(name="y", dtype=Int64)]}
    decorated = OnDemandFeatureView(**arguments)(plus)
    function_style = on_demand_feature_view(**arguments)(plus)
    object_style = OnDemandFeatureView(name="plus", udf=plus, **arguments)

    assert decorated.to_json() == function_style.to_json() == object_style.to_json()
    assert decorated({"x": 1}) == {"y": 2}


def test_a_name_given_to_the_decorator_wins() -> None:
    view = OnDemandFeatureView(
        name="better", description="Why.", sources=["v:x"], schema=[Field(name="y", dtype=Int64)]
    )(doubled.function)

    assert (view.name, view.description) == ("better", "Why.")


def test_several_features_of_one_view_become_one_reference() -> None:
    service = FeatureService(name="m", features=["v:b", "v:a", "v:b", "w"])

    assert [str(r) for r in service.features] == ["v:b,a", "w"]


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (lambda: Entity(name="a  b"), ["Entity 'a  b'", "name: 'a  b'"]),
        (lambda: Entity(name="usеr"), ["name: 'usеr'"]),  # noqa: RUF001 - a Cyrillic e
        (lambda: Entity(name="x" * 64), ["name: 'x", "63"]),
        (lambda: Entity(name="e", join_keys=["a", "a"]), ["join_keys", "'a'"]),
        (lambda: Entity(name="e", join_keys=["a-b", "a_b"]), ["join_keys", "'a-b'"]),
        (lambda: Entity(name="e", join_keys=["event_timestamp"]), ["event_timestamp"]),
        (lambda: Entity(name="e", join_keys=["created_timestamp"]), ["created_timestamp"]),
        (lambda: Entity(name="e", join_keys=["__fp_row"]), ["__fp_row"]),
        (lambda: Entity(name="e", join_keys=["a", "b"], value_type=Int64), ["value_type"]),
        (lambda: Entity(name="e", value_type=Float32), ["value_type", "Float32", "Int64"]),
        (lambda: Entity(name="e", value_type=Decimal(9, 2)), ["value_type", "Decimal(9, 2)"]),
        (lambda: Entity(name="e", value_type=Array(Int64)), ["value_type"]),
        (lambda: Field(name="f", dtype=Decimal), ["dtype", "Decimal(18, 2)"]),
        (lambda: Field(name="f", dtype="Decimal"), ["dtype", "Decimal(18, 2)"]),
        (lambda: Field(name="f", dtype="Decimal(39, 2)"), ["dtype", "Decimal(39, 2)", "38"]),
        (lambda: Field(name="f", dtype="Decimal(5, 6)"), ["dtype", "Decimal(5, 6)"]),
        (lambda: Field(name="f", dtype="Array(Decimal(0, 0))"), ["dtype", "Decimal(0, 0)", "38"]),
        (lambda: Entity(naem="e"), ["naem", "'name'", "join_keys"]),
        (lambda: Field(name="f", dtype="Int46"), ["'Int46'", "'Int64'"]),
        (lambda: Field(name="f; drop", dtype=Int64), ["name: 'f; drop'"]),
        (
            lambda: FeatureView(name="v", source="s", schema=[]),
            ["FeatureView 'v'", "schema"],
        ),
        (
            lambda: FeatureView(
                name="v",
                source="s",
                schema=[Field(name="a", dtype=Int64), Field(name="A", dtype=Int64)],
            ),
            ["schema", "['a']"],
        ),
        (
            lambda: FeatureView(
                name="v", source="s", schema=list(STATS.fields), ttl=timedelta(days=-1)
            ),
            ["ttl", "-1 day"],
        ),
        (
            lambda: SnowflakeSource(name="s", table="T", query="select 1"),
            ["SnowflakeSource 's'", "table", "query"],
        ),
        (lambda: SnowflakeSource(query="select 1"), ["SnowflakeSource", "name"]),
        (lambda: FileSource(path=""), ["FileSource", "path"]),
        (lambda: FileSource(path="gs://bucket/x"), ["path", "gs://"]),
        (lambda: FileSource(path="s3a://bucket/x"), ["path", "s3://bucket/x"]),
        (lambda: FileSource(path="s3://bucket//x"), ["path", "s3://bucket/key"]),
        (lambda: FileSource(path="s3:///x"), ["path", "s3://bucket/key"]),
        (lambda: FileSource(path="s3://key:secret@bucket/x"), ["path", "s3://bucket/key"]),
        (
            lambda: FileSource(path="p", field_mapping={"a": "x", "b": "x"}),
            ["field_mapping", "'x'"],
        ),
        (lambda: FeatureService(name="s", features=[]), ["FeatureService 's'", "features"]),
        (
            lambda: FeatureService(name="s", features=["v", ViewReference(view="w", alias="v")]),
            ["features", "'v'", "with_name"],
        ),
        (
            lambda: OnDemandFeatureView(
                name="o", sources=[], schema=[Field(name="y", dtype=Int64)]
            ),
            ["OnDemandFeatureView 'o'", "sources", "RequestSource"],
        ),
        (
            lambda: OnDemandFeatureView(
                name="o", sources=["v:x"], schema=[Field(name="y", dtype=Int64)], mode="spark"
            ),
            ["mode", "'spark'"],
        ),
        (
            lambda: OnDemandFeatureView(
                name="o", sources=["v:x"], schema=[Field(name="y", dtype=Int64)], udf="lambda"
            ),
            ["udf", "'lambda'"],
        ),
        (lambda: Policy(name="mine"), ["name", "'policy'", "'mine'"]),
    ],
)
def test_a_wrong_definition_says_what_where_and_what_to_do(build, names) -> None:
    with raises(DefinitionError, *names):
        build()


def test_every_wrong_argument_is_reported_at_once() -> None:
    with pytest.raises(DefinitionError) as caught:
        FeatureView(name="a  b", source="s", schema=[], ttll=3)

    assert all(part in str(caught.value) for part in ("name:", "schema:", "ttll:"))


def test_an_unknown_feature_of_a_view_object_is_found_at_once() -> None:
    with raises(KeyError, "stats", "tips", "trips"):
        STATS[["tips"]]
