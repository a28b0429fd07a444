"""Run by test_spark_cluster: the same question to DuckDB, and to Spark on servers of its own.

`python -m offline.spark_cluster standalone|connect FOLDER` starts a standalone master with two
workers, or a Spark Connect server, on loopback, and prints the two answers' digests.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import compute, parquet
from spark_support import prepare_java
from tests_support import free_port, open_offline_store, redis_protocol_server

from feature_platform import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FieldStatus,
    FileSource,
    RepoConfig,
)
from feature_platform.offline import OfflineStore
from feature_platform.table import SourceTable, Table, ViewRead
from feature_platform.types import Int64
from feature_platform.types.arrow import TIMESTAMP
from feature_platform.types.times import from_microseconds

KIND = sys.argv[1] if len(sys.argv) > 1 else ""
SCALE = 10 if KIND == "connect" else 1  # the same question, smaller where it is about the protocol
ROWS, ASKED, KEYS = 1_000_000 // SCALE, 100_000 // SCALE, 10_000 // SCALE
FIRST, HOUR = 1_767_225_600_000_000, 3_600_000_000


def write_history(folder: Path) -> None:
    """Write history whose rows tie on key and time now and then."""
    chance = np.random.default_rng(1)
    times = FIRST + chance.integers(0, 30 * 86_400, ROWS) * 1_000_000
    columns = {
        "key": chance.integers(0, KEYS, ROWS),
        "event_timestamp": pa.array(times).cast(TIMESTAMP),
        "created": pa.array(times + chance.integers(0, 2, ROWS) * HOUR).cast(TIMESTAMP),
        "value": chance.integers(0, 1000, ROWS),
    }
    (folder / "history").mkdir()
    for part in range(4):
        rows = pa.table(columns).slice(part * ROWS // 4, ROWS // 4)
        parquet.write_table(rows, folder / "history" / f"{part}.parquet")


def ask(store: OfflineStore, *, known_only: bool) -> str:
    """Return a digest of 100,000 answers."""
    chance = np.random.default_rng(2)
    times = FIRST + chance.integers(0, 30 * 86_400, ASKED) * 1_000_000
    keys = pa.array(chance.integers(0, KEYS + 100, ASKED))
    spine = pa.table({"key": keys, "event_timestamp": pa.array(times).cast(TIMESTAMP)})
    location = {"path": "history", "format": "parquet", "endpoint": ""}
    table = Table(
        project="p",
        name="v",
        keys={"key": pa.int64()},
        features=pa.schema([("value", pa.int64())]),
        ttl=timedelta(days=2),
        source=SourceTable("s", location, "event_timestamp", "created"),
    )
    read = ViewRead("v", table, ("value",), {"key": "key"})
    answer = store.point_in_time(spine, [read], known_only=known_only).reader().read_all()
    assert answer.num_rows == ASKED
    values = answer["v:value"].combine_chunks()
    assert 0 < values.null_count < ASKED / 2
    return sha256(compute.fill_null(values, -1).to_numpy().tobytes()).hexdigest()


def loaded(settings: dict[str, object], folder: Path, redis: str) -> str:
    """Load the newest row of each key into Redis, and return a digest of what is served."""
    config = RepoConfig(
        project=f"from_{settings['type']}",
        registry="registry.db",
        offline_store=settings,
        online_store={"type": "redis", "connection_string": redis},
    )
    store = FeatureStore(folder, config=config)
    key = Entity(name="key", value_type=Int64)
    source = FileSource(name="s", path="history", created_timestamp_column="created")
    fields = [Field(name="value", dtype=Int64)]
    store.apply([key, FeatureView(name="v", entities=[key], schema=fields, source=source)])
    start, end = from_microseconds(FIRST), from_microseconds(FIRST + 31 * 24 * HOUR)
    assert store.materialize(start, end) == {"v": KEYS}
    answer = store.get_online_features("v", {"key": list(range(KEYS))})
    assert answer.statuses()["value"].count(FieldStatus.PRESENT) == KEYS
    return sha256(json.dumps(answer.to_dict(include_event_timestamps=True)).encode()).hexdigest()


@contextmanager
def standalone() -> Iterator[dict[str, object]]:
    """Start a master and two workers."""
    port = free_port()
    master = f"spark://127.0.0.1:{port}"
    deploy = "org.apache.spark.deploy"
    where = ["--host", "127.0.0.1", "--webui-port", "0"]
    with (
        java(f"{deploy}.master.Master", *where, "--port", str(port)),
        java(f"{deploy}.worker.Worker", *where, "--cores", "1", "--memory", "1g", master),
        java(f"{deploy}.worker.Worker", *where, "--cores", "1", "--memory", "1g", master),
    ):
        wait_for(port)
        conf = {
            "spark.ui.enabled": "false",
            "spark.executor.memory": "900m",
            "spark.cores.max": "2",
            "spark.executor.cores": "1",
            "spark.sql.shuffle.partitions": "4",
        }
        yield {"type": "spark", "master": master, "spark_conf": conf}


@contextmanager
def connect() -> Iterator[dict[str, object]]:
    """Start a Spark Connect server."""
    port = free_port()
    settings = ["--conf", f"spark.connect.grpc.binding.port={port}", "--conf"]
    server = "org.apache.spark.sql.connect.service.SparkConnectServer"
    submit = ["org.apache.spark.deploy.SparkSubmit", "--class", server, "--master", "local[2]"]
    with java(*submit, *settings, "spark.ui.enabled=false", "spark-internal"):
        wait_for(port)
        yield {"type": "spark", "remote": f"sc://127.0.0.1:{port}"}


@contextmanager
def java(*arguments: str) -> Iterator[None]:
    """Run one of Spark's programs."""
    import pyspark

    program = Path(pyspark.__file__).parent / "bin" / "spark-class"
    log = Path(sys.argv[2]) / f"{arguments[0].rpartition('.')[2]}-{time.time_ns()}.log"
    with (
        log.open("w") as out,
        subprocess.Popen([str(program), *arguments], stdout=out, stderr=out) as process,
    ):
        try:
            yield
        finally:
            process.kill()


def wait_for(port: int) -> None:
    """Wait until a server listens."""
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nobody listens on {port}")


def main() -> None:
    """Ask both and print."""
    kind, folder = sys.argv[1], Path(sys.argv[2])
    prepare_java(folder)
    os.environ["SPARK_NO_DAEMONIZE"] = "1"
    write_history(folder)
    duckdb = open_offline_store({"type": "duckdb"}, folder)
    found = {"duckdb": [ask(duckdb, known_only=known) for known in (False, True)]}
    cluster = {"standalone": standalone, "connect": connect}[kind]
    with redis_protocol_server() as redis, cluster() as settings:
        found["duckdb"].append(loaded({"type": "duckdb"}, folder, redis))
        spark = open_offline_store(settings, folder)
        found["spark"] = [ask(spark, known_only=known) for known in (False, True)]
        found["spark"].append(loaded(settings, folder, redis))
        from pyspark.sql import SparkSession

        active = SparkSession.getActiveSession()
        assert active is not None
        active.stop()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
