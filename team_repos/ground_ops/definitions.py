"""The ground-operations team's Dagster code location."""

from pathlib import Path

from feature_platform.dagster import team_definitions

defs = team_definitions(Path(__file__).parent)
