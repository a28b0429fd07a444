"""Commands that load and read features."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from feature_platform.cli.base import Instant, command, json_option
from feature_platform.cli.printing import print_counts, print_json, print_table
from feature_platform.store import FeatureStore

views_option = click.option(
    "-v", "--view", "views", multiple=True, help="View to load; all if left out. Repeatable."
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
    print_counts(FeatureStore(repo).materialize(start, end, views or None), as_json=as_json)


@command(name="materialize-incremental")
@click.argument("end", type=Instant(), required=False)
@views_option
@json_option
def materialize_incremental(
    repo: Path, *, end: datetime | None, views: tuple[str, ...], as_json: bool
) -> None:
    """Load what is new since the last load.

    Up to END, or now. The day before the last load's end is read again, for rows that came late.
    """
    print_counts(FeatureStore(repo).materialize_incremental(end, views or None), as_json=as_json)


@command(name="get-online-features")
@click.option("-s", "--service", help="Feature service to read.")
@click.option("-f", "--feature", "features", multiple=True, help="view:feature. Repeatable.")
@click.option(
    "-e",
    "--entity",
    "entities",
    multiple=True,
    required=True,
    help="One entity as JSON: '{\"driver_id\": 1}'. Repeatable.",
)
@click.option("--as-of", type=Instant(), help="Answer as if it were this time, for replays.")
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
    """Look up the newest features of entities."""
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


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"{text!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise click.BadParameter(f"{text!r} is not a JSON object.")
    return value
