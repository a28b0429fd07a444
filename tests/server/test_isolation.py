"""Functions of teams that a server computes: none stops, reads or starves another."""

import re
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from server.conftest import Served
from tests_support import NOON, raises

from feature_platform import FeatureStore
from feature_platform.errors import OverloadError, RequestError, TransformationError
from feature_platform.services import workers
from feature_platform.services.confinement import landlock_version

HEAD = """
import os, socket
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from time import sleep
from feature_platform import Field, OnDemandFeatureView, RequestSource
from feature_platform.types import Array, Bool, Bytes, Decimal as Dec, Float32, Float64, Int32
from feature_platform.types import Int64, String, UnixTimestamp

asked = RequestSource(name="asked", schema=[Field(name="text", dtype=String)])

@OnDemandFeatureView(sources=["weather:temp"], schema=[Field(name="double", dtype=Int64)])
def plain(inputs):
    return {"double": 2 * inputs["temp"]}
"""
TEXT = """
@OnDemandFeatureView(sources=[asked, "weather:temp"], schema=[Field(name="said", dtype=String)])
def talk(inputs):
    text = inputs["text"]
    CODE
"""
ROWS = {"city": [1, 2]}


def team(served: Served, name: str, code: str) -> Path:
    """Apply a team's folder as its team, and return it; the server names the folder."""
    folder = served.folder / name
    folder.mkdir()
    (folder / "feature_store.yaml").write_text(
        f"project: prod\nteam: {name}\nregistry: ../registry.db\n"
        "online_store: {type: sqlite, path: ../prod.db}\noffline_store: {type: duckdb, root: ..}\n"
    )
    (folder / f"{name}_views.py").write_text(code)
    FeatureStore(folder).apply(try_functions=False)
    return folder


@pytest.fixture
def hosting(folder: Path, prod: FeatureStore, start: Callable[..., Served]) -> Served:
    """A server that names the folders of two teams."""
    file = folder / "feature_store.yaml"
    file.write_text(file.read_text() + "repos: {growth: growth, risk: risk}\n")
    return start(folder)


def ask(served: Served, folder: Path, team: str = "growth") -> FeatureStore:
    return served.client(folder, team=team)


EVERY_TYPE = """
TYPES = {
    "i": Int32, "f": Float32, "d": Dec(20, 2), "t": UnixTimestamp, "s": String, "b": Bytes,
    "l": Array(Int64), "o": Bool,
}
ASKED = RequestSource(name="every", schema=[
    Field(name=name, dtype=dtype) for name, dtype in TYPES.items()
])
SCHEMA = [
    *(Field(name="o" + name, dtype=dtype) for name, dtype in TYPES.items()),
    Field(name="big", dtype=Int64),
]

@OnDemandFeatureView(sources=[ASKED, "weather"], schema=SCHEMA)
def by_row(row):
    made = {"o" + n: row[n] for n in "ifdtsblo"}
    return {**made, "big": None if row["i"] is None else row["temp"] and row["temp"] + row["i"]}

@OnDemandFeatureView(sources=[ASKED, "weather"], schema=SCHEMA, mode="python")
def by_column(columns):
    rows = [dict(zip(columns, row)) for row in zip(*columns.values())]
    made = [by_row.function(row) for row in rows]
    return {name: [row[name] for row in made] for name in made[0]}
"""
VALUES: dict[str, Any] = {
    "i": [2**31 - 1, None],
    "f": [0.1, None],
    "d": ["123456789012345678.91", None],
    "t": ["2026-01-01T00:00:00.000001Z", None],
    "s": ["é", None],
    "b": [b"\x00\xff", None],
    "l": [[1, None, 2**62], None],
    "o": [True, None],
}


@pytest.mark.parametrize("name", ["by_row", "by_column"])
def test_answers_are_those_of_functions_in_the_process(hosting, tmp_path, name: str) -> None:
    folder = team(hosting, "growth", HEAD + EVERY_TYPE)
    own, client = FeatureStore(folder), ask(hosting, tmp_path)
    asked = {**ROWS, **VALUES}
    local, remote = (each.get_online_features([name], asked) for each in (own, client))
    assert remote.to_dict() == local.to_dict()
    assert remote.to_arrow().equals(local.to_arrow())
    answer = local.to_arrow()
    columns = {name: answer["o" + name] for name in VALUES}  # in their declared types
    times = pa.array([NOON, NOON], pa.timestamp("us", "UTC"))
    rows = pa.table({"city": answer["city"], **columns, "event_timestamp": times})
    trained = [s.get_historical_features(rows, [name]).to_arrow() for s in (own, client)]
    assert trained[0].equals(trained[1])


def test_nothing_of_a_team_is_imported_by_the_server(hosting: Served, tmp_path: Path) -> None:
    """Nor of the team that asks: the server is nobody's process."""
    import sys

    team(hosting, "growth", HEAD)
    present = set(sys.modules)
    for owner in ("growth", "platform"):
        client = ask(hosting, tmp_path, owner)
        assert client.get_online_features(["plain"], ROWS).to_dict()["double"] == [4, 2**54 + 2]
        rows = pd.DataFrame({**ROWS, "event_timestamp": NOON})
        trained = client.get_historical_features(rows, ["plain"]).to_df()
        assert trained["double"].tolist() == [4, 2**54 + 2]
    assert "growth_views" not in set(sys.modules) - present


EVAL = TEXT.replace("CODE", "return {'said': str(eval(text))}")
THEFTS = {
    "the environment of the server": "Path(f'/proc/{os.getppid()}/environ').read_text()",
    "memory of the server": "open(f'/proc/{os.getppid()}/mem', 'rb')",
    "settings of the server": "Path(SERVER, 'feature_store.yaml').read_text()",
    "keys of the server": "Path(SERVER, 'keys.db').read_bytes()",
    "rows of others": "Path(SERVER, 'prod.db').read_bytes()",
    "a list of files": "os.listdir(SERVER)",
    "code of another team": "Path(SERVER, 'risk', 'risk_views.py').read_text()",
    "a file behind a link": (
        "(os.symlink(SERVER + '/keys.db', os.environ['HOME'] + '/link'), "
        "Path(os.environ['HOME'], 'link').read_bytes())"
    ),
    "a file read by Arrow's threads": (
        "__import__('pyarrow.parquet').parquet.read_table(SERVER + '/weather/a.parquet')"
    ),
    "its own files, for others": "Path(__file__).write_text('x')",
    "files of the system": "Path('/var/tmp/feature-platform-stolen').write_text('x')",
    "a connection": "socket.create_connection(('127.0.0.1', PORT), 5)",
    "a connection without TCP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "a socket of this machine": "socket.socket(socket.AF_UNIX)",
    "a signal": "os.kill(os.getppid(), 9)",
    "a process": "os.fork()",
    "another program": "__import__('subprocess').run(['true'])",
    "a session that outlives it": "os.setsid()",
    "the mode of a file": "os.chmod(SERVER + '/keys.db', 0o666)",
    "the owner of a file": "os.chown(SERVER + '/keys.db', 1, 1)",
    "the times of a file": "os.utime(SERVER + '/keys.db', (0, 0))",
    "an attribute of a file": "os.setxattr(SERVER + '/keys.db', 'user.x', b'1')",
    "a limit of the server": (
        "__import__('resource').prlimit(os.getppid(), 7, (20, 20))"  # open files
    ),
    "the cores of the server": "os.sched_setaffinity(os.getppid(), {0})",
    "the priority of the server": "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "memory that no limit counts": "__import__('mmap').mmap(-1, 1 << 20)",
    "a file that is memory": "os.memfd_create('x')",
    "the time": "__import__('time').clock_settime(0, 1e9)",
}


@pytest.mark.skipif(not landlock_version(), reason="this system has no Landlock")
def test_a_function_reads_nothing_of_the_server_or_of_others(
    hosting: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "hunter2")
    team(hosting, "risk", HEAD.replace("plain", "secret_plan"))
    team(hosting, "growth", HEAD + EVAL)
    client = ask(hosting, tmp_path)

    def said(text: str) -> str:
        text = text.replace("SERVER", repr(str(hosting.folder))).replace("PORT", str(hosting.port))
        asked = {"city": [1], "text": [text]}
        return client.get_online_features(["talk"], asked).to_dict()["said"][0]

    assert "hunter2" not in said("dict(os.environ)")
    assert "growth_views" in said("os.listdir(Path(__file__).parent)")
    assert said("Path(os.environ['HOME'], 'note').write_text('own')") == "3"
    assert (
        said("__import__('concurrent.futures').futures.ThreadPoolExecutor().submit(int).result()")
        == "0"
    )
    for what, text in THEFTS.items():
        caplog.clear()
        with pytest.raises(TransformationError):
            pytest.fail(f"{what}: {said(text)}")
        assert "PermissionError" in caplog.text, what


def test_a_function_that_ends_or_fails_is_its_teams_error(hosting: Served, tmp_path: Path) -> None:
    team(hosting, "growth", HEAD + EVAL)
    client = ask(hosting, tmp_path)
    for text in ("os._exit(1)", "1 / 0", "(_ for _ in ()).throw(SystemExit())", "'x' * (4 << 30)"):
        with raises(TransformationError, "'talk'", "'growth'"):
            client.get_online_features(["talk"], {"city": [1], "text": [text]})
    with raises(RequestError, "text"):
        client.get_online_features(["talk"], {"city": [1], "text": [5]})
    assert client.get_online_features(["plain"], ROWS).to_dict()["double"] == [4, 2**54 + 2]


def test_a_function_that_loops_delays_nobody_else(hosting: Served, tmp_path: Path) -> None:
    """Its team's requests are refused while its processes are at work; others' are answered."""
    loop = TEXT.replace("CODE", "while text: sleep(0.01)\n    return {'said': 'done'}")
    team(hosting, "growth", HEAD + loop + loop.replace("talk", "talk_more").replace("said", "more"))
    team(hosting, "risk", HEAD.replace("plain", "calm").replace("double", "twice"))
    client, other = ask(hosting, tmp_path), ask(hosting, tmp_path, "risk")
    other.get_online_features(["calm"], ROWS)  # its process has started
    failures: list[BaseException] = []
    slowest = 0.0
    is_over = threading.Event()

    def loop_for_ever(number: int) -> None:
        name = ("talk", "talk_more")[number % 2]
        try:
            stores[number].get_online_features([name], {"city": [1], "text": ["x"]})
        except (TransformationError, OverloadError) as error:
            failures.append(error)

    def others() -> float:
        longest, answers = 0.0, 0
        while not is_over.wait(0.02) or not answers:
            started = time.monotonic()
            answer = other.get_online_features(["calm"], ROWS).to_dict()
            assert answer["twice"] == [4, 2**54 + 2]
            longest, answers = max(longest, time.monotonic() - started), answers + 1
        assert answers > 20
        return longest

    stores = [ask(hosting, tmp_path) for _ in range(24)]
    with ThreadPoolExecutor(25) as threads:
        watching = threads.submit(others)
        list(threads.map(loop_for_ever, range(24)))
        is_over.set()
        slowest = watching.result()
    assert len(failures) == 24
    assert slowest < workers.REQUEST_SECONDS
    with raises(TransformationError, "'talk'", "before"):  # it is not tried again
        client.get_online_features(["talk"], {"city": [1], "text": ["x"]})
    assert client.get_online_features(["plain"], ROWS).to_dict()["double"] == [4, 2**54 + 2]


def test_a_server_starts_although_no_process_of_a_team_does(
    hosting: Served,
    tmp_path: Path,
    start: Callable[..., Served],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    team(hosting, "growth", HEAD)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/bin/false")  # what starts ends at once
        again = start(hosting.folder)
        assert "'growth'" in caplog.text
        with raises(TransformationError, "'plain'", "ended"):
            ask(again, tmp_path).get_online_features(["plain"], {"city": [1]})
    answer = ask(again, tmp_path).get_online_features(["plain"], {"city": [1]}).to_dict()
    assert answer["double"] == [4]


def _without_ids(error: Exception, view: str) -> str:
    """Return a message without the id of the request, which it must have, and the view's name."""
    message, ids = re.subn("[0-9a-f]{16}", "", str(error))
    assert ids == 1
    return message.replace(repr(view), "")


SHARED = (
    HEAD
    + """
per = RequestSource(name="per", schema=[Field(name="per", dtype=Int64)])

@OnDemandFeatureView(sources=[per, "weather:temp"], schema=[Field(name="score", dtype=Float64)])
def score(inputs):
    return {"score": inputs["temp"] / inputs["per"]}

@OnDemandFeatureView(sources=[per, "weather:temp"], schema=[Field(name="odd", dtype=Int64)])
def odd(inputs):
    return {"odd": str(inputs["temp"]) + "?"}

@OnDemandFeatureView(sources=[per, "weather:temp"], schema=[Field(name="few", dtype=Int64)],
                     mode="python")
def few(inputs):
    return {"few": [f"{value} of few" for value in inputs["temp"]]}
"""
)


@pytest.mark.parametrize("view", ["score", "odd", "few"])
def test_a_failing_function_tells_readers_of_its_outputs_no_inputs(
    hosting: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture, view: str
) -> None:
    """The reader chooses what makes it fail; the reason is in the server's log."""
    folder = team(hosting, "growth", SHARED)
    FeatureStore(hosting.folder).sharing.share("dev", [view])
    dev = hosting.client(tmp_path, "dev", "growth")
    hosting.client(tmp_path, "dev", "platform").sharing.accept("prod")
    with pytest.raises(TransformationError) as error:
        dev.get_online_features([f"prod/{view}"], {"city": [1], "per": [0]})
    message = _without_ids(error.value, view)
    assert not [t for t in ("2", "?", "few", "temp", str(folder)) if t in message]
    assert "city=1" in caplog.text
    rows = [{"city": 1, "per": 0, "event_timestamp": NOON}]
    with pytest.raises(TransformationError) as error:
        dev.get_historical_features(rows, [f"prod/{view}"]).to_arrow()
    assert message == _without_ids(error.value, view)
