"""Code locations load without warnings from us, contact nothing, and pass Dagster's own checks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dagster_support import PLATFORM, TEAM

LOCATION = """
import socket

def refuse(*_, **__):
    raise RuntimeError("the network was contacted")

socket.socket.connect = refuse

from feature_platform.dagster import *
from pathlib import Path
here = Path(__file__).parent
"""
PLATFORM_LOCATION = "defs = platform_definitions(here)\n"
TEAM_LOCATION = """
import dagster as dg
training = training_set_asset("risk_v1", repo=here, spine="SELECT 1")
defs = dg.Definitions.merge(team_definitions(here), dg.Definitions(assets=[training]))
"""


@pytest.mark.parametrize("owner", ["platform", "risk"])
def test_a_location_loads_without_beta_warnings_and_without_network(tmp_path: Path, owner) -> None:
    """The registry and the stores are at addresses where nobody answers."""
    text = PLATFORM if owner == "platform" else TEAM.format(team=owner)
    location = PLATFORM_LOCATION if owner == "platform" else TEAM_LOCATION
    (tmp_path / "objects.py").write_text(text)
    (tmp_path / "definitions.py").write_text(LOCATION + location)
    (tmp_path / "feature_store.yaml").write_text(
        f"project: shop\nteam: {owner}\nregistry: postgresql://u@127.0.0.1:1/db\n"
        "online_store: {type: redis, connection_string: '127.0.0.1:1'}\n"
    )
    dagster = Path(sys.executable).parent / "dagster"
    command = [sys.executable, "-W", "error::dagster.BetaWarning", dagster,
               "definitions", "validate", "-f", "definitions.py"]  # fmt: skip
    environment = {**os.environ, "DAGSTER_HOME": "", "PYTHONWARNINGS": "error::dagster.BetaWarning"}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "BetaWarning" not in done.stderr + done.stdout
