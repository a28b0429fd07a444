"""One cell of the table, in a process of its own: n objects, ours or bare Dagster."""

import json
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")
logging.disable(logging.INFO)

import dagster as dg  # noqa: E402

from feature_platform import FeatureStore  # noqa: E402
from feature_platform.dagster import platform_definitions  # noqa: E402

MOST_EMITTED = 1000
"""A step of 5,000 assets takes bare Dagster more than ten minutes, whatever it emits."""

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
MODULE = """
from datetime import timedelta
from feature_platform import Entity, FeatureView, Field, FileSource
from feature_platform.types import Float32, Int64

objects = []
for n in range({views}):
    entity = Entity(name=f"entity_{{n}}", join_keys=[f"key_{{n}}"], value_type=Int64)
    source = FileSource(name=f"source_{{n}}", path=f"{{n}}.parquet", timestamp_field="at")
    view = FeatureView(
        name=f"view_{{n}}", entities=[entity], source=source, ttl=timedelta(days=1), online=False,
        schema=[Field(name="a", dtype=Int64), Field(name="b", dtype=Float32)],
        description="changed" if n == {changed} else "",
    )
    objects += [entity, source, view]
"""


def cpu(action: Callable[[], Any]) -> tuple[float, Any]:
    """Return the cpu seconds of this process, and the result."""
    started = time.process_time()
    result = action()
    return time.process_time() - started, result


def ours(folder: Path, objects: int, changed: int = -1) -> dg.Definitions:
    """Return the code location of a platform with so many entities, sources and views."""
    (folder / "feature_store.yaml").write_text(
        "project: bench\nteam: platform\nregistry: registry.db\nonline_store: null\n"
    )
    (folder / "objects.py").write_text(MODULE.format(views=objects // 3, changed=changed))
    return platform_definitions(folder)


def bare(objects: int, emitted: int) -> dg.Definitions:
    """Return a location with as many skippable assets and checks, some of which it emits."""
    specs = [
        dg.AssetSpec(
            ["bench", f"object_{n}"],
            deps=[["bench", f"object_{n - 1}"], ["bench", f"object_{n - 2}"]] if n % 3 == 2 else [],  # noqa: PLR2004
            skippable=True,
            group_name="platform",
            code_version="1",
        )
        for n in range(objects)
    ]

    @dg.multi_asset(name="step", specs=specs, can_subset=True)
    def step() -> Iterator[dg.MaterializeResult[None]]:
        for spec in specs[:emitted]:
            yield dg.MaterializeResult(
                asset_key=spec.key, metadata={"version": 1}, data_version=dg.DataVersion("1")
            )

    checks = [dg.AssetCheckSpec("rules", asset=spec.key) for spec in specs]
    checks += [dg.AssetCheckSpec("schema", asset=spec.key) for spec in specs[2::3]]

    @dg.multi_asset_check(name="checks", specs=checks, can_subset=True)
    def check() -> Iterator[dg.AssetCheckResult]:
        yield from ()

    selection = dg.AssetSelection.assets(step).without_checks()
    job = dg.define_asset_job("apply_platform", selection)

    @dg.sensor(name="reconcile_platform", job=job)
    def sensor() -> dg.SkipReason:
        return dg.SkipReason("nothing")

    return dg.Definitions(assets=[step], asset_checks=[check], jobs=[job], sensors=[sensor])


def loaded(build: Callable[[], dg.Definitions]) -> dg.Definitions:
    """Build a location and everything that a code server asks of it."""
    definitions = build()
    definitions.get_repository_def()
    definitions.resolve_job_def("apply_platform")
    return definitions


def fastest_load(build: Callable[[], dg.Definitions]) -> tuple[float, dg.Definitions]:
    """Return the cpu seconds of the fastest of three loads, and the last one's definitions."""
    loads = [cpu(lambda: loaded(build)) for _ in range(3)]
    return min(seconds for seconds, _ in loads), loads[-1][1]


def run(definitions: dg.Definitions, instance: dg.DagsterInstance) -> int:
    """Run the step; return how many assets were emitted."""
    job = definitions.resolve_job_def("apply_platform")
    result = job.execute_in_process(instance=instance, run_config=QUIET)
    return len(result.get_asset_materialization_events())


def tick(definitions: dg.Definitions, instance: dg.DagsterInstance) -> object:
    sensor = definitions.resolve_sensor_def("reconcile_platform")
    with dg.build_sensor_context(instance=instance) as context:
        return sensor.evaluate_tick(context)


def main() -> None:
    """Print the cpu seconds of each step as JSON."""
    system, count = sys.argv[1], int(sys.argv[2])
    with (
        tempfile.TemporaryDirectory() as folder,
        dg.DagsterInstance.local_temp(folder) as instance,
    ):
        # What is imported and created when first used.
        run(bare(1, 1), instance)
        repo = Path(folder) / "repo"
        repo.mkdir()
        cells: dict[str, float] = {}
        if system == "ours":
            ours(repo, 3).get_repository_def()
            cells["load"], first = fastest_load(lambda: ours(repo, count))
            if count <= MOST_EMITTED:
                cells["first apply"], emitted = cpu(lambda: run(first, instance))
                assert emitted == count // 3 * 3 + 1, emitted  # noqa: S101
                unchanged = [cpu(lambda: run(first, instance)) for _ in range(3)]
                assert not any(emitted for _, emitted in unchanged)  # noqa: S101
                cells["unchanged apply"] = min(unchanged)[0]
            one = loaded(lambda: ours(repo, count, changed=0))
            if count <= MOST_EMITTED:
                cells["one changed"], emitted = cpu(lambda: run(one, instance))
                assert emitted == 2, emitted  # noqa: PLR2004, S101 - the object and the registration
            else:
                FeatureStore(repo).apply(partial=False)
            cells["tick"], _ = cpu(lambda: tick(one, instance))
        else:
            cells["load"], all_emitted = fastest_load(lambda: bare(count, count))
            one = loaded(lambda: bare(count, 1))
            if count <= MOST_EMITTED:
                cells["first apply"], _ = cpu(lambda: run(all_emitted, instance))
                none = loaded(lambda: bare(count, 0))
                unchanged = [cpu(lambda: run(none, instance)) for _ in range(3)]
                cells["unchanged apply"] = min(unchanged)[0]
                cells["one changed"], _ = cpu(lambda: run(one, instance))
            cells["tick"], _ = cpu(lambda: tick(one, instance))
    print(json.dumps(cells))


if __name__ == "__main__":
    main()
