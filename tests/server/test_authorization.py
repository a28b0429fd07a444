"""The matrix of `project/test_access.py` again, as requests: who may read and write what, by key.

Each state of a share is a project of its own, so that one server answers all cells.
"""

import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from project.test_access import COVERAGES, OBJECTS, STATES, Cell
from server.conftest import Served
from server.test_keys import post

from feature_platform import FeatureStore, PushSource, RepoConfig
from feature_platform.definitions import Acceptance, Share

RIGHTS = ("read", "write")
REGISTRIES = list(itertools.product(STATES, RIGHTS, COVERAGES))
# Kind → the path that reads or writes it, and what the request names.
READS = {
    "feature view": "v:x", "other view": "w:x", "stream view": "s:x", "on-demand view": "d:z",
    "service of x": "sx", "service of v": "sv", "service of w": "sw",
}  # fmt: skip
WRITES = {"feature view": "v", "other view": "w", "stream view": "s", "push source": "push"}
REMOTE = {"type": "remote"}


def _project(parts: tuple[str, str, str]) -> str:
    return f"owner_{REGISTRIES.index(parts)}"


def _settings(project: str, folder: Path) -> RepoConfig:
    return RepoConfig(
        project=project, team="platform", registry=str(folder / "registry.db"),
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
    )  # fmt: skip


@pytest.fixture
def matrix(tmp_path: Path, start: Callable[..., Served]) -> Served:
    """A server of a project for every state of a share, of its reader and of a third project."""
    now = datetime.now(UTC)
    earlier = now - timedelta(days=5)
    columns = {"k": [1], "x": [1], "y": [1], "event_timestamp": [earlier]}
    pd.DataFrame(columns).to_parquet(tmp_path / "h.parquet")
    days = {"expired": now.date() - timedelta(days=1), "last day": now.date() + timedelta(days=1)}
    objects = [
        OBJECTS[kind]
        for kind in ("entity", "source", "push source", "stream source", *READS)
        if kind in OBJECTS
    ]
    answers = []
    for parts in REGISTRIES:
        state, right, coverage = parts
        project = _project(parts)
        share = Share(
            to="reader",
            views=COVERAGES[coverage],
            access=right,
            until=days.get(state),  # type: ignore[arg-type]
        )
        is_shared = state not in {"none", "requested"}
        with FeatureStore(
            tmp_path, config=_settings(project, tmp_path), clock=lambda: earlier
        ) as store:
            store.apply([*objects, *([share] if is_shared else [])])
            if state == "revoked":
                store.sharing.revoke("reader")
        if state not in {"none", "pending"}:
            answers.append(Acceptance(of=project, accepted=state != "rejected"))
    with FeatureStore(tmp_path, config=_settings("reader", tmp_path)) as store:
        store.apply(answers)
    projects = [*map(_project, REGISTRIES), "reader", "third"]
    content = {
        "project": "reader", "team": "platform", "registry": "registry.db",
        "online_store": {"type": "sqlite", "path": "online.db"},
        "projects": {
            name: {"online_store": {"type": "sqlite", "path": "online.db"}}
            for name in projects if name != "reader"
        },
        "server": {"keys": "keys.db"},
    }  # fmt: skip
    (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(content))
    return start(tmp_path)


def cells() -> list[Cell]:
    axes = (RIGHTS, COVERAGES, ("owner", "reader", "third"), ("platform", "none"))
    return [
        Cell(kind, action, state, *rest)
        for action, kinds in (("read", READS), ("write", WRITES))
        for kind, state, *rest in itertools.product(kinds, STATES, *axes)
    ]


def _request(cell: Cell) -> tuple[str, dict[str, Any]]:
    """Return the path and the content of a request."""
    owner = _project((cell.state, cell.right, cell.coverage))
    prefix = "" if cell.reader == "owner" else f"{owner}/"
    now = datetime.now(UTC).isoformat()
    if cell.action == "read":
        name = f"{prefix}{READS[cell.kind]}"
        features = name if cell.kind.startswith("service") else [name]
        return "/v1/online-features", {"features": features, "entities": {"k": [1]}}
    name = f"{prefix}{WRITES[cell.kind]}"
    rows = {"x": [1], "y": [1], "event_timestamp": [now]}
    if cell.kind != "other view":
        rows["k"] = [1]
    if cell.kind == "push source":
        return "/push", {"push_source_name": name, "to": "online", "df": rows}
    return "/write-to-online-store", {"feature_view_name": name, "df": rows}


@pytest.mark.slow
def test_every_cell_over_http(matrix: Served) -> None:
    projects = [*map(_project, REGISTRIES), "reader", "third"]
    keys = {
        role: matrix.keys.create(role, projects, ["features:read", "features:write"])[1]
        for role in ("platform", "none")
    }

    def ask(cell: Cell) -> tuple[Cell, int, str]:
        path, content = _request(cell)
        owner = _project((cell.state, cell.right, cell.coverage))
        caller = owner if cell.reader == "owner" else cell.reader
        answer = post(matrix, path, content, keys[cell.role], **{"X-Feature-Project": caller})
        return cell, answer.status, answer.data.decode()

    asked = cells()
    assert len(asked) > 2000
    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(ask, asked))
    # A refusal says why, and never that something broke.
    wrong = [
        (cell, status, text)
        for cell, status, text in outcomes
        if (status == 200) != cell.expected
        or (status != 200 and (status not in {400, 403, 404} or not json.loads(text)["message"]))
    ]
    assert wrong == []
    assert isinstance(OBJECTS["push source"], PushSource)
    assert {cell.expected for cell in asked} == {True, False}
