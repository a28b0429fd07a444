"""The federated guide's own code blocks, with only the import name changed and `team:` added."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from tests_support import SEEDS

from feature_platform import (
    FeatureService,
    FeatureStore,
    Field,
    OnDemandFeatureView,
    RepoConfig,
)
from feature_platform.types import Int64

[GUIDE] = SEEDS.glob("002_*.txt")
LOCAL = "project: complete\nregistry: ../registry.db\nonline_store: {type: sqlite, path: ../o.db}\n"


class Block(NamedTuple):
    heading: str
    label: str
    language: str
    code: str


def blocks() -> list[Block]:
    """Return the document's code blocks with the heading and the bold file name before each."""
    heading = label = ""
    listed: list[Block] = []
    lines = iter(GUIDE.read_text("utf-8").splitlines())
    for line in lines:
        if line.startswith("#"):
            heading, label = line.lstrip("# "), ""
        elif bold := re.fullmatch(r"\*\*(\S+\.py)\*\*", line.strip()):
            label = bold[1]
        elif line.startswith("```"):
            code = "\n".join(iter(lines.__next__, "```"))
            code = re.sub(r"\bfrom feast\b", "from feature_platform", code)
            listed.append(Block(heading, label or heading, line[3:], code))
    return listed


BLOCKS = blocks()


def block(heading: str, label: str = "", language: str = "python") -> str:
    [code] = [
        b.code
        for b in BLOCKS
        if heading in b.heading and label in b.label and b.language == language
    ]
    return code


def script(folder: Path, name: str) -> str:
    result = subprocess.run(
        [sys.executable, name], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def repos(tmp_path: Path, s3: Any) -> tuple[Path, Path]:
    """The guide's platform and team folders, sharing its registry in S3 (an emulator)."""
    s3.create_bucket(Bucket="my-bucket")
    for key in s3.list_objects_v2(Bucket="my-bucket").get("Contents", []):
        s3.delete_object(Bucket="my-bucket", Key=key["Key"])
    platform, team = tmp_path / "platform_repo", tmp_path / "team_a_repo"
    platform.mkdir()
    team.mkdir()
    settings = block("1. Platform `feature_store.yaml`", language="yaml")
    (platform / "feature_store.yaml").write_text(settings)
    settings = block("1. Team `feature_store.yaml`", language="yaml")
    (team / "feature_store.yaml").write_text(f"{settings}\nteam: team_a\n")
    for name in ("entities.py", "data_sources.py", "feature_views.py"):
        (platform / name).write_text(block("3. Platform Object Definitions", name))
    (platform / "apply.py").write_text(block("4. Platform Apply Script"))
    for name in ("on_demand_views.py", "feature_services.py"):
        (team / name).write_text(block("3. Team Object Definitions", name))
    (team / "apply.py").write_text(block("4. Team Apply Script"))
    return platform, team


def test_the_documented_repositories_run(repos: tuple[Path, Path]) -> None:
    platform, team = repos

    assert script(platform, "apply.py") == "Platform objects applied successfully!\n"
    assert script(team, "apply.py") == "Team objects applied successfully!\n"
    store = FeatureStore(team)
    assert {v.name for v in store.list_feature_views()} == {"user_features", "driver_stats"}
    assert [s.name for s in store.list_feature_services()] == ["user_model_v1"]


def test_partial_and_full_as_the_key_concept_shows_them(repos: tuple[Path, Path]) -> None:
    platform, team = repos
    script(platform, "apply.py")
    code = block("Key Concept")
    half = code.index("# Platform repository")
    partial, full = code[:half], code[half:]
    service = FeatureService(name="mine", features=["user_features"])
    exec(partial, {"store": FeatureStore(team), "my_feature_service": service})  # noqa: S102
    with (platform / "feature_store.yaml").open("a") as settings:
        settings.write("\nteam: platform\n")  # deletions need the owner to be named
    store = FeatureStore(platform)
    objects = list(store.repo.definitions)
    gone = [d for d in objects if d.name in {"driver_stats", "feast_db_features_driver_stats"}]
    kept = [d for d in objects if d not in gone]
    names = {"store": store, "all_objects": kept, "objects_to_remove": gone}
    exec(full, names)  # noqa: S102

    assert {v.name for v in store.list_feature_views()} == {"user_features"}
    assert [s.name for s in store.list_feature_services()] == ["mine"]


def test_the_validation_function_works(repos: tuple[Path, Path]) -> None:
    platform, team = repos
    script(platform, "apply.py")
    good = FeatureService(name="team_a_model", features=["user_features"])
    names = {
        "FeatureService": FeatureService,
        "OnDemandFeatureView": OnDemandFeatureView,
        "store": FeatureStore(team),
        "team_objects": [good],
    }
    exec(block("3. Registry Validation"), names)  # noqa: S102

    assert FeatureStore(team).get_feature_service("team_a_model")
    with pytest.raises(ValueError, match="must be prefixed with 'team_a_'"):
        names["validate_team_objects"](
            "team_a", [FeatureService(name="other", features=["user_features"])]
        )
    with pytest.raises(ValueError, match="cannot create Field"):
        names["validate_team_objects"]("team_a", [Field(name="x", dtype=Int64)])


@pytest.mark.parametrize("heading", ["Platform Configuration", "Team Configuration"])
def test_the_multi_tenant_settings_are_accepted(tmp_path: Path, heading: str) -> None:
    (tmp_path / "feature_store.yaml").write_text(block(heading, language="yaml"))

    schema = RepoConfig.load(tmp_path).offline_store.plain()["schema"]
    assert schema == ("PLATFORM" if "Platform" in heading else "TEAM_A")


def test_the_complete_working_example_ends_with_features(tmp_path: Path) -> None:
    platform, team = tmp_path / "platform_repo", tmp_path / "team_marketing_repo"
    for folder, settings in ((platform, LOCAL), (team, f"{LOCAL}team: marketing\n")):
        folder.mkdir()
        (folder / "feature_store.yaml").write_text(settings)
    examples = [b.code for b in BLOCKS if b.language == "python"]
    [first] = [code for code in examples if code.startswith("# platform_repo/apply.py")]
    [second] = [code for code in examples if code.startswith("# team_marketing_repo/apply.py")]
    (platform / "apply.py").write_text(first)
    (team / "apply.py").write_text(second)
    (team / "use.py").write_text(block("Using the Features"))

    assert "applied" in script(platform, "apply.py")
    assert "applied" in script(team, "apply.py")
    rows = {
        "customer_id": ["C123"],
        "event_timestamp": [datetime.now(UTC)],
        "total_purchases": [42],
        "avg_order_value": [125.5],
    }
    FeatureStore(platform).write_to_online_store("customer_features", pd.DataFrame(rows))

    printed = script(team, "use.py").splitlines()[-1]
    assert printed.startswith("{'customer_id': ['C123'], 'total_purchases': [42]")
    assert "'avg_order_value': [125.5], 'purchase_propensity_score': [13.4" in printed
