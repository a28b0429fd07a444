"""Commands that load and read features."""

import json
import signal
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import click

from feature_platform.cli.base import Instant, command, features_option, json_option, service_option
from feature_platform.cli.printing import print_counts, print_json, print_table
from feature_platform.cli.row_files import read_rows
from feature_platform.errors import abbreviate
from feature_platform.progress_bars import progress
from feature_platform.services import training
from feature_platform.services.writing import PushMode
from feature_platform.store import FeatureStore

views_option = click.option(
    "-v",
    "--view",
    "--views",
    "views",
    multiple=True,
    help="Name of a view; repeatable (default: all).",
)


@command()
@click.argument("start", type=Instant())
@click.argument("end", type=Instant())
@views_option
@json_option
def materialize(
    repo: Path, *, start: datetime, end: datetime, views: tuple[str, ...], as_json: bool
) -> None:
    """Load rows from START to END into the online store."""
    store = FeatureStore(repo)
    with progress() as tell:
        counts = store.materialize(start, end, views or None, on_progress=tell)
    print_counts(counts, as_json=as_json)
    _hint(store, counts)


@command(name="materialize-incremental")
@click.argument("end", type=Instant(), required=False)
@views_option
@json_option
def materialize_incremental(
    repo: Path, *, end: datetime | None, views: tuple[str, ...], as_json: bool
) -> None:
    """Load rows since the last load.

    Up to END, or now. The day before the end of the last load is read again, for late rows.
    """
    store = FeatureStore(repo)
    with progress() as tell:
        counts = store.materialize_incremental(end, views or None, on_progress=tell)
    print_counts(counts, as_json=as_json)
    _hint(store, counts)


@command()
@click.argument("source")
@click.option(
    "--to",
    type=click.Choice([mode.name.lower() for mode in PushMode]),
    default="online",
    show_default=True,
    help="Where the rows go.",
)
@click.option("--until-empty", is_flag=True, help="Stop after a second without messages.")
@json_option
def ingest(repo: Path, *, source: str, to: str, until_empty: bool, as_json: bool) -> None:
    """Push the broker's messages for the stream source SOURCE, until Ctrl-C.

    Messages are JSON objects. Invalid ones go to the topic's dead letters; every other one is
    stored at least once.
    """
    store, stop = FeatureStore(repo), Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with progress() as tell:
        done = store.ingest(
            source,
            PushMode[to.upper()],
            until_empty=until_empty,
            stop=stop,
            on_progress=lambda so_far: tell(source, so_far.rows),
        )
    print_counts({source: done.rows, "rejected": done.rejected}, as_json=as_json)


@command(name="expire-online")
@views_option
@json_option
def expire_online(repo: Path, *, views: tuple[str, ...], as_json: bool) -> None:
    """Remove online rows that are older than their view's ttl."""
    print_counts(FeatureStore(repo).expire_online_store(views or None), as_json=as_json)


@command(name="verify-parity")
@click.argument("features", nargs=-1, required=True)
@click.option(
    "-r",
    "--rows",
    "file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Parquet, CSV or JSON lines file with join keys and request values.",
)
@json_option
def verify_parity(repo: Path, *, features: tuple[str, ...], file: Path, as_json: bool) -> None:
    """Compare served features with history. Exits with 1 if anything differs.

    FEATURES are a feature service, or views and view:feature.
    """
    requested = features[0] if len(features) == 1 else list(features)
    store = FeatureStore(repo)
    rows = read_rows(file, training.column_types(store.call(), requested))
    comparison = store.verify_parity(requested, rows)
    if as_json:
        examples = [{**m._asdict(), "status": m.status.value} for m in comparison.examples]
        print_json(
            {"rows": comparison.rows, "mismatches": dict(comparison.features), "examples": examples}
        )
    else:
        counts = [(name, f"{count:,}") for name, count in comparison.features.items()]
        print_table(["feature", f"differ, of {comparison.rows:,}"], counts)
        listed = [
            (m.feature, str(dict(m.entity)), str(m.online), str(m.offline), m.status.value)
            for m in comparison.examples
        ]
        if listed:
            print_table(["for example", "entity", "online", "offline", "status"], listed)
    if comparison.mismatches:
        sys.exit(1)


@command()
@click.argument("names", nargs=-1)
@click.option("--start", type=Instant(), help="Rows observed from here.  [default: all]")
@click.option("--end", type=Instant(), help="Rows observed before.  [default: now]")
@json_option
def check(
    repo: Path,
    *,
    names: tuple[str, ...],
    start: datetime | None,
    end: datetime | None,
    as_json: bool,
) -> None:
    """Check the rows of NAMES against what their owners declared.

    NAMES are views and feature services; all views, and your own services, if left out. They
    are checked as they are registered, not as the folder defines them.

    Exits with 1 if a check fails that is not a warning.
    """
    results = FeatureStore(repo).check(list(names) or None, start, end)
    if as_json:
        print_json([asdict(result) for result in results])
    else:
        shown = [
            (r.view, r.check, "passed" if r.passed else r.severity, r.limit, r.message)
            for r in results
        ]
        print_table(
            ["view", "check", "result", "declared", "found"], shown, "No checks are declared."
        )
    if any(result.is_failed_error for result in results):
        sys.exit(1)


@command(name="get-online-features")
@service_option
@features_option
@click.option(
    "-e",
    "--entity",
    "--entities",
    "entities",
    multiple=True,
    required=True,
    help="One entity as JSON: '{\"driver_id\": 1}'. Repeatable.",
)
@click.option(
    "--as-of",
    type=Instant(),
    help="Measure ages as of this time. Values newer than this are still returned.",
)
@json_option
def get_online_features(
    repo: Path,
    *,
    service: str | None,
    features: tuple[str, ...],
    entities: tuple[str, ...],
    as_of: datetime | None,
    as_json: bool,
) -> None:
    """Read the newest features of entities."""
    if bool(service) == bool(features):
        raise click.UsageError("Give either --service or --feature.")
    rows = [_json_object(text) for text in entities]
    store = FeatureStore(repo, clock=(lambda: as_of) if as_of else lambda: datetime.now(UTC))
    answer = store.get_online_features(service or list(features), rows)
    values, statuses = answer.to_dict(), answer.statuses()
    if as_json:
        named = {name: [s.value for s in column] for name, column in statuses.items()}
        print_json({"features": values, "statuses": named})
        return
    for number in range(len(rows)):
        shown = [(n, str(values[n][number]), statuses[n][number].value) for n in values]
        print_table(["feature", "value", "status"], shown)


def _hint(store: FeatureStore, counts: dict[str, int]) -> None:
    """Print why there was nothing to load."""
    if not counts:
        count = len(store.list_feature_views())
        reason = f"{count} feature views, none of which has history and is served online"
        why = f"has {reason}." if count else "has no feature views. Run `apply` first."
        click.echo(f"Project {store.project!r} {why}", err=True)


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        example = "Write '{\"driver_id\": 1001}'."
        raise click.BadParameter(f"{abbreviate(text)} is not JSON: {error}. {example}") from None
    if not isinstance(value, dict):
        raise click.BadParameter(f"{abbreviate(text)} is not a JSON object.")
    return value
