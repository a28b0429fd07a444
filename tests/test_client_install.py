"""The slim distribution serves features without Dagster, DuckDB, pandas or boto3."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
MAX_MEGABYTES = 250
ABSENT = ("dagster", "duckdb", "pandas", "boto3", "sqlglot", "click")

SERVE = """
import importlib.util, json, sys
from datetime import UTC, datetime
import pyarrow as pa
from feature_platform import (
    Entity, FeatureStore, FeatureView, Field, OnDemandFeatureView,
    PushSource, RepoConfig,
)
from feature_platform.errors import DefinitionError
from feature_platform.types import Int64

def double(inputs):
    return {"twice": inputs["x"] * 2}

x, y = Field(name="x", dtype=Int64), Field(name="y", dtype=Int64)
entity = Entity(name="e", join_keys=["k"], value_type=Int64)
view = FeatureView(name="v", entities=[entity], schema=[x], source=PushSource(name="pushed"))
computed = OnDemandFeatureView(
    name="o", sources=[view], udf=double, schema=[Field(name="twice", dtype=Int64)]
)
config = RepoConfig(project="p", registry="r.db", online_store={"type": "sqlite", "path": "o.db"})
with FeatureStore(".", config=config) as store:
    store.apply([entity, view, computed])
    row = {"k": [1], "event_timestamp": [datetime.now(UTC)], "x": [21]}
    store.write_to_online_store("v", pa.table(row))
    answer = store.get_online_features(["v:x", "o:twice"], [{"k": 1}]).to_dict()
try:
    OnDemandFeatureView(name="s", mode="sql", sources=["v:x"], expressions={"y": "x"}, schema=[y])
    refused = ""
except DefinitionError as error:
    refused = str(error)
absent = [name for name in json.loads(sys.argv[1]) if importlib.util.find_spec(name) is None]
print(json.dumps({"answer": answer, "absent": absent, "refused": refused}))
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> Path:
    """Return an environment of its own with the client in it."""
    environment = tmp_path_factory.mktemp("client") / "env"
    run(UV, "venv", "-q", "--python", sys.executable, environment)
    python = environment / "bin" / "python"
    options = ["-q", "--system-certs", "--python", python, "-c", ROOT / "constraints.txt"]
    run(UV, "pip", "install", *options, ROOT / "packaging" / "client")
    return environment


def run(*arguments: object, cwd: Path | None = None) -> str:
    command = [str(argument) for argument in arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_client_serves_without_the_heavy_packages(client: Path, tmp_path: Path) -> None:
    (tmp_path / "serve.py").write_text(SERVE)
    python = client / "bin" / "python"
    printed = json.loads(run(python, "-I", "serve.py", json.dumps(ABSENT), cwd=tmp_path))
    assert printed["answer"] == {"k": [1], "x": [21], "twice": [42]}
    assert printed["absent"] == list(ABSENT)
    assert "[sql]" in printed["refused"]


def test_the_client_is_small(client: Path) -> None:
    size = sum(path.stat().st_size for path in client.rglob("*") if path.is_file())
    assert size / 1e6 < MAX_MEGABYTES
