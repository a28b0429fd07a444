"""Lets an unmodified Feast client read and write through our server, and compares the answers."""

import json
import random
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from bench.server.serving import FEAST, ROOT, serving
from feature_platform import Entity, FeatureStore, FeatureView, Field, PushSource
from feature_platform.server.keys import KeyStore
from feature_platform.types import Bool, Float64, Int64, String

REQUESTS = 1000
KEYS = 300


def main() -> None:
    """Compare, and print the counts."""
    folder = Path(tempfile.mkdtemp())
    (folder / "feature_store.yaml").write_text(
        "project: shop\nteam: platform\nregistry: registry.db\n"
        "online_store: {type: sqlite, path: online.db}\nserver: {keys: keys.db}\n"
    )
    store = FeatureStore(folder)
    now = datetime.now(UTC)
    fill(store, now)
    _, key = KeyStore(folder / "keys.db").create("platform", ["shop"], ["admin"])
    chance = random.Random(7)  # noqa: S311
    reads = [request(chance) for _ in range(REQUESTS)]
    write = {"key": [10_001], "event_timestamp": [now.isoformat()], "i0": [2**53 + 1],
             "x0": [0.1], "t0": ["é"], "b0": [True]}  # fmt: skip
    program = str(ROOT / "bench/server/feast_client.py")
    with serving(folder) as (port, _):
        done = subprocess.run(
            [str(FEAST), program, f"http://127.0.0.1:{port}", key],
            input=json.dumps({"reads": reads, "write": write}), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    answers = json.loads(done.stdout.splitlines()[-1])
    differing = 0
    for each, answer in zip(reads, answers, strict=True):
        ours = store.get_online_features(each["features"], each["rows"]).to_dict()
        differing += ours != answer
    written = store.get_online_features(["v0"], [{"key": 10_001}]).to_dict()
    expected = {name: values for name, values in write.items() if name != "event_timestamp"}
    sys.stdout.write(
        f"{len(answers):,} requests of Feast 0.67's client: {differing} answers differ from ours; "
        f"the row that it wrote {'is there' if written == expected else f'is not: {written}'}.\n"
    )
    if differing or written != expected:
        sys.exit(1)


def fill(store: FeatureStore, now: datetime) -> None:
    """Register two views and write their rows, some null and some too old."""
    key = Entity(name="key", join_keys=["key"], value_type=Int64)
    chance = random.Random(1)  # noqa: S311
    for n in range(2):
        types = {f"i{n}": Int64, f"x{n}": Float64, f"t{n}": String, f"b{n}": Bool}
        schema = [Field(name=name, dtype=dtype) for name, dtype in types.items()]
        view = FeatureView(
            name=f"v{n}", entities=[key], ttl=timedelta(days=365), schema=schema,
            source=PushSource(name=f"push{n}"),
        )  # fmt: skip
        store.apply([key, view])
        rows: dict[str, list[Any]] = {
            "key": list(range(KEYS)),
            "event_timestamp": [now - timedelta(days=chance.choice([1, 400])) for _ in range(KEYS)],
            f"i{n}": [chance.choice([None, -1, 2**62 + chance.randrange(9)]) for _ in range(KEYS)],
            f"x{n}": [chance.choice([None, 0.1, -1e300, 5e-324]) for _ in range(KEYS)],
            f"t{n}": [chance.choice([None, "", "é", "a'b\"c"]) for _ in range(KEYS)],
            f"b{n}": [chance.choice([None, True, False]) for _ in range(KEYS)],
        }
        frame = pd.DataFrame(rows).astype({f"i{n}": "Int64", f"b{n}": "boolean"})
        store.write_to_online_store(f"v{n}", frame)


def request(chance: random.Random) -> dict[str, Any]:
    """Return a random request."""
    every = [f"v{n}:{kind}{n}" for n in range(2) for kind in "ixtb"]
    features = chance.sample(every, chance.randint(1, len(every)))
    rows = [{"key": chance.randrange(KEYS * 2)} for _ in range(chance.randint(1, 5))]
    return {"features": features, "rows": rows}


if __name__ == "__main__":
    main()
