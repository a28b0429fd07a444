"""What only the engine for files does."""

from pathlib import Path

import pyarrow as pa
from tests_support import NOON

from feature_platform.table import TIMESTAMP
from offline.engines import Files
from offline.test_contract import read


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
