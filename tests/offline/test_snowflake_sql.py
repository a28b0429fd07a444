"""The SQL for Snowflake, kept to the letter and read by a parser of Snowflake's dialect.

It has not met a real account: the contract runs on an emulator, and this is what would be sent.
"""

from pathlib import Path

import pyarrow as pa
import pytest
import sqlglot

from feature_platform.offline.point_in_time import EntityRowsSql, PointInTime, searches
from feature_platform.offline.snowflake.dialect import SnowflakeDialect
from feature_platform.offline.source_sql import JoinSql, SourceSql
from feature_platform.offline.time_ranges import count_sql, latest_sql

GOLDEN = Path(__file__).parent / "golden"
SQL = SnowflakeDialect()


def history(created: bool) -> SourceSql:
    naive = pa.timestamp("ns")
    event = SQL.microseconds('"EVENT_TIMESTAMP"', naive)
    assert event is not None
    return SourceSql(
        relation='"DB"."RAW"."TRIPS"',
        keys={"driver_id": '"DRIVER_ID"'},
        key_types={"driver_id": pa.int64()},
        event=event,
        created=SQL.microseconds('"CREATED"', naive) if created else None,
        features={"trips": 'CAST("TRIPS" AS NUMBER(38, 0))'},
        ties=['"TRIPS"', '"RATE"'],
        ttl=3_600_000_000,
        event_column=('"EVENT_TIMESTAMP"', naive),
    )


def join(known_only: bool) -> str:
    spine = EntityRowsSql(
        "FP_SPINE", {"driver_id": 'entities."driver_id"'}, (1_767_225_600_000_000,) * 2, 1
    )
    one = JoinSql(history(created=True), {"driver_id": "driver_id"}, {"trips": "v:trips"})
    return PointInTime(SQL, spine).statement(searches([one], known_only=known_only))


STATEMENTS = {
    "join": lambda: join(known_only=False),
    "join_known": lambda: join(known_only=True),
    "latest": lambda: latest_sql(SQL, history(False), {"driver_id": '"DRIVER_ID"'}, 0, 10),
    "count": lambda: count_sql(SQL, history(False), 0, 10),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_sql_is_what_it_was_and_parses(name: str) -> None:
    sql = STATEMENTS[name]()
    file = GOLDEN / f"{name}.sql"

    assert sql + "\n" == file.read_text("utf-8")
    [statement] = sqlglot.parse(sql, dialect="snowflake")
    assert isinstance(statement, sqlglot.exp.Query)
