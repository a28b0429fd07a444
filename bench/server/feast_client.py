"""An unmodified Feast client with `online_store: {type: remote}`: prints what it reads."""

import json
import sys
import tempfile
import warnings
from datetime import UTC, datetime, timedelta

warnings.simplefilter("ignore")

import pandas as pd  # noqa: E402
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig  # noqa: E402
from feast.types import Bool, Float64, Int64, String  # noqa: E402
from feast.value_type import ValueType  # noqa: E402


def main() -> None:
    """Run `url token`, with requests on the input."""
    url, token = sys.argv[1:]
    folder = tempfile.mkdtemp()
    store = FeatureStore(
        config=RepoConfig(
            project="shop",
            provider="local",
            registry=f"{folder}/registry.db",
            online_store={"type": "remote", "path": url},
            auth={"type": "oidc", "token": token},
            entity_key_serialization_version=3,
        )
    )
    key = Entity(name="key", join_keys=["key"], value_type=ValueType.INT64)
    pd.DataFrame({"key": [1], "event_timestamp": [datetime.now(UTC)]}).to_parquet(f"{folder}/p")
    views = [
        FeatureView(
            name=f"v{n}", entities=[key], ttl=timedelta(days=365),
            source=FileSource(path=f"{folder}/p", timestamp_field="event_timestamp", name=f"s{n}"),
            schema=[
                Field(name=f"i{n}", dtype=Int64), Field(name=f"x{n}", dtype=Float64),
                Field(name=f"t{n}", dtype=String), Field(name=f"b{n}", dtype=Bool),
            ],
        )
        for n in range(2)
    ]  # fmt: skip
    store.apply([key, *views])
    request = json.load(sys.stdin)
    answers = [
        store.get_online_features(features=each["features"], entity_rows=each["rows"]).to_dict()
        for each in request["reads"]
    ]
    frame = pd.DataFrame(request["write"])
    frame["event_timestamp"] = pd.to_datetime(frame["event_timestamp"], utc=True)
    store.write_to_online_store("v0", frame)
    sys.stdout.write(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
