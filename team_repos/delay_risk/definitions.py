"""The delay-risk team's Dagster code location."""

from pathlib import Path

import dagster as dg
from pipelines import delay_model, predictions, training_set

from feature_platform.dagster import team_definitions

defs = dg.Definitions.merge(
    team_definitions(Path(__file__).parent),
    dg.Definitions(
        assets=[training_set, delay_model, predictions],
        jobs=[
            dg.define_asset_job(
                "train_and_predict",
                dg.AssetSelection.assets(training_set, delay_model, predictions),
            )
        ],
    ),
)
