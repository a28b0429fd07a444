"""Code of on-demand views: imported from its owner's repo, and only as it was registered."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent

import pandas as pd
import pytest
from tests_support import HOUR, NOON, assert_names, raises

from feature_platform import FeatureStore, Field, OnDemandFeatureView
from feature_platform.definitions import Code, fingerprint
from feature_platform.errors import DefinitionError, TransformationError
from feature_platform.governance import plan
from feature_platform.project import ProjectSnapshot
from feature_platform.types import Int64

VIEWS = """
from feature_platform import Field, OnDemandFeatureView
from feature_platform.types import Float64

FACTOR = 2

@OnDemandFeatureView(sources=["driver_stats:trips"], schema=[Field(name="y", dtype=Float64)])
def risk_factor(inputs):
    return {"y": inputs["trips"] * FACTOR}
"""


@pytest.fixture
def store(platform: FeatureStore) -> FeatureStore:
    platform.materialize(NOON - 3 * HOUR, NOON)
    return platform


def write_team(folder: Path, views: str = VIEWS) -> Path:
    repo = folder / "risk"
    repo.mkdir(exist_ok=True)
    (repo / "feature_store.yaml").write_text(
        "project: shop\nteam: risk\nregistry: ../registry.db\n"
        "online_store: {type: sqlite, path: ../online.db}\n"
        "offline_store: {type: duckdb, root: ..}\n"
    )
    (repo / "on_demand_views.py").write_text(views)
    return repo


def test_another_process_imports_the_code_from_the_owners_repo(store, tmp_path: Path) -> None:
    repo = write_team(tmp_path)
    FeatureStore(repo).apply(try_functions=False)

    fresh = FeatureStore(repo, clock=lambda: NOON)
    answer = fresh.get_online_features(["risk_factor"], [{"driver_id": 1}])
    assert answer.to_dict()["y"] == [22.0]


def test_code_that_is_not_what_was_registered_is_not_run(store, tmp_path: Path) -> None:
    repo = write_team(tmp_path)
    FeatureStore(repo).apply(try_functions=False)
    write_team(tmp_path, VIEWS.replace("FACTOR = 2", "FACTOR = 3"))

    fresh = FeatureStore(repo, clock=lambda: NOON)
    with raises(TransformationError, "on_demand_views:risk_factor", "'risk'") as error:
        fresh.get_online_features(["risk_factor"], [{"driver_id": 1}])
    assert "repos" not in str(error.value)  # it was not looked for in vain


def test_code_of_another_repo_is_asked_for_by_name(store, tmp_path: Path, open_store) -> None:
    FeatureStore(write_team(tmp_path)).apply(try_functions=False)

    with raises(TransformationError, "'risk_factor'", "'risk'", "repos: {risk: ../risk}"):
        open_store().get_online_features(["risk_factor"], [{"driver_id": 1}])


def test_code_of_another_repo_is_found_where_the_settings_say(store, tmp_path: Path) -> None:
    """Both repos have a module of the same name, as repos made from one template do."""
    FeatureStore(write_team(tmp_path)).apply(try_functions=False)
    growth = tmp_path / "growth"
    growth.mkdir()
    settings = (tmp_path / "risk" / "feature_store.yaml").read_text()
    (growth / "feature_store.yaml").write_text(
        settings.replace("team: risk", "team: growth\nrepos: {risk: ../risk}")
    )
    (growth / "on_demand_views.py").write_text("FACTOR = 1\n")

    mine = FeatureStore(growth, clock=lambda: NOON)
    answer = mine.get_online_features(["risk_factor"], [{"driver_id": 1}])
    assert answer.to_dict()["y"] == [22.0]


def test_many_threads_may_need_the_code_at_once(store, tmp_path: Path) -> None:
    repo = write_team(tmp_path)
    FeatureStore(repo).apply(try_functions=False)
    fresh = FeatureStore(repo, clock=lambda: NOON)

    def ask(_: int) -> list[float]:
        return fresh.get_online_features(["risk_factor"], [{"driver_id": 1}]).to_dict()["y"]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, range(64))) == [[22.0]] * 64


def test_listing_and_planning_never_run_code(store, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    bomb = VIEWS.replace(
        "FACTOR = 2", f"FACTOR = 2\nimport pathlib\npathlib.Path({str(marker)!r}).touch()"
    )
    FeatureStore(write_team(tmp_path, bomb)).apply(try_functions=False)
    marker.unlink()

    store.list_on_demand_feature_views()
    store.plan([], partial=False)
    store.get_on_demand_feature_view("risk_factor")
    assert not marker.exists()


def test_a_module_that_no_longer_imports_is_named(store, tmp_path: Path) -> None:
    repo = write_team(tmp_path)
    FeatureStore(repo).apply(try_functions=False)
    write_team(tmp_path, VIEWS + "1 / 0\n")

    with raises(TransformationError, "'risk_factor'", "'on_demand_views'", "ZeroDivisionError"):
        FeatureStore(repo, clock=lambda: NOON).get_online_features(
            ["risk_factor"], [{"driver_id": 1}]
        )


def a_view(module: str, function: str, sha256: str = "0" * 64) -> OnDemandFeatureView:
    """Return a view whose code is named by hand."""
    return OnDemandFeatureView(
        name="risk_run",
        sources=["driver_stats:trips"],
        schema=[Field(name="o", dtype=Int64)],
        code=Code(module=module, qualname=function, sha256=sha256),
        write_to_online_store=True,
    )


def write_by_hand(store: FeatureStore, view: OnDemandFeatureView) -> None:
    """Commit a view as somebody with access to the registry can, without `apply`."""
    made = plan(ProjectSnapshot(store.registry.snapshot(), "shop"), owner="risk", desired=[view])
    store.registry.commit(made, principal="risk")


# `this` prints when it is imported; `run_nobody` is on the path of whoever serves.
FOREIGN = {
    "the standard library": ("colorsys", "rgb_to_hsv"),
    "a module that acts when imported": ("this", "s"),
    "an installed package": ("yaml", "unsafe_load"),
    "this package": ("feature_platform.store", "FeatureStore.teardown"),
    "a module on the path": ("run_nobody", "main"),
    "a module of the folder that imports it": ("helpers", "subprocess.run"),
    "a name that another module defines": ("helpers", "call"),
    "a link out of the folder": ("linked", "main"),
    "a path": ("..platform.defs", "main"),
    "a running script": ("__main__", "main"),
    "builtins": ("builtins", "eval"),
}


@pytest.fixture
def victim(store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the platform's folder, which has named the team's folder."""
    repo = write_team(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    marker = f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
    (outside / "run_nobody.py").write_text(f"{marker}def main(row):\n    return row\n")
    (repo / "helpers.py").write_text("import subprocess\nfrom subprocess import call\n")
    (repo / "linked.py").symlink_to(outside / "run_nobody.py")
    monkeypatch.syspath_prepend(str(outside))
    (tmp_path / "feature_store.yaml").write_text(
        "project: shop\nregistry: registry.db\nrepos: {risk: risk}\n"
        "online_store: {type: sqlite, path: online.db}\n"
    )
    return tmp_path


@pytest.mark.parametrize(("module", "function"), FOREIGN.values(), ids=FOREIGN)
def test_no_function_comes_from_outside_its_owners_folder(
    victim: Path, module: str, function: str
) -> None:
    mine = FeatureStore(victim, clock=lambda: NOON)
    write_by_hand(mine, a_view(module, function, sha_of(module, function)))
    loaded = set(sys.modules)

    with raises(TransformationError, "'risk_run'"):
        mine.get_online_features(["risk_run"], [{"driver_id": 1}])
    mine.materialize(NOON - 3 * HOUR, NOON, ["driver_stats"])
    asked = pd.DataFrame({"driver_id": [1], "event_timestamp": NOON})
    with raises(TransformationError, "'risk_run'"):
        mine.get_historical_features(asked, ["risk_run"]).to_arrow()
    assert not (victim / "ran").exists()
    assert {"this", "run_nobody", "linked"}.isdisjoint(set(sys.modules) - loaded)


@pytest.mark.parametrize(("module", "function"), FOREIGN.values(), ids=FOREIGN)
def test_a_team_cannot_apply_code_that_is_not_in_its_folder(
    victim: Path, module: str, function: str
) -> None:
    team = FeatureStore(victim / "risk")

    with raises(DefinitionError, "risk_run", f"{module}:{function}"):
        team.apply([a_view(module, function, sha_of(module, function))])
    assert not (victim / "ran").exists()


def sha_of(module: str, function: str) -> str:
    """Return the fingerprint that an attacker would write: the real one, if there is one."""
    value: object = sys.modules.get(module)
    for part in function.split("."):
        value = getattr(value, part, None)
    try:
        return fingerprint(value)
    except (AttributeError, TypeError, OSError):
        return "0" * 64


def test_a_team_may_name_its_own_function_by_hand(victim: Path) -> None:
    team = FeatureStore(victim / "risk", clock=lambda: NOON)
    FeatureStore(victim / "risk").apply(try_functions=False)
    registered = team.get_on_demand_feature_view("risk_factor")

    assert registered.function is None
    assert team.apply([registered]) is None
    again = registered.model_copy(update={"name": "risk_again"})
    assert team.apply([again])
    assert team.get_online_features(["risk_again"], [{"driver_id": 1}]).to_dict()["y"] == [22.0]


def test_code_may_come_from_a_package_that_the_settings_name(store, tmp_path: Path) -> None:
    """The team publishes its repo as a distribution; a model server has no folder of it."""
    repo = write_team(tmp_path, VIEWS.replace("FACTOR = 2", "import pandas\nFACTOR = 2"))
    FeatureStore(repo).apply(try_functions=False)
    site = tmp_path / "site"
    information = site / "risk_features-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: risk-features\nVersion: 1.0\n"
    )
    (information / "RECORD").write_text(
        "on_demand_views.py,,\nrisk_features-1.0.dist-info/RECORD,,\n"
    )
    (site / "on_demand_views.py").write_text((repo / "on_demand_views.py").read_text())
    server = tmp_path / "server"
    server.mkdir()
    settings = (repo / "feature_store.yaml").read_text()

    def serve(place: str) -> str:
        (server / "feature_store.yaml").write_text(
            settings.replace("team: risk", f"team: growth\nrepos: {{risk: '{place}'}}")
        )
        program = f"""
            from datetime import datetime
            from feature_platform import FeatureStore
            noon = datetime.fromisoformat({NOON.isoformat()!r})
            store = FeatureStore({str(server)!r}, clock=lambda: noon)
            print(store.get_online_features(["risk_factor"], [{{"driver_id": 1}}]).to_dict()["y"])
        """
        path = os.pathsep.join([str(site), *sys.path])
        done = subprocess.run(
            [sys.executable, "-c", dedent(program)],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    assert serve("package:risk-features").strip() == "[22.0]"
    assert "ConfigError" in serve("package:nothing-of-this-name")
    assert "TransformationError" in serve("package:pandas")


def test_a_package_elsewhere_does_not_stand_in_for_a_folder(victim: Path) -> None:
    """A regular package on the path comes before a folder without `__init__.py`."""
    repo, outside = victim / "risk", victim / "outside"
    view = VIEWS.replace("risk_factor", "risk_nested")
    (repo / "linked.py").unlink()  # its own team may import it
    (repo / "feats").mkdir()
    (repo / "feats" / "a.py").write_text(view)
    FeatureStore(repo).apply(try_functions=False)
    mine = FeatureStore(victim, clock=lambda: NOON)
    asked = ["risk_nested"], [{"driver_id": 1}]
    assert mine.get_online_features(*asked).to_dict()["y"] == [22.0]

    (outside / "feats").mkdir()
    for name in ("__init__.py", "a.py"):
        (outside / "feats" / name).write_text((outside / "run_nobody.py").read_text() + view)
    with raises(TransformationError, "'risk_nested'"):
        FeatureStore(victim, clock=lambda: NOON).get_online_features(*asked)
    assert not (victim / "ran").exists()


HOSTILE = {
    "an exception that is no Exception": "class Odd(BaseException): pass\n",
    "an exception without text": (
        "class Odd(Exception):\n    def __str__(self):\n        raise RuntimeError\n"
    ),
    "memory": "class Odd(MemoryError): pass\n",
    "recursion": "class Odd(RecursionError): pass\n",
    "an exit": "class Odd(SystemExit): pass\n",
}
GREEDY = {
    "an endless loop": ("while True: pass", "seconds"),
    "all memory": ("return {'y': [bytearray(4 * 2**30)]}", "MemoryError"),
    "a process that ends": ("import os; os._exit(0)", "process"),
    "an answer of another request": (
        "import os, sys; os.write(int(sys.argv[1]), bytes(7) + bytes([1]) + b'x' * 16 + b'T')",
        "reply",
    ),
    "half an answer": (
        "import os, sys, time; os.write(int(sys.argv[1]), b'half'); time.sleep(30)",
        "seconds",
    ),
    "a process that prints": ("print('printed'); raise ValueError('odd')", "odd"),
}


@pytest.mark.parametrize("code", HOSTILE.values(), ids=HOSTILE)
def test_code_of_a_team_that_fails_stops_no_rows(victim: Path, code: str) -> None:
    repo = victim / "risk"
    failing = (
        VIEWS.replace("FACTOR = 2", f"FACTOR = 2\n{code}")
        .replace('return {"y": inputs["trips"] * FACTOR}', "raise Odd()")
        .replace("sources=", "write_to_online_store=True, sources=")
    )
    (repo / "on_demand_views.py").write_text(failing)
    FeatureStore(repo).apply(try_functions=False)

    mine = FeatureStore(victim, clock=lambda: NOON)
    assert mine.materialize(NOON - 3 * HOUR, NOON, ["driver_stats"]) == {"driver_stats": 2}
    with raises(TransformationError, "'risk_factor'", "'risk'", "Odd"):
        mine.get_online_features(["risk_factor"], [{"driver_id": 1}])


@pytest.mark.parametrize(("code", "reason"), GREEDY.values(), ids=GREEDY)
def test_code_of_a_team_runs_beside_rows_in_a_process_of_its_own(
    victim: Path, monkeypatch: pytest.MonkeyPatch, caplog, capfd, code: str, reason: str
) -> None:
    monkeypatch.setattr("feature_platform.services.workers.BATCH_SECONDS", 4.0)
    views = VIEWS.replace("sources=", "write_to_online_store=True, sources=")
    both = views + views.partition("FACTOR = 2\n")[2].replace("risk_factor", "risk_good")
    greedy = 'return {"y": inputs["trips"] * FACTOR}'
    (victim / "risk" / "on_demand_views.py").write_text(both.replace(greedy, code, 1))
    FeatureStore(victim / "risk").apply(try_functions=False)
    present = set(sys.modules)

    with FeatureStore(victim, clock=lambda: NOON) as mine:
        assert mine.materialize(NOON - 3 * HOUR, NOON, ["driver_stats"]) == {"driver_stats": 2}
        [warning] = [r.getMessage() for r in caplog.records if "precomputed" in r.getMessage()]
        assert_names(warning, "'risk_factor'", "'risk'", reason)
        assert not {"on_demand_views"} & (set(sys.modules) - present)
        if reason == "seconds":  # not tried again: every push would wait for it
            processes = mine.stores.workers.get()._processes["risk"]
            assert len(processes._too_slow) == 1
            monkeypatch.setattr("feature_platform.services.workers.BATCH_SECONDS", 600.0)
            assert mine.materialize(NOON - 3 * HOUR, NOON, ["driver_stats"]) == {"driver_stats": 2}
        assert mine.get_online_features(["risk_good"], [{"driver_id": 1}]).to_dict()["y"] == [22.0]
    assert "printed" not in capfd.readouterr().out


def test_a_forked_copy_does_not_end_the_process_of_its_parent(victim: Path) -> None:
    views = VIEWS.replace("sources=", "write_to_online_store=True, sources=")
    (victim / "risk" / "on_demand_views.py").write_text(views)
    FeatureStore(victim / "risk").apply(try_functions=False)
    with FeatureStore(victim, clock=lambda: NOON) as mine:
        mine.materialize(NOON - 3 * HOUR, NOON, ["driver_stats"])
        [worker] = mine.stores.workers.get()._processes["risk"]._idle
        connection = worker._socket
        if (child := os.fork()) == 0:
            worker.stop()
            os._exit(0)
        os.waitpid(child, 0)
        assert mine.materialize(NOON - 3 * HOUR, NOON, ["driver_stats"]) == {"driver_stats": 2}
        assert worker._socket is connection  # it was not started again
