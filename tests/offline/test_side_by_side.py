"""One training set over the stores of two projects, checked against plain Python."""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import newest_known
from tests_support import raises

from feature_platform.errors import StoreError
from feature_platform.offline import OfflineStore
from feature_platform.retrieval.backends import point_in_time
from feature_platform.retrieval.side_by_side import SideBySideQuery
from feature_platform.table import ViewRead
from offline.conftest import ON_SPARK
from offline.engines import Engine, Files, Snowflake, Spark
from offline.test_contract import FULL, HISTORY, SPINE, Rows, histories, read, spines, ttls

ANSWERED: Counter[str] = Counter()


class TwoProjects:
    """The stores of two projects, without functions."""

    def __init__(self, dev: Engine, prod: Engine) -> None:
        self.engines = {"dev": dev, "prod": prod}

    def offline_of(self, project: str) -> OfflineStore:
        return self.engines[project].store

    online_of = step_of = None

    def read(self, project: str, history: Rows, keys: list[str], ttl: Any) -> ViewRead:
        location = self.engines[project].table(project, pa.Table.from_pylist(history, HISTORY))
        listed = read(project, location, keys, ttl)
        table = {**vars(listed.table), "project": project}
        names = {"project", "name", "keys", "features", "ttl", "source"}
        made = type(listed.table)(**{name: table[name] for name in names})
        return ViewRead(project, made, ("value",), {key: key for key in keys})


@pytest.fixture(params=["duckdb", ON_SPARK, "snowflake"])
def projects(request: pytest.FixtureRequest, tmp_path: Path) -> TwoProjects:
    """`dev` on DuckDB, and `prod` on each engine."""
    (tmp_path / "prod").mkdir()
    if request.param == "snowflake":
        prod: Engine = Snowflake(request.getfixturevalue("snowflake"))
    elif request.param == "spark":
        prod = Spark(tmp_path / "prod", request.getfixturevalue("spark"))
    else:
        prod = Files(tmp_path / "prod")
    return TwoProjects(Files(tmp_path), prod)


def test_the_join_over_two_stores_is_what_plain_python_says(projects: TwoProjects) -> None:
    """One query answers many cases that share nothing: the case is part of the key."""
    prod = projects.engines["prod"]
    cases, at_once = (700 if FULL else min(prod.some, 40)), 20

    @settings(max_examples=-(-cases // at_once))
    @given(data=st.data(), ttl=ttls, other_ttl=ttls, known_only=st.booleans())
    def check(data: Any, ttl: Any, other_ttl: Any, known_only: bool) -> None:
        histories_of: dict[str, Rows] = {"dev": [], "prod": []}
        spine: Rows = []
        expected: dict[str, list[Any]] = {"dev": [], "prod": []}
        ways = {"dev": (["a"], ttl), "prod": (["a", "b"], other_ttl)}
        for case in range(at_once):
            pasts = {project: data.draw(histories) for project in ways}
            for project, past in pasts.items():
                histories_of[project] += [{"case": case, **row} for row in past]
            for question in data.draw(spines):
                spine.append({"row": len(spine), "case": case, **question})
                for project, (keys, limit) in ways.items():
                    row = newest_known(question, pasts[project], keys, limit, known_only=known_only)
                    expected[project].append(row and row["value"])
        reads = [
            projects.read(project, histories_of[project], ["case", *keys], limit)
            for project, (keys, limit) in ways.items()
        ]
        rows = pa.Table.from_pylist(spine, schema=SPINE)
        query = point_in_time(projects, "dev", rows, reads, known_only=known_only)  # type: ignore[arg-type]
        answer = query.reader().read_all()
        assert answer["row"].to_pylist() == list(range(len(spine)))
        assert {p: answer[f"{p}:value"].to_pylist() for p in ways} == expected
        ANSWERED[type(prod).__name__] += at_once

    check()


def test_the_sizes_of_batches_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "prod").mkdir()
    projects = TwoProjects(Files(tmp_path), Files(tmp_path / "prod"))
    at = HISTORY.field("event_timestamp").type
    size = 300_000
    keys, times = pa.array(range(size)), pa.array([0] * size, pa.int64()).cast(at)
    history = pa.table({"case": keys, "a": keys, "b": pa.nulls(size, pa.string()),
                        "event_timestamp": times, "created": times, "value": keys})  # fmt: skip
    reads = [projects.read(project, [], ["a"], None) for project in ("dev", "prod")]
    for project in ("dev", "prod"):
        projects.engines[project].table(project, history)
    spine = pa.table({"a": keys, "event_timestamp": times})
    query = point_in_time(projects, "dev", spine, reads)  # type: ignore[arg-type]
    answer = query.reader().read_all()
    for project in ("dev", "prod"):
        assert answer[f"{project}:value"].combine_chunks().equals(keys)


def test_a_reader_that_is_left_ends_the_queries(projects: TwoProjects) -> None:
    history = [{"case": 0, "a": 1, "b": "x", "event_timestamp": None, "created": None, "value": 1}]
    reads = [projects.read(p, history, ["a"], timedelta(days=1)) for p in ("dev", "prod")]
    spine = pa.Table.from_pylist([{"row": 0, "a": 1}], schema=SPINE)
    reader = point_in_time(projects, "dev", spine, reads).reader()  # type: ignore[arg-type]
    reader.close()
    assert reader.schema.names[-2:] == ["dev:value", "prod:value"]


class Answers:
    """An offline store that answers with batches of some sizes, or cannot."""

    def __init__(self, sizes: list[int] | None) -> None:
        self.sizes = sizes
        self.is_closed = False

    def point_in_time(self, rows: Any, reads: Any, **_: Any) -> Any:
        return self

    def reader(self, _: Any) -> pa.RecordBatchReader:
        if self.sizes is None:
            raise StoreError("it is away")
        schema = pa.schema([("x", pa.int64())])
        batches = [pa.record_batch([pa.array(range(n), pa.int64())], schema) for n in self.sizes]
        reader = pa.RecordBatchReader.from_batches(schema, iter(batches))
        return _Closing(reader, self)


class _Closing:
    def __init__(self, reader: pa.RecordBatchReader, store: Answers) -> None:
        self.reader, self.store, self.schema = reader, store, reader.schema

    def __next__(self) -> pa.RecordBatch:
        return next(self.reader)

    def close(self) -> None:
        self.store.is_closed = True


@pytest.mark.parametrize("other", [[2, 0], [0, 0], [], [2, 2, 0, 1], [5], None])
def test_stores_that_answer_otherwise_are_an_error(other: list[int] | None) -> None:
    """A row that one of the stores does not answer is never dropped in silence."""
    stores = Answers([3, 0, 1]), Answers(other)
    parts: Any = [(store, []) for store in stores]
    query = SideBySideQuery(parts[0][0], pa.table({"x": [1]}), parts, known_only=False)
    with raises(StoreError, "away" if other is None else "numbers of rows"):
        list(query.reader())
    assert stores[0].is_closed
    assert stores[1].is_closed or other is None
    parts = [(Answers(sizes), []) for sizes in ([3, 0, 1], [1, 3])]
    query = SideBySideQuery(parts[0][0], pa.table({"x": [1]}), parts, known_only=False)
    assert query.reader().read_all()["x"].to_pylist() == [0, 1, 2, 0]
