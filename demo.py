"""`make demo`: a platform team and two product teams share a feature store on real flights.

Everything runs through the Dagster code locations that `make dev` opens, without a server.
"""

import logging
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from feature_platform import Entity, FeatureStore, FeatureView, Field, FileSource, connection
from feature_platform.errors import AccessError, RefusedError
from feature_platform.handles.model_registry import ModelRegistry
from feature_platform.repo import Repo
from feature_platform.server.keys import KeyStore
from feature_platform.types import Int64

ROOT = Path(__file__).parent
DATA = ROOT / "data"
LOCATIONS = {
    "platform": ROOT / "platform_repo",
    "delay_risk": ROOT / "team_repos" / "delay_risk",
    "ground_ops": ROOT / "team_repos" / "ground_ops",
}
SERVICE = "delay_risk_departure_v1"
LATE_MINUTES = 15
SOME = 500
SERVER = """
project: flights
team: platform
registry: ../registry.db
online_store: {type: sqlite, path: ../online.db}
offline_store: {type: duckdb, root: ..}
projects:
  sandbox:
    online_store: {type: sqlite, path: sandbox.db}
    offline_store: {type: duckdb}
server: {keys: keys.db}
"""
console = Console(highlight=False, soft_wrap=True)


class Demo:
    """The code locations, an instance that remembers their runs, and what they did."""

    def __init__(self) -> None:
        self.repos = {name: Repo.load(path) for name, path in LOCATIONS.items()}
        self.locations: dict[str, dg.Definitions] = {
            name: repo.import_module("definitions").defs for name, repo in self.repos.items()
        }
        self.pipelines = self.repos["delay_risk"].import_module("pipelines")
        self.instance = dg.DagsterInstance.get()
        self.summary: list[tuple[str, str]] = []

    def run(self, location: str, job: str, **options: Any) -> dg.ExecuteInProcessResult:
        """Run a job of a code location; stop the demo if it fails."""
        started = time.monotonic()
        definition = self.locations[location].resolve_job_def(job)
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        result = definition.execute_in_process(instance=self.instance, run_config=quiet, **options)
        events = result.get_asset_materialization_events()
        seconds = time.monotonic() - started
        assets = {event.asset_key for event in events}
        parts = f" in {len(events)} partitions" if len(events) > len(assets) else ""
        noun = "asset" if len(assets) == 1 else "assets"
        done = f"{len(assets)} {noun}{parts}, {seconds:.1f} s"
        say(f"run [b]{location} / {job}[/b]: {done}")
        return result

    def tick(self, team: str) -> dg.RunRequest | dg.SkipReason:
        """Evaluate a team's sensor once, as the Dagster daemon does every ten seconds."""
        location = self.locations[team]
        sensor = location.resolve_sensor_def(f"reconcile_{team}")
        with dg.build_sensor_context(
            instance=self.instance, resources=location.resources
        ) as context:
            answer = sensor(context)
        if isinstance(answer, dg.SkipReason):
            say(f"sensor [b]reconcile_{team}[/b]: {escape(str(answer.skip_message))}")
            return answer
        if not isinstance(answer, dg.RunRequest):
            raise TypeError(f"reconcile_{team} answered {answer!r}")
        say(f"sensor [b]reconcile_{team}[/b]: requests run {answer.run_key}")
        return answer

    def store(self, name: str) -> FeatureStore:
        """Return a repo's feature store at the demo's present."""
        return FeatureStore(LOCATIONS[name], clock=lambda: self.pipelines.PRESENT)


def say(text: str) -> None:
    console.print(f"  {text}")


def step(title: str) -> None:
    console.print(f"\n[bold cyan]{title}[/]")


def teams_wait(demo: Demo) -> None:
    step("1. The teams' code locations are up first. Nothing they build on is registered yet.")
    for team in ("delay_risk", "ground_ops"):
        demo.tick(team)


def platform_applies(demo: Demo) -> None:
    step("2. The platform team builds its tables and registers what every team may use.")
    demo.run("platform", "build_tables")
    demo.run("platform", "apply_platform")
    flights = len(pd.read_parquet(DATA / "flights.parquet", columns=["flight_id"]))
    demo.summary.append(("flights of 2013", f"{flights:,}"))


def teams_apply(demo: Demo) -> None:
    step("3. Now the sensors let the teams in: each repo is applied in one commit of its own.")
    for team in ("delay_risk", "ground_ops"):
        request = demo.tick(team)
        demo.run(team, f"apply_{team}", tags=dict(request.tags))
        demo.tick(team)
    for commit in demo.store("platform").registry.history():
        say(f"version {commit.version} by {commit.principal}: {commit.summary()}")
    snapshot = demo.store("platform").snapshot()
    owners = {entry.owner for entry in snapshot.entries.values()}
    objects = (
        f"{len(snapshot.entries)} of {len(owners)} owners, registry version {snapshot.version}"
    )
    demo.summary.append(("registered objects", objects))


def refusals(demo: Demo) -> None:
    step("4. What a federated store is for: nobody breaks what others own or use.")
    before = demo.store("platform").snapshot().version
    hijack = FeatureView(
        name="hourly_weather",
        entities=[Entity(name="airport", join_keys=["origin"])],
        schema=[Field(name="temp", dtype=Int64)],
        source=FileSource(path="my_weather.parquet"),
    )
    say("Team delay_risk redefines a view of the platform:")
    refused(lambda: demo.store("delay_risk").apply([hijack]))
    platform = demo.store("platform")
    view = platform.get_feature_view("hourly_congestion")
    say("The platform deletes a view that both teams' services read:")
    refused(lambda: platform.apply([], objects_to_delete=[view]))
    after = demo.store("platform").snapshot().version
    demo.summary.append(("refused plans", f"2, and the registry is still at version {after}"))
    if before != after:
        raise RuntimeError("a refused plan changed the registry")


def refused(action: Callable[[], object]) -> None:
    try:
        action()
    except RefusedError as error:
        for line in str(error).splitlines():
            console.print(f"    [red]{escape(line)}[/]")
        return
    raise RuntimeError("a plan that must be refused was accepted")


def materialize(demo: Demo) -> None:
    step("5. The newest values go online: two weeks of daily partitions, in one run.")
    views = ["hourly_weather", "hourly_congestion", "daily_carrier_punctuality"]
    load(demo, "2013-12-17", "2013-12-30", [*views, "aircraft_last_arrival"])
    say("What the register says of aircraft is known since the first of January:")
    load(demo, "2013-01-01", "2013-01-01", ["aircraft_profile"])


def load(demo: Demo, first: str, last: str, views: list[str]) -> None:
    tags = {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }
    keys = [dg.AssetKey(["flights", "online", view]) for view in views]
    demo.run("platform", "materialize_flights_online", tags=tags, asset_selection=keys)


def train(demo: Demo) -> None:
    step("6. A training set for the whole year, as each flight's features were known at the time.")
    result = demo.run("delay_risk", "train_and_predict")
    scores = metadata(result, "model")
    rows = metadata(result, "training_set")["dagster/row_count"]
    say(f"training set: {rows:,} flights; the model is trained on those before November")
    score = f"AUC {scores['auc']:.3f} on {scores['flights']:,.0f} unseen flights"
    say(f"{score}, {scores['late_share']:.0%} of them late")
    demo.summary.append(("training set", f"{rows:,} rows, point-in-time correct"))
    demo.summary.append(("model, trained to October", score))


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> Mapping[str, Any]:
    key = dg.AssetKey([SERVICE, asset])
    [event] = [e for e in result.get_asset_materialization_events() if e.asset_key == key]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def serve(demo: Demo) -> None:
    step("7. It is the evening of 30 December. Tomorrow's flights, from the online store:")
    flights = pd.read_parquet(DATA / "flights.parquet")
    present = demo.pipelines.PRESENT
    coming = flights[flights["scheduled_departure"] >= present + timedelta(hours=5)]
    known = coming[coming["tailnum"].notna()]
    rows = demo.pipelines.spine(known, present)
    store = demo.store("delay_risk")
    started = time.monotonic()
    answer = store.get_online_features(features=SERVICE, entity_rows=rows).to_df()
    milliseconds = 1000 * (time.monotonic() - started)
    [*_, saved] = ModelRegistry(store, store.project).get_models(SERVICE)
    say(f"the scores are those of {saved}, trained on {saved.saved.service}")
    model = demo.pipelines.DelayModel.load(Path(saved.download()) / demo.pipelines.MODEL_FILE)
    answer["risk"] = model.predict(answer)
    offline = store.get_historical_features(rows, features=SERVICE).to_df()
    same = answer[model.features].equals(offline[model.features])
    table = Table("flight", "to", "leaves", "previous delay", "risk", "left late", box=None)
    shown = answer.assign(row=range(len(answer))).nlargest(5, "risk")
    for row, risk, previous in zip(
        shown["row"], shown["risk"], shown["previous_arr_delay"], strict=True
    ):
        flight = known.iloc[row]
        late = "cancelled" if pd.isna(flight.dep_delay) else f"{flight.dep_delay:.0f} min"
        leaves = f"{flight.scheduled_departure.tz_convert('America/New_York'):%H:%M}"
        name = f"{flight.carrier} {flight.flight} {flight.origin}"
        table.add_row(name, flight.dest, leaves, f"{previous:.0f} min", f"{risk:.0%}", late)
    console.print(table)
    late = (known["dep_delay"] > LATE_MINUTES).to_numpy()
    risky = answer["risk"].rank(ascending=False).le(len(answer) / 5).to_numpy()
    say(
        f"of the fifth with the highest risk {late[risky].mean():.0%} left more than 15 minutes "
        f"late, of the others {late[~risky].mean():.0%}"
    )
    say(f"{len(answer)} flights answered in {milliseconds:.0f} ms, on-demand views included")
    say(f"the offline store gives the same values, bit for bit: {'yes' if same else 'NO'}")
    demo.summary.append(("online answers", f"{len(answer)} flights in {milliseconds:.0f} ms"))
    demo.summary.append(("online equals offline", "yes" if same else "NO"))
    if not same:
        raise RuntimeError("online and offline features differ")


def share(demo: Demo) -> None:
    step("8. Another project reads production's features: by a share, a server and a key.")
    folder = DATA / "server"
    folder.mkdir()
    (folder / "feature_store.yaml").write_text(SERVER)
    keys = KeyStore(folder / "keys.db")
    scopes = ["registry:read", "registry:apply", "features:read", "features:write"]
    _, key = keys.create("platform", ["sandbox"], scopes, description="demo")
    with served(folder) as port, connection("http://127.0.0.1", port, api_key_value=key) as sandbox:
        say(f"`feature-platform serve` listens on port {port}; the key acts in project sandbox")
        try:
            sandbox.get_feature_store("flights")
        except AccessError as error:
            console.print(f"    [red]{escape(str(error))}[/]")
        sandbox.store.sharing.accept("flights")
        [shared] = sandbox.store.sharing.list()
        say(f"{shared.owner} shares {', '.join(shared.views)} with {shared.reader}: {shared.state}")
        weather = sandbox.get_feature_store("flights").get_feature_group("hourly_weather", 1)
        flights = pd.read_parquet(DATA / "flights.parquet").sort_values("scheduled_departure")
        middle = flights.iloc[len(flights) // 2 :][:SOME]
        rows = middle[["flight_id", "origin", "scheduled_departure"]]
        departures = sandbox.get_feature_store().create_feature_group(
            "departures", 1, primary_key=["flight_id"], event_time="scheduled_departure"
        )
        departures.insert(rows)
        query = departures.select_all().join(
            weather.select(["temp", "visib"]), left_on=["origin"], right_on=["origin"]
        )
        for line in query.explain().splitlines():
            say(escape(line))
        answer = query.read()
        say(f"{len(answer)} rows of sandbox, {answer['temp'].notna().sum()} with a temperature")
        if len(answer) != len(rows) or not answer["temp"].notna().any():
            raise RuntimeError("the join lost rows or values")
    demo.summary.append(("shared with a sandbox", f"{len(answer)} rows joined over HTTP"))


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """Run the feature server of a folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    program = Path(sys.executable).with_name("feature-platform")
    command = [str(program), "-C", str(folder), "serve", "--port", str(port)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as server:  # noqa: S603
        try:
            while server.poll() is None:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield port
        finally:
            server.terminate()


def main() -> None:
    """Run the demo from a clean state."""
    with socket.socket() as probe:
        if probe.connect_ex(("localhost", 3000)) == 0:
            sys.exit(
                "Something answers on port 3000: stop `make dev` first, they share their data."
            )
    started = time.monotonic()
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    console.print("[bold]A feature store shared by a platform team and two product teams[/]")
    for folder in (DATA, LOCATIONS["delay_risk"] / "data", ROOT / ".dagster"):
        if folder.exists():
            say(f"removing {folder.relative_to(ROOT)}/ of an earlier demo")
            shutil.rmtree(folder, ignore_errors=True)
    say("loading three Dagster code locations: platform_repo, team_repos/delay_risk, ground_ops")
    demo = Demo()
    for act in (
        teams_wait,
        platform_applies,
        teams_apply,
        refusals,
        materialize,
        train,
        serve,
        share,
    ):
        act(demo)
    console.print("\n[bold]What happened[/]")
    table = Table(box=None, show_header=False)
    for name, value in [*demo.summary, ("whole demo", f"{time.monotonic() - started:.0f} s")]:
        table.add_row(f"  {name}", value)
    console.print(table)
    console.print("\nSee it in the Dagster UI: [bold]make dev[/], then http://localhost:3000")
    console.print(
        "Ask it from the shell:    [bold].venv/bin/feature-platform -C platform_repo list[/]"
    )


if __name__ == "__main__":
    sys.exit(main())
