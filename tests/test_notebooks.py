"""What a prompt or a notebook shows of the objects that users hold."""

from pathlib import Path

import pandas as pd
import pytest
from tests_support import HOUR, NOON

from feature_platform import Entity, FeatureStore, FeatureView, Field, PushSource, RepoConfig
from feature_platform.retrieval.display import html_table, text_table
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


def test_a_job_says_what_it_is_before_it_runs(tmp_path: Path) -> None:
    from test_nested_types import opened, table  # a store with history

    from feature_platform import FileSource

    (tmp_path / "rows").mkdir()
    from pyarrow import parquet

    parquet.write_table(table(), tmp_path / "rows" / "a.parquet")
    store = opened(tmp_path, FileSource(path="rows"))
    job = store.get_historical_features(
        pd.DataFrame({"id": [1], "event_timestamp": [NOON]}), ["v:labels", "computed"]
    )
    for name in ("labels", "vehicle", "DuckDB", "version 1", "not run"):
        assert name in repr(job)
    job.to_arrow()
    assert "not run" not in repr(job)


def test_stores_and_snapshots_are_short(store: FeatureStore, tmp_path: Path) -> None:
    assert repr(store) == f"FeatureStore({str(tmp_path)!r}): 'platform' in 'rides'"
    assert repr(store.snapshot()) == "Snapshot(version=1, objects=3, projects=['rides'])"


def test_tables_of_nothing() -> None:
    assert text_table(["a"], []) == "a"
    assert "<tbody></tbody>" in html_table(["a"], [])
