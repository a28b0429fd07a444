"""Training and batch predictions as Dagster assets."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pandas as pd
from model import LABEL, SERVICE, DelayModel, evaluate, label, spine, train

from feature_platform.dagster import FeatureStoreResource

DATA = Path(__file__).parents[2] / "data"
MODEL_PATH = DATA / "models" / f"{SERVICE}.json"
TRAINING_SET_PATH = DATA / "training" / f"{SERVICE}.parquet"
PREDICTIONS_PATH = DATA / "predictions" / f"{SERVICE}.parquet"
# Training uses what lies before, the score what comes after; the demo's present is the evening
# of 30 December, after which there is no weather.
SPLIT = datetime(2013, 11, 1, tzinfo=UTC)
PRESENT = datetime(2013, 12, 31, tzinfo=UTC)

_SERVICE_KEY = dg.AssetKey(["flights", "feature_service", SERVICE])
_FLIGHTS_KEY = dg.AssetKey(["tables", "flights"])


@dg.asset(key=[SERVICE, "training_set"], deps=[_SERVICE_KEY, _FLIGHTS_KEY], group_name="delay_risk")
def training_set(feature_store: FeatureStoreResource) -> dg.MaterializeResult[None]:
    """What was known when each flight of the year was asked about, and whether it left late."""
    flights = pd.read_parquet(DATA / "flights.parquet")
    rows = spine(flights).assign(**{LABEL: label(flights)})
    rows = rows[rows[LABEL].notna() & (rows["scheduled_departure"] < PRESENT)]
    job = feature_store.open().get_historical_features(rows, features=SERVICE)
    path = job.to_parquet(TRAINING_SET_PATH)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": dg.MetadataValue.int(len(rows)),
            "path": dg.MetadataValue.path(path),
            "registry_version": dg.MetadataValue.int(job.registry_version),
        }
    )


@dg.asset(key=[SERVICE, "model"], deps=[training_set], group_name="delay_risk")
def delay_model() -> dg.MaterializeResult[None]:
    """A logistic regression on the flights before November, scored on those since."""
    frame = pd.read_parquet(TRAINING_SET_PATH)
    given = {*spine(pd.read_parquet(DATA / "flights.parquet").head(1)).columns, LABEL}
    features = [name for name in frame.columns if name not in given]
    model = train(frame, features, until=SPLIT)
    MODEL_PATH.parent.mkdir(parents=True, exist_ok=True)
    model.save(MODEL_PATH)
    scores = evaluate(model, frame, since=SPLIT)
    shown = {name: dg.MetadataValue.float(float(value)) for name, value in scores.items()}
    return dg.MaterializeResult(metadata=shown)


@dg.asset(key=[SERVICE, "predictions"], deps=[delay_model, _SERVICE_KEY], group_name="delay_risk")
def predictions(feature_store: FeatureStoreResource) -> dg.MaterializeResult[None]:
    """Risks of the flights of the coming day, from the offline store, as of the present."""
    flights = pd.read_parquet(DATA / "flights.parquet")
    coming = flights[flights["scheduled_departure"] >= PRESENT]
    job = feature_store.open().get_historical_features(spine(coming, PRESENT), features=SERVICE)
    frame = job.to_df()
    frame["risk"] = DelayModel.load(MODEL_PATH).predict(frame)
    PREDICTIONS_PATH.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(PREDICTIONS_PATH, index=False)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": dg.MetadataValue.int(len(frame)),
            "mean_risk": dg.MetadataValue.float(float(frame["risk"].mean())),
        }
    )
