"""A small model of departure delays: flights in, spines out; features in, risks out."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

SERVICE = "delay_risk_departure_v1"
LABEL = "delayed"
LATE_MINUTES = 15
# Predictions are asked for at different moments before departure; so is the training set.
LEAD_MINUTES = (0, 60, 360, 720)
RUNWAY_HEADINGS = {"EWR": 40.0, "JFK": 130.0, "LGA": 40.0}


@dataclass(frozen=True)
class DelayModel:
    """A logistic regression, readable as JSON.

    Attributes:
        features: Columns it reads, in order.
        center: What replaces a missing value, and what is subtracted.
        scale: What a feature is divided by.
        weights: One per feature.
        bias: Log odds of an average flight.
    """

    features: list[str]
    center: list[float]
    scale: list[float]
    weights: list[float]
    bias: float

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the probability of a late departure; shape (rows,)."""
        values = frame[self.features].astype("float64").to_numpy()
        values = np.where(np.isnan(values), self.center, values)
        odds = (values - self.center) / self.scale @ np.array(self.weights) + self.bias
        return 1 / (1 + np.exp(-odds))

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "DelayModel":
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def spine(flights: pd.DataFrame, requested_at: datetime | None = None) -> pd.DataFrame:
    """Return entity rows for flights: who, when it is asked, and what the request carries.

    Args:
        flights: Shape (n, columns of the flights table).
        requested_at: When the predictions are asked for; if left out, at one of `LEAD_MINUTES`
            before departure, in turn.
    """
    if requested_at is None:
        turns = flights["flight_id"].to_numpy() % len(LEAD_MINUTES)
        lead = pd.to_timedelta(np.array(LEAD_MINUTES)[turns], unit="min")
        asked = flights["scheduled_departure"] - lead
    else:
        asked = pd.Series(pd.Timestamp(requested_at), index=flights.index)
    return pd.DataFrame(
        {
            "flight_id": flights["flight_id"],
            "origin": flights["origin"],
            "carrier": flights["carrier"],
            "tailnum": flights["tailnum"],
            "event_timestamp": asked,
            "requested_at": asked,
            "scheduled_departure": flights["scheduled_departure"],
            "runway_heading": flights["origin"].map(RUNWAY_HEADINGS),
        }
    )


def label(flights: pd.DataFrame) -> pd.Series:
    """Return whether each flight left late; null for flights that never left."""
    late = (flights["dep_delay"] > LATE_MINUTES).astype("Int64")
    return late.where(flights["dep_delay"].notna())


def train(training_set: pd.DataFrame, features: list[str], until: datetime) -> DelayModel:
    """Fit on the flights scheduled before a moment."""
    # Imported where it is used: every process that loads the location would wait for it.
    from sklearn.linear_model import LogisticRegression

    known = training_set[training_set["scheduled_departure"] < until]
    values = known[features].astype("float64")
    center, scale = values.mean(), values.std().replace(0, 1)
    regression = LogisticRegression(max_iter=500)
    regression.fit(((values.fillna(center) - center) / scale).to_numpy(), known[LABEL].astype(int))
    return DelayModel(
        features=features,
        center=center.tolist(),
        scale=scale.tolist(),
        weights=regression.coef_[0].tolist(),
        bias=float(regression.intercept_[0]),
    )


def evaluate(model: DelayModel, training_set: pd.DataFrame, since: datetime) -> Mapping[str, float]:
    """Score on the flights scheduled from a moment on, which the model has not seen."""
    from sklearn.metrics import brier_score_loss, roc_auc_score

    unseen = training_set[training_set["scheduled_departure"] >= since]
    truth, risk = unseen[LABEL].astype(int), model.predict(unseen)
    return {
        "flights": len(unseen),
        "late_share": float(truth.mean()),
        "auc": float(roc_auc_score(truth, risk)),
        "brier": float(brier_score_loss(truth, risk)),
    }
