"""Training sets and batch scores as assets, and what reads them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_support import DAYS

from feature_platform import FeatureStore, RandomSplit, SavedDataset
from feature_platform.dagster import DatasetIOManager, batch_scoring_asset, training_set_asset

pytestmark = pytest.mark.filterwarnings("ignore")
START = datetime(2026, 1, 1, 5, 30, tzinfo=UTC)
SERVICE = dg.AssetKey(["shop", "feature_service", "risk_v1"])


def spine(_: Any = None, days: int = 2) -> pd.DataFrame:
    times = [START + timedelta(hours=n) for n in range(24 * days)]
    late = [n % 2 for n in range(24 * days)]
    return pd.DataFrame({"driver_id": 1, "event_timestamp": times, "late": late})


@pytest.fixture
def repo(workspace) -> Path:
    workspace.run("platform")
    workspace.run("risk")
    return workspace.folder / "risk"


def materialize(workspace, *assets, **options) -> dg.ExecuteInProcessResult:
    options.setdefault("raise_on_error", False)
    return dg.materialize(assets, instance=workspace.instance, **options)


def metadata(result: dg.ExecuteInProcessResult, *path: str) -> dict[str, Any]:
    [event] = [e for e in result.get_asset_materialization_events()
               if e.asset_key == dg.AssetKey(path)]  # fmt: skip
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_a_training_set_is_what_the_store_gives_and_says_how_it_was_made(workspace, repo) -> None:
    training = training_set_asset("risk_v1", repo=repo, spine=spine, label="late")
    result = materialize(workspace, training)

    assert training.specs_by_key[training.key].deps
    assert SERVICE in {dep.asset_key for dep in training.specs_by_key[training.key].deps}
    shown = metadata(result, "risk_v1", "training_set")
    assert (shown["dagster/row_count"], shown["registry_version"]) == (48, 2)
    assert shown["label"] == "late"
    saved = SavedDataset.load(shown["dataset"])
    expected = FeatureStore(repo).get_historical_features(spine(), "risk_v1").to_arrow()
    assert saved.to_arrow().equals(expected)
    assert saved.manifest["features"].keys() == {"trips", "y"}


def test_a_downstream_asset_gets_what_its_argument_is_annotated_with(workspace, repo) -> None:
    training = training_set_asset(
        "risk_v1", repo=repo, spine=spine, split=RandomSplit({"train": 0.5, "test": 0.5})
    )
    seen: dict[str, Any] = {}
    ins = {"rows": dg.AssetIn(training.key)}

    @dg.asset(ins=ins)
    def as_pandas(rows: pd.DataFrame) -> None:
        seen["pandas"] = rows

    @dg.asset(ins=ins)
    def as_polars(rows: pl.DataFrame) -> None:
        seen["polars"] = rows

    @dg.asset(ins=ins)
    def as_arrow(rows: pa.Table) -> None:
        seen["arrow"] = rows

    @dg.asset(ins=ins)
    def as_dataset(rows: SavedDataset) -> None:
        seen["dataset"] = rows

    @dg.asset(ins=ins)
    def without(rows) -> None:
        seen["nothing"] = rows

    result = materialize(workspace, training, as_pandas, as_polars, as_arrow, as_dataset, without)
    assert result.success
    types = {name: type(value) for name, value in seen.items()}
    assert types == {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.Table,
                     "dataset": SavedDataset, "nothing": pd.DataFrame}  # fmt: skip
    assert {len(seen["pandas"]), len(seen["polars"]), seen["arrow"].num_rows} == {48}
    assert seen["dataset"].splits == ("train", "test")
    assert set(metadata(result, "risk_v1", "training_set")["splits"]) == {"train", "test"}


def test_every_run_keeps_its_rows_and_readers_get_the_newest(workspace, repo) -> None:
    days = [1]
    training = training_set_asset("risk_v1", repo=repo, spine=lambda _: spine(days=days[0]))
    first = metadata(materialize(workspace, training), "risk_v1", "training_set")["dataset"]
    days[0] = 2
    second = metadata(materialize(workspace, training), "risk_v1", "training_set")["dataset"]

    assert first != second
    assert SavedDataset.load(first).to_arrow().num_rows == 24

    @dg.asset(ins={"rows": dg.AssetIn(training.key)})
    def reader(rows: pa.Table) -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"rows": rows.num_rows})

    result = materialize(workspace, training, reader, selection=[reader])
    assert metadata(result, "reader")["rows"] == 48


def test_partitions_are_datasets_of_their_own(workspace, repo) -> None:
    def of_day(context: dg.AssetExecutionContext) -> pd.DataFrame:
        window = context.partition_time_window
        rows = spine()
        times = rows["event_timestamp"]
        return rows[(times >= window.start) & (times < window.end)]

    training = training_set_asset("risk_v1", repo=repo, spine=of_day, partitions=DAYS)
    rows = {
        day: metadata(
            materialize(workspace, training, partition_key=day), "risk_v1", "training_set"
        )
        for day in ("2026-01-01", "2026-01-02")
    }
    assert {day: shown["dagster/row_count"] for day, shown in rows.items()} == {
        "2026-01-01": 19, "2026-01-02": 24,
    }  # fmt: skip

    @dg.asset(ins={"rows": dg.AssetIn(training.key)}, partitions_def=DAYS)
    def reader(rows: pa.Table) -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"rows": rows.num_rows})

    result = materialize(
        workspace, training, reader, selection=[reader], partition_key="2026-01-01"
    )
    assert metadata(result, "reader")["rows"] == 19


def test_the_spine_may_be_sql_a_file_or_an_asset(workspace, repo) -> None:
    file = workspace.folder / "spine.parquet"
    spine().to_parquet(file)

    @dg.asset
    def asked() -> pd.DataFrame:
        return spine()

    for number, rows in enumerate((f"SELECT * FROM read_parquet('{file}')", str(file), asked)):
        training = training_set_asset("risk_v1", repo=repo, spine=rows, key=["sets", str(number)])
        upstream = [asked] if rows is asked else []
        result = materialize(workspace, *upstream, training)
        assert metadata(result, "sets", str(number))["dagster/row_count"] == 48


def test_a_missing_label_is_said_and_nothing_is_given_to_readers(workspace, repo) -> None:
    training = training_set_asset("risk_v1", repo=repo, spine=spine, label="lat")
    result = materialize(workspace, training)

    assert not result.success
    [event] = [e for e in result.all_events if e.is_step_failure]
    assert "'late'" in str(event.step_failure_data.error)

    @dg.asset(ins={"rows": dg.AssetIn(training.key)})
    def reader(rows: pa.Table) -> None: ...

    result = materialize(workspace, training, reader, selection=[reader])
    [event] = [e for e in result.all_events if e.is_step_failure]
    assert "NotFoundError" in str(event.step_failure_data.error)


class Kept(dg.IOManager):
    """An IO manager of the user."""

    def __init__(self) -> None:
        self.outputs: list[Any] = []

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        self.outputs.append(obj)

    def load_input(self, context: dg.InputContext) -> Any:
        return self.outputs[-1]


def test_results_go_to_the_io_manager_of_the_user(workspace, repo) -> None:
    kept = Kept()
    training = training_set_asset("risk_v1", repo=repo, spine=spine, label="late", io_manager=kept)
    shown = metadata(materialize(workspace, training), "risk_v1", "training_set")

    assert (shown["dagster/row_count"], shown["registry_version"]) == (48, 2)
    assert kept.outputs[0].column_names == ["driver_id", "event_timestamp", "late", "trips", "y"]


def test_datasets_may_be_on_s3(workspace, repo, s3, bucket) -> None:
    manager = DatasetIOManager(root=f"s3://{bucket}/sets")
    training = training_set_asset("risk_v1", repo=repo, spine=spine, io_manager=manager)

    @dg.asset(ins={"rows": dg.AssetIn(training.key)})
    def reader(rows: pa.Table) -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"rows": rows.num_rows})

    result = materialize(workspace, training, reader)
    assert metadata(result, "reader")["rows"] == 48
    path = metadata(result, "risk_v1", "training_set")["dataset"]
    assert path.startswith(f"s3://{bucket}/sets/risk_v1/training_set/")


def test_batch_scores_are_the_model_on_the_features_of_now(workspace, repo) -> None:
    at = START + timedelta(hours=3)

    def double(features: pd.DataFrame) -> Any:
        assert set(features.columns) >= {"driver_id", "trips", "y"}
        return features["trips"] * 10

    def drivers(_: Any) -> pd.DataFrame:
        return pd.DataFrame({"driver_id": [1, 2]})

    scores = batch_scoring_asset("risk_v1", repo=repo, model=double, spine=drivers, at=at)
    shown = metadata(materialize(workspace, scores), "risk_v1", "scores")

    frame = SavedDataset.load(shown["dataset"]).to_df()
    assert list(frame.columns) == ["driver_id", "event_timestamp", "score"]
    assert frame["score"].tolist() == [80, pd.NA]
    assert set(frame["event_timestamp"]) == {pd.Timestamp(at)}
    assert shown["registry_version"] == 2


def test_a_model_may_return_several_columns(workspace, repo) -> None:
    def model(features: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"low": features["trips"] - 1, "high": features["trips"] + 1})

    scores = batch_scoring_asset("risk_v1", repo=repo, model=model, spine=spine)
    shown = metadata(materialize(workspace, scores), "risk_v1", "scores")
    frame = SavedDataset.load(shown["dataset"]).to_df()
    assert list(frame.columns) == ["driver_id", "event_timestamp", "late", "low", "high"]
    assert frame["low"].tolist()[:2] == [4, 5]


def test_partitions_with_similar_names_do_not_share_a_dataset(workspace, repo) -> None:
    names = ["a b", "a_b", "a/b", ".."]
    partitions = dg.StaticPartitionsDefinition(names)

    def of_name(context: dg.AssetExecutionContext) -> pd.DataFrame:
        return spine().head(names.index(context.partition_key) + 1)

    training = training_set_asset("risk_v1", repo=repo, spine=of_name, partitions=partitions)

    @dg.asset(ins={"rows": dg.AssetIn(training.key)}, partitions_def=partitions)
    def reader(rows: pa.Table) -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"rows": rows.num_rows})

    for name in names:
        assert materialize(workspace, training, partition_key=name).success
    for number, name in enumerate(names, start=1):
        result = materialize(workspace, training, reader, selection=[reader], partition_key=name)
        assert metadata(result, "reader")["rows"] == number
