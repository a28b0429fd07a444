"""What a prompt or a notebook shows of the objects that users hold."""

from functools import partial
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
import rich.console
from tests_support import HOUR, NOON

from feature_platform import (
    Entity,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    RandomSplit,
    RepoConfig,
    progress,
)
from feature_platform.display import html_table, text_table
from feature_platform.offline.files import Location
from feature_platform.retrieval.datasets import save_rows
from feature_platform.types import Int64, String


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    config = RepoConfig(project="rides", team="platform", registry="r.db")
    opened = FeatureStore(tmp_path, config=config, clock=lambda: NOON)
    view = FeatureView(
        name="stats", entities=[Entity(name="id", value_type=Int64)], ttl=24 * HOUR,
        schema=[Field(name="trips", dtype=Int64), Field(name="note", dtype=String)],
        source=PushSource(name="push"),
    )  # fmt: skip
    opened.apply([view])
    return opened


def test_an_answer_is_a_small_table_with_statuses(store: FeatureStore) -> None:
    rows = [{"id": n, "event_timestamp": NOON, "trips": n, "note": "<b>&" * 30} for n in range(3)]
    old = {"id": 3, "event_timestamp": NOON - 48 * HOUR, "trips": 5}
    store.push("push", [*rows, old])
    answer = store.get_online_features(["stats"], {"id": list(range(5))})
    lines = repr(answer).splitlines()
    assert lines[0].split() == ["id", "trips", "note"]
    assert lines[4].split() == ["3", "OUTSIDE_MAX_AGE", "OUTSIDE_MAX_AGE"]
    assert lines[5].split() == ["4", "NOT_FOUND", "NOT_FOUND"]
    assert max(map(len, lines)) < 100
    html = answer._repr_html_()
    assert html.count("<tr>") == 6
    assert "<b>" not in html
    many = store.get_online_features(["stats"], {"id": list(range(1000))})
    assert len(repr(many).splitlines()) == 12
    assert "990" in repr(many).splitlines()[-1]


def test_a_plan_says_what_it_changes(store: FeatureStore) -> None:
    view = store.get_feature_view("stats")
    changed = view.model_copy(update={"description": "Trips", "schema": [
        *view.fields, Field(name="more", dtype=Int64)]})  # fmt: skip
    lines = repr(store.plan([changed])).splitlines()
    assert "'platform'" in lines[0]
    assert "'rides'" in lines[0]
    assert lines[1].split() == ["~", "feature", "view", "stats"]
    assert any("more" in line and "Int64" in line for line in lines)
    assert "No changes" in repr(store.plan([view]))
    assert "Int64" in store.plan([changed])._repr_html_()


def test_a_job_says_what_it_is_before_it_runs(tmp_path: Path) -> None:
    from test_nested_types import opened, table  # a store with history

    (tmp_path / "rows").mkdir()
    from pyarrow import parquet

    parquet.write_table(table(), tmp_path / "rows" / "a.parquet")
    store = opened(tmp_path, FileSource(path="rows"))
    job = store.get_historical_features(
        pd.DataFrame({"id": [1], "event_timestamp": [NOON]}), ["v:labels", "computed"]
    )
    for name in ("labels", "vehicle", "DuckDB", "version 1", "not run"):
        assert name in repr(job)
        assert name in job._repr_html_()
    assert job._repr_html_().count("<tr>") == 1 + 4
    assert len(job.to_arrow().schema) == 2 + 4  # also key and time
    assert "not run" not in repr(job)
    assert "not run" not in job._repr_html_()


def test_statistics_are_a_table(tmp_path: Path) -> None:
    names = [f"f{n}" for n in range(12)]
    rows = [{"id": n, "event_timestamp": NOON, **dict.fromkeys(names, n)} for n in range(4)]
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    config = RepoConfig(project="rides", team="platform", registry="r.db")
    store = FeatureStore(tmp_path, config=config, clock=lambda: NOON)
    store.apply([FeatureView(
        name="stats", entities=[Entity(name="id", value_type=Int64)],
        schema=[Field(name=name, dtype=Int64) for name in names],
        source=FileSource(name="rows", path="rows.parquet"),
    )])  # fmt: skip
    described = store.get_statistics("stats")
    assert described["f0"].max == 3
    lines = [line.split() for line in repr(described).splitlines()]
    assert [line[0] for line in lines] == ["feature", *names]
    assert lines[1] == ["f0", "4", "0", "4", "0", "1.5", "1.5", "3", "1.29099"]
    assert described._repr_html_().count("<tr>") == 13


def test_a_dataset_says_its_parts_and_columns(store: FeatureStore) -> None:
    rows = pd.DataFrame({"id": range(4), "note": "<b>"})
    folder = store.repo.path / "sets"
    manifest = {"name": "<set>", "registry_version": 7}
    html = save_rows(
        rows, Location.parse(folder, "x"), manifest, RandomSplit({"train": 0.5, "test": 0.5})
    )._repr_html_()
    for text in ("&lt;set&gt;", "version 7", "train", "test", "id", "int64"):
        assert text in html
    assert "<set>" not in html


def test_stores_and_snapshots_are_short(store: FeatureStore, tmp_path: Path) -> None:
    assert repr(store) == f"FeatureStore({str(tmp_path)!r}): 'platform' in 'rides'"
    assert repr(store.snapshot()) == "Snapshot(version=1, objects=3, projects=['rides'])"
    assert store.snapshot()._repr_html_().count("<tr>") == 4
    assert "r.db" in repr(store.registry)
    assert "version 1" in repr(store.registry)


def test_progress_has_a_line_for_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = StringIO()
    monkeypatch.setattr(rich.console, "Console", partial(rich.console.Console, file=screen))
    with progress() as tell:
        tell("a", 5)
    assert screen.getvalue() == ""  # nobody watches

    watched = partial(rich.console.Console, file=screen, force_terminal=True, width=80)
    monkeypatch.setattr(rich.console, "Console", watched)
    with progress() as tell:
        tell("[a]", 1000)
        tell("[a]", 2000)
        tell("reading")
    last = screen.getvalue()
    assert "[a]" in last
    assert "2,000 rows" in last
    assert "reading" in last


def test_tables_of_nothing() -> None:
    assert text_table(["a"], []) == "a"
    assert "<tbody></tbody>" in html_table(["a"], [])
