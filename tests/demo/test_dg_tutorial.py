"""The tutorial of a `dg` project: its commands are run as they are written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from feature_platform import FeatureStore

PAGE = Path(__file__).parents[2] / "docs" / "dg_tutorial.md"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_commands_of_the_tutorial_work(tmp_path: Path) -> None:
    commands = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(commands) < 10
    bin_folder = Path(sys.executable).parent
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "VIRTUAL_ENV": str(bin_folder.parent),
        "DAGSTER_HOME": str(home),
    }
    script = "\n".join(["set -eu", *commands])
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, env=environment,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    assert "feature_platform.dagster.TeamRepoComponent" in done.stdout
    store = FeatureStore(tmp_path / "shop" / "shop" / "defs" / "growth")
    assert [s.name for s in store.list_feature_services()] == ["growth_model_v1"]
    answer = store.get_online_features(
        "growth_model_v1", [{"driver_id": 1, "trips_planned": 8}]
    ).to_dict()
    assert answer["growth_load"][0] is not None
