"""Training and batch predictions as Dagster assets."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
from model import LABEL, SERVICE, DelayModel, evaluate, label, spine, train

from feature_platform import SavedDataset
from feature_platform.dagster import batch_scoring_asset, model_asset, training_set_asset

REPO = Path(__file__).parent
DATA = Path(__file__).parents[2] / "data"
MODEL_FILE = "model.json"
# Training uses what lies before, the score what comes after; the demo's present is the evening
# of 30 December, after which there is no weather. The last day that is loaded ends with it.
SPLIT = datetime(2013, 11, 1, tzinfo=UTC)
PRESENT = datetime(2013, 12, 30, 23, 59, 59, tzinfo=UTC)

_FLIGHTS = dg.AssetKey(["tables", "flights"])


def _past_flights(_: dg.AssetExecutionContext) -> pd.DataFrame:
    """Return when each flight of the year was asked about, and whether it left late."""
    flights = pd.read_parquet(DATA / "flights.parquet")
    rows = spine(flights).assign(**{LABEL: label(flights)})
    return rows[rows[LABEL].notna() & (rows["scheduled_departure"] < PRESENT)]


def _coming_flights(_: dg.AssetExecutionContext) -> pd.DataFrame:
    """Return the flights of the coming day, asked about at the present."""
    flights = pd.read_parquet(DATA / "flights.parquet")
    return spine(flights[flights["scheduled_departure"] >= PRESENT], PRESENT)


def _train(dataset: SavedDataset, folder: Path) -> Mapping[str, float]:
    """Fit a logistic regression on the flights before November, and score it on those since."""
    frame = dataset.to_df()
    model = train(frame, list(dataset.manifest["features"]), until=SPLIT)
    model.save(folder / MODEL_FILE)
    return evaluate(model, frame, since=SPLIT)


def _risk(features: pd.DataFrame, folder: Path) -> np.ndarray:
    return DelayModel.load(folder / MODEL_FILE).predict(features)


training_set = training_set_asset(
    SERVICE, repo=REPO, spine=_past_flights, label=LABEL, deps=[_FLIGHTS], group_name="delay_risk"
)


delay_model = model_asset(SERVICE, repo=REPO, train=_train, group_name="delay_risk")

predictions = batch_scoring_asset(
    SERVICE,
    repo=REPO,
    model=_risk,
    saved_model=SERVICE,
    spine=_coming_flights,
    key=[SERVICE, "predictions"],
    deps=[delay_model, _FLIGHTS],
    group_name="delay_risk",
)
