"""The platform team's Dagster code location."""

from pathlib import Path

import dagster as dg
from table_assets import table_assets

from feature_platform.dagster import platform_definitions

ONLINE_DAYS = dg.DailyPartitionsDefinition("2013-01-01", end_date="2014-01-01")

defs = dg.Definitions.merge(
    platform_definitions(Path(__file__).parent, online_partitions=ONLINE_DAYS),
    dg.Definitions(
        assets=list(table_assets()),
        jobs=[
            dg.define_asset_job(
                "build_tables",
                dg.AssetSelection.groups("tables"),
                executor_def=dg.in_process_executor,
            )
        ],
    ),
)
